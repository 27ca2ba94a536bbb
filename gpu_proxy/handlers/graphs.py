# SPDX-License-Identifier: Apache-2.0
"""Graphs: adding nodes, setting their parameters, updating and instantiating."""

from __future__ import annotations

import ctypes
import struct
from typing import TYPE_CHECKING

from gpu_proxy._executor import ffi, lib
from gpu_proxy.handlers import graph_params, handles, host_nodes
from gpu_proxy.handlers.generic import adopt, forward, install, object_of
from gpu_proxy.handlers.graph_params import Prepared, prepare
from gpu_proxy.handlers.waits import stream_object
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
SET_EXEC = {
    graph_params.KERNEL: "cuGraphExecKernelNodeSetParams_v2",
    graph_params.MEMCPY: "cuGraphExecMemcpyNodeSetParams",
    graph_params.MEMSET: "cuGraphExecMemsetNodeSetParams",
    graph_params.HOST: "cuGraphExecBatchMemOpNodeSetParams",
    graph_params.CHILD: "cuGraphExecChildGraphNodeSetParams",
    graph_params.WAIT: "cuGraphExecEventWaitNodeSetEvent",
    graph_params.RECORD: "cuGraphExecEventRecordNodeSetEvent",
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
    handshake = host_nodes.unlaunched(worker, request.context)
    prepared.take(host_nodes.Parameters(worker, handshake, prepared.function))


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


def _set(worker: Worker, prepared: Prepared, symbols: dict[int, str], *target: int) -> None:
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
    _set(worker, prepared, SET, object_of(worker, request["node"], Kind.GRAPH_NODE))


@handles("graph_exec_node_set_params")
def graph_exec_node_set_params(worker: Worker, request: Request) -> None:
    """Change a node of an executable graph."""
    executable = object_of(worker, request["exec"], Kind.GRAPH_EXEC)
    node = object_of(worker, request["node"], Kind.GRAPH_NODE)
    prepared = prepare(worker, request["parameters"], request["params"])
    if prepared.type == graph_params.HOST:
        params = host_nodes.change(worker, request["exec"], node, prepared.function)
        prepared.take(params)
    if prepared.type == graph_params.CHILD:
        child = prepared.arguments[0]
        host_nodes.prepare_child(worker, request["exec"], node, child)
    _set(worker, prepared, SET_EXEC, executable, node)


@handles("cuGraphExecChildGraphNodeSetParams")
def graph_exec_child_graph_node_set_params(
    worker: Worker, request: Request
) -> dict[str, bytes] | Later:
    """Change the graph inside a node of an executable graph."""
    node = object_of(worker, request["node"], Kind.GRAPH_NODE)
    child = object_of(worker, request["child"], Kind.GRAPH)
    host_nodes.prepare_child(worker, request["exec"], node, child)
    return forward(worker, request)


@handles("graph_kernel_node_get_attribute", "graph_kernel_node_set_attribute")
def graph_kernel_node_attribute(worker: Worker, request: Request) -> dict[str, bytes] | Later:
    """Attributes are plain values, but for some that hold pointers of the driver."""
    if request["attribute"] in FOREIGN_ATTRIBUTES:
        raise CallError(NOT_SUPPORTED)
    return forward(worker, request)


@handles("graph_instantiate_with_params")
def graph_instantiate_with_params(worker: Worker, request: Request) -> Later:
    """Instantiate; the structure names a stream, and on failure the node that was wrong."""
    flags, stream, _, _ = struct.unpack("=QQQi4x", request["parameters"])
    graph = object_of(worker, request["graph"], Kind.GRAPH)
    upload = ffi.new("uint64_t *")
    status = lib.vx_stream(worker.vx, stream, request.thread, request.flags, upload)
    if status:
        raise CallError(status)

    def perform() -> dict[str, bytes]:
        made = ctypes.c_uint64()
        packed = struct.pack("=QQQi4x", flags, upload[0], 0, 0)
        params = ctypes.create_string_buffer(packed, len(packed))
        parts = ctypes.addressof(made), graph, ctypes.addressof(params)
        worker.driver.call_named("cuGraphInstantiateWithParams", *parts)
        _, _, node, result = struct.unpack("=QQQi4x", params.raw)
        install(worker, request["exec"], Kind.GRAPH_EXEC, made.value, request.context)
        handle = adopt(worker, Kind.GRAPH_NODE, node, 0, request["graph"])
        return {"parameters": struct.pack("=QQQi4x", flags, stream, handle, result)}

    return Later(lambda: host_nodes.instantiate(worker, graph, request["exec"], perform))


@handles("cuGraphInstantiate", "cuGraphInstantiate_v2", "cuGraphInstantiateWithFlags")
def graph_instantiate(worker: Worker, request: Request) -> Later:
    """Instantiate."""
    graph = object_of(worker, request["graph"], Kind.GRAPH)
    forwarded = forward(worker, request)
    assert isinstance(forwarded, Later)
    perform = forwarded.finish
    return Later(lambda: host_nodes.instantiate(worker, graph, request["exec"], perform))


@handles("cuGraphLaunch")
def graph_launch(worker: Worker, request: Request) -> None:
    """Launch; the functions of the application that it will call are looked for from now on."""
    executable = object_of(worker, request["exec"], Kind.GRAPH_EXEC)
    stream = stream_object(worker, request)
    status = lib.vx_may_launch(worker.vx, request["exec"])
    if status:
        raise CallError(status)
    worker.driver.call(request.row, executable, stream)
    lib.vx_graph_launched(worker.vx, request["exec"], stream)


@handles("cuGraphExecDestroy")
def graph_exec_destroy(worker: Worker, request: Request) -> dict[str, bytes] | Later:
    """Destroy; what was launched goes on."""
    host_nodes.forget(worker, request["exec"])
    return forward(worker, request)


@handles("graph_exec_update")
def graph_exec_update(worker: Worker, request: Request) -> Later:
    """Update; why it failed is part of the answer."""
    executable = object_of(worker, request["exec"], Kind.GRAPH_EXEC)
    graph = object_of(worker, request["graph"], Kind.GRAPH)

    def finish() -> dict[str, bytes]:
        info = ctypes.create_string_buffer(24)
        status = 0
        parts = executable, graph, ctypes.addressof(info)
        try:
            host_nodes.update(
                worker,
                request["exec"],
                graph,
                lambda: worker.driver.call_named("cuGraphExecUpdate_v2", *parts),
            )
        except CallError as error:
            status = error.status
        result, *nodes = struct.unpack("=i4xQQ", info.raw)
        known = [adopt(worker, Kind.GRAPH_NODE, node, 0, request["graph"]) for node in nodes]
        return {
            "status": struct.pack("=i", status),
            "info": struct.pack("=i4xQQ", result, *known),
        }

    return Later(finish)


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
