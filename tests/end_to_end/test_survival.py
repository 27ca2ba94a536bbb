# SPDX-License-Identifier: Apache-2.0
"""What the path survives: deaths on either side, quotas, forks, threads, order across threads."""

import os
import signal
from pathlib import Path

import pytest
from applications import Application, wait_until

HOLD = """
from cu import *
start()
p = alloc(32 << 20)
say("up")
hear()
"""


def session_of(proxy, application):
    line = proxy.wait_for("session-started", pid=application.process.pid)
    return line["session"], line["worker"]


def is_gone(pid):
    return (
        not Path(f"/proc/{pid}").exists() or "State:\tZ" in Path(f"/proc/{pid}/status").read_text()
    )


def test_a_killed_application_leaves_nothing(own_proxy):
    proxy = own_proxy("--zone=default:device_memory=48MiB,context_memory=0")
    application = proxy.start(HOLD)
    application.hear()
    session, worker = session_of(proxy, application)
    application.kill()
    proxy.ended(session)
    wait_until(lambda: is_gone(worker), "the worker is gone")
    # Its memory is free: the same again fits the quota.
    proxy.run(HOLD.replace("hear()", ""))


def test_a_killed_application_with_a_living_child_leaves_nothing(own_proxy):
    proxy = own_proxy()
    application = proxy.start(
        HOLD.replace(
            "hear()",
            """
import os, time
child = os.fork()
if child == 0:
    time.sleep(600)
say(child)
hear()
""",
        )
    )
    application.hear()
    child = int(application.hear()[0])
    try:
        session, worker = session_of(proxy, application)
        os.kill(application.process.pid, signal.SIGKILL)
        proxy.ended(session)
        wait_until(lambda: is_gone(worker), "the worker is gone")
        assert not is_gone(child)
    finally:
        os.kill(child, signal.SIGKILL)
        application.process.communicate()


def test_a_killed_worker_is_an_error_for_the_next_call(proxy):
    application = proxy.start("""
from cu import *
start()
p = alloc(64)
say("up")
hear()
status = lib.cuMemcpyDtoH_v2(ffi.new("char[64]"), p, 64)
assert status == CONTEXT_GONE, status
assert lib.cuMemAlloc_v2(ffi.new("CUdeviceptr *"), 64) == CONTEXT_GONE
assert launch(ffi.NULL, 1, 1) == CONTEXT_GONE
""")
    application.hear()
    session, worker = session_of(proxy, application)
    os.kill(worker, signal.SIGKILL)
    proxy.ended(session)
    application.say("go")
    application.end()


def test_a_killed_worker_wakes_the_call_that_waits(proxy):
    application = proxy.start("""
from cu import *
start()
view, flag = host_alloc(4096)
check(launch(function(module(), "wait_for"), 1, 1, u64(flag)))
say("waiting")
status = lib.cuCtxSynchronize()
assert status == CONTEXT_GONE, status
""")
    application.hear()
    _, worker = session_of(proxy, application)
    os.kill(worker, signal.SIGKILL)
    application.end()


def test_a_restarted_daemon_serves_new_sessions(own_proxy):
    proxy = own_proxy()
    application = proxy.start("""
from cu import *
start()
p = alloc(64)
say("up")
hear()
status = lib.cuMemcpyDtoH_v2(ffi.new("char[64]"), p, 64)
assert status == CONTEXT_GONE, status
""")
    application.hear()
    proxy.process.kill()
    proxy.process.wait()
    again = own_proxy()
    application.say("go")
    application.end()
    assert again.run("from cu import *\nstart()\nsay(read_u32(alloc(4)) is not None)") == "True\n"


def test_without_a_socket_there_is_no_device_and_one_line_says_why(tmp_path):
    script = "from cu import *\nassert lib.cuInit(0) == NO_DEVICE"
    _, err = Application(script, tmp_path / "nothing.sock").end()
    assert str(tmp_path / "nothing.sock") in err
    assert len(err.splitlines()) == 1
    _, err = Application(script, "", XDG_RUNTIME_DIR=str(tmp_path)).end()
    assert "VGPU_SOCKET" in err
    assert len(err.splitlines()) == 1
    for zone in "ab":
        (tmp_path / "vgpu" / zone).mkdir(parents=True)
        (tmp_path / "vgpu" / zone / "proxy.sock").touch()
    _, err = Application(script, "", XDG_RUNTIME_DIR=str(tmp_path)).end()
    assert "vgpu/a/proxy.sock" in err
    assert "vgpu/b/proxy.sock" in err


def test_over_quota_is_out_of_memory_and_the_quota_is_what_is_shown(proxy):
    proxy.run(
        """
from cu import *
start()
quota = 64 << 20
assert out("size_t", lambda p: lib.cuDeviceTotalMem_v2(p, 0)) == quota
free, total = ffi.new("size_t *"), ffi.new("size_t *")
check(lib.cuMemGetInfo_v2(free, total))
assert total[0] == quota and free[0] <= quota
p = alloc(40 << 20)
check(lib.cuMemGetInfo_v2(free, total))
assert free[0] <= 24 << 20
where = ffi.new("CUdeviceptr *")
assert lib.cuMemAlloc_v2(where, 40 << 20) == OUT_OF_MEMORY
assert lib.cuMemAllocAsync(where, 40 << 20, ffi.NULL) == OUT_OF_MEMORY
assert lib.cuMemAllocPitch_v2(where, ffi.new("size_t *"), 1 << 20, 40, 4) == OUT_OF_MEMORY
assert lib.cuMemAllocManaged(where, 200 << 20, 1) == OUT_OF_MEMORY
assert lib.cuMemHostAlloc(ffi.new("void **"), 200 << 20, 0) == OUT_OF_MEMORY
check(lib.cuMemFree_v2(p))
q = alloc(60 << 20)
for _ in range(100):
    check(lib.cuMemFree_v2(q))
    q = alloc(60 << 20)
""",
        "small",
    )


def test_a_forked_child_gets_not_initialized_and_its_parent_goes_on(proxy):
    proxy.run("""
from cu import *
import os
start()
p = alloc(64)
write_u32(p, 9)
for _ in range(5):
    child = os.fork()
    if child == 0:
        good = lib.cuMemAlloc_v2(ffi.new("CUdeviceptr *"), 64) == NOT_INITIALIZED
        good = good and lib.cuInit(0) == NOT_INITIALIZED
        good = good and lib.cuMemcpyDtoH_v2(ffi.new("char[4]"), p, 4) == NOT_INITIALIZED
        os._exit(0 if good else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert read_u32(p) == 9
""")


def test_a_child_of_a_process_that_has_not_started_may_start(proxy):
    proxy.run("""
from cu import *
import os
children = []
for _ in range(3):
    child = os.fork()
    if child == 0:
        start()
        p = alloc(64)
        write_u32(p, os.getpid())
        good = read_u32(p) == os.getpid()
        sys.stdout.flush()
        sys.exit(0 if good else 1)
    children.append(child)
assert all(os.waitstatus_to_exitcode(os.waitpid(c, 0)[1]) == 0 for c in children)
""")


def test_threads_have_contexts_and_streams_of_their_own(proxy):
    proxy.run("""
from cu import *
import threading
context = start()
m = module()
add_to = function(m, "add_to")
failures = []
def work(i):
    try:
        current = out("CUcontext", lambda p: lib.cuCtxGetCurrent(p))
        assert current == ffi.NULL
        assert lib.cuMemAlloc_v2(ffi.new("CUdeviceptr *"), 64) == INVALID_CONTEXT
        check(lib.cuCtxSetCurrent(context))
        p = alloc(64)
        write_u32(p, i)
        for _ in range(50):
            check(launch(add_to, 1, 1, u64(p), u32(1), on=ffi.cast("CUstream", 2)))
        check(lib.cuStreamSynchronize(ffi.cast("CUstream", 2)))
        assert read_u32(p) == i + 50
        check(lib.cuMemFree_v2(p))
    except BaseException as error:
        failures.append(repr(error))
threads = [threading.Thread(target=work, args=(i,)) for i in range(16)]
for t in threads: t.start()
for t in threads: t.join()
assert not failures, failures
""")


def test_more_threads_wait_than_there_are_doorbells(proxy):
    proxy.run("""
from cu import *
import threading
context = start()
view, flag = host_alloc(4096)
s = stream()
check(launch(function(module(), "wait_for"), 1, 1, u64(flag), on=s))
done = []
def wait():
    check(lib.cuCtxSetCurrent(context))
    check(lib.cuStreamSynchronize(s))
    done.append(1)
threads = [threading.Thread(target=wait) for _ in range(100)]
for t in threads: t.start()
assert not done
view[:4] = b"\\1\\0\\0\\0"
for t in threads: t.join()
assert len(done) == 100
""")


def test_one_threads_wait_does_not_stop_the_call_that_ends_it(proxy):
    proxy.run("""
from cu import *
import threading
context = start()
p = alloc(4)
write_u32(p, 0)
s = stream()
check(lib.cuStreamWaitValue32_v2(s, p, 1, 0))
say("waits")
def release():
    check(lib.cuCtxSetCurrent(context))
    t = stream()
    check(lib.cuStreamWriteValue32_v2(t, p, 1, 0))
    check(lib.cuStreamSynchronize(t))
timer = threading.Timer(0.2, release)
timer.start()
check(lib.cuStreamSynchronize(s))
timer.join()
""")


def test_a_launch_is_never_overtaken_by_what_another_thread_does_after_it(proxy):
    proxy.run("""
from cu import *
import threading
context = start()
p, q = alloc(4), alloc(4)
write_u32(p, 0); write_u32(q, 0)
m = module()
add_to, move_one = function(m, "add_to"), function(m, "move_one")
s, t = stream(), stream()
rounds = 4000
to_b, to_a = threading.Semaphore(0), threading.Semaphore(0)
failures = []
def b():
    check(lib.cuCtxSetCurrent(context))
    e = event()
    for i in range(rounds):
        to_b.acquire()
        # A's launch was posted before; what B records after it on the same stream includes it.
        check(lib.cuEventRecord(e, s))
        check(lib.cuStreamWaitEvent(t, e, 0))
        check(launch(move_one, 1, 1, u64(q), u64(p), on=t))
        if i % 250 == 0:
            check(lib.cuStreamSynchronize(t))
            value = read_u32(q)
            if value != i + 1:
                failures.append((i, value))
        to_a.release()
thread = threading.Thread(target=b)
thread.start()
for i in range(rounds):
    check(launch(add_to, 1, 1, u64(p), u32(1), on=s))
    to_b.release()
    to_a.acquire()
thread.join()
assert not failures, failures
""")


def test_nothing_posted_is_lost_at_a_normal_exit(proxy):
    proxy.run("""
from cu import *
start()
view, host = host_alloc(4096)
add_to = function(module(), "add_to")
for _ in range(1000):
    check(launch(add_to, 1, 1, u64(host), u32(1)))
import atexit
say("exits without waiting")
""")


def test_the_accounts_of_front_end_and_worker_agree(proxy, tmp_path):
    import json

    stats = tmp_path / "stats"
    proxy.run(
        """
from cu import *
start()
p = alloc(1 << 20)
write(p, bytes(1 << 20)); read(p, 1 << 20)
view, host = host_alloc(1 << 20)
check(lib.cuMemcpyHtoDAsync_v2(p, ffi.cast("void *", host), 1 << 20, ffi.NULL))
for _ in range(10): check(launch(function(module(), "add_to"), 1, 1, u64(p), u32(1)))
check(lib.cuCtxSynchronize())
""",
        VGPU_STATS=str(stats),
    )
    counted = json.loads(stats.read_text())
    line = proxy.ended(counted["session"])
    for name in ("posted", "forwarded", "bytes_in", "bytes_out"):
        assert counted[name] == line[name], (name, counted, line)
    assert counted["bytes_in"] == 2 << 20
    assert line["launches"] == 10


@pytest.mark.parametrize(
    "ending", ["sys.exit(0)", "os.execv('/bin/true', ['true'])", "os._exit(0)"]
)
def test_every_kind_of_exit_ends_the_session(proxy, ending):
    application = proxy.start(f"""
from cu import *
import os
start()
p = alloc(1 << 20)
check(launch(function(module(), "add_to"), 1, 1, u64(p), u32(1)))
say("up")
{ending}
""")
    application.hear()
    session, _ = session_of(proxy, application)
    application.end()
    proxy.ended(session)


def test_dlclose_is_survived(proxy):
    proxy.run("""
import ctypes
from libvgpu.interface import library_path
path = str(library_path())
for _ in range(20):
    lib = ctypes.CDLL(path)
    assert lib.cuInit(0) == 0
    count = ctypes.c_int()
    assert lib.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value >= 1
    handle = lib._handle
    del lib
    ctypes.CDLL(None).dlclose(ctypes.c_void_p(handle))
""")


def test_a_zone_may_have_only_so_many_objects(own_proxy):
    proxy = own_proxy("--zone=default:handles=1500")
    first = proxy.start(
        """
from cu import *
start()
events = []
status = 0
while status == 0 and len(events) < 3000:
    events.append(ffi.new("CUevent *"))
    status = lib.cuEventCreate(events[-1], 2)
    if len(events) % 100 == 0:
        status = status or lib.cuCtxSynchronize()
assert status == OUT_OF_MEMORY, status
assert 1000 < len(events) < 1700, len(events)
say("full")
hear()
"""
    )
    first.hear()
    # The zone has none left for another session; when the first one ends, it has.
    second = proxy.start(
        "from cu import *\ntry:\n    start()\nexcept Failed as e:\n    say(e.status)"
    )
    assert second.hear() == ["2"]
    second.end()
    first.say("end")
    first.end()
    proxy.run("from cu import *\nstart()\nevent()\ncheck(lib.cuCtxSynchronize())")


def test_synchronizing_the_null_context_means_the_current_one(proxy):
    proxy.run("""
from cu import *
context = start()
view, flag = host_alloc(4096)
view[:4] = b"\\1\\0\\0\\0"
check(launch(function(module(), "wait_for"), 1, 1, u64(flag)))
check(lib.cuCtxSynchronize_v2(ffi.NULL))
check(lib.cuCtxSynchronize_v2(context))
check(lib.cuCtxSetCurrent(ffi.NULL))
assert lib.cuCtxSynchronize_v2(ffi.NULL) == INVALID_CONTEXT
check(lib.cuCtxSynchronize_v2(context))
""")


def test_waiting_for_a_capturing_stream_spoils_only_its_capture(proxy):
    proxy.run("""
from cu import *
start()
s, other = stream(), stream()
p = alloc(4)
write_u32(p, 0)
add_to = function(module(), "add_to")
check(lib.cuStreamBeginCapture_v2(s, 2))
check(launch(add_to, 1, 1, u64(p), u32(1), on=s))
assert lib.cuStreamSynchronize(s) == 900
check(lib.cuStreamSynchronize(other))
assert launch(add_to, 1, 1, u64(p), u32(1), on=s) == 901
graph = ffi.new("CUgraph *")
assert lib.cuStreamEndCapture(s, graph) == 901 and graph[0] == ffi.NULL
check(lib.cuStreamBeginCapture_v2(s, 2))
for _ in range(2):
    check(launch(add_to, 1, 1, u64(p), u32(1), on=s))
graph = out("CUgraph", lambda g: lib.cuStreamEndCapture(s, g))
count = ffi.new("size_t *")
check(lib.cuGraphGetNodes(graph, ffi.NULL, count))
assert count[0] == 2, count[0]
run = out("CUgraphExec", lambda g: lib.cuGraphInstantiateWithFlags(g, graph, 0))
for _ in range(3):
    check(lib.cuGraphLaunch(run, s))
check(lib.cuStreamSynchronize(s))
assert read_u32(p) == 6
""")


def test_the_variables_of_a_module_cannot_exceed_the_quota(proxy):
    proxy.run(
        '''
from cu import *
start()
image = b""".version 7.0
.target sm_75
.address_size 64
.visible .global .align 4 .b8 large[%d];
.visible .entry nothing()
{
    ret;
}
"""
status = lib.cuModuleLoadData(ffi.new("CUmodule *"), (image % (200 << 20)) + b"\\0")
assert status == OUT_OF_MEMORY, status
check(lib.cuModuleLoadData(ffi.new("CUmodule *"), (image % (1 << 20)) + b"\\0"))
''',
        "small",
    )
