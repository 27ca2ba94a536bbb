# SPDX-License-Identifier: Apache-2.0
"""Bytes from one descriptor to another over a channel: all of them, in order, never too many."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator

import pytest
from wired import Wire

from idm.errors import ChannelError
from idm.xen import exec_messages as said
from idm.xen.byte_streams import Sink, Source
from idm.xen.exec_messages import CHUNK, WINDOW
from idm.xen.stream import Message

NUMBER = 1


class Line:
    """A pipe, a source at the channel's front end, a sink at its back end, another pipe."""

    def __init__(self, write_max: int = 4096) -> None:
        self.wire = Wire()
        out, self.feed = os.pipe()
        self.end, into = os.pipe()
        os.set_blocking(self.end, False)
        os.set_blocking(self.feed, False)
        selector = self.wire.selector
        self.source = Source(selector, out, NUMBER, self.wire.from_front, owned=True)
        self.sink = Sink(
            selector, into, NUMBER, self.wire.from_back, owned=True, write_max=write_max
        )
        self.wire.at_back = self.at_sink
        self.wire.at_front = self.at_source

    def at_sink(self, message: Message) -> None:
        match message.kind:
            case said.DATA:
                self.sink.accept(message.payload)
            case said.END:
                self.sink.end()

    def at_source(self, message: Message) -> None:
        match message.kind:
            case said.CREDIT:
                self.source.credit(message.payload)
            case said.CLOSED:
                self.source.close()

    def write(self, data: bytes) -> int:
        try:
            return os.write(self.feed, data)
        except BlockingIOError:
            return 0

    def read(self) -> bytes:
        try:
            return os.read(self.end, 1 << 20)
        except BlockingIOError:
            return b""

    def close(self) -> None:
        self.source.close()
        self.sink.close()
        for fd in (self.feed, self.end):
            if fd >= 0:
                os.close(fd)


@pytest.fixture
def line() -> Iterator[Line]:
    one = Line()
    yield one
    one.close()


def test_all_bytes_arrive_and_then_the_end(line: Line) -> None:
    data = b"".join(struct.pack("<I", number) for number in range(500_000))
    sent, got = 0, bytearray()
    while len(got) < len(data):
        sent += line.write(data[sent : sent + 65536])
        line.wire.step()
        got += line.read()
    assert bytes(got) == data
    os.close(line.feed)
    line.feed = -1
    line.wire.until(lambda: line.sink.closed)
    assert os.read(line.end, 1) == b""
    assert line.source.ended


def test_what_waits_is_bounded_while_nobody_reads(line: Line) -> None:
    sent = 0
    while True:
        count = line.write(b"x" * 65536)
        if not line.wire.step() and not count:
            break
        sent += count
    pipe = 65536
    assert WINDOW < sent <= WINDOW + 3 * pipe
    assert sum(len(m.payload) for m in line.wire.log if m.kind == said.DATA) <= WINDOW + pipe
    got = 0
    while got < sent:
        got += len(line.read())
        line.wire.step()
    assert got == sent


def test_one_stream_that_waits_does_not_stop_another(line: Line) -> None:
    while line.write(b"x" * 65536) or line.wire.step():
        pass
    out, feed = os.pipe()
    got: list[bytes] = []
    other = Source(line.wire.selector, out, 2, line.wire.from_front, owned=True)
    first, line.wire.at_back = line.wire.at_back, lambda m: (
        got.append(m.payload) if m.session == 2 else first(m)
    )  # fmt: skip
    os.write(feed, b"through")
    line.wire.until(lambda: got)
    assert got == [b"through"]
    other.close()
    os.close(feed)


def test_a_reader_that_closes_stops_the_source(line: Line) -> None:
    os.close(line.end)
    line.end = -1
    line.write(b"for nobody")
    line.wire.until(lambda: line.source.ended)
    with pytest.raises(BrokenPipeError):
        os.write(line.feed, b"more")
    assert line.sink.drained


def test_a_finished_source_sends_what_is_in_its_pipe_and_no_more(line: Line) -> None:
    line.source._room = 0
    line.write(b"y" * (CHUNK + 100))
    line.source.finish()
    line.write(b"too late")
    for room in (1, CHUNK, CHUNK):
        assert not line.source.ended
        line.source.credit(struct.pack("<I", room))
    line.wire.until(lambda: line.source.ended)
    line.wire.until(lambda: line.sink.closed)
    assert line.read() == b"y" * (CHUNK + 100)


def test_a_finished_source_with_nothing_ends_at_once(line: Line) -> None:
    line.source.finish()
    assert line.source.ended
    line.wire.until(lambda: line.sink.closed)


def test_more_than_there_is_room_for_is_refused(line: Line) -> None:
    line.sink.accept(b"z" * WINDOW)
    with pytest.raises(ChannelError, match="1 bytes, room for 0"):
        line.sink.accept(b"z")


def test_bytes_after_the_end_are_refused(line: Line) -> None:
    line.sink.end()
    with pytest.raises(ChannelError):
        line.sink.accept(b"z")


@pytest.mark.parametrize("payload", [struct.pack("<I", 1), struct.pack("<I", (1 << 32) - 1), b""])
def test_room_that_was_never_taken_is_refused(line: Line, payload: bytes) -> None:
    with pytest.raises(ChannelError):
        line.source.credit(payload)
