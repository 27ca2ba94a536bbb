# SPDX-License-Identifier: Apache-2.0
"""Graph nodes from the wire: translated, checked, and sent to the call for their kind."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from gpu_proxy.handlers import graph_params
from gpu_proxy.handlers.graph_params import KERNEL_PARAMS, MEMSET_PARAMS, PARAMS_BYTES, prepare
from gpu_proxy.handlers.graphs import graph_add_node, graph_node_set_params
from gpu_proxy.request import CallError
from idm.api.types import Kind

INVALID_VALUE, INVALID_HANDLE, NOT_SUPPORTED = 1, 400, 801
LASTING = 1 << 62
NODE = int(Kind.GRAPH_NODE) << 56 | 1 << 32 | 5


def params(kind: int, union: bytes = b"") -> bytes:
    return (struct.pack("=i12x", kind) + union).ljust(PARAMS_BYTES, b"\0")


def memset(address: int, width: int, height: int = 1, pitch: int = 0) -> bytes:
    return params(2, MEMSET_PARAMS.pack(address, pitch, 7, 4, width, height, 0))


def status(worker: Any, data: bytes, extra: bytes = b"") -> int:
    try:
        prepare(worker, data, extra)
    except CallError as error:
        return error.status
    return 0


def test_a_fill_stays_in_its_allocation(worker: Any, memory: tuple[int, int]) -> None:
    base, length = memory
    assert status(worker, memset(base, length // 4)) == 0
    assert status(worker, memset(base, length // 4 + 1)) == INVALID_VALUE
    assert status(worker, memset(base, 1, 3, 1 << 62)) == INVALID_VALUE
    assert status(worker, memset(0, 1)) == INVALID_VALUE


def kernel(handle: int) -> bytes:
    return params(0, KERNEL_PARAMS.pack(handle, 1, 2, 3, 4, 5, 6, 7, 0xBAD, 0xBAD, 0xBAD, 0))


def test_a_function_of_a_module(worker: Any) -> None:
    handle = worker.give(Kind.FUNCTION, 0xF0, worker.give(Kind.MODULE, 0xA0))
    prepared = prepare(worker, kernel(handle), b"12345678")
    function, *shape, pointers, extra, kernel_, context = KERNEL_PARAMS.unpack(
        prepared.buffers[-1].raw
    )
    assert (function, shape, pointers, kernel_) == (0xF0, [1, 2, 3, 4, 5, 6, 7], 0, 0)
    assert extra
    assert context == worker.current()


def test_a_kernel_of_a_library(worker: Any) -> None:
    handle = worker.give(Kind.FUNCTION, 0xF0, worker.give(Kind.LIBRARY, 0xA0))
    prepared = prepare(worker, kernel(handle), b"")
    function, *_, extra, kernel_, _ = KERNEL_PARAMS.unpack(prepared.buffers[-1].raw)
    assert (function, extra, kernel_) == (0, 0, 0xF0)


def test_handles_that_are_none(worker: Any) -> None:
    assert status(worker, kernel(12345)) == INVALID_HANDLE
    for kind in (4, 6, 7):
        assert status(worker, params(kind, struct.pack("=Q", 99))) == INVALID_HANDLE
    graph = worker.give(Kind.GRAPH, 0x60)
    moved = params(4, struct.pack("=Qi", graph, 1))
    assert status(worker, moved) == NOT_SUPPORTED
    assert status(worker, params(9)) == NOT_SUPPORTED


def test_a_host_function_is_a_number(worker: Any) -> None:
    prepared = prepare(worker, params(3, struct.pack("=QQ", 0xBAD, LASTING | 4)), b"")
    assert prepared.function == 4
    # A number of a stream's function would be acknowledged in another way; above the function's
    # number is the back end's own.
    for number in (4, LASTING | 1 << 20, LASTING | 1 << 32):
        assert status(worker, params(3, struct.pack("=QQ", 0, number))) == INVALID_VALUE


def add(worker: Any, data: bytes, edges: bytes, waits: list[int]) -> Any:
    return worker.request(
        "vgpuGraphAddNode",
        node=NODE,
        graph=worker.give(Kind.GRAPH, 0x60),
        dependencies=struct.pack(f"={len(waits)}Q", *waits),
        edges=edges,
        count=len(waits),
        parameters=data,
        param_bytes=0,
        params=b"",
        body_count=0,
        bodies=0,
    )


def test_plain_edges_go_with_the_node(worker: Any) -> None:
    wait = worker.give(Kind.GRAPH_NODE, 0x61)
    graph_add_node(worker, add(worker, params(graph_params.EMPTY), bytes(8), [wait]))
    assert worker.driver.symbols == ["cuGraphAddEmptyNode"]
    assert worker.driver.calls[0][2] == 0x60
    assert worker.driver.calls[0][4] == 1


def test_edges_with_data_are_drawn_after_it(worker: Any) -> None:
    wait = worker.give(Kind.GRAPH_NODE, 0x61)
    request = add(worker, params(graph_params.EMPTY), b"\x01" + bytes(7), [wait])
    worker.driver.fails["cuGraphAddDependencies_v2"] = INVALID_VALUE
    with pytest.raises(CallError):
        graph_add_node(worker, request)
    assert worker.driver.symbols == [
        "cuGraphAddEmptyNode",
        "cuGraphAddDependencies_v2",
        "cuGraphDestroyNode",
    ]


def test_some_kinds_have_no_parameters_to_set(worker: Any) -> None:
    node = worker.give(Kind.GRAPH_NODE, 0x61)
    request = worker.request(
        "vgpuGraphNodeSetParams", node=node, parameters=params(5), param_bytes=0, params=b""
    )
    with pytest.raises(CallError) as caught:
        graph_node_set_params(worker, request)
    assert caught.value.status == NOT_SUPPORTED
