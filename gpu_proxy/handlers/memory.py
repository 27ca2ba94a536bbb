# SPDX-License-Identifier: Apache-2.0
"""Device memory: charged before the driver is asked, entered in the session's ranges after."""

from __future__ import annotations

import ctypes
import struct
from typing import TYPE_CHECKING

from gpu_proxy._executor import ffi, lib
from gpu_proxy.handlers import handles
from gpu_proxy.handlers.generic import Arguments
from gpu_proxy.handlers.room import with_room
from gpu_proxy.request import CallError, Later, Request
from gpu_proxy.resources import Allocation

if TYPE_CHECKING:
    from gpu_proxy.worker import Worker

INVALID_VALUE = 1
OUT_OF_MEMORY = 2
DEVICE_KINDS = ("device", "reserved", "global")


def remember(worker: Worker, address: int, allocation: Allocation) -> None:
    """Enter memory in the ranges that pointers are checked against."""
    is_host = allocation.kind not in DEVICE_KINDS
    if lib.vx_range_add(worker.vx, address, allocation.bytes, is_host):
        raise CallError(OUT_OF_MEMORY)
    allocation.context = worker.resources.memory_owner(allocation.context)
    worker.resources.allocations[address] = allocation


def remember_again(worker: Worker, address: int, allocation: Allocation) -> None:
    """The driver has not freed what was forgotten."""
    remember(worker, address, allocation)


def forget(worker: Worker, address: int, kind: str) -> Allocation:
    """Take memory out of the ranges; only the exact start of an allocation of that kind will do."""
    allocation = worker.resources.allocations.get(address)
    if allocation is None or allocation.kind != kind:
        raise CallError(INVALID_VALUE)
    del worker.resources.allocations[address]
    lib.vx_range_remove(worker.vx, address, ffi.new("uint64_t *"))
    return allocation


def ask(worker: Worker, symbol: str, *arguments: int) -> int:
    """Have the driver allocate; the address."""
    made = ctypes.c_uint64()
    worker.driver.call_named(symbol, ctypes.addressof(made), *arguments)
    return made.value


@handles("mem_alloc")
def mem_alloc(worker: Worker, request: Request) -> dict[str, bytes] | Later | None:
    """Allocate device memory."""
    amount, context, account = request["bytes"], request.context, worker.account
    if amount == 0:
        raise CallError(INVALID_VALUE)

    def allocate() -> dict[str, bytes]:
        key = account.new_key("memory")
        account.take(key, amount)
        try:
            address = ask(worker, "cuMemAlloc_v2", amount)
        except CallError:
            account.drop(key)
            raise
        remember(worker, address, Allocation(amount, context, "device", key=key))
        return {"dptr": struct.pack("=Q", address)}

    return with_room(worker, allocate)


@handles("mem_free")
def mem_free(worker: Worker, request: Request) -> Later | None:
    """Free device memory. From now on the address is nobody's; the driver may take its time."""
    address = request["dptr"]
    if address == 0:
        return None
    allocation = forget(worker, address, "device")

    def finish() -> None:
        worker.driver.call_named("cuMemFree_v2", address)
        give_back(worker, allocation)
        worker.account.tidy()  # The driver has waited for everything.

    return Later(finish)


def give_back(worker: Worker, allocation: Allocation) -> None:
    """The driver has freed device memory, or has ended what it belonged to."""
    if allocation.freed:
        allocation.freed()
    elif allocation.key:
        worker.account.drop(allocation.key)


@handles("mem_get_info")
def mem_get_info(worker: Worker, request: Request) -> dict[str, bytes] | Later:
    """Free and total memory as the zone has them: its quota, never more than the device has."""
    if not worker.account.untidy:
        return _memory_info(worker)

    def finish() -> dict[str, bytes]:
        worker.account.tidy()
        return _memory_info(worker)

    return Later(finish)


def _memory_info(worker: Worker) -> dict[str, bytes]:
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
    remember(worker, made.value, Allocation(request["bytes"], request.context, "reserved"))
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
            # Charged with its module already.
            remember(worker, address, Allocation(amount, request.context, "global"))
            worker.resources.globals.setdefault(int(owner or 0), []).append(address)
    return results
