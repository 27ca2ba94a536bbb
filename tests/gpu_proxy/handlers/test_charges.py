# SPDX-License-Identifier: Apache-2.0
"""What handlers charge: kinds that the software GPU lacks, and front ends that break the rules."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from gpu_proxy._executor import lib

from gpu_proxy import handlers
from gpu_proxy.handlers.arrays import array_create, mipmapped_array_create
from gpu_proxy.handlers.generic import drop
from gpu_proxy.handlers.graph_executables import graph_exec_destroy, graph_launch
from gpu_proxy.handlers.green_contexts import green_ctx_create
from gpu_proxy.request import CallError
from idm.api.table import load
from idm.api.types import Kind

MiB = 1 << 20
GRAPH, OBJECT = 0xF0, 0xB0


def handle(kind: Kind, index: int) -> int:
    return int(kind) << 56 | 1 << 32 | index


def mipmaps(worker: Any, levels: int = 5) -> Any:
    item = handle(Kind.MIPMAPPED_ARRAY, 5)
    descriptor = struct.pack("=QQQIII4x", 1024, 1024, 0, 32, 4, 0)
    symbol = "cuMipmappedArrayCreate"
    return worker.request(symbol, array=item, descriptor=descriptor, levels=levels)


def test_mipmapped_arrays_are_charged_for_all_levels(worker: Any) -> None:
    request = mipmaps(worker)
    mipmapped_array_create(worker, request)
    every_level = sum(16 * (1024 >> level) ** 2 for level in range(11))
    assert every_level <= worker.channel.charged <= 2 * 16 * MiB
    drop(worker, request["array"])
    assert worker.channel.charged == 0


def test_green_contexts_are_charged_as_contexts_are(worker: Any) -> None:
    worker.account.contexts.context_bytes = 100 * MiB
    request = worker.request(
        "cuGreenCtxCreate",
        green=handle(Kind.GREEN_CONTEXT, 6),
        description=worker.give(Kind.DEVICE_RESOURCE, 0xD0),
        dev=0,
        flags=1,
    )
    worker.driver.fails["cuGreenCtxCreate"] = 2
    with pytest.raises(CallError):
        green_ctx_create(worker, request)
    assert worker.channel.charged == 0
    green_ctx_create(worker, request)
    assert worker.channel.charged == 100 * MiB
    destroy = worker.request("cuGreenCtxDestroy", green=request["green"])
    handlers.find(load().by_symbol["cuGreenCtxDestroy"])(worker, destroy).finish()
    assert worker.channel.charged == 0


def test_a_handle_in_use_frees_nothing_when_its_second_creation_fails(worker: Any) -> None:
    def request(width: int) -> Any:
        descriptor = struct.pack("=QQII", width, 1024, 1, 1)
        return worker.request(
            "cuArrayCreate_v2", array=handle(Kind.ARRAY, 7), descriptor=descriptor
        )

    array_create(worker, request(1024))
    for width in (0, 1, 1024, 4096):
        with pytest.raises(CallError) as caught:
            array_create(worker, request(width))
        assert caught.value.status == 400
    assert worker.channel.charged == MiB
    assert worker.driver.symbols == ["cuArrayCreate_v2"]


def make_executable(worker: Any, *, graph: int, index: int) -> int:
    wanted = handle(Kind.GRAPH_EXEC, index)
    symbol = "cuGraphInstantiateWithFlags"
    item = worker.give(Kind.GRAPH, graph)
    row = load().by_symbol[symbol]
    later = handlers.find(row)(
        worker, worker.request(symbol, **{"exec": wanted}, graph=item, flags=0)
    )
    later.finish()
    return wanted


def test_only_graphs_that_allocate_are_launched_by_python(worker: Any) -> None:
    worker.account.graphs.begin_capture(0, MiB)
    worker.account.graphs.end_capture(0, MiB, GRAPH)
    allocating = make_executable(worker, graph=GRAPH, index=8)
    plain = make_executable(worker, graph=0xF1, index=9)
    assert lib.vx_is_accounted(worker.vx, allocating)
    assert not lib.vx_is_accounted(worker.vx, plain)
    assert worker.channel.charged == MiB
    for executable in (allocating, plain):
        worker.driver.calls.clear()
        request = worker.request("cuGraphLaunch", **{"exec": executable}, stream=0)
        graph_launch(worker, request)
        asked = "cuDeviceGetGraphMemAttribute" in worker.driver.symbols
        assert asked == (executable == allocating)
    worker.driver.fails["cuGraphExecDestroy"] = 400
    with pytest.raises(CallError):
        graph_exec_destroy(worker, worker.request("cuGraphExecDestroy", **{"exec": allocating}))
    assert not lib.vx_is_accounted(worker.vx, allocating)
    assert worker.channel.charged == 0
