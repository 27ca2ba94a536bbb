# SPDX-License-Identifier: Apache-2.0
"""Host functions in graphs: who has which handshake, and what is announced when."""

from __future__ import annotations

import ctypes
import struct
from typing import Any

import pytest
from gpu_proxy._executor import lib

from gpu_proxy.binding import EXECUTOR_FUNCTIONS
from gpu_proxy.handlers import host_nodes
from gpu_proxy.handlers.handshakes import (
    FUNCTION,
    LASTING,
    NODE_PARAMS,
    OPERATION,
    WRITE,
    Parameters,
    _make_block,
    operations,
    unlaunched,
)
from gpu_proxy.request import CallError
from gpu_proxy.resources import Context
from idm.api.types import Kind

INVALID_VALUE, OUT_OF_MEMORY, INVALID_CONTEXT = 1, 2, 201
CONTEXT, OBJECT = int(Kind.CONTEXT) << 56 | 1 << 32 | 1, 0xC1
KERNEL, CHILD, OPERATIONS = 0, 4, 12
SLOT = 3


class Graphs:
    """A driver's graphs, as far as host functions need them."""

    def __init__(self, worker: Any) -> None:
        self.worker = worker
        self.graphs: dict[int, list[int]] = {}
        self.kinds: dict[int, int] = {}
        self.inner: dict[int, int] = {}
        self.operations: dict[int, bytes] = {}
        self.capturing = 0
        self._kept: list[Any] = []
        self._made = 0x100
        worker.driver.effects = {
            "cuMemHostAlloc": self._allocate,
            "cuMemHostGetDevicePointer_v2": lambda where, host, _: _put(where, host),
            "cuGraphGetNodes": self._nodes,
            "cuGraphNodeGetType": lambda node, where: _put(where, self.kinds[node], ctypes.c_int32),
            "cuGraphChildGraphNodeGetGraph": lambda node, where: _put(where, self.inner[node]),
            "cuGraphBatchMemOpNodeGetParams": self._get,
            "cuGraphBatchMemOpNodeSetParams": self._set,
        }
        for index, (base, _) in enumerate(EXECUTOR_FUNCTIONS):
            lib.vx_set_driver(worker.vx, index, self._function(base))
        worker.resources.contexts[CONTEXT] = Context(OBJECT, 0, primary=True)

    def _function(self, base: str) -> int:
        def call(*arguments: int) -> int:
            if base == "cuStreamIsCapturing":
                _put(arguments[1], self.capturing, ctypes.c_int32)
            return 0

        made = ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.c_uint64] * 4)(call)
        self._kept.append(made)
        return ctypes.cast(made, ctypes.c_void_p).value or 0

    def _allocate(self, where: int, size: int, _: int) -> None:
        self._kept.append(ctypes.create_string_buffer(b"\xaa" * size, size))
        _put(where, ctypes.addressof(self._kept[-1]))

    def _nodes(self, graph: int, array: int, count: int) -> None:
        nodes = self.graphs[graph]
        if array:
            (ctypes.c_uint64 * len(nodes)).from_address(array)[:] = nodes
        _put(count, len(nodes))

    def _get(self, node: int, where: int) -> None:
        data = self.operations[node]
        self._kept.append(ctypes.create_string_buffer(data, len(data)))
        array = ctypes.addressof(self._kept[-1])
        packed = NODE_PARAMS.pack(OBJECT, len(data) // OPERATION.size, array, 0)
        ctypes.memmove(where, packed, len(packed))

    def _set(self, node: int, where: int) -> None:
        _, count, array, _ = NODE_PARAMS.unpack(ctypes.string_at(where, NODE_PARAMS.size))
        self.operations[node] = ctypes.string_at(array, count * OPERATION.size)

    def graph(self) -> int:
        self._made += 1
        self.graphs[self._made] = []
        return self._made

    def node(self, graph: int, kind: int) -> int:
        self._made += 1
        self.kinds[self._made] = kind
        self.graphs[graph].append(self._made)
        return self._made

    def host(self, graph: int, function: int) -> int:
        node = self.node(graph, OPERATIONS)
        handshake = unlaunched(self.worker, CONTEXT)
        params = Parameters(self.worker, handshake, function)
        self._set(node, params.address)
        return node

    def child(self, graph: int, inner: int) -> int:
        node = self.node(graph, CHILD)
        self.inner[node] = inner
        return node

    def words(self, node: int) -> int:
        """Where the handshake of a node is."""
        return int(OPERATION.unpack_from(self.operations[node])[1])

    def instantiate(self, graph: int) -> int:
        """An executable graph; its nodes have the handshakes that the graph's have now."""
        handle = self.worker.give(Kind.GRAPH_EXEC, self.graph())
        host_nodes.instantiate(self.worker, graph, handle, dict)
        return int(handle)

    def launch(self, handle: int) -> None:
        lib.vx_graph_launched(self.worker.vx, handle, 0x57)


def _put(where: int, value: int, kind: Any = ctypes.c_uint64) -> None:
    kind.from_address(where).value = value


def due(words: int, function: int) -> None:
    """What the driver writes when it comes to a node."""
    _put(words, function + 1, ctypes.c_uint32)


def word(address: int) -> int:
    return int(ctypes.c_uint32.from_address(address).value)


@pytest.fixture
def graphs(worker: Any) -> Graphs:
    return Graphs(worker)


def fetch(worker: Any, sequence: int) -> int:
    """What the application's callback thread gets; 0 when it has to wait."""
    at = lib.IDM_SLOTS_AT + SLOT * lib.IDM_SLOT_BYTES
    lib.vx_callback_wait(worker.vx, SLOT, sequence)
    (done,) = struct.unpack_from("=I", worker._region, at)
    return struct.unpack_from("=Q", worker._region, at + 64)[0] if done == sequence else 0


def executable(graphs: Graphs, handle: int) -> host_nodes.Executable:
    found = graphs.worker.resources.executables[handle]
    assert isinstance(found, host_nodes.Executable)
    return found


def test_each_executable_graph_has_its_own(graphs: Graphs) -> None:
    inner, outer = graphs.graph(), graphs.graph()
    nodes = [graphs.host(outer, 1), graphs.host(inner, 2), graphs.host(outer, 3)]
    graphs.child(outer, inner)
    graphs.node(outer, KERNEL)
    unlaunched = graphs.words(nodes[0])
    assert {graphs.words(node) for node in nodes} == {unlaunched}
    seen = {unlaunched}
    for _ in range(3):
        graphs.instantiate(outer)
        now = {graphs.words(node) for node in nodes}
        assert len(now) == 3
        assert not now & seen
        seen |= now
    assert [host_nodes.read(graphs.worker, node).function for node in nodes] == [1, 2, 3]
    assert {host_nodes.type_seen(graphs.worker, node) for node in nodes} == {host_nodes.HOST}


def test_memory_operations_of_the_application_are_none(graphs: Graphs, memory: Any) -> None:
    graph = graphs.graph()
    node = graphs.node(graph, OPERATIONS)
    graphs.operations[node] = operations(memory[0], 1)
    assert host_nodes.type_seen(graphs.worker, node) == OPERATIONS
    graphs.operations[node] = OPERATION.pack(WRITE, memory[0], 1, 0, 0)
    assert host_nodes.read(graphs.worker, node) is None
    graphs.host(graph, 1)
    before = graphs.operations[node]
    assert executable(graphs, graphs.instantiate(graph)).nodes == 1
    assert graphs.operations[node] == before


def test_what_is_due_is_announced_and_its_end_is_told(graphs: Graphs) -> None:
    vx, graph = graphs.worker.vx, graphs.graph()
    node = graphs.host(graph, 41)
    handle = graphs.instantiate(graph)
    words = graphs.words(node)
    due(words, 41)
    assert lib.vx_poll_handshakes(vx) == 0  # nothing was launched
    assert fetch(graphs.worker, 1) == 0
    graphs.launch(handle)
    assert lib.vx_poll_handshakes(vx) == 1
    number = fetch(graphs.worker, 1)
    assert number - LASTING & FUNCTION == 41
    assert (word(words), word(words + 4)) == (0, 0)
    for wrong in (number + (1 << 32), LASTING | 41, number & ~LASTING):
        lib.vx_callback_done(vx, wrong)
    assert word(words + 4) == 0
    lib.vx_callback_done(vx, number)
    assert word(words + 4) == 1
    _put(words + 4, 0, ctypes.c_uint32)
    lib.vx_callback_done(vx, number)  # said twice
    assert word(words + 4) == 0


def test_a_launch_that_is_captured_calls_nothing(graphs: Graphs) -> None:
    graph = graphs.graph()
    node = graphs.host(graph, 1)
    handle = graphs.instantiate(graph)
    graphs.capturing = 1
    assert lib.vx_capture_room(graphs.worker.vx) == 0
    lib.vx_capture_began(graphs.worker.vx, 0x57, 1, 2)
    graphs.launch(handle)
    due(graphs.words(node), 1)
    assert lib.vx_poll_handshakes(graphs.worker.vx) == 0


def test_more_are_due_than_the_queue_holds(graphs: Graphs) -> None:
    vx, graph, count = graphs.worker.vx, graphs.graph(), 2000
    nodes = [graphs.host(graph, number) for number in range(count)]
    graphs.launch(graphs.instantiate(graph))
    for number, node in enumerate(nodes):
        due(graphs.words(node), number)
    room = lib.VX_DUE - lib.VX_CALLBACKS
    assert lib.vx_poll_handshakes(vx) == room
    assert lib.vx_poll_handshakes(vx) == 0
    called = set()
    for sequence in range(1, count + 1):
        called.add(fetch(graphs.worker, sequence) & FUNCTION)
        lib.vx_poll_handshakes(vx)
    assert called == set(range(count))


def test_words_are_used_again_after_the_last_launch(graphs: Graphs) -> None:
    vx, worker, graph = graphs.worker.vx, graphs.worker, graphs.graph()
    node = graphs.host(graph, 1)
    handle = graphs.instantiate(graph)
    words = graphs.words(node)
    graphs.launch(handle)
    host_nodes.forget(worker, handle)

    def next_words() -> int:
        """Those of another executable graph."""
        host_nodes.forget(worker, graphs.instantiate(graph))
        return graphs.words(node)

    assert next_words() != words  # a function is expected there
    due(words, 1)
    assert lib.vx_poll_handshakes(vx) == 1
    assert next_words() != words  # it runs
    lib.vx_callback_done(vx, fetch(worker, 1))
    assert next_words() != words  # the driver has not seen yet that it is done
    _put(words + 4, 0, ctypes.c_uint32)
    assert next_words() == words


def test_an_executable_graph_that_changes_needs_no_more_and_no_more(graphs: Graphs) -> None:
    worker, graph, inner = graphs.worker, graphs.graph(), graphs.graph()
    nodes = [graphs.host(graph, 1), graphs.host(graph, 2)]
    graphs.host(inner, 3)
    child = graphs.child(graph, inner)
    handle = graphs.instantiate(graph)
    for _ in range(100):
        for node in nodes:
            host_nodes.change(worker, handle, node, 5)
        host_nodes.prepare_child(worker, handle, child, inner)
        host_nodes.update(worker, handle, graph, lambda: None)
        for node in nodes:
            host_nodes.change(worker, handle, node, 5)
        host_nodes.prepare_child(worker, handle, child, inner)
    assert len(executable(graphs, handle).all) <= 2 * 3
    assert executable(graphs, handle).nodes == 3


def test_one_change_of_a_node_takes_no_other_nodes_words(graphs: Graphs) -> None:
    worker, graph = graphs.worker, graphs.graph()
    nodes = [graphs.host(graph, 1), graphs.host(graph, 2)]
    handle = graphs.instantiate(graph)
    before = [graphs.words(node) for node in nodes]

    def changed(node: int) -> int:
        params = host_nodes.change(worker, handle, node, 5)
        graphs._set(node, params.address)
        return graphs.words(node)

    assert [changed(node) for node in nodes] == before
    host_nodes.update(worker, handle, graph, lambda: None)
    after = {graphs.words(node) for node in nodes}
    assert not {changed(nodes[0]), changed(nodes[1])} & after


def test_an_update_that_fails_changes_nothing(graphs: Graphs) -> None:
    graph = graphs.graph()
    node = graphs.host(graph, 1)
    handle = graphs.instantiate(graph)
    before = executable(graphs, handle).nested.copy()

    def fail() -> None:
        raise CallError(INVALID_VALUE)

    with pytest.raises(CallError):
        host_nodes.update(graphs.worker, handle, graph, fail)
    assert executable(graphs, handle).nested == before
    assert node in before


def test_nothing_is_launched_in_memory_that_is_gone(graphs: Graphs) -> None:
    worker, graph = graphs.worker, graphs.graph()
    node = graphs.host(graph, 1)
    handle = graphs.instantiate(graph)
    assert lib.vx_may_launch(worker.vx, handle) == 0
    graphs.launch(handle)
    words = graphs.words(node)
    lib.vx_forget_pools(worker.vx, OBJECT)
    assert word(words + 4) == 1  # who waits there is let go
    assert lib.vx_may_launch(worker.vx, handle) == INVALID_CONTEXT
    due(words, 1)
    assert lib.vx_poll_handshakes(worker.vx) == 0
    del worker.resources.contexts[CONTEXT]
    with pytest.raises(CallError) as caught:
        graphs.instantiate(graph)
    assert caught.value.status == INVALID_CONTEXT


def test_contexts_that_come_and_go_leave_room(graphs: Graphs) -> None:
    worker = graphs.worker
    for number in range(2 * lib.VX_HANDSHAKES // lib.VX_HANDSHAKE_BLOCK):
        worker.resources.contexts[CONTEXT].object = OBJECT + number
        graph = graphs.graph()
        graphs.host(graph, 1)
        host_nodes.forget(worker, graphs.instantiate(graph))
        lib.vx_forget_pools(worker.vx, OBJECT + number)


def test_there_are_only_so_many(graphs: Graphs) -> None:
    worker = graphs.worker
    unlaunched(worker, CONTEXT)
    blocks = lib.VX_HANDSHAKES // lib.VX_HANDSHAKE_BLOCK
    for _ in range(blocks - 1):
        _make_block(worker, OBJECT)
    with pytest.raises(CallError) as caught:
        _make_block(worker, OBJECT)
    assert caught.value.status == OUT_OF_MEMORY
    assert worker.driver.symbols.count("cuMemFreeHost") == 1
