# SPDX-License-Identifier: Apache-2.0
"""Graphs: adding nodes and setting their parameters; objects that graphs keep alive."""

from __future__ import annotations

import ctypes
import struct
from typing import TYPE_CHECKING

from gpu_proxy._executor import lib
from gpu_proxy.handlers import graph_params, handles, handshakes
from gpu_proxy.handlers.generic import adopt, forward, install, object_of
from gpu_proxy.handlers.graph_params import Prepared, prepare
from gpu_proxy.request import CallError, Later, Request
from idm.api.types import Kind

if TYPE_CHECKING:
    from gpu_proxy.worker import Worker

INVALID_VALUE = 1
NOT_SUPPORTED = 801
BODIES_MAX = 64
BODIES_AT = 32  # of a conditional node's graphs in CUgraphNodeParams
# Attributes of kernel nodes that hold the driver's own pointers.
FOREIGN_ATTRIBUTES = frozenset({7, 12, 13})

ADD = {
    graph_params.KERNEL: "cuGraphAddKernelNode_v2",
    graph_params.MEMCPY: "cuGraphAddMemcpyNode",
    graph_params.MEMSET: "cuGraphAddMemsetNode",
    graph_params.HOST: "cuGraphAddBatchMemOpNode",
    graph_params.CHILD: "cuGraphAddChildGraphNode",
    graph_params.EMPTY: "cuGraphAddEmptyNode",
    graph_params.WAIT: "cuGraphAddEventWaitNode",
    graph_params.RECORD: "cuGraphAddEventRecordNode",
}
SET = {
    graph_params.KERNEL: "cuGraphKernelNodeSetParams_v2",
    graph_params.MEMCPY: "cuGraphMemcpyNodeSetParams",
    graph_params.MEMSET: "cuGraphMemsetNodeSetParams",
    graph_params.HOST: "cuGraphBatchMemOpNodeSetParams",
    graph_params.WAIT: "cuGraphEventWaitNodeSetEvent",
    graph_params.RECORD: "cuGraphEventRecordNodeSetEvent",
}
# Calls that take a context after these parameters.
WITH_CONTEXT = frozenset({graph_params.MEMCPY, graph_params.MEMSET})


def _words(data: bytes) -> tuple[int, ...]:
    return struct.unpack(f"={len(data) // 8}Q", data)


def _array(words: list[int]) -> ctypes.Array[ctypes.c_uint64]:
    return (ctypes.c_uint64 * max(1, len(words)))(*words)


@handles("graph_add_node")
def graph_add_node(worker: Worker, request: Request) -> dict[str, bytes]:
    """Add a node of any kind. Edges that carry data are drawn after it is there."""
    graph = object_of(worker, request["graph"], Kind.GRAPH)
    waits = [object_of(worker, h, Kind.GRAPH_NODE) for h in _words(request["dependencies"])]
    prepared = prepare(worker, request["parameters"], request["params"])
    if prepared.type == graph_params.HOST:
        _place_function(worker, request, prepared)
    edges = request["edges"] if any(request["edges"]) else b""
    made = add_node(worker, prepared, graph, waits, edges)
    handle = request["graph"]
    install(worker, request["node"], Kind.GRAPH_NODE, made, request.context, handle)
    if prepared.type == graph_params.CONDITIONAL:
        return {"bodies": _bodies(worker, prepared, request)}
    return {}


def _place_function(worker: Worker, request: Request, prepared: Prepared) -> None:
    handshake = handshakes.unlaunched(worker, request.context)
    prepared.take(handshakes.Parameters(worker, handshake, prepared.function))


def add_node(worker: Worker, prepared: Prepared, graph: int, waits: list[int], edges: bytes) -> int:
    """Have the driver add a node; the edges to it may carry data."""
    made = ctypes.c_uint64()
    _add(worker, prepared, made, graph, [] if edges else waits)
    if edges:
        _draw(worker, graph, waits, made.value, edges)
    return made.value


def _add(
    worker: Worker, prepared: Prepared, made: ctypes.c_uint64, graph: int, waits: list[int]
) -> None:
    array = _array(waits)
    place = ctypes.addressof(made), graph, ctypes.addressof(array) if waits else 0
    if prepared.type == graph_params.CONDITIONAL:
        worker.driver.call_named("cuGraphAddNode_v2", *place, 0, len(waits), *prepared.arguments)
        return
    context = [prepared.context] if prepared.type in WITH_CONTEXT else []
    worker.driver.call_named(ADD[prepared.type], *place, len(waits), *prepared.arguments, *context)


def _draw(worker: Worker, graph: int, waits: list[int], node: int, edges: bytes) -> None:
    """Draw edges with data to a new node; without them it must not stay."""
    sources, targets = _array(waits), _array([node] * len(waits))
    data = ctypes.create_string_buffer(edges, len(edges))
    parts = [ctypes.addressof(part) for part in (sources, targets, data)]
    try:
        worker.driver.call_named("cuGraphAddDependencies_v2", graph, *parts, len(waits))
    except CallError:
        worker.driver.call_named("cuGraphDestroyNode", node)
        raise


def _bodies(worker: Worker, prepared: Prepared, request: Request) -> bytes:
    """Handles of the graphs inside a conditional node, which die with the graph around it."""
    made, array = struct.unpack_from("=IQ", prepared.buffers[0].raw, BODIES_AT - 4)
    count = min(request["body_count"], made, BODIES_MAX)
    if not array:
        raise CallError(NOT_SUPPORTED)
    graphs = (ctypes.c_uint64 * count).from_address(array)
    found = [adopt(worker, Kind.GRAPH, item, 0, request["graph"]) for item in graphs]
    return struct.pack(f"={count}Q", *found)


def set_params(worker: Worker, prepared: Prepared, symbols: dict[int, str], *target: int) -> None:
    """Have the driver change a node; `target` is the node, with its executable graph before it."""
    if prepared.type not in symbols:
        raise CallError(NOT_SUPPORTED)
    executable = len(target) > 1
    context = [prepared.context] if executable and prepared.type in WITH_CONTEXT else []
    worker.driver.call_named(symbols[prepared.type], *target, *prepared.arguments, *context)


@handles("graph_node_set_params")
def graph_node_set_params(worker: Worker, request: Request) -> None:
    """Change a node of a graph."""
    prepared = prepare(worker, request["parameters"], request["params"])
    if prepared.type == graph_params.HOST:
        _place_function(worker, request, prepared)
    set_params(worker, prepared, SET, object_of(worker, request["node"], Kind.GRAPH_NODE))


@handles("graph_kernel_node_get_attribute", "graph_kernel_node_set_attribute")
def graph_kernel_node_attribute(worker: Worker, request: Request) -> dict[str, bytes] | Later:
    """Attributes are plain values, but for some that hold pointers of the driver."""
    if request["attribute"] in FOREIGN_ATTRIBUTES:
        raise CallError(NOT_SUPPORTED)
    return forward(worker, request)


@handles("user_object_create")
def user_object_create(worker: Worker, request: Request) -> None:
    """The destructor is announced to the application when the last reference is gone."""
    data = lib.vx_new_destructor(worker.vx, request["callback"])
    if not data:
        raise CallError(INVALID_VALUE)
    made = ctypes.c_uint64()
    worker.driver.call_named(
        "cuUserObjectCreate",
        ctypes.addressof(made),
        data,
        lib.vx_destructor_address(),
        request["references"],
        request["flags"],
    )
    install(worker, request["object"], Kind.USER_OBJECT, made.value)
