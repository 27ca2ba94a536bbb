# SPDX-License-Identifier: Apache-2.0
"""A stream that takes no more work holds up the threads that use it, and nobody else."""

from __future__ import annotations

from contextlib import closing

import pytest
from raw import Raw, SessionEnded, handle

from idm.api.types import Kind

QUEUE = 128  # works that the driver takes in one stream: see small_queue_proxy
WORKS = 40 * QUEUE

SETUP = f"""
import threading, time
from cu import *
context = start()
WORKS, ROOM, MORE = {WORKS}, {QUEUE * 6 // 8}, {QUEUE // 4}
memory = alloc(4096)
check(lib.cuMemsetD32_v2(memory, 0, 1024))
check(lib.cuCtxSynchronize())
flag, total, other_total = memory, memory + 64, memory + 128
add = function(module(), "add_to")

def until(condition):
    '''Wait for what another thread does.'''
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)

class Filler(threading.Thread):
    '''Thread A: launches into one stream until it is held up, and then on to the end.'''
    def __init__(self, on, works=WORKS, room=ROOM):
        super().__init__(daemon=True)
        self.on, self.works, self.room, self.done, self.error = on, works, room, 0, None
        self.start()
        until(lambda: self.done >= room)
    def is_held_up(self):
        '''What is beyond the room: works that came between, and one record.'''
        return self.is_alive() and self.room <= self.done <= self.room + MORE
    def run(self):
        try:
            check(lib.cuCtxSetCurrent(context))
            while self.done < self.works:
                check(launch(add, 1, 1, u64(total), u32(1), on=self.on))
                self.done += 1
            check(lib.cuStreamSynchronize(self.on))
        except Failed as failed:
            self.error = failed.status
    def finish(self):
        self.join(60)
        assert not self.is_alive() and self.error is None, (self.done, self.error)
        assert self.done == self.works

def others_go_on(stuck, filler):
    '''Thread B: everything that does not wait for the stuck stream ends.'''
    mine, happened = stream(), event()
    for round in range(3):
        for i in range(500):
            check(launch(add, 1, 1, u64(other_total), u32(1), on=mine))
        check(lib.cuEventRecord(happened, mine))
        check(lib.cuEventSynchronize(happened))
        got = bytearray(4)
        check(lib.cuMemcpyDtoHAsync_v2(ffi.from_buffer(got), other_total, 4, mine))
        check(lib.cuStreamSynchronize(mine))
        assert int.from_bytes(got, "little") == 500 * (round + 1), got
    assert lib.cuStreamQuery(stuck) == NOT_READY
    assert filler.is_held_up(), filler.done
    return mine
"""


def test_a_value_that_another_thread_writes(small_queue_proxy):
    small_queue_proxy.run(
        SETUP
        + """
stuck = stream()
check(lib.cuStreamWaitValue32_v2(stuck, flag, 1, 0))
filler = Filler(stuck)
mine = others_go_on(stuck, filler)
check(lib.cuStreamWriteValue32_v2(mine, flag, 1, 0))
filler.finish()
assert read_u32(total) == WORKS
"""
    )


def test_a_host_function_that_waits_for_another_thread(small_queue_proxy):
    small_queue_proxy.run(
        SETUP
        + """
stuck, go = stream(), threading.Event()
@ffi.callback("void(void *)")
def wait(_):
    assert go.wait(60)
check(lib.cuLaunchHostFunc(stuck, ffi.cast("CUhostFn", wait), ffi.NULL))
filler = Filler(stuck)
others_go_on(stuck, filler)
go.set()
filler.finish()
assert read_u32(total) == WORKS
"""
    )


def test_host_functions_between_more_work_than_a_stream_takes(small_queue_proxy):
    """Nobody else has to do anything: the functions only need to be called."""
    small_queue_proxy.run(
        SETUP
        + """
mine, called = stream(), []
@ffi.callback("void(void *)")
def note(_):
    called.append(len(called))
for _ in range(20):
    check(lib.cuLaunchHostFunc(mine, ffi.cast("CUhostFn", note), ffi.NULL))
    for _ in range(WORKS // 20):
        check(launch(add, 1, 1, u64(total), u32(1), on=mine))
check(lib.cuStreamSynchronize(mine))
assert len(called) == 20 and read_u32(total) == WORKS
"""
    )


def test_an_event_behind_another_streams_work(small_queue_proxy):
    small_queue_proxy.run(
        SETUP
        + """
stuck, gate, opened = stream(), stream(), event()
check(lib.cuStreamWaitValue32_v2(gate, flag, 1, 0))
check(lib.cuEventRecord(opened, gate))
check(lib.cuStreamWaitEvent(stuck, opened, 0))
filler = Filler(stuck)
mine = others_go_on(stuck, filler)
assert lib.cuEventQuery(opened) == NOT_READY
check(lib.cuMemsetD32Async(flag, 1, 1, mine))
filler.finish()
assert read_u32(total) == WORKS
"""
    )


@pytest.mark.parametrize("on", ["ffi.NULL", "ffi.cast('CUstream', 1)", "ffi.cast('CUstream', 2)"])
def test_streams_of_cuda(small_queue_proxy, on):
    """The legacy stream, by both names, and the thread's own."""
    small_queue_proxy.run(
        SETUP
        + f"""
on = {on}
blocker = stream(0)
class Own(Filler):
    def run(self):
        check(lib.cuCtxSetCurrent(context))
        check(lib.cuStreamWaitValue32_v2(self.on, flag, 1, 0))
        super().run()
filler = Own(on)
stuck = on if on != ffi.cast('CUstream', 2) else blocker
if stuck is blocker:
    check(lib.cuStreamWaitValue32_v2(blocker, flag, 1, 0))
mine = others_go_on(stuck, filler)
check(lib.cuStreamWriteValue32_v2(mine, flag, 1, 0))
filler.finish()
assert read_u32(total) == WORKS
"""
    )


def test_many_stuck_streams(small_queue_proxy):
    """Each of them is full, and one more thread opens them one after the other."""
    small_queue_proxy.run(
        SETUP
        + """
stuck = [stream() for _ in range(12)]
for i, one in enumerate(stuck):
    check(lib.cuStreamWaitValue32_v2(one, flag, i + 1, 0))
fillers = [Filler(one, 1000) for one in stuck]
mine = others_go_on(stuck[-1], fillers[-1])
for i, filler in enumerate(fillers):
    assert filler.is_held_up()
    check(lib.cuStreamWriteValue32_v2(mine, flag, i + 1, 0))
    filler.finish()
assert read_u32(total) == 12 * 1000
"""
    )


def test_two_threads_fill_one_stream(small_queue_proxy):
    small_queue_proxy.run(
        SETUP
        + """
stuck = stream()
check(lib.cuStreamWaitValue32_v2(stuck, flag, 1, 0))
one, two = Filler(stuck, 3000), Filler(stuck, 3000, room=0)
mine = others_go_on(stuck, one)
assert two.is_held_up()
check(lib.cuStreamWriteValue32_v2(mine, flag, 1, 0))
one.finish()
two.finish()
assert read_u32(total) == 6000
"""
    )


def test_copies_count_by_their_bytes(small_queue_proxy):
    """Short copies travel in the ring and are kept by the driver until the stream is there."""
    small_queue_proxy.run(
        SETUP
        + """
stuck, place = stream(), alloc(32 << 10)
check(lib.cuStreamWaitValue32_v2(stuck, flag, 1, 0))
class Copier(Filler):
    def run(self):
        check(lib.cuCtxSetCurrent(context))
        for i in range(self.works):
            data = bytes([i % 251]) * (32 << 10)
            check(lib.cuMemcpyHtoDAsync_v2(place, ffi.from_buffer(data), len(data), self.on))
            self.done += 1
        check(lib.cuStreamSynchronize(self.on))
copier = Copier(stuck, 200, room=2)
mine = others_go_on(stuck, copier)
check(lib.cuStreamWriteValue32_v2(mine, flag, 1, 0))
copier.finish()
assert read(place, 32 << 10) == bytes([199]) * (32 << 10)
"""
    )


def test_capturing_is_not_queueing(small_queue_proxy):
    """Nodes of a graph take no room in a stream, however many they are."""
    small_queue_proxy.run(
        SETUP
        + """
mine = stream()
check(lib.cuStreamBeginCapture_v2(mine, 2))
for _ in range(1000):
    check(launch(add, 1, 1, u64(total), u32(1), on=mine))
graph = out("CUgraph", lambda p: lib.cuStreamEndCapture(mine, p))
executable = out("CUgraphExec", lambda p: lib.cuGraphInstantiateWithFlags(p, graph, 0))
for _ in range(300):
    check(lib.cuGraphLaunch(executable, mine))
check(lib.cuStreamSynchronize(mine))
assert read_u32(total) == 300 * 1000
"""
    )


def test_work_that_fails_takes_no_room(small_queue_proxy):
    small_queue_proxy.run(
        SETUP
        + """
nothing = stream(0x77)          # fails when the driver sees it, and so does all that names it
errors = 0
for _ in range(2000):
    errors += lib.cuMemsetD32Async(total, 1, 1, nothing) != 0
assert errors
lib.cuCtxSynchronize()          # all errors are there now
while lib.cuCtxSynchronize():
    pass
assert read_u32(total) == 0
"""
    )


def test_a_stream_that_goes_leaves_its_room(small_queue_proxy):
    """Streams come and go, some of them full; the next one is not held up by their work."""
    small_queue_proxy.run(
        SETUP
        + """
gate = [alloc(64) for _ in range(30)]
for word in gate:
    check(lib.cuMemsetD32_v2(word, 0, 16))
check(lib.cuCtxSynchronize())
opener = stream()
for i, word in enumerate(gate):
    stuck = stream()
    check(lib.cuStreamWaitValue32_v2(stuck, word, 1, 0))
    for _ in range(90):
        check(launch(add, 1, 1, u64(total + 4 * i), u32(1), on=stuck))
    check(lib.cuStreamDestroy_v2(stuck))
for word in reversed(gate):
    check(lib.cuStreamWriteValue32_v2(opener, word, 1, 0))
until(lambda: [read_u32(total + 4 * i) for i in range(30)] == [90] * 30)
"""
    )


def test_waiting_ends_with_the_context(small_queue_proxy):
    small_queue_proxy.run(
        SETUP
        + """
doomed = out("CUcontext", lambda p: lib.cuCtxCreate_v2(p, 0, 0))
word = alloc(64)
check(lib.cuMemsetD32_v2(word, 0, 16))
check(lib.cuCtxSynchronize())
kernel, stuck = function(module(), "add_to"), stream()
check(lib.cuStreamWaitValue32_v2(stuck, word, 1, 0))
class Doomed(Filler):
    def run(self):
        check(lib.cuCtxSetCurrent(doomed))
        while self.done < self.works:
            self.error = launch(kernel, 1, 1, u64(word), u32(1), on=self.on)
            if self.error:
                return
            self.done += 1
filler = Doomed(stuck)
assert filler.is_alive()
check(lib.cuCtxSetCurrent(context))
check(lib.cuCtxDestroy_v2(doomed))
filler.join(60)
assert not filler.is_alive()
check(launch(add, 1, 1, u64(total), u32(1)))
assert read_u32(total) == 1
"""
    )


def test_waiting_ends_with_the_session(own_proxy, tmp_path):
    config = tmp_path / "config.toml"
    config.write_text(f"[workers]\nstream_queue = {QUEUE}\n")
    proxy = own_proxy(f"--config={config}")
    application = proxy.start(
        SETUP
        + """
stuck = stream()
check(lib.cuStreamWaitValue32_v2(stuck, flag, 1, 0))
filler = Filler(stuck)
assert filler.is_alive()
say("full")
filler.join(60)
assert filler.error == CONTEXT_GONE, filler.error
"""
    )
    assert application.hear() == ["full"]
    assert proxy.stop() == 0
    application.end()


def test_a_full_ring_stops_nobody_either(proxy):
    """With the software GPU's own size there is more work in a stream than the ring holds."""
    proxy.run(
        SETUP
        + """
stuck = stream()
check(lib.cuStreamWaitValue32_v2(stuck, flag, 1, 0))
filler = Filler(stuck, 150_000, room=57_000)
MORE = 1000
mine = others_go_on(stuck, filler)
check(lib.cuStreamWriteValue32_v2(mine, flag, 1, 0))
filler.finish()
assert read_u32(total) == 150_000
"""
    )


def test_who_ignores_the_limit_harms_only_itself(small_queue_proxy):
    """A front end of its own sends more than the driver takes: its session stands, others do not."""
    with closing(Raw(small_queue_proxy.socket())) as raw:
        raw.start()
        memory = raw.alloc(4096)
        stuck = handle(Kind.STREAM, 2)
        raw.send("cuStreamCreate", stream=stuck, flags=1)
        raw.send("cuStreamWaitValue32_v2", stream=stuck, dptr=memory, value=1, flags=0)
        for _ in range(20 * QUEUE):
            raw.send("cuMemsetD32Async", gauge=7, dst=memory + 64, value=1, count=1, stream=stuck)
        session = small_queue_proxy.lines()[-1]["session"]
        small_queue_proxy.run(SETUP + "check(launch(add, 1, 1, u64(total), u32(1)))")
    assert small_queue_proxy.ended(session)["calls"] < 20 * QUEUE


def test_a_gauge_that_there_is_not_ends_the_session(small_queue_proxy):
    with closing(Raw(small_queue_proxy.socket())) as raw:
        raw.start()
        with pytest.raises(SessionEnded):
            raw.call("cuCtxSynchronize", gauge=4096)
