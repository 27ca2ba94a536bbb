# SPDX-License-Identifier: Apache-2.0
"""Host functions in graphs, where something ends before they do, or lies."""

from __future__ import annotations

from contextlib import closing

import pytest
from raw import Raw, handle

from idm.api.types import Kind

LASTING = 1 << 62

SETUP = """
import threading, time
from cu import *
context = start()
entered, go = threading.Event(), threading.Event()
calls = []

@ffi.callback("void(void *)")
def wait(_):
    entered.set()
    assert go.wait(60)
    calls.append(1)

def host_node(graph, function):
    words = ffi.new("uint64_t[2]", [int(ffi.cast("uintptr_t", function)), 0])
    params = ffi.cast("CUDA_HOST_NODE_PARAMS *", words)
    return out("CUgraphNode", lambda p: lib.cuGraphAddHostNode(p, graph, ffi.NULL, 0, params))

graph = out("CUgraph", lambda p: lib.cuGraphCreate(p, 0))
def instantiate():
    return out("CUgraphExec", lambda p: lib.cuGraphInstantiateWithFlags(p, graph, 0))
"""


def test_memory_of_a_context_that_is_gone_is_not_used(proxy):
    """A function's words live in the context in which its node was added."""
    proxy.run(
        SETUP
        + """
second = out("CUcontext", lambda p: lib.cuCtxCreate_v2(p, 0, 0))
host_node(graph, wait)
check(lib.cuCtxSetCurrent(context))
executable, mine = instantiate(), stream()
check(lib.cuCtxDestroy_v2(second))
go.set()
lib.cuGraphLaunch(executable, mine)
seen = {lib.cuStreamSynchronize(mine), lib.cuStreamSynchronize(mine)}
assert INVALID_CONTEXT in seen and not calls, seen
check(lib.cuStreamSynchronize(mine))
assert lib.cuGraphInstantiateWithFlags(ffi.new("CUgraphExec *"), graph, 0) == INVALID_CONTEXT
host_node(graph, wait)
check(lib.cuStreamSynchronize(mine))
"""
    )


def test_the_context_ends_while_a_function_runs(proxy):
    proxy.run(
        SETUP
        + """
second = out("CUcontext", lambda p: lib.cuCtxCreate_v2(p, 0, 0))
host_node(graph, wait)
executable, mine = instantiate(), stream()
for _ in range(3):
    check(lib.cuGraphLaunch(executable, mine))
assert entered.wait(60)
check(lib.cuCtxDestroy_v2(second))
go.set()
check(lib.cuCtxSetCurrent(context))
again = out("CUgraph", lambda p: lib.cuGraphCreate(p, 0))
host_node(again, wait)
executable = out("CUgraphExec", lambda p: lib.cuGraphInstantiateWithFlags(p, again, 0))
before, mine = len(calls), stream()
check(lib.cuGraphLaunch(executable, mine))
check(lib.cuStreamSynchronize(mine))
assert len(calls) > before
"""
    )


def test_the_application_exits_while_a_function_waits(proxy):
    proxy.run(
        SETUP
        + """
import os
host_node(graph, wait)
check(lib.cuGraphLaunch(instantiate(), ffi.NULL))
assert entered.wait(60)
threading.Timer(0, os._exit, [0]).start()
lib.cuCtxSynchronize()
os._exit(1)
"""
    )


def test_a_thread_waits_for_the_graph_and_others_go_on(proxy):
    """The function waits for what another thread does with the same context, blocking calls and all."""
    proxy.run(
        SETUP
        + """
host_node(graph, wait)
executable, mine, other = instantiate(), stream(), stream()
memory, add = alloc(64), function(module(), "add_to")
check(lib.cuMemsetD32_v2(memory, 0, 16))
check(lib.cuCtxSynchronize())
def launch_and_wait():
    check(lib.cuCtxSetCurrent(context))
    check(lib.cuGraphLaunch(executable, mine))
    check(lib.cuStreamSynchronize(mine))
waiter = threading.Thread(target=launch_and_wait)
waiter.start()
assert entered.wait(60)
for i in range(100):
    check(launch(add, 1, 1, u64(memory), u32(1), on=other))
    check(lib.cuStreamSynchronize(other))
assert read_u32(memory) == 100 and waiter.is_alive()
go.set()
waiter.join(60)
assert not waiter.is_alive() and calls == [1]
"""
    )


@pytest.mark.parametrize("number", [0, 1, 2, 3, 512, 65536, (1 << 30) - 1])
def test_ends_of_functions_that_nobody_called(proxy, number):
    """Acknowledgements of handshakes, real ones and others, from a front end of its own."""
    with closing(Raw(proxy.socket())) as raw:
        raw.start()
        graph, node = handle(Kind.GRAPH, 2), handle(Kind.GRAPH_NODE, 3)
        raw.send("cuGraphCreate", graph=graph, flags=0)
        data = (3).to_bytes(16, "little") + bytes(8) + (LASTING | 7).to_bytes(8, "little")
        params = {"parameters": data.ljust(256, b"\0"), "params": b"", "bodies": 0}
        assert raw.call("vgpuGraphAddNode", node=node, graph=graph, **params)[0] == 0
        for callback in (LASTING | number << 32, LASTING | number << 32 | 7, number << 32):
            raw.send("vgpuCallbackDone", callback=callback)
        executable = handle(Kind.GRAPH_EXEC, 4)
        made = {"exec": executable, "graph": graph, "flags": 0}
        assert raw.call("cuGraphInstantiateWithFlags", **made)[0] == 0
        raw.send("cuGraphLaunch", exec=executable, stream=0)
        status, data = raw.call("vgpuCallbackWait", slot=1)
        callback = int.from_bytes(data[:8], "little")
        assert status == 0
        assert callback & 0xFFFFFFFF == 7
        assert raw.call("cuStreamQuery", stream=0)[0] == 600
        raw.send("vgpuCallbackDone", callback=callback)
        assert raw.call("cuCtxSynchronize")[0] == 0
