# SPDX-License-Identifier: Apache-2.0
"""Captures by a front end that keeps to no rule: the worker decides, and harms only the session."""

import struct

import pytest
from raw import BACK_AT, handle

from idm.api.types import Kind

INVALID_VALUE, INVALID_HANDLE, NOT_PERMITTED, NOT_READY = 1, 400, 900, 600
INVALIDATED, IMPLICIT, CAPTURED_EVENT = 901, 906, 907
GLOBAL, THREAD_LOCAL, RELAXED = 0, 1, 2
NONE, ACTIVE, SPOILT = 0, 1, 2
STREAM, EVENT = handle(Kind.STREAM, 2), handle(Kind.EVENT, 3)


@pytest.fixture
def session(raw):
    """A session with a stream that the legacy stream does not wait for, and an event."""
    one = raw()
    one.send("cuStreamCreate", stream=STREAM, flags=1)
    one.send("cuEventCreate", event=EVENT, flags=2)
    return one


def begin(session, stream=STREAM, mode=GLOBAL):
    assert session.call("cuStreamBeginCapture_v2", stream=stream, mode=mode)[0] == 0


def status(session, stream=STREAM):
    result, data = session.call("cuStreamIsCapturing", stream=stream)
    assert result == 0
    return struct.unpack_from("=I", data)[0]


def end(session, stream=STREAM):
    return session.call("cuStreamEndCapture", stream=stream)[0]


def late(session):
    return struct.unpack("=q", session.call("vgpuLateError")[1])[0]


def published(session):
    """How many captures the worker says are open."""
    return struct.unpack_from("=I", session.region, BACK_AT + 28)[0]


def ask(session, mode=GLOBAL, event=0):
    return session.call("vgpuCaptureUnsafe", mode=mode, event=event)[0]


def test_modes_that_do_not_exist(session):
    for mode in (3, 1 << 31):
        result, _ = session.call("cuStreamBeginCapture_v2", stream=STREAM, mode=mode)
        assert result == INVALID_VALUE
        assert ask(session, mode) == INVALID_VALUE
    assert published(session) == 0
    assert status(session) == NONE


def test_events_that_do_not_exist(session):
    begin(session)
    assert ask(session, RELAXED, handle(Kind.EVENT, 77)) == INVALID_HANDLE
    assert ask(session, RELAXED, STREAM) == INVALID_HANDLE
    assert ask(session, RELAXED, EVENT) == 0
    session.send("cuEventRecord", event=EVENT, stream=STREAM)
    assert ask(session, RELAXED, EVENT) == CAPTURED_EVENT
    assert end(session) == INVALIDATED


@pytest.mark.parametrize("stream", [STREAM, 2], ids=["a stream", "the thread's own"])
def test_what_goes_through_staging_never_enters_a_graph(session, stream):
    memory, body = session.alloc(4096), bytes(64)
    boxes = struct.pack("=4QI4x6Q", 0, 0, 0, 0, 1, 0, 0, 0, 0, 64, 1)  # the host's side
    boxes += struct.pack("=4QI4x6Q", 0, 0, 0, 0, 2, 0, memory, 0, 0, 64, 1)
    boxes += struct.pack("=3Q", 64, 1, 1)
    copies = [
        ("vgpuCopyIn", {"dst": memory, "data": body, "count": 64}),
        ("vgpuCopyInChunk", {"dst": memory, "chunk": 0, "count": 4096}),
        ("vgpuCopy3DIn", {"copy": boxes, "chunk": 0, "count": 64}),
        ("vgpuCopyOut", {"src": memory, "count": 64, "data": 64}),
    ]
    for symbol, values in copies:
        begin(session, stream, RELAXED)
        if symbol == "vgpuCopyOut":
            assert session.call(symbol, stream=stream, **values)[0] == NOT_PERMITTED
        else:
            session.send(symbol, stream=stream, **values)
            assert late(session) == NOT_PERMITTED, symbol
        assert status(session, stream) == SPOILT
        assert end(session, stream) == INVALIDATED
        if symbol != "vgpuCopyOut":
            session.send(symbol, stream=stream, **values)
            assert late(session) == 0, symbol


def test_waits_never_enter_a_graph(session):
    begin(session, mode=RELAXED)
    assert session.call("cuStreamSynchronize", stream=STREAM)[0] == NOT_PERMITTED
    assert end(session) == INVALIDATED
    begin(session, mode=RELAXED)
    session.send("vgpuCallback", stream=STREAM, callback=1)
    assert late(session) == NOT_PERMITTED
    assert end(session) == INVALIDATED
    begin(session, mode=RELAXED)
    assert session.call("vgpuIdle")[0] == 0  # what is captured is none of its business
    assert status(session) == ACTIVE
    assert session.call("cuCtxSynchronize")[0] == NOT_PERMITTED
    assert end(session) == INVALIDATED


def test_idleness_beside_a_capture_of_a_blocking_stream(session):
    blocking = handle(Kind.STREAM, 4)
    session.send("cuStreamCreate", stream=blocking, flags=0)
    memory = session.alloc(1 << 20)
    begin(session, blocking)
    session.send("cuMemsetD8Async", dst=memory, value=1, count=1 << 20, stream=STREAM)
    assert session.call("vgpuIdle")[0] == 0
    assert session.call("cuStreamQuery", stream=STREAM)[0] == 0
    assert status(session, blocking) == ACTIVE
    session.send("cuMemsetD8_v2", dst=memory, value=1, count=16)
    assert late(session) == IMPLICIT
    assert end(session, blocking) == INVALIDATED


def test_captures_end_with_their_streams_and_contexts(session):
    begin(session)
    assert published(session) == 1
    assert ask(session) == NOT_PERMITTED
    session.send("cuStreamDestroy_v2", stream=STREAM)
    assert ask(session) == 0
    assert published(session) == 0
    second = handle(Kind.CONTEXT, 9)
    assert session.call("vgpuContextCreate", context=second, flags=0, device=0)[0] == 0
    first, session.context = session.context, second
    inside = handle(Kind.STREAM, 10)
    session.send("cuStreamCreate", stream=inside, flags=0)
    begin(session, inside, THREAD_LOCAL)
    begin(session, 2, THREAD_LOCAL)  # the thread's own
    assert published(session) == 2
    session.context = first
    assert ask(session) == NOT_PERMITTED
    assert session.call("cuCtxDestroy_v2", context=second)[0] == 0
    assert ask(session) == 0
    assert published(session) == 0
    assert session.call("cuCtxSynchronize")[0] == 0


def test_captures_without_number(session):
    streams = [handle(Kind.STREAM, 100 + index) for index in range(300)]
    for stream in streams:
        session.send("cuStreamCreate", stream=stream, flags=1)
        begin(session, stream)
    assert published(session) == len(streams)
    assert ask(session) == NOT_PERMITTED
    assert {status(session, stream) for stream in streams} == {SPOILT}
    for stream in streams[::2]:
        assert end(session, stream) == INVALIDATED
    for stream in streams[1::2]:
        session.send("cuStreamDestroy_v2", stream=stream)
    assert ask(session) == 0
    assert published(session) == 0
