# SPDX-License-Identifier: Apache-2.0
"""Green contexts: a part of a device, with streams of its own on the primary context's memory."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

from gpu_proxy.handlers import handles
from gpu_proxy.handlers.contexts import check_room, enter, leave
from gpu_proxy.handlers.generic import forget_object, forward, install, object_of
from gpu_proxy.handlers.room import make_charged, with_room
from gpu_proxy.request import CallError, Later, Request
from gpu_proxy.resources import Context, Green
from idm.api.types import Kind

if TYPE_CHECKING:
    from gpu_proxy.worker import Worker

INVALID_VALUE = 1
INVALID_CONTEXT = 201
INVALID_HANDLE = 400


def _green(worker: Worker, handle: int) -> Green:
    object_of(worker, handle, Kind.GREEN_CONTEXT)
    return worker.resources.greens[handle]


@handles("green_ctx_create")
def green_ctx_create(worker: Worker, request: Request) -> dict[str, bytes] | Later | None:
    """Create one, charged as any context. The front end holds the primary context for it."""
    handle, amount = request["green"], worker.account.contexts.context_bytes

    def create() -> dict[str, bytes] | Later:
        results = make_charged(worker, handle, amount, lambda: forward(worker, request))
        item = object_of(worker, handle, Kind.GREEN_CONTEXT)
        worker.resources.greens[handle] = Green(item, request["dev"])
        return results

    return with_room(worker, create)


@handles("ctx_from_green_ctx")
def ctx_from_green_ctx(worker: Worker, request: Request) -> None:
    """The context that a green one is. It has one handle, which the front end remembers."""
    handle, green = request["green"], _green(worker, request["green"])
    contexts = worker.resources.contexts
    primary = [h for h, c in contexts.items() if c.primary and c.device == green.device]
    if not primary:
        raise CallError(INVALID_CONTEXT)
    if green.context:
        raise CallError(INVALID_VALUE)
    check_room(worker)
    made = ctypes.c_uint64()
    worker.driver.call_named("cuCtxFromGreenCtx", ctypes.addressof(made), green.object)
    context = Context(made.value, green.device, primary=False, owner=primary[0])
    enter(worker, request["context"], context, lambda: None, parent=handle)
    green.context = request["context"]


@handles("green_ctx_stream_create")
def green_ctx_stream_create(worker: Worker, request: Request) -> None:
    """A stream, which belongs to the context that the green one is."""
    green = _green(worker, request["green"])
    if not green.context:
        raise CallError(INVALID_CONTEXT)
    made, how = ctypes.c_uint64(), (request["flags"], request["priority"])
    symbol = "cuGreenCtxStreamCreate"
    worker.driver.call_named(symbol, ctypes.addressof(made), green.object, *how)
    install(
        worker, request["stream"], Kind.STREAM, made.value, green.context, parent=request["green"]
    )


@handles("green_ctx_destroy")
def green_ctx_destroy(worker: Worker, request: Request) -> Later:
    """Destroy one, and all that was made in it but memory."""
    handle, green = request["green"], _green(worker, request["green"])
    del worker.resources.greens[handle]

    def end() -> None:
        worker.driver.call_named("cuGreenCtxDestroy", green.object)

    context = worker.resources.contexts.get(green.context)
    later = leave(worker, green.context, context, end) if context else Later(end)
    keys = forget_object(worker, handle)

    def finish() -> None:
        try:
            later.finish()
        finally:
            for key in keys:
                worker.account.drop(key)

    return Later(finish)
