# SPDX-License-Identifier: Apache-2.0
"""Contexts: retained and created here, one object behind each handle."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import TYPE_CHECKING

from gpu_proxy._executor import ffi, lib
from gpu_proxy.binding import apply_setting
from gpu_proxy.handlers import handles
from gpu_proxy.handlers.generic import drop, install, is_alive, object_of
from gpu_proxy.handlers.limits import forget_limits
from gpu_proxy.request import CallError, Later, Request
from gpu_proxy.resources import Context
from idm.api.types import Kind

if TYPE_CHECKING:
    from gpu_proxy.worker import Worker

OUT_OF_MEMORY = 2
INVALID_CONTEXT = 201
REGISTER_PORTABLE = 1
HOST_PORTABLE_MAPPED = 3


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
    install(worker, handle, Kind.CONTEXT, item)
    worker.resources.contexts[handle] = Context(item, device, primary)
    if not worker.resources.prepared:
        worker.use_context(handle)
        _register_region(worker)
        _make_flags(worker, handle)


def _register_region(worker: Worker) -> None:
    """Slots and staging, for direct copies."""
    start = worker.region_address + lib.IDM_SLOTS_AT
    length = lib.IDM_REGION_BYTES - lib.IDM_SLOTS_AT
    worker.driver.call_named("cuMemHostRegister_v2", start, length, REGISTER_PORTABLE)


def _make_flags(worker: Worker, handle: int) -> None:
    """The words that streams with callbacks wait on."""
    host, device = ctypes.c_uint64(), ctypes.c_uint64()
    worker.driver.call_named(
        "cuMemHostAlloc", ctypes.addressof(host), 4 * lib.VX_CALLBACKS, HOST_PORTABLE_MAPPED
    )
    worker.driver.call_named(
        "cuMemHostGetDevicePointer_v2", ctypes.addressof(device), host.value, 0
    )
    ctypes.memset(host.value, 0, 4 * lib.VX_CALLBACKS)
    lib.vx_set_flags(worker.vx, host.value, device.value)
    worker.resources.prepared = handle


@handles("primary_release")
def primary_release(worker: Worker, request: Request) -> Later:
    """The last user is gone: release, and reset what an error may have left."""
    handle, device = request["context"], request["device"]
    context = worker.resources.contexts.get(handle)
    if context is None or not context.primary or context.device != device:
        raise CallError(INVALID_CONTEXT)

    def end() -> None:
        worker.driver.call_named("cuDevicePrimaryCtxReset_v2", device)
        worker.driver.call_named("cuDevicePrimaryCtxRelease_v2", device)

    return _leave(worker, handle, context, end)


@handles("cuCtxDestroy", "cuCtxDestroy_v2")
def ctx_destroy(worker: Worker, request: Request) -> Later:
    """Destroy a context and everything in it."""
    handle = request["context"]
    item = object_of(worker, handle, Kind.CONTEXT)
    context = worker.resources.contexts.get(handle)
    if context is None or context.primary:
        raise CallError(INVALID_CONTEXT)
    return _leave(
        worker, handle, context, lambda: worker.driver.call_named("cuCtxDestroy_v2", item)
    )


def _leave(worker: Worker, handle: int, context: Context, end: Callable[[], None]) -> Later:
    """Nothing of a context can be named from now on; `end` has the driver end it."""
    del worker.resources.contexts[handle]
    _forget(worker, handle)
    _move_flags(worker, handle)
    lib.vx_forget_context(worker.vx)
    lib.vx_forget_pools(worker.vx, context.object)

    def finish() -> None:
        try:
            end()
        finally:
            lib.vx_clear_sticky(worker.vx)
            lib.vx_context_ended(worker.vx)

    return Later(finish)


def _move_flags(worker: Worker, handle: int) -> None:
    """Flags that are about to go with their context are made anew in another one."""
    resources = worker.resources
    if resources.prepared != handle:
        return
    resources.prepared = 0
    lib.vx_set_flags(worker.vx, 0, 0)
    for other in resources.contexts:
        worker.use_context(other)
        _make_flags(worker, other)
        return


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
