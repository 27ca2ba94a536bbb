# SPDX-License-Identifier: Apache-2.0
"""Contexts: retained and created here, one object behind each handle."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

from gpu_proxy._executor import ffi, lib
from gpu_proxy.binding import apply_setting
from gpu_proxy.handlers import handles
from gpu_proxy.handlers.generic import drop, install, object_of
from gpu_proxy.request import CallError, Later, Request
from gpu_proxy.resources import Context
from idm.api.types import Kind

if TYPE_CHECKING:
    from gpu_proxy.worker import Worker

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
    made = ctypes.c_uint64()
    worker.driver.call_named("cuDevicePrimaryCtxRetain", ctypes.addressof(made), request["device"])
    _enter(worker, request["context"], made.value, request["device"], primary=True)


@handles("context_create")
def context_create(worker: Worker, request: Request) -> None:
    """Create a context. It is not left on this thread's stack: records say which one is current."""
    made, popped = ctypes.c_uint64(), ctypes.c_uint64()
    where, device = ctypes.addressof(made), request["device"]
    worker.driver.call_named("cuCtxCreate_v2", where, request["flags"], device)
    worker.driver.call_named("cuCtxPopCurrent_v2", ctypes.addressof(popped))
    lib.vx_forget_context(worker.vx)
    _enter(worker, request["context"], made.value, device, primary=False)


def _enter(worker: Worker, handle: int, item: int, device: int, *, primary: bool) -> None:
    install(worker, handle, Kind.CONTEXT, item)
    worker.resources.contexts[handle] = Context(item, device, primary)
    if not worker.resources.prepared:
        worker.use_context(handle)
        _prepare_shared_memory(worker)


def _prepare_shared_memory(worker: Worker) -> None:
    """Register slots and staging for direct copies, and make the flags of callbacks."""
    start = worker.region_address + lib.IDM_SLOTS_AT
    length = lib.IDM_REGION_BYTES - lib.IDM_SLOTS_AT
    worker.driver.call_named("cuMemHostRegister_v2", start, length, REGISTER_PORTABLE)
    host, device = ctypes.c_uint64(), ctypes.c_uint64()
    worker.driver.call_named(
        "cuMemHostAlloc", ctypes.addressof(host), 4 * lib.VX_CALLBACKS, HOST_PORTABLE_MAPPED
    )
    worker.driver.call_named(
        "cuMemHostGetDevicePointer_v2", ctypes.addressof(device), host.value, 0
    )
    ctypes.memset(host.value, 0, 4 * lib.VX_CALLBACKS)
    lib.vx_set_flags(worker.vx, host.value, device.value)
    worker.resources.prepared = True


@handles("primary_release")
def primary_release(worker: Worker, request: Request) -> Later:
    """The last user is gone: release, and reset what an error may have left."""
    handle, device = request["context"], request["device"]
    context = worker.resources.contexts.pop(handle, None)
    if context is None or not context.primary:
        raise CallError(201)
    _leave(worker, handle, context)

    def finish() -> None:
        worker.driver.call_named("cuDevicePrimaryCtxReset_v2", device)
        worker.driver.call_named("cuDevicePrimaryCtxRelease_v2", device)
        lib.vx_clear_sticky(worker.vx)

    return Later(finish)


@handles("cuCtxDestroy", "cuCtxDestroy_v2")
def ctx_destroy(worker: Worker, request: Request) -> Later:
    """Destroy a context and everything in it."""
    handle = request["context"]
    item = object_of(worker, handle, Kind.CONTEXT)
    context = worker.resources.contexts.pop(handle, None)
    if context is None or context.primary:
        raise CallError(201)
    _leave(worker, handle, context)

    def finish() -> None:
        worker.driver.call_named("cuCtxDestroy_v2", item)

    return Later(finish)


def _leave(worker: Worker, handle: int, context: Context) -> None:
    """Objects, memory and pooled events of a context are gone with it."""
    lib.vx_forget_context(worker.vx)
    lib.vx_forget_pools(worker.vx, context.object)
    resources = worker.resources
    for address, allocation in list(resources.allocations.items()):
        if allocation.context == handle and allocation.kind in ("device", "global"):
            del resources.allocations[address]
            lib.vx_range_remove(worker.vx, address, ffi.new("uint64_t *"))
            if allocation.kind == "device":
                worker.channel.release("device", allocation.bytes)
                lib.vx_count_memory(worker.vx, -allocation.bytes, 0)
    drop(worker, handle)
    if not resources.contexts:
        resources.prepared = False
