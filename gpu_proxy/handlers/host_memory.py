# SPDX-License-Identifier: Apache-2.0
"""Pinned memory: the supervisor's pages, at one address here and in the application."""

from __future__ import annotations

import ctypes
import os
from typing import TYPE_CHECKING

from gpu_proxy._executor import ffi, lib
from gpu_proxy.handlers import handles
from gpu_proxy.request import CallError, Later, Request
from gpu_proxy.resources import Allocation

if TYPE_CHECKING:
    from gpu_proxy.worker import Worker

INVALID_VALUE = 1
OUT_OF_MEMORY = 2
ALREADY_REGISTERED = 712
NOT_SUPPORTED = 801
PAGE = 4096
PORTABLE_MAPPED = 3


@handles("host_alloc")
def host_alloc(worker: Worker, request: Request) -> None:
    """Map new shared pages at the application's address and let the driver use them."""
    address, amount, token = request["address"], request["count"], request["token"]
    if amount == 0 or (address | amount) % PAGE or (address + amount) >> 47:
        raise CallError(INVALID_VALUE)
    if _overlaps(worker, address, amount):
        raise CallError(ALREADY_REGISTERED)
    in_window = _in_window(worker, address, amount)
    # The addresses first: memory that was made would reach the application in vain.
    if not in_window and lib.vx_window_reserve(address, amount):
        raise CallError(INVALID_VALUE)
    fd = worker.channel.memory(amount, token)
    if fd is None:
        if not in_window:
            lib.vx_unmap(address, amount)
        raise CallError(OUT_OF_MEMORY)
    try:
        if lib.vx_window_map(address, amount, fd):
            worker.channel.memory_freed(amount, token)
            raise CallError(INVALID_VALUE)
    finally:
        os.close(fd)
    allocation = Allocation(amount, request.context, "host", token=token, in_window=in_window)
    try:
        _register(worker, address, amount)
    except CallError:
        _unmap(worker, address, allocation)
        raise
    lib.vx_range_add(worker.vx, address, amount, 1)
    worker.resources.allocations[address] = allocation
    lib.vx_count_memory(worker.vx, 0, amount)


def _register(worker: Worker, address: int, amount: int) -> None:
    """Let the driver use the pages, under the address that the application has for them."""
    device = ctypes.c_uint64()
    where = ctypes.addressof(device)
    worker.driver.call_named("cuMemHostRegister_v2", address, amount, PORTABLE_MAPPED)
    worker.driver.call_named("cuMemHostGetDevicePointer_v2", where, address, 0)
    if device.value != address:
        worker.driver.call_named("cuMemHostUnregister", address)
        worker.channel.log("host-memory-unsupported", reason="another address on the device")
        raise CallError(NOT_SUPPORTED)


def _in_window(worker: Worker, address: int, amount: int) -> bool:
    base, size = worker.setup.window_base, worker.setup.window_bytes
    return base <= address and address + amount <= base + size


def _overlaps(worker: Worker, address: int, amount: int) -> bool:
    return any(
        start < address + amount and address < start + item.bytes
        for start, item in list(worker.resources.allocations.items())  # lanes take items out
    )


def _unmap(worker: Worker, address: int, allocation: Allocation) -> None:
    release = lib.vx_window_unmap if allocation.in_window else lib.vx_unmap
    release(address, allocation.bytes)
    worker.channel.memory_freed(allocation.bytes, allocation.token)


@handles("host_free")
def host_free(worker: Worker, request: Request) -> Later:
    """The address is nobody's from now on; the driver lets go of the pages when it can."""
    address = request["address"]
    allocation = worker.resources.allocations.get(address)
    if allocation is None or allocation.kind != "host":
        raise CallError(INVALID_VALUE)
    allocation.kind = (
        "ending"  # The address is taken until the pages are gone, and not freed again.
    )
    lib.vx_range_remove(worker.vx, address, ffi.new("uint64_t *"))

    def finish() -> None:
        try:
            worker.driver.call_named("cuMemHostUnregister", address)
        finally:
            _unmap(worker, address, allocation)
            worker.resources.allocations.pop(address, None)
            lib.vx_count_memory(worker.vx, 0, -allocation.bytes)

    return Later(finish)
