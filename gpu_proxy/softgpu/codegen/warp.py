# SPDX-License-Identifier: Apache-2.0
"""Barriers, shuffles and votes: calls of the runtime, which suspends this thread's fiber."""

from __future__ import annotations

from gpu_proxy.softgpu.codegen.emitter import Value, const
from gpu_proxy.softgpu.codegen.lowering import Lowering
from gpu_proxy.softgpu.codegen.registry import Mods, instruction
from gpu_proxy.softgpu.errors import UnsupportedError
from gpu_proxy.softgpu.ptx.ast import Instr, Operand, Pair, Sink

_RED = {"popc": 0, "and": 1, "or": 2}
_SHUFFLE = {"up": 0, "down": 1, "bfly": 2, "idx": 3}
_VOTE = {"any": 0, "all": 1, "uni": 2, "ballot": 3}
_REDUX = {"add": 0, "min": 1, "max": 2, "and": 3, "or": 4, "xor": 5}


def _optional(fn: Lowering, i: Instr, index: int) -> Value:
    """A thread count, or 0 for all."""
    return fn.read(i.args[index], "u32") if index < len(i.args) else const("i32", 0)


@instruction("bar", "barrier")
def barrier(fn: Lowering, i: Instr, mods: Mods) -> None:
    """bar.{sync,arrive,red}, barrier.*, bar.warp.sync"""
    mods.ignore("aligned", "cta")
    if mods.flag("warp"):
        mods.one_of("sync")
        fn.wait("warp_sync", "", fn.read(i.args[0], "b32"))
        return
    kind = mods.one_of("sync", "arrive", "red")
    if kind == "red":
        _reduce(fn, i, mods)
        return
    if kind == "arrive":
        fn.runtime("sg_op_arrive", "void", fn.read(i.args[0], "u32"), fn.read(i.args[1], "u32"))
    else:
        fn.wait("barrier", "", fn.read(i.args[0], "u32"), _optional(fn, i, 1))


def _reduce(fn: Lowering, i: Instr, mods: Mods) -> None:
    op = mods.one_of(*_RED)
    ptx = mods.type()
    count = _optional(fn, i, 2) if len(i.args) == 4 else const("i32", 0)
    predicate = fn.emitter.resize(fn.read(i.args[-1], "pred"), 32)
    result = fn.wait(
        "barrier_red",
        "i32",
        fn.read(i.args[1], "u32"),
        count,
        const("i32", _RED[op]),
        predicate,
    )
    _write(fn, i.args[0], result, ptx)


def _write(fn: Lowering, target: Operand, value: Value, ptx: str) -> None:
    fn.write(target, fn.emitter.resize(value, 1) if ptx == "pred" else value)


def _mask(fn: Lowering, i: Instr, sync: bool, index: int) -> tuple[Value, Value]:
    """Members, and a site: forms without a mask gather whoever comes by the same place."""
    if sync:
        return fn.read(i.args[index], "b32"), const("i32", 0)
    return const("i32", 0), const("i32", fn.program.site(fn.function))


@instruction("shfl")
def shuffle(fn: Lowering, i: Instr, mods: Mods) -> None:
    """shfl[.sync].mode.b32 d[|p], a, b, c[, mask]"""
    e = fn.emitter
    sync, mode = mods.flag("sync"), mods.one_of(*_SHUFFLE)
    mods.type()
    mask, site = _mask(fn, i, sync, 4)
    value, lane, clamp = (fn.read(x, "b32") for x in i.args[1:4])
    both = fn.wait("shfl", "i64", const("i32", _SHUFFLE[mode]), value, lane, clamp, mask, site)
    target = i.args[0]
    if isinstance(target, Pair):
        fn.write(target.second, e.resize(e.binary_const("lshr", both, 32), 1))
        target = target.first
    fn.write(target, e.resize(both, 32))


@instruction("vote")
def vote(fn: Lowering, i: Instr, mods: Mods) -> None:
    """vote[.sync].{any,all,uni,ballot}"""
    sync, kind = mods.flag("sync"), mods.one_of(*_VOTE)
    ptx = mods.type()
    mask, site = _mask(fn, i, sync, 2)
    predicate = fn.emitter.resize(fn.read(i.args[1], "pred"), 32)
    _write(
        fn,
        i.args[0],
        fn.wait("vote", "i32", const("i32", _VOTE[kind]), predicate, mask, site),
        ptx,
    )


@instruction("match")
def match(fn: Lowering, i: Instr, mods: Mods) -> None:
    """match.{any,all}.sync.{b32,b64}"""
    e = fn.emitter
    every = mods.one_of("any", "all") == "all"
    mods.one_of("sync")
    ptx = mods.type()
    value = e.resize(fn.read(i.args[1], ptx), 64)
    both = fn.wait("match", "i64", const("i32", int(every)), value, fn.read(i.args[2], "b32"))
    target = i.args[0]
    if isinstance(target, Pair):
        fn.write(target.second, e.resize(e.binary_const("lshr", both, 32), 1))
        target = target.first
    fn.write(target, e.resize(both, 32))


@instruction("redux")
def redux(fn: Lowering, i: Instr, mods: Mods) -> None:
    """redux.sync.op.type"""
    mods.one_of("sync")
    op, ptx = mods.one_of(*_REDUX), mods.type()
    if ptx not in ("u32", "s32", "b32"):
        raise UnsupportedError("")
    number = _REDUX[op] + (8 if ptx == "s32" else 0)
    value, mask = fn.read(i.args[1], ptx), fn.read(i.args[2], "b32")
    fn.write(i.args[0], fn.wait("redux", "i32", const("i32", number), value, mask))


@instruction("activemask")
def activemask(fn: Lowering, i: Instr, mods: Mods) -> None:
    """The lanes that come here together."""
    mods.type()
    fn.write(i.args[0], fn.wait("activemask", "i32", const("i32", fn.program.site(fn.function))))


@instruction("elect")
def elect(fn: Lowering, i: Instr, mods: Mods) -> None:
    """elect.sync d|p, mask: the lowest lane of the mask is the leader."""
    e = fn.emitter
    mods.one_of("sync")
    mask = fn.read(i.args[1], "b32")
    fn.wait("warp_sync", "", mask)
    leader = e.intrinsic("llvm.cttz.i32", "i32", mask, const("i1", 0))
    from gpu_proxy.softgpu.codegen.special import lane

    target = i.args[0]
    if not isinstance(target, Pair):
        raise UnsupportedError("one destination")
    if not isinstance(target.first, Sink):
        fn.write(target.first, leader)
    fn.write(target.second, e.icmp("eq", leader, lane(fn)))


@instruction("nanosleep")
def nanosleep(fn: Lowering, _i: Instr, mods: Mods) -> None:
    """Let other threads run."""
    mods.type()
    fn.wait("yield", "")
