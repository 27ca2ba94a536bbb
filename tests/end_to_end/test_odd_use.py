# SPDX-License-Identifier: Apache-2.0
"""Odd but legal use of libvgpu: it harms nobody, and nothing waits for ever."""

import pytest
from applications import wait_until

from gpu_proxy.counters import CountersReader, segment_name
from idm import handshake

STAGING_BYTES = handshake.CHUNKS * handshake.CHUNK_BYTES


def bytes_out(proxy, pid):
    """What the worker of a process has begun to copy out."""
    reader = CountersReader(segment_name(proxy.runtime_dir))
    try:
        found = [row for row in reader.read().sessions if row.pid == pid]
    finally:
        reader.close()
    return found[0].counters["bytes_out"] if found else 0


def test_many_threads_copy_out_at_the_same_time(proxy):
    """Each has a part of its copy in flight and wants room for the next, when all begin to end."""
    application = proxy.start(
        """
import threading, time
from cu import *
context = start()
size = 48 << 20
memory, flag = alloc(size), alloc(64)
write(memory, bytes(range(256)) * (size >> 8))
write_u32(flag, 0)
blocked, other = stream(), stream()
check(lib.cuStreamWaitValue32_v2(blocked, flag, 1, 0))
copies = []
def work():
    check(lib.cuCtxSetCurrent(context))
    data = bytearray(size)
    check(lib.cuMemcpyDtoHAsync_v2(ffi.from_buffer(data), memory, size, blocked))
    copies.append(bytes(data))
threads = [threading.Thread(target=work, daemon=True) for _ in range(48)]
[t.start() for t in threads]
hear()  # all of staging is in flight
check(lib.cuMemsetD32Async(flag, 1, 1, other))
deadline = time.monotonic() + 60
[t.join(max(0, deadline - time.monotonic())) for t in threads]
assert copies == [bytes(range(256)) * (size >> 8)] * 48, len(copies)
"""
    )
    pid = application.process.pid
    wait_until(lambda: bytes_out(proxy, pid) >= STAGING_BYTES, "every chunk is in flight", 60)
    application.say()
    application.end()


@pytest.mark.parametrize("word", [0, 1, 2])
def test_destroying_a_stream_of_cuda_harms_nobody(proxy, word):
    proxy.run(
        f"""
from cu import *
start()
p, s, e, m = alloc(64), stream(), event(), module()
assert lib.cuStreamDestroy_v2(ffi.cast("CUstream", {word})) == INVALID_HANDLE
check(lib.cuStreamQuery(s))
check(lib.cuEventQuery(e))
check(launch(function(m, "add_to"), 1, 1, u64(p), u32(1)))
check(lib.cuStreamDestroy_v2(s))
check(lib.cuCtxSynchronize())
"""
    )


def test_a_wait_for_the_context_includes_streams_that_are_destroyed(proxy):
    proxy.run(
        """
import threading
from cu import *
context = start()
flag, result, opener = alloc(64), alloc(64), stream()
check(lib.cuMemsetD32_v2(flag, 0, 16))
check(lib.cuMemsetD32_v2(result, 0, 16))
check(lib.cuCtxSynchronize())
for i in range(100):
    gone = stream()
    check(lib.cuStreamWaitValue32_v2(gone, flag, 1, 0))
    check(lib.cuMemsetD32Async(result, 1, 1, gone))
    check(lib.cuStreamDestroy_v2(gone))
    assert lib.cuStreamQuery(gone) == INVALID_HANDLE
seen = []
def wait():
    check(lib.cuCtxSetCurrent(context))
    check(lib.cuCtxSynchronize())
    seen.append(read_u32(result))
waiter = threading.Thread(target=wait)
waiter.start()
waiter.join(0.5)
check(lib.cuStreamWriteValue32_v2(opener, flag, 1, 0))
waiter.join(60)
assert seen == [1], seen
"""
    )


def test_a_forked_child_gets_errors_and_the_parent_goes_on(proxy):
    proxy.run(
        """
import os
from cu import *
start()
created = out("CUcontext", lambda p: lib.cuCtxCreate_v2(p, 0, 0))
p, s, e, m = alloc(64), stream(), event(), module()
view, host = host_alloc(4096)
f = function(m, "add_to")
child = os.fork()
if child == 0:
    try:
        for status in (
            lib.cuStreamDestroy_v2(s), lib.cuEventDestroy_v2(e), lib.cuModuleUnload(m),
            lib.cuMemFree_v2(p), launch(f, 1, 1, u64(p), u32(1)), lib.cuCtxSynchronize(),
            lib.cuStreamSynchronize(s), lib.cuCtxDestroy_v2(created),
            lib.cuDevicePrimaryCtxReset_v2(0), lib.cuDevicePrimaryCtxRelease_v2(0),
            lib.cuMemFreeHost(ffi.cast("void *", host)),
        ):
            assert status != 0
        assert lib.cuInit(0) == NOT_INITIALIZED
        os._exit(0)
    except BaseException:
        import traceback
        traceback.print_exc()
        os._exit(1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
write_u32(p, 4)
check(launch(f, 1, 1, u64(p), u32(1)))
assert read_u32(p) == 5
"""
    )


def test_signals_interrupt_nothing(proxy):
    proxy.run(
        """
import signal, time
from cu import *
signal.signal(signal.SIGALRM, lambda *_: None)
signal.siginterrupt(signal.SIGALRM, True)
signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
start()
p = alloc(8 << 20)
for _ in range(5):
    write(p, b"x" * (8 << 20))
    assert read(p, 8 << 20) == b"x" * (8 << 20)
    view, host = host_alloc(1 << 20)
    check(lib.cuMemFreeHost(ffi.cast("void *", host)))
    check(launch(function(module(), "add_to"), 1, 1, u64(p), u32(1)))
    check(lib.cuCtxSynchronize())
signal.setitimer(signal.ITIMER_REAL, 0)
"""
    )


def test_exit_while_other_threads_call(proxy):
    proxy.run(
        """
import ctypes, threading
from cu import *
context = start()
p = alloc(1 << 20)
f = function(module(), "add_to")
busy = threading.Semaphore(0)
def work():
    check(lib.cuCtxSetCurrent(context))
    rounds = 0
    while True:
        if launch(f, 1, 1, u64(p), u32(1)) or lib.cuCtxSynchronize():
            return
        rounds += 1
        if rounds == 5:
            busy.release()
for _ in range(8):
    threading.Thread(target=work, daemon=True).start()
for _ in range(8):
    busy.acquire()
ctypes.CDLL(None).exit(0)
"""
    )
