# SPDX-License-Identifier: Apache-2.0
"""Contexts: retained and created here, one object behind each handle."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from gpu_proxy._executor import ffi, lib
from gpu_proxy.account.holdings import OverQuota
from gpu_proxy.binding import apply_setting
from gpu_proxy.handlers import handles, host_nodes
from gpu_proxy.handlers.context_memory import (
    forget_borrowed_flags,
    free_borrowed_flags,
    make_flags,
    move_region,
    register_region,
)
from gpu_proxy.handlers.generic import forget_object, install, is_alive, object_of
from gpu_proxy.handlers.limits import limits_of
from gpu_proxy.handlers.links import forget_link
from gpu_proxy.handlers.memory import give_back
from gpu_proxy.request import CallError, Later, Request
from gpu_proxy.resources import Allocation, Context
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
    handle, device = request["context"], request["device"]
    check_room(worker)
    if any(c.primary and c.device == device for c in worker.resources.contexts.values()):
        raise CallError(INVALID_VALUE)  # One handle for it, which the front end counts.
    made = ctypes.c_uint64()
    with _charged(worker, handle):
        worker.driver.call_named("cuDevicePrimaryCtxRetain", ctypes.addressof(made), device)
    context = Context(made.value, device, primary=True)
    enter(worker, handle, context, lambda: _end_primary(worker, device))


@handles("context_create")
def context_create(worker: Worker, request: Request) -> None:
    """Create a context. It is not left on this thread's stack: records say which one is current."""
    check_room(worker)
    made, popped = ctypes.c_uint64(), ctypes.c_uint64()
    where, device = ctypes.addressof(made), request["device"]
    with _charged(worker, request["context"]):
        worker.driver.call_named("cuCtxCreate_v2", where, request["flags"], device)
    worker.driver.call_named("cuCtxPopCurrent_v2", ctypes.addressof(popped))
    lib.vx_forget_context(worker.vx)
    context = Context(made.value, device, primary=False)
    enter(worker, request["context"], context, lambda: _end_created(worker, context))


def _end_primary(worker: Worker, device: int) -> None:
    """Reset before the release: an error may have left what a release alone does not clear."""
    worker.driver.call_named("cuDevicePrimaryCtxReset_v2", device)
    worker.driver.call_named("cuDevicePrimaryCtxRelease_v2", device)


def _end_created(worker: Worker, context: Context) -> None:
    worker.driver.call_named("cuCtxDestroy_v2", context.object)


def check_room(worker: Worker) -> None:
    """The executor keeps events and flags for each context, so a session has only so many."""
    if len(worker.resources.contexts) >= lib.VX_CONTEXTS:
        raise CallError(OUT_OF_MEMORY)


@contextmanager
def _charged(worker: Worker, handle: int) -> Iterator[None]:
    """Charge what a context takes by itself; what the block raises gives it back."""
    contexts = worker.account.contexts
    try:
        contexts.enter(handle)
    except OverQuota:
        worker.account.reclaim()
        contexts.enter(handle)
    try:
        yield
    except CallError:
        contexts.leave(handle)
        raise


def enter(
    worker: Worker, handle: int, context: Context, undo: Callable[[], None], parent: int = 0
) -> None:
    """Enter a context, or undo it again when it cannot have all that it needs."""
    worker.resources.contexts[handle] = context
    try:
        install(worker, handle, Kind.CONTEXT, context.object, parent=parent)
        worker.use_context(context.owner or handle)
        make_flags(worker, context)
        register_region(worker, context.owner or handle)
    except CallError:
        leave(worker, handle, context, undo).finish()
        raise


@handles("primary_release")
def primary_release(worker: Worker, request: Request) -> Later:
    """The last user is gone: release, and reset what an error may have left."""
    handle, device = request["context"], request["device"]
    context = worker.resources.contexts.get(handle)
    if context is None or not context.primary or context.device != device:
        raise CallError(INVALID_CONTEXT)
    return leave(worker, handle, context, lambda: _end_primary(worker, device))


@handles("cuCtxDestroy", "cuCtxDestroy_v2")
def ctx_destroy(worker: Worker, request: Request) -> Later:
    """Destroy a context and everything in it."""
    handle = request["context"]
    object_of(worker, handle, Kind.CONTEXT)
    context = worker.resources.contexts.get(handle)
    if context is None or context.primary or context.owner:
        raise CallError(INVALID_CONTEXT)
    return leave(worker, handle, context, lambda: _end_created(worker, context))


def leave(worker: Worker, handle: int, context: Context, end: Callable[[], None]) -> Later:
    """Nothing of a context can be named from now on; `end` has the driver end it."""
    del worker.resources.contexts[handle]
    allocations = _forget_memory(worker, handle)
    keys = [*forget_object(worker, handle), *limits_of(worker, handle)]
    _forget_numbers(worker, handle)
    lib.vx_forget_context(worker.vx)
    lib.vx_forget_pools(worker.vx, context.object)
    worker.resources.unlaunched.pop(context.object, None)
    forget_borrowed_flags(worker, handle)

    def finish() -> None:
        try:
            _free_what_stays(worker, context, allocations)
            end()
        finally:
            for allocation in allocations.values():
                give_back(worker, allocation)
            for key in keys:
                worker.account.drop(key)
            worker.account.leaving.context_gone(handle)
            worker.account.contexts.leave(handle)
            lib.vx_clear_sticky(worker.vx)
            lib.vx_context_ended(worker.vx)
            free_borrowed_flags(worker, context)
            move_region(worker, handle)

    return Later(finish)


def _forget_memory(worker: Worker, handle: int) -> dict[int, Allocation]:
    """Memory of a context cannot be named any more; what there was, by its address."""
    allocations, found = worker.resources.allocations, {}
    for address, allocation in list(allocations.items()):
        if allocation.context == handle and allocation.kind in ("device", "global"):
            found[address] = allocations.pop(address)
            lib.vx_range_remove(worker.vx, address, ffi.new("uint64_t *"))
    return found


def _free_what_stays(worker: Worker, context: Context, allocations: dict[int, Allocation]) -> None:
    """Memory of pools and graphs belongs to no context, but nobody can free it after this."""
    staying = [address for address, allocation in allocations.items() if allocation.freed]
    with suppress(CallError):  # A context that has failed frees nothing: it stays charged.
        if staying:
            worker.driver.call_named("cuCtxSetCurrent", context.object)
        for address in staying:
            worker.driver.call_named("cuMemFreeAsync", address, 0)


def _forget_numbers(worker: Worker, handle: int) -> None:
    """Textures, surfaces and links of a context are gone with it."""
    resources = worker.resources
    for numbers in (resources.textures, resources.surfaces):
        for item in [item for item, owner in numbers.items() if owner == handle]:
            del numbers[item]
    for link in [link for link in resources.links if not is_alive(worker, link)]:
        forget_link(worker, link)
    for graph in [graph for graph in resources.executables if not is_alive(worker, graph)]:
        host_nodes.forget(worker, graph)
