# SPDX-License-Identifier: Apache-2.0
"""What waits: begun in order here, finished by the executor when an event has happened."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpu_proxy._executor import lib
from gpu_proxy.handlers import handles
from gpu_proxy.handlers.generic import drop, forward, handle_object, object_of
from gpu_proxy.request import PENDING, CallError, Later, Pending, Request
from idm.api.types import Kind

if TYPE_CHECKING:
    from gpu_proxy.worker import Worker


def stream_object(worker: Worker, request: Request, name: str = "stream") -> int:
    """The real stream behind a request's stream parameter."""
    param = next(p for p in request.row.params if p.name == name)
    return handle_object(worker, request, param, request[name])


def staged_stream(worker: Worker, request: Request) -> int:
    """The same for a copy by staging, which no capture may see."""
    stream = stream_object(worker, request)
    status = lib.vx_capture_refuses(worker.vx, stream)
    if status:
        raise CallError(status)
    return stream


def _pending(status: int) -> Pending:
    if status:
        raise CallError(status)
    return PENDING


@handles("cuStreamSynchronize")
def stream_synchronize(worker: Worker, request: Request) -> Pending:
    """Answered when everything in the stream so far has happened."""
    stream = stream_object(worker, request)
    return _pending(lib.vx_wait_stream(worker.vx, stream, request.slot, request.sequence, 0))


@handles("cuEventSynchronize")
def event_synchronize(worker: Worker, request: Request) -> Pending:
    """Answered when the event has happened."""
    event = object_of(worker, request["event"], Kind.EVENT)
    return _pending(lib.vx_wait_event(worker.vx, event, request.slot, request.sequence))


@handles("cuEventDestroy", "cuEventDestroy_v2")
def event_destroy(worker: Worker, request: Request) -> dict[str, bytes] | Later | None:
    """An event that a call waits for goes after it."""
    if lib.vx_keep_event(worker.vx, object_of(worker, request["event"], Kind.EVENT)):
        drop(worker, request["event"])
        return None
    return forward(worker, request)


@handles("cuStreamDestroy", "cuStreamDestroy_v2")
def stream_destroy(worker: Worker, request: Request) -> dict[str, bytes] | Later | None:
    """A stream that has work goes after it: until then the context's waits include it."""
    if lib.vx_keep_stream(worker.vx, request["stream"]):
        drop(worker, request["stream"])
        return None
    return forward(worker, request)


@handles("cuCtxSynchronize")
def ctx_synchronize(worker: Worker, request: Request) -> Pending:
    """Answered when everything in the context so far has happened."""
    handle, slot = request.context, request.slot
    return _pending(lib.vx_wait_context(worker.vx, handle, slot, request.sequence, 0))


@handles("idle")
def idle(worker: Worker, request: Request) -> Pending:
    """The same, beside whatever is being captured."""
    handle, slot = request.context, request.slot
    return _pending(lib.vx_wait_context(worker.vx, handle, slot, request.sequence, 1))


@handles("cuCtxSynchronize_v2")
def ctx_synchronize_v2(worker: Worker, request: Request) -> Pending:
    """The same for a context that need not be current."""
    handle = request["context"] or request.context
    worker.use_context(handle)
    return _pending(lib.vx_wait_context(worker.vx, handle, request.slot, request.sequence, 0))


@handles("vgpuFlush")
def flush(worker: Worker, request: Request) -> None:
    """Everything before this has been executed."""
    lib.vx_note_output(worker.vx)


@handles("output")
def output(worker: Worker, request: Request) -> dict[str, bytes]:
    """What kernels have printed."""
    text = worker.printed(request.capacity["data"])
    return {"data": text, "length": len(text).to_bytes(4, "little")}


@handles("late_error")
def late_error(worker: Worker, request: Request) -> dict[str, bytes]:
    """The oldest unreported error of this thread's posted calls."""
    status = lib.vx_take_late(worker.vx, request.thread)
    return {"status": int(status).to_bytes(4, "little", signed=True)}


@handles("callback")
def callback(worker: Worker, request: Request) -> None:
    """A host function: announced when the stream is there, acknowledged by the application."""
    status = lib.vx_callback(worker.vx, stream_object(worker, request), request["callback"])
    if status:
        raise CallError(status)


@handles("callback_wait")
def callback_wait(worker: Worker, request: Request) -> Pending:
    """The application's callback thread waits for the next one."""
    lib.vx_callback_wait(worker.vx, request.slot, request.sequence)
    return PENDING


@handles("callback_done")
def callback_done(worker: Worker, request: Request) -> None:
    """The host function has returned: its stream goes on."""
    lib.vx_callback_done(worker.vx, request["callback"])
