# SPDX-License-Identifier: Apache-2.0
"""Memory and events of other processes of the zone."""

from __future__ import annotations

import ctypes
import struct
from typing import TYPE_CHECKING

from gpu_proxy.handlers import handles
from gpu_proxy.handlers.generic import forward, install, object_of
from gpu_proxy.handlers.memory import forget, remember
from gpu_proxy.request import CallError, Later, Request
from idm.api.table import load
from idm.api.types import Kind

if TYPE_CHECKING:
    from gpu_proxy.worker import Worker

INVALID_VALUE = 1
NOT_SUPPORTED = 801
IDENTIFIER_BYTES = 64


class _Identifier(ctypes.Structure):
    """CUipcMemHandle and CUipcEventHandle, which calls take by value."""

    _fields_ = (("bytes", ctypes.c_char * IDENTIFIER_BYTES),)


def _open(worker: Worker, symbol: str, identifier: bytes, *more: int) -> int:
    """Call an opening function: where the result goes, the identifier by value, and numbers."""
    address = worker.driver.address_of(load().by_symbol[symbol])
    if not address:
        raise CallError(NOT_SUPPORTED)
    made = ctypes.c_uint64()
    types = [ctypes.c_uint64, _Identifier, *[ctypes.c_uint] * len(more)]
    function = ctypes.CFUNCTYPE(ctypes.c_int, *types)(address)
    value = _Identifier.from_buffer_copy(identifier)
    status = function(ctypes.addressof(made), value, *more)
    if status:
        raise CallError(status)
    return made.value


@handles("ipc_get_mem_handle")
def ipc_get_mem_handle(worker: Worker, request: Request) -> dict[str, bytes] | Later:
    """Only what this session allocated can be given to others."""
    allocation = worker.resources.allocations.get(request["dptr"])
    if allocation is None or allocation.kind != "device":
        raise CallError(INVALID_VALUE)
    return forward(worker, request)


@handles("ipc_open_memory")
def ipc_open_memory(worker: Worker, request: Request) -> dict[str, bytes]:
    """Map another process's allocation; how long it is, the driver knows."""
    address = _open(worker, "cuIpcOpenMemHandle_v2", request["identifier"], request["flags"])
    base, size = ctypes.c_uint64(), ctypes.c_uint64()
    where = ctypes.addressof(base), ctypes.addressof(size)
    worker.driver.call_named("cuMemGetAddressRange_v2", *where, address)
    amount = base.value + size.value - address
    try:
        remember(worker, address, amount, request.context, "imported")
    except CallError:
        worker.driver.call_named("cuIpcCloseMemHandle", address)
        raise
    return {"dptr": struct.pack("=Q", address), "bytes": struct.pack("=Q", amount)}


@handles("ipc_close_mem_handle")
def ipc_close_mem_handle(worker: Worker, request: Request) -> Later:
    """Unmap it. From now on the address is nobody's."""
    address = request["dptr"]
    forget(worker, address, "imported")

    def finish() -> None:
        worker.driver.call_named("cuIpcCloseMemHandle", address)

    return Later(finish)


@handles("ipc_get_event_handle")
def ipc_get_event_handle(worker: Worker, request: Request) -> dict[str, bytes]:
    """Name an event for other processes."""
    identifier = ctypes.create_string_buffer(IDENTIFIER_BYTES)
    event = object_of(worker, request["event"], Kind.EVENT)
    worker.driver.call_named("cuIpcGetEventHandle", ctypes.addressof(identifier), event)
    return {"handle": identifier.raw}


@handles("ipc_open_event_handle")
def ipc_open_event_handle(worker: Worker, request: Request) -> None:
    """Another process's event."""
    made = _open(worker, "cuIpcOpenEventHandle", request["handle"])
    install(worker, request["event"], Kind.EVENT, made, request.context)
