# SPDX-License-Identifier: Apache-2.0
"""Host memory that the worker needs in contexts: flags in each, and the region registered in one.

What is made or registered in a context ends with it.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

from gpu_proxy._executor import lib
from gpu_proxy.request import CallError

if TYPE_CHECKING:
    from gpu_proxy.resources import Context
    from gpu_proxy.worker import Worker

OUT_OF_MEMORY = 2
REGISTER_PORTABLE = 1
HOST_MAPPED = 2


def make_flags(worker: Worker, context: Context) -> None:
    """Make the words that streams of `context` with host functions wait on.

    The memory belongs to the current context, which for a green one's is the primary.
    """
    host, device = ctypes.c_uint64(), ctypes.c_uint64()
    size = 4 * lib.VX_CALLBACKS
    worker.driver.call_named("cuMemHostAlloc", ctypes.addressof(host), size, HOST_MAPPED)
    context.flags = host.value
    worker.driver.call_named(
        "cuMemHostGetDevicePointer_v2", ctypes.addressof(device), host.value, 0
    )
    if lib.vx_set_flags(worker.vx, context.object, host.value, device.value):
        raise CallError(OUT_OF_MEMORY)


def forget_borrowed_flags(worker: Worker, owner: int) -> None:
    """A context is about to end, and with it the flags of green contexts that use its memory."""
    for context in worker.resources.contexts.values():
        if context.owner == owner:
            lib.vx_forget_flags(worker.vx, context.object)
            context.flags = 0


def free_borrowed_flags(worker: Worker, context: Context) -> None:
    """A green context has ended, but its flags are the primary context's memory."""
    owner = worker.resources.contexts.get(context.owner)
    if not owner or not context.flags:
        return
    try:
        worker.driver.call_named("cuCtxSetCurrent", owner.object)
        worker.driver.call_named("cuMemFreeHost", context.flags)
    except CallError as error:
        worker.channel.log("flags-not-freed", status=error.status)


def register_region(worker: Worker, handle: int) -> None:
    """Have slots and staging registered, for direct copies: in the current context if in none."""
    with worker.resources.region_lock:
        if not worker.resources.region:
            _register(worker)
            worker.resources.region = handle


def move_region(worker: Worker, ended: int) -> None:
    """A context has ended. If the region was registered in it, another context takes it on."""
    resources = worker.resources
    with resources.region_lock:
        if resources.region != ended:
            return
        resources.region = 0
        for handle, context in list(resources.contexts.items()):
            if context.owner:
                continue
            try:
                worker.driver.call_named("cuCtxSetCurrent", context.object)
                _register(worker)
            except CallError:
                continue  # It is ending too, on another lane.
            resources.region = handle
            return


def _register(worker: Worker) -> None:
    start = worker.region_address + lib.IDM_SLOTS_AT
    length = lib.IDM_REGION_BYTES - lib.IDM_SLOTS_AT
    worker.driver.call_named("cuMemHostRegister_v2", start, length, REGISTER_PORTABLE)
