# SPDX-License-Identifier: Apache-2.0
"""Streams: capture, and memory operations in stream order."""

from __future__ import annotations

import ctypes
import struct
from typing import TYPE_CHECKING

from gpu_proxy._executor import lib
from gpu_proxy.handlers import graph_params, graphs, handles, handshakes
from gpu_proxy.handlers.generic import Arguments, adopt
from gpu_proxy.handlers.graph_params import Prepared
from gpu_proxy.handlers.waits import stream_object
from gpu_proxy.request import CallError, Request
from idm.api.types import Kind

if TYPE_CHECKING:
    from gpu_proxy.worker import Worker

INVALID_VALUE = 1
NOT_SUPPORTED = 801
CAPTURE_ACTIVE = 1
CAPTURE_INVALIDATED = 901
SET_DEPENDENCIES = 1
# Calls of all the application's threads come from few threads here, which must not be forbidden
# anything: the modes are enforced by gpu_proxy/csrc/captures.c.
MODE_GLOBAL, MODE_RELAXED = 0, 2
EDGE_BYTES = 8
OPERATION_BYTES = 48
# Memory operations that name an address, and where in their structure it is.
ADDRESS_AT = {1: 8, 2: 8, 4: 8, 5: 8, 8: 16}
WITHOUT_ADDRESS = frozenset({3, 6})


def _begin(worker: Worker, request: Request, symbol: str, *arguments: int) -> None:
    """`arguments` begin with the stream."""
    mode = request.values.get("mode", MODE_GLOBAL)
    if mode > MODE_RELAXED:
        raise CallError(INVALID_VALUE)
    status = lib.vx_capture_room(worker.vx)
    if status:
        raise CallError(status)
    worker.driver.call_named(symbol, *arguments, MODE_RELAXED)
    lib.vx_capture_began(worker.vx, arguments[0], request.thread, mode)


@handles("cuStreamBeginCapture", "cuStreamBeginCapture_v2")
def stream_begin_capture(worker: Worker, request: Request) -> None:
    """Begin."""
    _begin(worker, request, "cuStreamBeginCapture_v2", stream_object(worker, request))


@handles("cuStreamBeginCaptureToGraph")
def stream_begin_capture_to_graph(worker: Worker, request: Request) -> None:
    """Begin, into a graph that exists."""
    arguments = Arguments(worker, request)
    _begin(worker, request, request.row.symbol, *arguments.words[:5])


@handles("cuStreamEndCapture")
def stream_end_capture(worker: Worker, request: Request) -> dict[str, bytes]:
    """End. The graph may have a handle already, from a question during the capture."""
    made = ctypes.c_uint64()
    stream = stream_object(worker, request)
    status = lib.vx_capture_may_end(worker.vx, stream, request.thread)
    if status:
        raise CallError(status)
    try:
        worker.driver.call_named("cuStreamEndCapture", stream, ctypes.addressof(made))
    finally:
        lib.vx_capture_settle(worker.vx, stream)
    if not request.capacity["graph"]:
        return {}
    return {"graph": struct.pack("=Q", adopt(worker, Kind.GRAPH, made.value, 0))}


@handles("capture_unsafe")
def capture_unsafe(worker: Worker, request: Request) -> None:
    """Whether a thread may make a potentially unsafe call."""
    mode, event = request["mode"], request["event"]
    status = lib.vx_capture_unsafe(worker.vx, request.thread, mode, event)
    if status:
        raise CallError(status)


class CaptureInfo:
    """The driver's answer about a capture."""

    def __init__(self) -> None:
        self.status = ctypes.c_uint32()
        self.identifier, self.graph = ctypes.c_uint64(), ctypes.c_uint64()
        self.nodes, self.edges = ctypes.c_uint64(), ctypes.c_uint64()
        self.count = ctypes.c_uint64()

    def ask(self, worker: Worker, stream: int) -> None:
        """Ask with edges where the driver knows them."""
        parts = [self.status, self.identifier, self.graph, self.nodes, self.edges, self.count]
        newer = worker.driver.address("cuStreamGetCaptureInfo", 12030)
        if newer:
            worker.driver.call_address(newer, stream, *map(ctypes.addressof, parts))
            return
        del parts[4]
        symbol = "cuStreamGetCaptureInfo_v2"
        worker.driver.call_named(symbol, stream, *map(ctypes.addressof, parts))

    def before(self) -> list[int]:
        """The nodes that the next one waits for."""
        count = self.count.value
        return list((ctypes.c_uint64 * count).from_address(self.nodes.value)) if count else []

    def edge_data(self) -> bytes:
        """What the edges to the next node carry; nothing where they are plain."""
        size = self.count.value * EDGE_BYTES
        data = ctypes.string_at(self.edges.value, size) if self.edges.value and size else b""
        return data if any(data) else b""


@handles("capture_info")
def capture_info(worker: Worker, request: Request) -> dict[str, bytes]:
    """What a capture knows; nodes that the front end sees for the first time get handles."""
    info = CaptureInfo()
    info.ask(worker, stream_object(worker, request))
    results = {"status": struct.pack("=I", info.status.value)}
    if info.status.value != CAPTURE_ACTIVE:
        return results
    count = min(info.count.value, request["capacity"])
    graph = adopt(worker, Kind.GRAPH, info.graph.value, 0)
    nodes = (ctypes.c_uint64 * count).from_address(info.nodes.value) if count else []
    found = [adopt(worker, Kind.GRAPH_NODE, node, 0, graph) for node in nodes]
    edges = ctypes.string_at(info.edges.value, count * EDGE_BYTES) if info.edges.value else b""
    return results | {
        "identifier": struct.pack("=Q", info.identifier.value),
        "graph": struct.pack("=Q", graph),
        "count": struct.pack("=Q", info.count.value),
        "nodes": struct.pack(f"={count}Q", *found),
        "edges": edges,
    }


@handles("callback_capture")
def callback_capture(worker: Worker, request: Request) -> None:
    """A host function becomes a node of the captured graph, behind what the stream has captured."""
    stream = stream_object(worker, request)
    info = CaptureInfo()
    info.ask(worker, stream)
    if info.status.value != CAPTURE_ACTIVE:
        raise CallError(CAPTURE_INVALIDATED)
    function = handshakes.function_of(request["callback"])
    handshake = handshakes.unlaunched(worker, request.context)
    prepared = Prepared(graph_params.HOST, b"")
    prepared.take(handshakes.Parameters(worker, handshake, function))
    edges = info.edge_data()
    node = graphs.add_node(worker, prepared, info.graph.value, info.before(), edges)
    array = ctypes.c_uint64(node)
    worker.driver.call_named(
        "cuStreamUpdateCaptureDependencies", stream, ctypes.addressof(array), 1, SET_DEPENDENCIES
    )


def _check_operation(worker: Worker, operation: bytes) -> None:
    (kind,) = struct.unpack_from("=I", operation)
    if kind in WITHOUT_ADDRESS:
        return
    if kind not in ADDRESS_AT:
        raise CallError(NOT_SUPPORTED)
    (address,) = struct.unpack_from("=Q", operation, ADDRESS_AT[kind])
    amount = 8 if kind in (4, 5) else 4
    if not lib.vx_range_covers(worker.vx, address, amount):
        raise CallError(INVALID_VALUE)


@handles("stream_batch_mem_op")
def stream_batch_mem_op(worker: Worker, request: Request) -> None:
    """Several memory operations, each on this session's memory."""
    data = request["operations"]
    for offset in range(0, len(data), OPERATION_BYTES):
        _check_operation(worker, data[offset : offset + OPERATION_BYTES])
    worker.driver.call(request.row, *Arguments(worker, request).words)
