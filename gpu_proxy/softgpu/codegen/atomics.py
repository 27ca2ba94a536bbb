# SPDX-License-Identifier: Apache-2.0
"""atom, red, fences."""

from __future__ import annotations

from gpu_proxy.softgpu.codegen import half, types
from gpu_proxy.softgpu.codegen.emitter import Value, bits_of, const
from gpu_proxy.softgpu.codegen.lowering import Lowering
from gpu_proxy.softgpu.codegen.memory import address, ignore_hints, pointer
from gpu_proxy.softgpu.codegen.registry import Mods, instruction
from gpu_proxy.softgpu.errors import UnsupportedError
from gpu_proxy.softgpu.ptx.ast import Instr, Sink

_PLAIN = {
    "add": "add",
    "and": "and",
    "or": "or",
    "xor": "xor",
    "exch": "xchg",
    "inc": "uinc_wrap",
    "dec": "udec_wrap",
}


@instruction("atom", "red")
def atomic(fn: Lowering, i: Instr, mods: Mods) -> None:
    """atom.op d, [a], b and red.op [a], b"""
    ignore_hints(mods)
    order = {
        None: "monotonic",
        "relaxed": "monotonic",
        "acq_rel": "acq_rel",
        "acquire": "acquire",
        "release": "release",
    }[mods.choice("relaxed", "acq_rel", "acquire", "release")]
    space = mods.choice("global", "shared", "shared::cta") or "generic"
    op = mods.one_of("add", "min", "max", "inc", "dec", "and", "or", "xor", "exch", "cas")
    mods.flag("noftz")
    ptx = mods.type()
    args = i.args if i.op == "atom" else (Sink(), *i.args)
    is_half = ptx in ("f16", "bf16", "f16x2", "bf16x2")
    value = fn.read(args[2], f"b{types.bits(ptx)}" if is_half or op in ("cas", "exch") else ptx)
    other = fn.read(args[3], f"b{types.bits(ptx)}") if op == "cas" else None
    where = pointer(fn, space, address(fn, args[1]), types.bits(ptx) // 8, write=True)
    private = space.startswith("shared")
    if op == "cas":
        assert other is not None
        old = _compare_and_swap(fn, where, value, other, order, private=private)
    elif is_half or private:
        old = _by_formula(fn, where, op, ptx, value, private=private)
    else:
        old = fn.emitter.op(
            value.type, f"atomicrmw {_llvm_op(op, ptx)} ptr {where}, {value} {order}"
        )
    fn.write(args[0], old, types.is_signed(ptx))


def _llvm_op(op: str, ptx: str) -> str:
    if op in ("min", "max"):
        if types.is_float(ptx):
            raise UnsupportedError("")
        return op if types.is_signed(ptx) else f"u{op}"
    return "fadd" if op == "add" and types.is_float(ptx) else _PLAIN[op]


def _compare_and_swap(
    fn: Lowering, where: str, expected: Value, new: Value, order: str, *, private: bool
) -> Value:
    e = fn.emitter
    if private:
        old = e.op(new.type, f"load {new.type}, ptr {where}")
        e.line(f"store {e.select(e.icmp('eq', old, expected), new, old)}, ptr {where}")
        return old
    pair = e.op("pair", f"cmpxchg ptr {where}, {expected}, {new} {order} monotonic")
    return e.op(new.type, f"extractvalue {{ {new.type}, i1 }} {pair.text}, 0")


def _by_formula(
    fn: Lowering, where: str, op: str, ptx: str, value: Value, *, private: bool
) -> Value:
    """Shared memory belongs to one CPU thread, which needs no lock; halves need a loop around
    the sum.
    """
    e = fn.emitter
    kind = f"i{types.bits(ptx)}"
    if private:
        old = e.op(kind, f"load {kind}, ptr {where}")
        e.line(f"store {_new_value(fn, op, ptx, old, value)}, ptr {where}")
        return old
    slot = e.alloca(kind)
    first = f"load atomic {kind}, ptr {where} monotonic, align {bits_of(kind) // 8}"
    e.line(f"store {e.op(kind, first)}, ptr {slot}")
    again, done = e.label("again"), e.label("done")
    e.block(again)
    old = e.op(kind, f"load {kind}, ptr {slot}")
    new = _new_value(fn, op, ptx, old, value)
    pair = e.op("pair", f"cmpxchg ptr {where}, {old}, {new} acq_rel monotonic")
    seen = e.op(kind, f"extractvalue {{ {kind}, i1 }} {pair.text}, 0")
    e.line(f"store {seen}, ptr {slot}")
    e.branch(e.op("i1", f"extractvalue {{ {kind}, i1 }} {pair.text}, 1"), done, again)
    e.block(done)
    return old


def _new_value(fn: Lowering, op: str, ptx: str, old: Value, value: Value) -> Value:
    """What memory holds afterwards."""
    e = fn.emitter
    if ptx in ("f16", "bf16", "f16x2", "bf16x2"):
        if op != "add":
            raise UnsupportedError("")
        return _add_halves(fn, ptx, old, value)
    if op == "add" and types.is_float(ptx):
        total = e.binary("fadd", e.convert("bitcast", old, value.type), value)
        return e.convert("bitcast", total, old.type)
    if op in ("add", "and", "or", "xor"):
        return e.binary(op, old, value)
    if op == "exch":
        return value
    if op in ("min", "max"):
        _llvm_op(op, ptx)
        return e.intrinsic(
            f"llvm.{'s' if types.is_signed(ptx) else 'u'}{op}.{old.type}", old.type, old, value
        )
    if op == "inc":
        return e.select(
            e.icmp("uge", old, value), const(old.type, 0), e.binary_const("add", old, 1)
        )
    wraps = e.binary("or", e.icmp("eq", old, const(old.type, 0)), e.icmp("ugt", old, value))
    return e.select(wraps, value, e.binary_const("sub", old, 1))


def _add_halves(fn: Lowering, ptx: str, old: Value, value: Value) -> Value:
    e = fn.emitter
    kind = ptx.removesuffix("x2")

    def add(a: Value, b: Value) -> Value:
        return half.narrow(
            fn, e.binary("fadd", half.widen(fn, a, kind), half.widen(fn, b, kind)), kind
        )

    if not ptx.endswith("x2"):
        return add(old, value)
    low = add(e.resize(old, 16), e.resize(value, 16))
    high = add(*(e.resize(e.binary_const("lshr", v, 16), 16) for v in (old, value)))
    return half.join(fn, low, high)


@instruction("membar", "fence")
def fence(fn: Lowering, _i: Instr, mods: Mods) -> None:
    """A full fence serves every kind, proxy fences too, since there is one kind of memory."""
    mods.ignore("cta", "gl", "sys", "gpu", "cluster", "sc", "acq_rel", "acquire", "release")
    if mods.flag("proxy"):
        mods.ignore(
            "alias",
            "async",
            "async::generic",
            "async.global",
            "global",
            "shared::cta",
            "tensormap::generic",
        )
    fn.emitter.line("fence seq_cst")
