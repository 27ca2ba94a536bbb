# SPDX-License-Identifier: Apache-2.0
"""Every kind of device memory counts against the zone's quota, and is given back when it is freed."""

import pytest
from applications import wait_until
from daemon import REAL_GPU

from gpu_proxy.cli.info import read

OUT_OF_MEMORY = 2
MiB = 1 << 20
QUOTA = 64 * MiB
SOME, MORE, LITTLE = 24 * MiB, 48 * MiB, 8 * MiB
# Texts of images, and pages; a GPU's driver reserves for its pools in large pieces.
SLACK = 32 * MiB if REAL_GPU else MiB
exact = pytest.mark.skipif(REAL_GPU, reason="counts in pages of the software GPU")

# What ends with its context, and what belongs to the process.
OF_CONTEXT = [
    "Memory", "Pitched", "FreedInOrder", "Async", "AsyncFreed", "OwnPool", "Array", "Layers",
    "Module", "ModuleVariable", "Linked", "LeftByGraph", "Heap", "Printf", "Stack",
]  # fmt: skip
OF_PROCESS = ["KeptByPool", "Physical", "Mapped", "Library", "Graph"]


class Holder:
    """An application that takes memory of one kind when told to."""

    def __init__(self, start, kind, zone):
        self.application = start(f"import holding\nholding.serve({kind!r})", zone)
        assert self.application.hear() == ["ready"]

    def take(self, size):
        """The CUresult."""
        self.application.say("take", size)
        return int(self.application.hear()[0])

    def do(self, word):
        self.application.say(word)
        self.application.hear()

    def end(self):
        self.application.say("end")
        self.application.end()


@pytest.fixture(scope="module")
def neighbour(proxy):
    """Another session of the zone."""
    holder = Holder(proxy.start, "Memory", "quota")
    yield holder
    holder.end()


@pytest.fixture
def start(proxy):
    """Start applications; those that a failed test leaves are killed."""
    started = []

    def begin(script, zone):
        started.append(proxy.start(script, zone))
        return started[-1]

    yield begin
    for application in started:
        if application.process.poll() is None:
            application.kill()


@pytest.fixture
def hold(start):
    """Start holders of memory."""
    return lambda kind, zone="quota": Holder(start, kind, zone)


def zone_row(proxy, zone):
    """What `vgpu info` shows of a zone."""
    return next(row for row in read(str(proxy.runtime_dir)).zones if row.name == zone)


def used(proxy, zone="quota"):
    """Device memory of a zone."""
    return zone_row(proxy, zone).device_used


def wait_for_use(proxy, expected, zone="quota"):
    try:
        wait_until(lambda: used(proxy, zone) == expected, "the use is as expected")
    except AssertionError:
        raise AssertionError(f"{used(proxy, zone)} are used, not {expected}") from None


@pytest.mark.parametrize("kind", OF_CONTEXT + OF_PROCESS)
def test_a_kind_counts_until_it_is_freed(proxy, neighbour, hold, kind):
    holder = hold(kind)
    before = used(proxy)
    assert holder.take(SOME) == 0
    wait_until(lambda: used(proxy) >= before + SOME, "it is charged")
    assert used(proxy) <= before + SOME + SLACK
    # What is kept and not needed is given back before a call of the same session fails.
    assert holder.take(MORE) == (0 if kind == "KeptByPool" else OUT_OF_MEMORY)
    assert neighbour.take(MORE) == OUT_OF_MEMORY
    assert neighbour.take(LITTLE) == 0
    neighbour.do("give")
    holder.do("give")
    wait_for_use(proxy, before)
    assert neighbour.take(MORE) == 0
    assert holder.take(SOME) == OUT_OF_MEMORY
    neighbour.do("give")
    assert holder.take(MORE) == 0
    if kind in OF_CONTEXT:
        holder.do("reset")
        wait_for_use(proxy, before)
        assert holder.take(MORE) == 0
    holder.end()
    wait_for_use(proxy, before)


@pytest.mark.parametrize("kind", ["Context", "Green"])
def test_a_context_counts_as_configured(proxy, hold, kind):
    each = 16 * MiB
    wait_for_use(proxy, 0, "contexts")
    holder = hold(kind, "contexts")
    wait_for_use(proxy, each, "contexts")
    assert [holder.take(0) for _ in range(4)] == [0, 0, 0, OUT_OF_MEMORY]
    wait_for_use(proxy, 4 * each, "contexts")
    holder.do("give")
    wait_for_use(proxy, each, "contexts")
    assert [holder.take(0) for _ in range(3)] == [0, 0, 0]
    holder.end()
    wait_for_use(proxy, 0, "contexts")


@exact
def test_a_library_counts_in_each_context(proxy):
    proxy.run(
        """
from cu import *
from holding import *
start()
used = lambda: 64 * MiB - memory_left()
library = Library.take(4 * MiB)
before = used()
assert 20 * MiB <= before < 21 * MiB, before
context = Context.take(0)
assert 40 * MiB <= used() < 42 * MiB, used()
Context.give(context)
assert used() == before
Library.give(library)
check(lib.cuCtxSynchronize())
assert used() == 16 * MiB
""",
        "contexts",
    )


BEHIND_WORK = """
from cu import *
from holding import *
import threading
start()
flag, address = host_alloc(4096)
flag[0:4] = bytes(4)
holder = KINDS[{kind!r}]()
wait_for = function(module(), "wait_for")
thing = holder.take(40 * MiB)
check(launch(wait_for, 1, 1, u64(address), on=holder.stream))
check(lib.cuMemFreeAsync(thing, holder.stream))
context, results = out("CUcontext", lambda p: lib.cuCtxGetCurrent(p)), []

def more():
    check(lib.cuCtxSetCurrent(context))
    results.append({call})

thread = threading.Thread(target=more)
thread.start()
thread.join(0.5)
assert thread.is_alive(), results
say("waits")
hear()
flag[0:4] = b"\\1\\0\\0\\0"
thread.join()
assert results == [0], results
"""
SYNC_CALL = 'lib.cuMemAlloc_v2(ffi.new("CUdeviceptr *"), 48 * MiB)'
ASYNC_CALL = 'lib.cuMemAllocAsync(ffi.new("CUdeviceptr *"), 48 * MiB, ffi.cast("CUstream", 2))'


@pytest.mark.parametrize("call", [SYNC_CALL, ASYNC_CALL], ids=["cuMemAlloc", "cuMemAllocAsync"])
@pytest.mark.parametrize("kind", ["Async", "FreedInOrder"])
def test_a_free_behind_work_is_waited_for_before_a_call_fails(proxy, start, kind, call):
    before = used(proxy)
    application = start(BEHIND_WORK.format(kind=kind, call=call), "quota")
    application.hear()
    # It is charged until it is free: the others of the zone cannot have it too early.
    wait_until(lambda: used(proxy) >= before + 40 * MiB, "it is charged")
    application.say("go")
    application.end()
    wait_for_use(proxy, before)


@exact
def test_memory_in_the_order_of_a_stream_is_had_again_and_again(proxy):
    proxy.run(
        """
from cu import *
from holding import *
start()
holder = Async()
for size in [40, 60, 1, 50, 20] * 20:
    first = holder.take(size * MiB)
    check(lib.cuMemsetD8Async(first, 1, size * MiB, holder.stream))
    check(lib.cuMemFreeAsync(first, holder.stream))
check(lib.cuStreamSynchronize(holder.stream))
assert memory_left() == 64 * MiB
""",
        "quota",
    )


@exact
def test_a_threshold_keeps_memory_over_a_wait_and_not_over_a_shortage(proxy):
    proxy.run(
        """
from cu import *
from holding import *
start()
holder = KeptByPool()
pool = holder.take(40 * MiB)
assert memory_left() == 24 * MiB
set_threshold(pool, 8 * MiB)
check(lib.cuCtxSynchronize())
assert memory_left() == 56 * MiB
address = alloc(60 * MiB)
check(lib.cuMemFree_v2(address))
assert memory_left() == 64 * MiB
""",
        "quota",
    )


def test_an_image_whose_size_cannot_be_told_is_not_loaded(proxy):
    proxy.run(
        """
from cu import *
from holding import *
start()
before = memory_left()
image = b".version 7.0\\n.target sm_75\\n.address_size 64\\n.global .b8 a[1 ? 2 : 3];\\0"
assert lib.cuModuleLoadData(ffi.new("CUmodule *"), image) == 200
assert memory_left() == before
""",
        "quota",
    )
