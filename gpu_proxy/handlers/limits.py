# SPDX-License-Identifier: Apache-2.0
"""Limits of a context: some of them make the driver take device memory, which is charged."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

from gpu_proxy.account.holdings import Key
from gpu_proxy.handlers import handles
from gpu_proxy.handlers.generic import forward
from gpu_proxy.handlers.room import with_room
from gpu_proxy.request import CallError, Later, Request

if TYPE_CHECKING:
    from gpu_proxy.worker import Worker

STACK, PRINTF, HEAP = range(3)
PROCESSORS, THREADS_OF_PROCESSOR = 16, 39  # CUdevice_attribute numbers
OUT_OF_MEMORY = 2


@handles("cuCtxSetLimit")
def ctx_set_limit(worker: Worker, request: Request) -> dict[str, bytes] | Later | None:
    """What goes beyond the limit that the context began with is charged to the zone."""
    limit, context = request["limit"], request.context
    if limit not in (STACK, PRINTF, HEAP):
        return forward(worker, request)
    first = worker.resources.limits.setdefault((context, limit), _current(worker, limit))
    wanted = max(0, request["value"] - first) * _copies(worker, request, limit)
    key: Key = ("limit", context, limit)

    def apply() -> dict[str, bytes] | Later:
        before = worker.account.held(key)
        worker.account.resize(key, max(before, wanted))
        try:
            result = forward(worker, request)
        except CallError:
            worker.account.resize(key, before)
            raise
        worker.account.resize(key, wanted)
        return result

    return with_room(worker, apply)


def limits_of(worker: Worker, context: int) -> list[Key]:
    """What the limits of a context are charged under; they are forgotten with it."""
    for key in [key for key in worker.resources.limits if key[0] == context]:
        del worker.resources.limits[key]
    return [("limit", context, limit) for limit in (STACK, PRINTF, HEAP)]


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
