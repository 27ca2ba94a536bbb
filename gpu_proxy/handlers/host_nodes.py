# SPDX-License-Identifier: Apache-2.0
"""Host functions in graphs: nodes of memory operations on handshakes (csrc/handshake.h).

A node of a graph names its function, on a handshake that no launch uses. When a graph becomes an
executable one, each node gets a handshake that only this executable graph has; the graph's own
nodes are changed for that, since the driver copies them as they are, and stay so until the next
time. Which node has which handshake does not matter, but for changes of single nodes.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gpu_proxy._executor import lib
from gpu_proxy.handlers.handshakes import (
    NODE_PARAMS,
    OPERATION,
    OPERATIONS,
    WRITE,
    Parameters,
    take,
)
from gpu_proxy.request import CallError

if TYPE_CHECKING:
    from gpu_proxy.worker import Worker

INVALID_VALUE = 1
OUT_OF_MEMORY = 2
HOST, CHILD, MEMORY_OPERATIONS = 3, 4, 12  # CUgraphNodeType
Results = dict[str, bytes] | None


@dataclass(frozen=True)
class HostNode:
    """A node of a graph that calls a function of the application."""

    node: int
    inside: int  # the child node of the outermost graph that it is in, or itself
    function: int
    context: int


@dataclass
class Executable:
    """The handshakes of an executable graph."""

    number: int
    all: list[int] = field(default_factory=list)
    in_use: set[int] = field(default_factory=set)
    places: dict[int, list[int]] = field(default_factory=dict)  # by node of the outermost graph
    nested: dict[int, tuple[int, int]] = field(default_factory=dict)  # node: where it is, handshake
    nodes: int = 0

    def spare(self) -> int:
        """A handshake that no node has, or 0."""
        return next((one for one in self.all if one not in self.in_use), 0)


def read(worker: Worker, node: int, inside: int = 0) -> HostNode | None:
    """The host function of a node of memory operations, unless those are the application's own."""
    raw = ctypes.create_string_buffer(NODE_PARAMS.size)
    worker.driver.call_named("cuGraphBatchMemOpNodeGetParams", node, ctypes.addressof(raw))
    _, count, array, _ = NODE_PARAMS.unpack(raw.raw)
    if count != OPERATIONS:
        return None
    kind, address, value, _, _ = OPERATION.unpack(ctypes.string_at(array, OPERATION.size))
    if kind != WRITE or lib.vx_range_covers(worker.vx, address, 4):
        return None
    context = lib.vx_handshake_context(worker.vx, address)  # 0: it is gone, and the handshake too
    return HostNode(node, inside or node, value - 1, int(context))


def type_of(worker: Worker, node: int) -> int:
    """CUgraphNodeType, as the driver has it."""
    kind = ctypes.c_int32()
    worker.driver.call_named("cuGraphNodeGetType", node, ctypes.addressof(kind))
    return kind.value


def type_seen(worker: Worker, node: int) -> int:
    """CUgraphNodeType, as the application made the node."""
    kind = type_of(worker, node)
    return HOST if kind == MEMORY_OPERATIONS and read(worker, node) else kind


def _nodes_of(worker: Worker, graph: int) -> list[int]:
    count = ctypes.c_uint64()
    worker.driver.call_named("cuGraphGetNodes", graph, 0, ctypes.addressof(count))
    nodes = (ctypes.c_uint64 * max(1, count.value))()
    where = ctypes.addressof(nodes), ctypes.addressof(count)
    worker.driver.call_named("cuGraphGetNodes", graph, *where)
    return list(nodes[: count.value])


def _find(worker: Worker, graph: int, inside: int = 0) -> Iterator[HostNode]:
    """All host functions in a graph and the graphs inside."""
    for node in _nodes_of(worker, graph):
        kind = type_of(worker, node)
        if kind == CHILD:
            child = ctypes.c_uint64()
            where = ctypes.addressof(child)
            worker.driver.call_named("cuGraphChildGraphNodeGetGraph", node, where)
            yield from _find(worker, child.value, inside or node)
        elif kind == MEMORY_OPERATIONS and (found := read(worker, node, inside)):
            yield found


def _new(worker: Worker) -> Executable:
    number = lib.vx_new_host_graph(worker.vx)
    if not number:
        raise CallError(OUT_OF_MEMORY)
    return Executable(int(number))


def _choose(worker: Worker, executable: Executable, context: int) -> int:
    """A handshake for one node of an executable graph."""
    chosen = executable.spare()
    if not chosen:
        chosen = take(worker, context, executable.number)
        executable.all.append(chosen)
    executable.in_use.add(chosen)
    return chosen


def _prepare(worker: Worker, executable: Executable, found: list[HostNode]) -> None:
    """Give nodes of a graph the handshakes that an executable graph will use."""
    for one in found:
        handshake = _choose(worker, executable, one.context)
        params = Parameters(worker, handshake, one.function)
        worker.driver.call_named("cuGraphBatchMemOpNodeSetParams", one.node, params.address)
        executable.places.setdefault(one.inside, []).append(handshake)
        executable.nested[one.node] = one.inside, handshake


def instantiate(worker: Worker, graph: int, handle: int, perform: Callable[[], Results]) -> Results:
    """Run on a lane: make an executable graph, and give it its handshakes before."""
    found = list(_find(worker, graph)) if worker.resources.host_nodes_made else []
    if not found:
        return perform()
    executable = _new(worker)
    try:
        _prepare(worker, executable, found)
        results = perform()
    except CallError:
        lib.vx_end_host_graph(worker.vx, executable.number)
        raise
    executable.nodes = len(found)
    worker.resources.executables[handle] = executable
    lib.vx_bind_host_graph(worker.vx, executable.number, handle, executable.nodes)
    return results


def update(worker: Worker, handle: int, graph: int, perform: Callable[[], None]) -> None:
    """Run on a lane: the executable graph takes its functions from another graph.

    The driver decides which node becomes which, so single nodes have unknown handshakes then.
    """
    known = worker.resources.executables.get(handle)
    found = list(_find(worker, graph)) if known else []
    if known:
        before = known.in_use, known.places, known.nested
        known.in_use, known.places, known.nested = set(), {}, {}
        try:
            _prepare(worker, known, found)
            perform()
        except CallError:
            known.in_use, known.places, known.nested = before
            raise
        known.places, known.nested = {}, {}
    else:
        perform()


def change(worker: Worker, handle: int, node: int, function: int) -> Parameters:
    """Parameters that give one node of an executable graph another function."""
    executable = worker.resources.executables.get(handle)
    if executable is None:
        raise CallError(INVALID_VALUE)
    _, handshake = executable.nested.get(node, (0, 0))
    if not handshake:
        context = lib.vx_handshake_context(
            worker.vx, lib.vx_handshake_address(worker.vx, executable.all[0])
        )
        handshake = _choose(worker, executable, int(context))
        executable.nested[node] = node, handshake
    return Parameters(worker, handshake, function)


def prepare_child(worker: Worker, handle: int, node: int, child: int) -> None:
    """The graph inside a node of an executable graph is about to become another one.

    Its nodes take the handshakes that the old ones had; which of them has which is not kept.
    """
    executable = worker.resources.executables.get(handle)
    if executable is None:
        return
    executable.in_use.difference_update(executable.places.pop(node, []))
    _prepare(worker, executable, list(_find(worker, child, node)))
    executable.nested = {k: v for k, v in executable.nested.items() if v[0] != node}


def forget(worker: Worker, handle: int) -> None:
    """An executable graph is gone; launches that are under way still end."""
    executable = worker.resources.executables.pop(handle, None)
    if executable:
        lib.vx_end_host_graph(worker.vx, executable.number)
