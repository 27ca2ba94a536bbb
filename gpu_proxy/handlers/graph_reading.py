# SPDX-License-Identifier: Apache-2.0
"""Reading the parameters of graph nodes back: objects become handles again."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING

from gpu_proxy.handlers import graph_params, handles, host_nodes
from gpu_proxy.handlers.copies2d import ARRAY, SIDE, Side
from gpu_proxy.handlers.functions import layout_of
from gpu_proxy.handlers.generic import adopt, object_of
from gpu_proxy.handlers.graph_params import (
    COPY_BYTES,
    EXTRA_BYTES,
    EXTRA_POINTER,
    HOST_PARAMS,
    KERNEL_PARAMS,
    MEMSET_BYTES,
    PARAMS_BYTES,
)
from gpu_proxy.handlers.handshakes import LASTING
from gpu_proxy.request import CallError, Request
from idm.api.types import Kind

if TYPE_CHECKING:
    from gpu_proxy.worker import Worker

NOT_SUPPORTED = 801
Part = tuple[bytes, bytes]  # what goes into the union, and the bytes of kernel parameters


def _read(worker: Worker, symbol: str, node: int, size: int) -> bytes:
    buffer = ctypes.create_string_buffer(size)
    worker.driver.call_named(symbol, node, ctypes.addressof(buffer))
    return buffer.raw


def _packed_params(extra: int) -> bytes:
    """The buffer that a list of `extra` words names."""
    words = {}
    while key := ctypes.c_uint64.from_address(extra).value:
        words[key] = ctypes.c_uint64.from_address(extra + 8).value
        extra += 16
    if EXTRA_POINTER not in words or EXTRA_BYTES not in words:
        return b""
    size = ctypes.c_uint64.from_address(words[EXTRA_BYTES]).value
    return ctypes.string_at(words[EXTRA_POINTER], size)


def _gathered_params(worker: Worker, handle: int, item: int, pointers: int) -> bytes:
    """The parameters behind an array of pointers, laid out as the kernel takes them."""
    layout = layout_of(worker, item, kernel=graph_params.is_kernel(worker, handle))
    data = bytearray(max((offset + size for offset, size in layout), default=0))
    for index, (offset, size) in enumerate(layout):
        where = ctypes.c_uint64.from_address(pointers + 8 * index).value
        data[offset : offset + size] = ctypes.string_at(where, size)
    return bytes(data)


def _kernel(worker: Worker, node: int) -> Part:
    raw = _read(worker, "cuGraphKernelNodeGetParams_v2", node, KERNEL_PARAMS.size)
    function, *shape, pointers, extra, kernel, _ = KERNEL_PARAMS.unpack(raw)
    item = kernel or function
    handle = adopt(worker, Kind.FUNCTION, item, 0)
    if pointers:
        params = _gathered_params(worker, handle, item, pointers)
    else:
        params = _packed_params(extra) if extra else b""
    return KERNEL_PARAMS.pack(handle, *shape, 0, 0, 0, 0), params


def _side(worker: Worker, raw: bytes) -> bytes:
    side = Side(*SIDE.unpack(raw))
    side.context = 0
    if side.type == ARRAY:
        side.array = adopt(worker, Kind.ARRAY, side.array, 0)
    return side.pack()


def _memcpy(worker: Worker, node: int) -> Part:
    raw = _read(worker, "cuGraphMemcpyNodeGetParams", node, COPY_BYTES)
    size = SIDE.size
    sides = _side(worker, raw[:size]) + _side(worker, raw[size : 2 * size])
    return bytes(16) + sides + raw[2 * size :], b""


def _memset(worker: Worker, node: int) -> Part:
    return _read(worker, "cuGraphMemsetNodeGetParams", node, MEMSET_BYTES), b""


def _host(worker: Worker, node: int) -> Part:
    found = host_nodes.read(worker, node)
    if found is None:
        raise CallError(NOT_SUPPORTED)
    return HOST_PARAMS.pack(0, LASTING | found.function), b""


def _one(symbol: str, kind: Kind) -> Callable[[Worker, int], Part]:
    def read(worker: Worker, node: int) -> Part:
        (item,) = struct.unpack("=Q", _read(worker, symbol, node, 8))
        return struct.pack("=Q", adopt(worker, kind, item, 0)), b""

    return read


READERS: dict[int, Callable[[Worker, int], Part]] = {
    graph_params.KERNEL: _kernel,
    graph_params.MEMCPY: _memcpy,
    graph_params.MEMSET: _memset,
    graph_params.HOST: _host,
    graph_params.CHILD: _one("cuGraphChildGraphNodeGetGraph", Kind.GRAPH),
    graph_params.EMPTY: lambda _worker, _node: (b"", b""),
    graph_params.WAIT: _one("cuGraphEventWaitNodeGetEvent", Kind.EVENT),
    graph_params.RECORD: _one("cuGraphEventRecordNodeGetEvent", Kind.EVENT),
}


@handles("cuGraphNodeGetType")
def graph_node_get_type(worker: Worker, request: Request) -> dict[str, bytes]:
    """What kind of node it is, as the application made it."""
    node = object_of(worker, request["node"], Kind.GRAPH_NODE)
    return {"kind": struct.pack("=i", host_nodes.type_seen(worker, node))}


@handles("graph_node_get_params")
def graph_node_get_params(worker: Worker, request: Request) -> dict[str, bytes]:
    """Parameters of a node of any kind."""
    node = object_of(worker, request["node"], Kind.GRAPH_NODE)
    kind = host_nodes.type_seen(worker, node)
    if kind not in READERS:
        raise CallError(NOT_SUPPORTED)
    union, params = READERS[kind](worker, node)
    whole = struct.pack("=i12x", kind) + union
    return {
        "parameters": whole.ljust(PARAMS_BYTES, b"\0"),
        "param_bytes": struct.pack("=I", len(params)),
        "params": params,
    }
