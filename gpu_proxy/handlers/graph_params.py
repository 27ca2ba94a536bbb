# SPDX-License-Identifier: Apache-2.0
"""Parameters of graph nodes: from the wire's structure to what the driver's calls take.

The wire has CUgraphNodeParams with handles for objects. Each kind becomes the arguments that
follow the node in the calls that add it and set its parameters.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gpu_proxy._executor import lib
from gpu_proxy.handlers.copies2d import Box
from gpu_proxy.handlers.generic import object_of
from gpu_proxy.handlers.handshakes import Parameters, function_of
from gpu_proxy.request import CallError
from idm.api.types import Kind

if TYPE_CHECKING:
    from gpu_proxy.worker import Worker

INVALID_VALUE = 1
NOT_SUPPORTED = 801
KERNEL, MEMCPY, MEMSET, HOST, CHILD, EMPTY, WAIT, RECORD = range(8)
CONDITIONAL = 13
UNION_AT = 16
PARAMS_BYTES = 256
EXTRA_POINTER, EXTRA_BYTES = 1, 2
# function, grid, block, shared, kernelParams, extra, kernel, context
KERNEL_PARAMS = struct.Struct("=Q7I4x4Q")
# dst, pitch, value, element size, width, height, context
MEMSET_PARAMS = struct.Struct("=QQIIQQQ")
MEMSET_BYTES = 40
HOST_PARAMS = struct.Struct("=QQ")
COPY_AT, COPY_BYTES = 32, 200


@dataclass
class Prepared:
    """Arguments for one node, and the buffers that they point to."""

    type: int
    params: bytes  # of a kernel
    arguments: list[int] = field(default_factory=list)
    context: int = 0  # of a copy or a fill: follows the parameters in some calls
    function: int = 0  # of a host node; where it goes depends on the node (host_nodes.py)
    buffers: list[Any] = field(default_factory=list)

    def take(self, parameters: Parameters) -> None:
        """Use parameters that were made elsewhere."""
        self.buffers.append(parameters)
        self.arguments = [parameters.address]

    def keep(self, data: bytes) -> int:
        """Address of a copy that lives as long as this."""
        buffer = ctypes.create_string_buffer(data, max(1, len(data)))
        self.buffers.append(buffer)
        return ctypes.addressof(buffer)


def prepare(worker: Worker, data: bytes, params: bytes) -> Prepared:
    """Check and translate. `params` are the bytes of a kernel's parameters."""
    (kind,) = struct.unpack_from("=i", data)
    maker = MAKERS.get(kind)
    if maker is None:
        raise CallError(NOT_SUPPORTED)
    prepared = Prepared(kind, params)
    maker(worker, prepared, data)
    return prepared


def is_kernel(worker: Worker, handle: int) -> bool:
    """Whether a function came from a library, so that it belongs to no context."""
    return int(lib.vx_parent(worker.vx, handle)) >> 56 == Kind.LIBRARY


def _context(worker: Worker, handle: int) -> int:
    return object_of(worker, handle, Kind.CONTEXT) if handle else worker.current()


def _kernel(worker: Worker, prepared: Prepared, data: bytes) -> None:
    handle, *shape, _, _, _, context = KERNEL_PARAMS.unpack_from(data, UNION_AT)
    item = object_of(worker, handle, Kind.FUNCTION)
    size = prepared.keep(struct.pack("=Q", len(prepared.params)))
    words = (EXTRA_POINTER, prepared.keep(prepared.params), EXTRA_BYTES, size, 0)
    extra = prepared.keep(struct.pack("=5Q", *words)) if prepared.params else 0
    function, kernel = (0, item) if is_kernel(worker, handle) else (item, 0)
    packed = KERNEL_PARAMS.pack(function, *shape, 0, extra, kernel, _context(worker, context))
    prepared.arguments = [prepared.keep(packed)]


def _memcpy(worker: Worker, prepared: Prepared, data: bytes) -> None:
    (context,) = struct.unpack_from("=Q", data, UNION_AT + 8)
    box = Box(worker, data[COPY_AT : COPY_AT + COPY_BYTES])
    if box.peer:
        raise CallError(INVALID_VALUE)
    prepared.arguments = [prepared.keep(box.pack().raw)]
    prepared.context = _context(worker, context)


def _memset(worker: Worker, prepared: Prepared, data: bytes) -> None:
    dst, pitch, _, element, width, height, context = MEMSET_PARAMS.unpack_from(data, UNION_AT)
    amount = (pitch * (height - 1) if height else 0) + width * element
    if amount >> 63 or not lib.vx_range_covers(worker.vx, dst, amount):
        raise CallError(INVALID_VALUE)
    prepared.arguments = [prepared.keep(data[UNION_AT : UNION_AT + MEMSET_BYTES])]
    prepared.context = _context(worker, context)


def _host(worker: Worker, prepared: Prepared, data: bytes) -> None:
    _, number = HOST_PARAMS.unpack_from(data, UNION_AT)
    prepared.function = function_of(number)


def _object(kind: Kind) -> Callable[[Worker, Prepared, bytes], None]:
    def make(worker: Worker, prepared: Prepared, data: bytes) -> None:
        handle, ownership = struct.unpack_from("=Qi", data, UNION_AT)
        if kind is Kind.GRAPH and ownership != 0:
            raise CallError(NOT_SUPPORTED)  # Moving a child graph would leave its handle behind.
        prepared.arguments = [object_of(worker, handle, kind)]

    return make


def _empty(worker: Worker, prepared: Prepared, data: bytes) -> None:
    """An empty node has no parameters."""


def _conditional(worker: Worker, prepared: Prepared, data: bytes) -> None:
    handle, kind, size = struct.unpack_from("=QII", data, UNION_AT)
    union = struct.pack("=QIIQQ", handle, kind, size, 0, worker.current())
    whole = struct.pack("=i12x", CONDITIONAL) + union
    prepared.arguments = [prepared.keep(whole.ljust(PARAMS_BYTES, b"\0"))]


MAKERS: dict[int, Callable[[Worker, Prepared, bytes], None]] = {
    KERNEL: _kernel,
    MEMCPY: _memcpy,
    MEMSET: _memset,
    HOST: _host,
    CHILD: _object(Kind.GRAPH),
    EMPTY: _empty,
    WAIT: _object(Kind.EVENT),
    RECORD: _object(Kind.EVENT),
    CONDITIONAL: _conditional,
}
