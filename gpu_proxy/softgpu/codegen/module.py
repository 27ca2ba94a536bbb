# SPDX-License-Identifier: Apache-2.0
"""PTX functions to LLVM text."""

from __future__ import annotations

from gpu_proxy.softgpu import native
from gpu_proxy.softgpu.codegen import (  # noqa: F401  (importing registers the lowerings)
    async_copy,
    atomics,
    bits,
    compare,
    control,
    convert,
    floating,
    half,
    integer,
    memory,
    warp,
)
from gpu_proxy.softgpu.codegen.callgraph import Mode
from gpu_proxy.softgpu.codegen.layout import THREAD
from gpu_proxy.softgpu.codegen.lowering import Lowering
from gpu_proxy.softgpu.codegen.program import Program
from gpu_proxy.softgpu.errors import UnsupportedError
from gpu_proxy.softgpu.ptx.ast import Function, Instr

COROUTINE_DECLARATIONS = [
    "declare token @llvm.coro.id(i32, ptr, ptr, ptr)",
    "declare i64 @llvm.coro.size.i64()",
    "declare ptr @llvm.coro.begin(token, ptr)",
    "declare i8 @llvm.coro.suspend(token, i1)",
    f"declare {native.CORO_END_TYPE} @llvm.coro.end(ptr, i1, token)",
    "declare ptr @sg_co_frame(ptr, i64) nounwind",
    "declare void @sg_co_exit(ptr) nounwind",
]
_CORO_END = f"call {native.CORO_END_TYPE} @llvm.coro.end(ptr %co.handle, i1 false, token none)"
_COROUTINE_END = [
    "co.ended:",
    "  call void @sg_co_exit(ptr %ctx)",
    "  br label %co.suspended",
    "co.suspended:",
    f"  {_CORO_END}",
    "  ret ptr %co.handle",
    "}",
]

# The stack is probed page by page, so that a large frame cannot jump over the guard page.
_ATTRIBUTES = 'nounwind "probe-stack"="inline-asm"'
_THREAD = "ptr noalias captures(none) align 64 dereferenceable(192) %ctx"


def lower_function(program: Program, function: Function, externals: dict[str, str]) -> list[str]:
    """One PTX function: kernels get the thread's index as arguments, others their blocks of
    parameters.
    """
    if function.unsupported:
        raise UnsupportedError(function.unsupported)
    program.read(function)
    lowering = Lowering(program, function)
    positions = program.spins(function)
    body = function.body or []
    lowering.spinning = {
        item for at, item in enumerate(body) if at in positions and isinstance(item, Instr)
    }
    lowering.enter()
    lowering.lower()
    externals.update(lowering.emitter.externals)
    text = [*lowering.emitter.allocas, *lowering.emitter.lines, "}"]
    if lowering.coroutine:
        return [*_coroutine_head(function.name), *text[:-1], *_COROUTINE_END]
    if function.is_entry:
        index = "i32 %tid0, i32 %tid1, i32 %tid2"
        head = f'define internal void @"t.{function.name}"({_THREAD}, {index})'
    else:
        blocks = "ptr noalias %args, ptr noalias %ret"
        head = f'define internal void @"f.{function.name}"({_THREAD}, {blocks})'
    return [f"{head} {_ATTRIBUTES} {{", *text]


def _coroutine_head(name: str) -> list[str]:
    """The entry of a kernel that suspends itself; its frame lies where the engine says."""
    head = f'define internal ptr @"k.{name}"({_THREAD}) presplitcoroutine {_ATTRIBUTES} {{'
    index = [
        line
        for axis in range(3)
        for line in (f"  %ptid{axis} = {_tid(axis)}", f"  %tid{axis} = load i32, ptr %ptid{axis}")
    ]
    return [
        head,
        "  %co.id = call token @llvm.coro.id(i32 64, ptr null, ptr null, ptr null)",
        "  %co.size = call i64 @llvm.coro.size.i64()",
        "  %co.frame = call ptr @sg_co_frame(ptr %ctx, i64 %co.size)",
        "  %co.handle = call ptr @llvm.coro.begin(token %co.id, ptr %co.frame)",
        *index,
    ]


def _tid(axis: int) -> str:
    return f"getelementptr i8, ptr %ctx, i64 {THREAD['tid'] + 4 * axis}"


def block_function(program: Program, kernel: Function) -> list[str]:
    """The entry that the engine calls: one thread of a kernel that synchronises, else all
    threads of a block.
    """
    head = f'define internal void @"k.{kernel.name}"({_THREAD}) {_ATTRIBUTES} {{'
    thread = f'call void @"t.{kernel.name}"(ptr %ctx, i32 %x, i32 %y, i32 %z)'
    mode = program.graph.mode(kernel.name)
    if mode is Mode.COROUTINE:
        return []
    if mode is Mode.FIBER:
        loads = [
            line
            for axis, name in enumerate("xyz")
            for line in (f"  %p{name} = {_tid(axis)}", f"  %{name} = load i32, ptr %p{name}")
        ]
        return [head, *loads, f"  {thread}", "  ret void", "}"]
    return [head, *_loops(thread), "}"]


def _loops(thread: str) -> list[str]:
    """Nested loops over %tid.z, .y and .x, which device functions read from the context."""
    lines = []
    for axis, name in enumerate("xyz"):
        offset = THREAD["ntid"] + 4 * axis
        lines += [
            f"  %pn{name} = getelementptr i8, ptr %ctx, i64 {offset}",
            f"  %n{name} = load i32, ptr %pn{name}, !invariant.load !0",
            f"  %p{name} = {_tid(axis)}",
        ]
    lines.append("  br label %loopz")
    outer = "%0"
    for name, inner in (("z", "loopy"), ("y", "loopx"), ("x", "body")):
        lines += [
            f"loop{name}:",
            f"  %{name} = phi i32 [ 0, {outer} ], [ %next{name}, %end{name} ]",
            f"  store i32 %{name}, ptr %p{name}",
            f"  br label %{inner}",
        ]
        outer = f"%loop{name}"
    lines += ["body:", f"  {thread}", "  br label %endx"]
    for name, after in (("x", "endy"), ("y", "endz"), ("z", "done")):
        lines += [
            f"end{name}:",
            f"  %next{name} = add nuw i32 %{name}, 1",
            f"  %more{name} = icmp ult i32 %next{name}, %n{name}",
            f"  br i1 %more{name}, label %loop{name}, label %{after}",
        ]
    return [*lines, "done:", "  ret void"]
