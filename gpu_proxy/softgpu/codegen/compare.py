# SPDX-License-Identifier: Apache-2.0
"""Comparison and selection."""

from __future__ import annotations

from gpu_proxy.softgpu.codegen import floating, half, types
from gpu_proxy.softgpu.codegen.emitter import Value, const, float_const
from gpu_proxy.softgpu.codegen.lowering import Lowering
from gpu_proxy.softgpu.codegen.registry import Mods, instruction
from gpu_proxy.softgpu.errors import UnsupportedError
from gpu_proxy.softgpu.ptx.ast import Instr, Operand, Pair

_INTEGER = ("eq", "ne", "lt", "le", "gt", "ge", "lo", "ls", "hi", "hs")
_UNSIGNED = {"lo": "ult", "ls": "ule", "hi": "ugt", "hs": "uge"}
_FLOAT = {
    "eq": "oeq",
    "ne": "one",
    "lt": "olt",
    "le": "ole",
    "gt": "ogt",
    "ge": "oge",
    "equ": "ueq",
    "neu": "une",
    "ltu": "ult",
    "leu": "ule",
    "gtu": "ugt",
    "geu": "uge",
    "num": "ord",
    "nan": "uno",
}


def _condition(mods: Mods) -> str:
    return mods.one_of(*{*_INTEGER, *_FLOAT})


def _compare(fn: Lowering, condition: str, ptx: str, a: Value, b: Value) -> Value:
    """Both already read; halves widened to float."""
    e = fn.emitter
    if types.is_float(ptx):
        return e.fcmp(_FLOAT[condition], a, b)
    if condition in ("eq", "ne"):
        return e.icmp(condition, a, b)
    if condition in _UNSIGNED:
        return e.icmp(_UNSIGNED[condition], a, b)
    if condition not in _INTEGER:
        raise UnsupportedError("")
    return e.icmp(("s" if types.is_signed(ptx) else "u") + condition, a, b)


def _operand(fn: Lowering, operand: Operand, ptx: str, ftz: bool) -> Value:
    if ptx in ("f16", "bf16"):
        return half.widen(fn, half.flush(fn, fn.read(operand, "b16"), ptx, ftz), ptx)
    return floating.flush(fn, fn.read(operand, ptx), ftz)


def _combine(fn: Lowering, i: Instr, op: str | None, value: Value, index: int) -> Value:
    if op is None:
        return value
    return fn.emitter.binary(op, value, fn.read(i.args[index], "pred"))


@instruction("setp")
def setp(fn: Lowering, i: Instr, mods: Mods) -> None:
    """setp.cmp[.boolop][.ftz].type p[|q], a, b[, c]"""
    condition, op = _condition(mods), mods.choice("and", "or", "xor")
    ftz, ptx = mods.flag("ftz"), mods.type()
    target = i.args[0]
    if ptx in ("f16x2", "bf16x2"):
        _setp_packed(fn, i, condition, op, ptx.removesuffix("x2"), ftz=ftz)
        return
    a, b = _operand(fn, i.args[1], ptx, ftz), _operand(fn, i.args[2], ptx, ftz)
    result = _compare(fn, condition, ptx, a, b)
    # The negation is combined with c as well, so it comes from the bare comparison; c is read
    # before p changes.
    positive = _combine(fn, i, op, result, 3)
    if isinstance(target, Pair):
        negative = _combine(fn, i, op, fn.invert(result), 3)
        fn.write(target.second, negative)
        target = target.first
    fn.write(target, positive)


def _setp_packed(
    fn: Lowering, i: Instr, condition: str, op: str | None, kind: str, *, ftz: bool
) -> None:
    target = i.args[0]
    results = [_combine(fn, i, op, r, 3) for r in _compare_packed(fn, i, condition, kind, ftz)]
    if not isinstance(target, Pair):
        raise UnsupportedError("one destination")
    fn.write(target.first, results[0])
    fn.write(target.second, results[1])


def _compare_packed(fn: Lowering, i: Instr, condition: str, kind: str, ftz: bool) -> list[Value]:
    e = fn.emitter
    words = [fn.read(x, "b32") for x in i.args[1:3]]
    results = []
    for shift in (0, 16):
        a, b = (
            half.flush(fn, e.resize(e.binary_const("lshr", w, shift), 16), kind, ftz) for w in words
        )
        results.append(
            _compare(fn, condition, kind, half.widen(fn, a, kind), half.widen(fn, b, kind))
        )
    return results


@instruction("set")
def set_(fn: Lowering, i: Instr, mods: Mods) -> None:
    """set: all ones, or 1.0, for true."""
    condition, op = _condition(mods), mods.choice("and", "or", "xor")
    ftz = mods.flag("ftz")
    to, ptx = mods.type(), mods.type()
    if ptx in ("f16x2", "bf16x2"):
        kind = ptx.removesuffix("x2")
        truth = 0xFFFF if to in ("u32", "s32") else {"f16": 0x3C00, "bf16": 0x3F80}[kind]
        low, high = (
            fn.emitter.select(_combine(fn, i, op, r, 3), const("i16", truth), const("i16", 0))
            for r in _compare_packed(fn, i, condition, kind, ftz)
        )
        fn.write(i.args[0], half.join(fn, low, high))
        return
    a, b = _operand(fn, i.args[1], ptx, ftz), _operand(fn, i.args[2], ptx, ftz)
    result = _combine(fn, i, op, _compare(fn, condition, ptx, a, b), 3)
    if to == "f32":
        fn.write(
            i.args[0],
            fn.emitter.select(result, float_const("float", 0x3F80_0000), float_const("float", 0)),
        )
    elif to in ("f16", "bf16"):
        one = 0x3C00 if to == "f16" else 0x3F80
        fn.write(i.args[0], fn.emitter.select(result, const("i16", one), const("i16", 0)))
    else:
        fn.write(i.args[0], fn.emitter.resize(result, types.bits(to), signed=True))


@instruction("selp")
def selp(fn: Lowering, i: Instr, mods: Mods) -> None:
    """p ? a : b"""
    ptx = mods.type()
    a, b = fn.read(i.args[1], ptx), fn.read(i.args[2], ptx)
    fn.write(i.args[0], fn.emitter.select(fn.read(i.args[3], "pred"), a, b))


@instruction("slct")
def slct(fn: Lowering, i: Instr, mods: Mods) -> None:
    """c >= 0 ? a : b"""
    e = fn.emitter
    ftz, ptx, by = mods.flag("ftz"), mods.type(), mods.type()
    a, b, c = fn.read(i.args[1], ptx), fn.read(i.args[2], ptx), fn.read(i.args[3], by)
    if by == "f32":
        chosen = e.fcmp("oge", floating.flush(fn, c, ftz), float_const("float", 0))
    else:
        chosen = e.icmp("sge", c, const(c.type, 0))
    fn.write(i.args[0], e.select(chosen, a, b))
