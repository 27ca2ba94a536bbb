# SPDX-License-Identifier: Apache-2.0
"""Contexts: retained and created here, one object behind each handle."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

from gpu_proxy._executor import ffi, lib
from gpu_proxy.binding import apply_setting
from gpu_proxy.handlers import handles
from gpu_proxy.handlers.context_memory import make_flags, move_region, register_region
from gpu_proxy.handlers.generic import drop, install, is_alive, object_of
from gpu_proxy.handlers.limits import forget_limits
from gpu_proxy.request import CallError, Later, Request
from gpu_proxy.resources import Context
from idm.api.types import Kind

if TYPE_CHECKING:
    from gpu_proxy.worker import Worker

INVALID_VALUE = 1
OUT_OF_MEMORY = 2
INVALID_CONTEXT = 201


@handles("environment")
def environment(worker: Worker, request: Request) -> None:
    """Apply a setting that libcuda would read from the application's environment."""
    setting = request["text"].rstrip(b"\0").decode(errors="replace")
    if not apply_setting(setting):
        worker.channel.log("setting-ignored", setting=setting[:64])


@handles("primary_retain")
def primary_retain(worker: Worker, request: Request) -> None:
    """Retain the device's primary context."""
    _check_room(worker)
    if any(c.primary and c.device == request["device"] for c in worker.resources.contexts.values()):
        raise CallError(INVALID_VALUE)  # One handle for it, which the front end counts.
    made = ctypes.c_uint64()
    worker.driver.call_named("cuDevicePrimaryCtxRetain", ctypes.addressof(made), request["device"])
    _enter(worker, request["context"], made.value, request["device"], primary=True)


@handles("context_create")
def context_create(worker: Worker, request: Request) -> None:
    """Create a context. It is not left on this thread's stack: records say which one is current."""
    _check_room(worker)
    made, popped = ctypes.c_uint64(), ctypes.c_uint64()
    where, device = ctypes.addressof(made), request["device"]
    worker.driver.call_named("cuCtxCreate_v2", where, request["flags"], device)
    worker.driver.call_named("cuCtxPopCurrent_v2", ctypes.addressof(popped))
    lib.vx_forget_context(worker.vx)
    _enter(worker, request["context"], made.value, device, primary=False)


def _check_room(worker: Worker) -> None:
    """A context takes memory that nobody can charge, so a session has only so many."""
    if len(worker.resources.contexts) >= lib.VX_CONTEXTS:
        raise CallError(OUT_OF_MEMORY)


def _enter(worker: Worker, handle: int, item: int, device: int, *, primary: bool) -> None:
    """Enter a context, or end it again when it cannot have all that it needs."""
    context = Context(item, device, primary)
    worker.resources.contexts[handle] = context
    try:
        install(worker, handle, Kind.CONTEXT, item)
        worker.use_context(handle)
        make_flags(worker, item)
        register_region(worker, handle)
    except CallError:
        _leave(worker, handle, context).finish()
        raise


@handles("primary_release")
def primary_release(worker: Worker, request: Request) -> Later:
    """The last user is gone: release, and reset what an error may have left."""
    handle, device = request["context"], request["device"]
    context = worker.resources.contexts.get(handle)
    if context is None or not context.primary or context.device != device:
        raise CallError(INVALID_CONTEXT)
    return _leave(worker, handle, context)


@handles("cuCtxDestroy", "cuCtxDestroy_v2")
def ctx_destroy(worker: Worker, request: Request) -> Later:
    """Destroy a context and everything in it."""
    handle = request["context"]
    object_of(worker, handle, Kind.CONTEXT)
    context = worker.resources.contexts.get(handle)
    if context is None or context.primary:
        raise CallError(INVALID_CONTEXT)
    return _leave(worker, handle, context)


def _leave(worker: Worker, handle: int, context: Context) -> Later:
    """Nothing of a context can be named from now on; the driver ends it later."""
    del worker.resources.contexts[handle]
    _forget(worker, handle)
    lib.vx_forget_context(worker.vx)
    lib.vx_forget_pools(worker.vx, context.object)

    def finish() -> None:
        try:
            _end(worker, context)
        finally:
            lib.vx_clear_sticky(worker.vx)
            lib.vx_context_ended(worker.vx)
            move_region(worker, handle)

    return Later(finish)


def _end(worker: Worker, context: Context) -> None:
    if not context.primary:
        worker.driver.call_named("cuCtxDestroy_v2", context.object)
        return
    # An error may have left something that a release alone does not clear.
    worker.driver.call_named("cuDevicePrimaryCtxReset_v2", context.device)
    worker.driver.call_named("cuDevicePrimaryCtxRelease_v2", context.device)


def _forget(worker: Worker, handle: int) -> None:
    """Objects and memory of a context are gone with it."""
    resources = worker.resources
    for address, allocation in list(resources.allocations.items()):
        if allocation.context == handle and allocation.kind in ("device", "global"):
            del resources.allocations[address]
            lib.vx_range_remove(worker.vx, address, ffi.new("uint64_t *"))
            if allocation.kind == "device":
                worker.channel.release("device", allocation.bytes)
                lib.vx_count_memory(worker.vx, -allocation.bytes, 0)
    drop(worker, handle)
    forget_limits(worker, handle)
    for numbers in (resources.textures, resources.surfaces):
        for item in [item for item, owner in numbers.items() if owner == handle]:
            del numbers[item]
    for link in [link for link in resources.links if not is_alive(worker, link)]:
        del resources.links[link]
