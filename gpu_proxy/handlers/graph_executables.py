# SPDX-License-Identifier: Apache-2.0
"""Executable graphs: made, changed, launched and destroyed."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING

from gpu_proxy._executor import ffi, lib
from gpu_proxy.handlers import graph_params, handles, host_nodes
from gpu_proxy.handlers.generic import adopt, forward, install, object_of
from gpu_proxy.handlers.graph_memory import claimed
from gpu_proxy.handlers.graph_params import prepare
from gpu_proxy.handlers.graphs import set_params
from gpu_proxy.handlers.waits import stream_object
from gpu_proxy.request import CallError, Later, Request
from idm.api.types import Kind

if TYPE_CHECKING:
    from gpu_proxy.worker import Worker

SET_EXEC = {
    graph_params.KERNEL: "cuGraphExecKernelNodeSetParams_v2",
    graph_params.MEMCPY: "cuGraphExecMemcpyNodeSetParams",
    graph_params.MEMSET: "cuGraphExecMemsetNodeSetParams",
    graph_params.HOST: "cuGraphExecBatchMemOpNodeSetParams",
    graph_params.CHILD: "cuGraphExecChildGraphNodeSetParams",
    graph_params.WAIT: "cuGraphExecEventWaitNodeSetEvent",
    graph_params.RECORD: "cuGraphExecEventRecordNodeSetEvent",
}


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
    set_params(worker, prepared, SET_EXEC, executable, node)


@handles("cuGraphExecChildGraphNodeSetParams")
def graph_exec_child_graph_node_set_params(
    worker: Worker, request: Request
) -> dict[str, bytes] | Later:
    """Change the graph inside a node of an executable graph."""
    node = object_of(worker, request["node"], Kind.GRAPH_NODE)
    child = object_of(worker, request["child"], Kind.GRAPH)
    host_nodes.prepare_child(worker, request["exec"], node, child)
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

    return Later(lambda: _make(worker, request, graph, perform))


@handles("cuGraphInstantiate", "cuGraphInstantiate_v2", "cuGraphInstantiateWithFlags")
def graph_instantiate(worker: Worker, request: Request) -> Later:
    """Instantiate."""
    graph = object_of(worker, request["graph"], Kind.GRAPH)
    forwarded = forward(worker, request)
    assert isinstance(forwarded, Later)
    perform = forwarded.finish
    return Later(lambda: _make(worker, request, graph, perform))


def _make(
    worker: Worker, request: Request, graph: int, perform: Callable[[], dict[str, bytes] | None]
) -> dict[str, bytes] | None:
    """Make a graph executable, on a lane: what it will allocate is charged first."""
    with claimed(worker, request["exec"], graph):
        return host_nodes.instantiate(worker, graph, request["exec"], perform)


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
    if lib.vx_is_accounted(worker.vx, request["exec"]):
        worker.account.graphs.launched(request["exec"])


@handles("cuGraphExecDestroy")
def graph_exec_destroy(worker: Worker, request: Request) -> dict[str, bytes] | Later:
    """Destroy; what was launched goes on."""
    host_nodes.forget(worker, request["exec"])
    try:
        return forward(worker, request)
    finally:  # The handle is gone, whatever the driver says.
        worker.account.graphs.executable_gone(request["exec"])


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
