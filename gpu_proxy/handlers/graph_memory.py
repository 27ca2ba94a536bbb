# SPDX-License-Identifier: Apache-2.0
"""Graphs that allocate: charged when they become executable, and when they run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gpu_proxy._executor import lib
from gpu_proxy.handlers import handles
from gpu_proxy.handlers.generic import forward, object_of
from gpu_proxy.handlers.room import on_lane
from gpu_proxy.request import CallError, Later, Request
from idm.api.types import Kind

if TYPE_CHECKING:
    from gpu_proxy.worker import Worker


@contextmanager
def claimed(worker: Worker, executable: int, graph: int) -> Iterator[None]:
    """Charge what a graph will take; the block makes it executable, on a lane, and installs it."""
    graphs = worker.account.graphs
    allocates = on_lane(worker, lambda: graphs.claim(executable, graph))
    try:
        yield
    except CallError:
        graphs.executable_gone(executable)
        raise
    if allocates:
        lib.vx_set_accounted(worker.vx, executable)
        graphs.launched(executable)


@handles("cuGraphUpload")
def graph_upload(worker: Worker, request: Request) -> dict[str, bytes] | Later:
    """Upload, which may take what the first launch would."""
    results = forward(worker, request)
    if lib.vx_is_accounted(worker.vx, request["exec"]):
        worker.account.graphs.launched(request["exec"])
    return results


@handles("cuGraphDestroy")
def graph_destroy(worker: Worker, request: Request) -> dict[str, bytes] | Later:
    """The end of a graph; its executable graphs live on."""
    graph = object_of(worker, request["graph"], Kind.GRAPH)
    try:
        return forward(worker, request)
    finally:
        worker.account.graphs.graph_gone(graph)
