# SPDX-License-Identifier: Apache-2.0
"""Limits of a context: some of them make the driver take device memory, which is charged."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

from gpu_proxy.handlers import handles
from gpu_proxy.handlers.generic import forward
from gpu_proxy.handlers.memory import charge
from gpu_proxy.request import CallError, Later, Request

if TYPE_CHECKING:
    from gpu_proxy.worker import Worker

STACK, PRINTF, HEAP = range(3)
PROCESSORS, THREADS_OF_PROCESSOR = 16, 39  # CUdevice_attribute numbers
OUT_OF_MEMORY = 2


@handles("cuCtxSetLimit")
def ctx_set_limit(worker: Worker, request: Request) -> dict[str, bytes] | Later:
    """What goes beyond the limit that the context began with is charged to the zone."""
    limit, context = request["limit"], request.context
    if limit not in (STACK, PRINTF, HEAP):
        return forward(worker, request)
    key, limits = (context, limit), worker.resources.limits
    first, charged = limits.get(key) or (_current(worker, limit), 0)
    wanted = max(0, request["value"] - first) * _copies(worker, request, limit)
    if wanted > charged:
        charge(worker, wanted - charged)
    try:
        result = forward(worker, request)
    except CallError:
        if wanted > charged:
            worker.channel.release("device", wanted - charged)
        raise
    if wanted < charged:
        worker.channel.release("device", charged - wanted)
    limits[key] = (first, wanted)
    return result


def forget_limits(worker: Worker, context: int) -> None:
    """A context is gone, and what its limits took."""
    for key in [key for key in worker.resources.limits if key[0] == context]:
        _, charged = worker.resources.limits.pop(key)
        if charged:
            worker.channel.release("device", charged)


def _current(worker: Worker, limit: int) -> int:
    value = ctypes.c_uint64()
    worker.driver.call_named("cuCtxGetLimit", ctypes.addressof(value), limit)
    return value.value


def _copies(worker: Worker, request: Request, limit: int) -> int:
    """Every thread that the device can hold has a stack; there is one of everything else."""
    if limit != STACK:
        return 1
    context = worker.resources.contexts.get(request.context)
    if context is None:
        raise CallError(OUT_OF_MEMORY)
    product = 1
    for attribute in (PROCESSORS, THREADS_OF_PROCESSOR):
        value = ctypes.c_int32()
        where = ctypes.addressof(value)
        worker.driver.call_named("cuDeviceGetAttribute", where, attribute, context.device)
        product *= value.value
    return product
