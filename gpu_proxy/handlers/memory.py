# SPDX-License-Identifier: Apache-2.0
"""Device memory: charged before the driver is asked, entered in the session's ranges after."""

from __future__ import annotations

import ctypes
import struct
from typing import TYPE_CHECKING

from gpu_proxy._executor import ffi, lib
from gpu_proxy.handlers import handles
from gpu_proxy.handlers.generic import Arguments, handle_object
from gpu_proxy.request import CallError, Later, Request
from gpu_proxy.resources import Allocation

if TYPE_CHECKING:
    from gpu_proxy.worker import Worker

INVALID_VALUE = 1
OUT_OF_MEMORY = 2


def charge(worker: Worker, amount: int) -> None:
    """Take device memory from the zone's quota."""
    if amount >> 50 or not worker.channel.charge("device", amount):
        raise CallError(OUT_OF_MEMORY)


def _allocate(worker: Worker, request: Request, symbol: str, *more: int) -> dict[str, bytes]:
    """Charge, allocate, remember. `more` are the arguments after address and size."""
    amount = request["bytes"]
    if amount == 0:
        raise CallError(INVALID_VALUE)
    charge(worker, amount)
    made = ctypes.c_uint64()
    try:
        worker.driver.call_named(symbol, ctypes.addressof(made), amount, *more)
    except CallError:
        worker.channel.release("device", amount)
        raise
    remember(worker, made.value, amount, request.context, "device", pooled=bool(more))
    lib.vx_count_memory(worker.vx, amount, 0)
    return {"dptr": struct.pack("=Q", made.value)}


def remember(
    worker: Worker, address: int, amount: int, context: int, kind: str, *, pooled: bool = False
) -> None:
    """Enter memory in the ranges that pointers are checked against."""
    if lib.vx_range_add(worker.vx, address, amount, kind in ("host", "registered")):
        raise CallError(OUT_OF_MEMORY)
    owner = worker.resources.memory_owner(context)
    worker.resources.allocations[address] = Allocation(amount, owner, kind, pooled=pooled)


def remember_again(worker: Worker, address: int, allocation: Allocation) -> None:
    """The driver has not freed what was forgotten."""
    remember(
        worker, address, allocation.bytes, allocation.context, allocation.kind,
        pooled=allocation.pooled,
    )  # fmt: skip


def forget(worker: Worker, address: int, kind: str) -> Allocation:
    """Take memory out of the ranges; only the exact start of an allocation of that kind will do."""
    allocation = worker.resources.allocations.get(address)
    if allocation is None or allocation.kind != kind:
        raise CallError(INVALID_VALUE)
    del worker.resources.allocations[address]
    lib.vx_range_remove(worker.vx, address, ffi.new("uint64_t *"))
    return allocation


@handles("mem_alloc")
def mem_alloc(worker: Worker, request: Request) -> dict[str, bytes]:
    """Allocate device memory."""
    return _allocate(worker, request, "cuMemAlloc_v2")


def _stream(worker: Worker, request: Request) -> int:
    param = next(p for p in request.row.params if p.name == "stream")
    return handle_object(worker, request, param, request["stream"])


@handles("mem_alloc_async")
def mem_alloc_async(worker: Worker, request: Request) -> dict[str, bytes]:
    """Allocate in stream order from the device's current pool."""
    return _allocate(worker, request, "cuMemAllocAsync", _stream(worker, request))


@handles("mem_alloc_from_pool_async")
def mem_alloc_from_pool_async(worker: Worker, request: Request) -> dict[str, bytes]:
    """Allocate in stream order from a given pool."""
    param = next(p for p in request.row.params if p.name == "pool")
    pool = handle_object(worker, request, param, request["pool"])
    return _allocate(worker, request, "cuMemAllocFromPoolAsync", pool, _stream(worker, request))


def _give_back(worker: Worker, allocation: Allocation) -> None:
    worker.channel.release("device", allocation.bytes)
    lib.vx_count_memory(worker.vx, -allocation.bytes, 0)


@handles("mem_free")
def mem_free(worker: Worker, request: Request) -> Later | None:
    """Free device memory. From now on the address is nobody's; the driver may take its time."""
    address = request["dptr"]
    if address == 0:
        return None
    allocation = forget(worker, address, "device")

    def finish() -> None:
        worker.driver.call_named("cuMemFree_v2", address)
        _give_back(worker, allocation)

    return Later(finish)


@handles("mem_free_async")
def mem_free_async(worker: Worker, request: Request) -> None:
    """Free in stream order."""
    address = request["dptr"]
    if address == 0:
        return
    stream = _stream(worker, request)
    allocation = forget(worker, address, "device")
    try:
        worker.driver.call_named("cuMemFreeAsync", address, stream)
    except CallError:
        remember_again(worker, address, allocation)
        raise
    _give_back(worker, allocation)


@handles("mem_get_info")
def mem_get_info(worker: Worker, request: Request) -> dict[str, bytes]:
    """Free and total memory as the zone has them: its quota, never more than the device has."""
    free, total = ctypes.c_uint64(), ctypes.c_uint64()
    worker.driver.call_named("cuMemGetInfo_v2", ctypes.addressof(free), ctypes.addressof(total))
    used, limit = worker.channel.usage()
    whole = min(limit, total.value) if limit else total.value
    left = max(0, min(whole - used, free.value))
    return {"free": struct.pack("=Q", left), "total": struct.pack("=Q", whole)}


@handles("mem_address_reserve")
def mem_address_reserve(worker: Worker, request: Request) -> dict[str, bytes]:
    """Reserve addresses without memory."""
    made = ctypes.c_uint64()
    worker.driver.call_named(
        "cuMemAddressReserve",
        ctypes.addressof(made),
        request["bytes"],
        request["alignment"],
        request["wanted"],
        request["flags"],
    )
    remember(worker, made.value, request["bytes"], request.context, "reserved")
    return {"dptr": struct.pack("=Q", made.value)}


@handles("mem_address_free")
def mem_address_free(worker: Worker, request: Request) -> Later:
    """Give reserved addresses back."""
    address, amount = request["dptr"], request["bytes"]
    forget(worker, address, "reserved")
    return Later(lambda: worker.driver.call_named("cuMemAddressFree", address, amount))


@handles("cuModuleGetGlobal_v2", "cuLibraryGetGlobal", "cuLibraryGetManaged")
def get_global(worker: Worker, request: Request) -> dict[str, bytes]:
    """A module's variable; from now on its address is one of the session's."""
    arguments = Arguments(worker, request)
    worker.driver.call(request.row, *arguments.words)
    results = arguments.results()
    if len(results.get("dptr", b"")) == 8 and len(results.get("bytes", b"")) == 8:
        address, amount = struct.unpack("=QQ", results["dptr"] + results["bytes"])
        owner = request.values.get("module") or request.values.get("library")
        if amount and not lib.vx_range_covers(worker.vx, address, amount):
            remember(worker, address, amount, request.context, "global")
            worker.resources.globals.setdefault(int(owner or 0), []).append(address)
    return results
