# SPDX-License-Identifier: Apache-2.0
"""Stream-ordered memory: out of pools, or as a node of the graph that a stream captures."""

from __future__ import annotations

import contextlib
import ctypes
import struct
from functools import partial
from typing import TYPE_CHECKING

from gpu_proxy.account.holdings import OverQuota
from gpu_proxy.account.pools import Pool
from gpu_proxy.handlers import handles
from gpu_proxy.handlers.generic import forward, object_of
from gpu_proxy.handlers.memory import (
    INVALID_VALUE,
    ask,
    forget,
    give_back,
    remember,
    remember_again,
)
from gpu_proxy.handlers.physical import LOCATION_AT, check_on_device
from gpu_proxy.handlers.room import with_room
from gpu_proxy.handlers.streams import CAPTURE_ACTIVE, CaptureInfo
from gpu_proxy.handlers.waits import stream_object
from gpu_proxy.request import CallError, Later, Request
from gpu_proxy.resources import Allocation
from idm.api.types import Kind

if TYPE_CHECKING:
    from gpu_proxy.worker import Worker

RELEASE_THRESHOLD = 4  # CU_MEMPOOL_ATTR_RELEASE_THRESHOLD


@handles("mem_alloc_async")
def mem_alloc_async(worker: Worker, request: Request) -> dict[str, bytes] | Later | None:
    """Allocate in stream order from the device's current pool."""
    stream = stream_object(worker, request)
    if is_capturing(worker, stream):
        return _capture(worker, request, "cuMemAllocAsync", stream)
    item = ask(worker, "cuDeviceGetMemPool", _device(worker))
    return _allocate(worker, request, "cuMemAllocAsync", item, stream)


@handles("mem_alloc_from_pool_async")
def mem_alloc_from_pool_async(worker: Worker, request: Request) -> dict[str, bytes] | Later | None:
    """Allocate in stream order from a given pool."""
    item = object_of(worker, request["pool"], Kind.MEMORY_POOL)
    stream = stream_object(worker, request)
    if is_capturing(worker, stream):
        return _capture(worker, request, "cuMemAllocFromPoolAsync", item, stream)
    return _allocate(worker, request, "cuMemAllocFromPoolAsync", item, item, stream)


def _allocate(
    worker: Worker, request: Request, symbol: str, item: int, *arguments: int
) -> dict[str, bytes] | Later | None:
    """`item` is the pool, `arguments` are those after the size."""
    amount, context = _amount(request), request.context
    pool, stream = worker.account.pools.of(item), arguments[-1]

    def allocate() -> dict[str, bytes]:
        address = _from_pool(worker, pool, symbol, amount, *arguments)
        try:
            worker.account.pools.took(pool)
        except OverQuota:  # The driver reserved more than it was asked for.
            with contextlib.suppress(CallError):
                worker.driver.call_named("cuMemFreeAsync", address, stream)
            worker.account.pools.freed(pool, amount)
            raise
        freed = partial(worker.account.pools.freed, pool, amount)
        remember(worker, address, Allocation(amount, context, "device", freed=freed))
        return {"dptr": struct.pack("=Q", address)}

    return with_room(worker, allocate)


def _from_pool(worker: Worker, pool: Pool, symbol: str, amount: int, *arguments: int) -> int:
    worker.account.pools.begin(pool, amount)
    try:
        return ask(worker, symbol, amount, *arguments)
    except CallError:
        worker.account.pools.freed(pool, amount)
        raise


def _capture(
    worker: Worker, request: Request, symbol: str, *arguments: int
) -> dict[str, bytes] | Later | None:
    amount, context = _amount(request), request.context
    device, graphs = _device(worker), worker.account.graphs
    info = CaptureInfo()
    info.ask(worker, arguments[-1])

    def allocate() -> dict[str, bytes]:
        graphs.begin_capture(device, amount)
        graph = 0
        try:
            address = ask(worker, symbol, amount, *arguments)
            graph = info.graph.value
        finally:
            graphs.end_capture(device, amount, graph)
        freed = partial(graphs.freed, device)
        remember(worker, address, Allocation(amount, context, "device", freed=freed))
        return {"dptr": struct.pack("=Q", address)}

    return with_room(worker, allocate)


def _amount(request: Request) -> int:
    if request["bytes"] == 0:
        raise CallError(INVALID_VALUE)
    return int(request["bytes"])


def _device(worker: Worker) -> int:
    """The current context's device."""
    found = ctypes.c_int32()
    worker.driver.call_named("cuCtxGetDevice", ctypes.addressof(found))
    return found.value


def is_capturing(worker: Worker, stream: int) -> bool:
    """Whether what a stream is given becomes part of a graph."""
    status = ctypes.c_uint32()
    try:
        worker.driver.call_named("cuStreamIsCapturing", stream, ctypes.addressof(status))
    except CallError:
        return False  # A legacy stream beside a capture: what follows fails and says so.
    return status.value == CAPTURE_ACTIVE


@handles("mem_free_async")
def mem_free_async(worker: Worker, request: Request) -> None:
    """Free in stream order. What belongs to no pool is charged until the stream gets there."""
    address, context = request["dptr"], request.context
    if address == 0:
        return
    stream = stream_object(worker, request)
    allocation = forget(worker, address, "device")
    try:
        worker.driver.call_named("cuMemFreeAsync", address, stream)
    except CallError:
        remember_again(worker, address, allocation)
        raise
    if allocation.key is None:
        give_back(worker, allocation)
    else:
        behind = None if is_capturing(worker, stream) else stream
        worker.account.leaving.add(allocation.key, allocation.context, behind, context)


@handles("cuMemPoolCreate")
def mem_pool_create(worker: Worker, request: Request) -> dict[str, bytes] | Later:
    """A pool of device memory."""
    check_on_device(request["properties"], LOCATION_AT)
    return forward(worker, request)


@handles("cuMemPoolDestroy")
def mem_pool_destroy(worker: Worker, request: Request) -> dict[str, bytes] | Later:
    """The end of a pool's name; its allocations live on."""
    item = object_of(worker, request["pool"], Kind.MEMORY_POOL)
    results = forward(worker, request)
    worker.account.pools.destroyed(item)
    return results


@handles("cuMemPoolTrimTo")
def mem_pool_trim_to(worker: Worker, request: Request) -> Later:
    """Give back what the pool keeps."""
    item, keep = object_of(worker, request["pool"], Kind.MEMORY_POOL), request["keep"]

    def finish() -> None:
        worker.driver.call_named("cuMemPoolTrimTo", item, keep)
        worker.account.pools.settle(worker.account.pools.of(item))

    return Later(finish)


@handles("cuMemPoolSetAttribute")
def mem_pool_set_attribute(worker: Worker, request: Request) -> dict[str, bytes] | Later:
    """How much a pool keeps over a synchronize is what the worker trims it to."""
    item = object_of(worker, request["pool"], Kind.MEMORY_POOL)
    results = forward(worker, request)
    if request["attribute"] == RELEASE_THRESHOLD:
        (threshold,) = struct.unpack("=Q", request["value"])
        worker.account.pools.set_threshold(item, threshold)
    return results


@handles("cuMemGetDefaultMemPool", "cuMemGetMemPool", "cuMemSetMemPool")
def mem_pool_of_location(worker: Worker, request: Request) -> dict[str, bytes] | Later:
    """The pool that a device allocates from."""
    check_on_device(request["location"], 0)
    return forward(worker, request)


@handles("cuDeviceGraphMemTrim")
def device_graph_mem_trim(worker: Worker, request: Request) -> Later:
    """Give back what no graph needs."""
    device = request["dev"]

    def finish() -> None:
        worker.driver.call(request.row, device)
        worker.account.graphs.settle(device)

    return Later(finish)
