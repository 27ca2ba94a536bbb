# SPDX-License-Identifier: Apache-2.0
"""Handshakes: words of host memory on which nodes with host functions wait (csrc/handshake.h)."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gpu_proxy._executor import lib
from gpu_proxy.request import CallError

if TYPE_CHECKING:
    from gpu_proxy.worker import Worker

INVALID_VALUE = 1
INVALID_CONTEXT = 201
OUT_OF_MEMORY = 2
HOST_MAPPED = 2
OPERATION = struct.Struct("=I4xQQI4xQ8x")  # operation, address, value, flags, alias
NODE_PARAMS = struct.Struct("=QI4xQI4x")  # context, count, operations, flags
WAIT, WRITE = 1, 2
WAIT_EQUAL = 1
OPERATIONS = 3
LASTING = 1 << 62  # in the number of a callback that may be called again
FUNCTION = (1 << 32) - 1  # of a callback's number
FUNCTIONS_MAX = 1 << 20


def function_of(number: int) -> int:
    """The function that a callback's number names, which graphs may call any number of times."""
    function = number & FUNCTION
    if number - function != LASTING or function >= FUNCTIONS_MAX:
        raise CallError(INVALID_VALUE)
    return function


def operations(address: int, function: int) -> bytes:
    """Say which function is due, wait until it is done, and take that back."""
    due, done = address, address + 4
    return (
        OPERATION.pack(WRITE, due, function + 1, 0, 0)
        + OPERATION.pack(WAIT, done, 1, WAIT_EQUAL, 0)
        + OPERATION.pack(WRITE, done, 0, 0, 0)
    )


class Parameters:
    """What the calls for nodes of memory operations take; keeps what it points to."""

    def __init__(self, worker: Worker, handshake: int, function: int) -> None:
        address = lib.vx_handshake_address(worker.vx, handshake)
        context = lib.vx_handshake_context(worker.vx, address)
        data = operations(address, function)
        self._operations = ctypes.create_string_buffer(data, len(data))
        packed = NODE_PARAMS.pack(context, OPERATIONS, ctypes.addressof(self._operations), 0)
        self._params = ctypes.create_string_buffer(packed, len(packed))
        self.address = ctypes.addressof(self._params)


def unlaunched(worker: Worker, context: int) -> int:
    """The handshake of all nodes of graphs that are not executable. `context` is a handle."""
    resources = worker.resources
    owner = resources.contexts[resources.memory_owner(context)].object
    resources.host_nodes_made = True
    if owner not in resources.unlaunched:
        resources.unlaunched[owner] = take(worker, owner, 0)
    return resources.unlaunched[owner]


def take(worker: Worker, context: int, graph: int) -> int:
    """A handshake in host memory of a context, for an executable graph or for none."""
    with worker.resources.handshake_lock:
        found = lib.vx_take_handshake(worker.vx, context, graph)
        if not found:
            _make_block(worker, context)
            found = lib.vx_take_handshake(worker.vx, context, graph)
    if not found:
        raise CallError(OUT_OF_MEMORY)
    return int(found)


def _make_block(worker: Worker, context: int) -> None:
    if not any(known.object == context for known in list(worker.resources.contexts.values())):
        raise CallError(INVALID_CONTEXT)
    host, device = ctypes.c_uint64(), ctypes.c_uint64()
    size = lib.VX_HANDSHAKE_BLOCK * lib.VX_HANDSHAKE_BYTES
    with _current(worker, context):
        worker.driver.call_named("cuMemHostAlloc", ctypes.addressof(host), size, HOST_MAPPED)
        ctypes.memset(host.value, 0, size)
        where = ctypes.addressof(device)
        worker.driver.call_named("cuMemHostGetDevicePointer_v2", where, host.value, 0)
        if lib.vx_add_handshakes(worker.vx, context, host.value, device.value):
            worker.driver.call_named("cuMemFreeHost", host.value)
            raise CallError(OUT_OF_MEMORY)


@contextmanager
def _current(worker: Worker, context: int) -> Iterator[None]:
    """Make a context current for this thread, which may be a lane or the main thread."""
    before = ctypes.c_uint64()
    worker.driver.call_named("cuCtxGetCurrent", ctypes.addressof(before))
    worker.driver.call_named("cuCtxSetCurrent", context)
    try:
        yield
    finally:
        worker.driver.call_named("cuCtxSetCurrent", before.value)
