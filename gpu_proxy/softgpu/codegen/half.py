# SPDX-License-Identifier: Apache-2.0
"""f16 and bf16 arithmetic, one value or two packed in a word.

Sums, products and quotients of 11-bit or 8-bit values, rounded to float's 24 bits and then to
the narrow type, equal
the value rounded once (24 >= 2 * 11 + 2). A fused multiply-add has no such guarantee and goes
through double,
rounded to odd (prelude.py).
"""

from __future__ import annotations

from collections.abc import Callable

from gpu_proxy.softgpu.codegen.emitter import Value, const, float_const
from gpu_proxy.softgpu.codegen.floating import saturate
from gpu_proxy.softgpu.codegen.lowering import Lowering
from gpu_proxy.softgpu.codegen.registry import Mods, instruction
from gpu_proxy.softgpu.errors import UnsupportedError
from gpu_proxy.softgpu.ptx.ast import Instr

_NAN = {"f16": 0x7FFF, "bf16": 0x7FFF}
Scalar = Callable[..., Value]


def widen(fn: Lowering, bits: Value, kind: str) -> Value:
    """16 bits to float, exactly."""
    e = fn.emitter
    if kind == "f16":
        return e.convert("fpext", e.convert("bitcast", bits, "half"), "float")
    word = e.binary_const("shl", e.resize(bits, 32), 16)
    return e.convert("bitcast", word, "float")


def narrow(fn: Lowering, value: Value, kind: str) -> Value:
    """Float or double to 16 bits, to nearest."""
    e = fn.emitter
    source = "f32" if value.type == "float" else "f64"
    return e.intrinsic(f"sg.{source}.to.{kind}", "i16", value)


def flush(fn: Lowering, bits: Value, kind: str, enabled: bool) -> Value:
    """Subnormal halves to zero."""
    if not enabled:
        return bits
    e = fn.emitter
    limit = 0x0400 if kind == "f16" else 0x0080
    tiny = e.icmp("ult", e.binary_const("and", bits, 0x7FFF), const("i16", limit))
    return e.select(tiny, e.binary_const("and", bits, 0x8000), bits)


def lanes(fn: Lowering, i: Instr, ptx: str, count: int, scalar: Scalar) -> None:
    """Apply `scalar` to the one or two 16-bit values of `count` operands."""
    e = fn.emitter
    if not ptx.endswith("x2"):
        fn.write(i.args[0], scalar(*(fn.read(x, "b16") for x in i.args[1 : 1 + count])))
        return
    words = [fn.read(x, "b32") for x in i.args[1 : 1 + count]]
    low = scalar(*(e.resize(w, 16) for w in words))
    high = scalar(*(e.resize(e.binary_const("lshr", w, 16), 16) for w in words))
    fn.write(i.args[0], join(fn, low, high))


def join(fn: Lowering, low: Value, high: Value) -> Value:
    """Two 16-bit values in a word."""
    e = fn.emitter
    return e.binary("or", e.resize(low, 32), e.binary_const("shl", e.resize(high, 32), 16))


def _tail(fn: Lowering, value: Value, kind: str, sat: bool, relu: bool) -> Value:
    """Saturate or clamp at zero before narrowing."""
    e = fn.emitter
    if sat:
        value = saturate_any(fn, value)
    bits = narrow(fn, value, kind)
    if relu:
        negative = e.fcmp("olt", value, float_const(value.type, 0))
        bits = e.select(negative, const("i16", 0), bits)
        # -0 becomes +0 as well.
        bits = e.select(e.icmp("eq", bits, const("i16", 0x8000)), const("i16", 0), bits)
    return bits


def saturate_any(fn: Lowering, value: Value) -> Value:
    """Clamp a float or double to [0, 1]."""
    return saturate(fn, value, True)


def arithmetic(fn: Lowering, i: Instr, mods: Mods, ptx: str) -> None:
    """add, sub, mul"""
    mods.ignore("rn")
    ftz, sat, kind = mods.flag("ftz"), mods.flag("sat"), ptx.removesuffix("x2")

    def scalar(a: Value, b: Value) -> Value:
        x, y = (widen(fn, flush(fn, v, kind, ftz), kind) for v in (a, b))
        return flush(
            fn, _tail(fn, fn.emitter.binary(f"f{i.op}", x, y), kind, sat, False), kind, ftz
        )

    lanes(fn, i, ptx, 2, scalar)


@instruction("fma")
def fma(fn: Lowering, i: Instr, mods: Mods) -> None:
    """fma of every type"""
    from gpu_proxy.softgpu.codegen import floating

    ptx = mods.type()
    if ptx in ("f32", "f64"):
        floating.fused(fn, i, mods, ptx)
        return
    mods.ignore("rn")
    ftz, sat, relu = mods.flag("ftz"), mods.flag("sat"), mods.flag("relu")
    if mods.flag("oob"):
        raise UnsupportedError("", i.line)
    kind = ptx.removesuffix("x2")

    def scalar(*operands: Value) -> Value:
        values = [
            fn.emitter.convert("fpext", widen(fn, flush(fn, v, kind, ftz), kind), "double")
            for v in operands
        ]
        total = fn.emitter.intrinsic("sg.fma.odd", "double", *values)
        return flush(fn, _tail(fn, total, kind, sat, relu), kind, ftz)

    lanes(fn, i, ptx, 3, scalar)


def min_max(fn: Lowering, i: Instr, mods: Mods, ptx: str) -> None:
    """min, max"""
    nan, ftz, kind = mods.flag("NaN"), mods.flag("ftz"), ptx.removesuffix("x2")
    xorsign = mods.flag("xorsign")
    if xorsign:
        mods.one_of("abs")
    name = f"llvm.{i.op}{'imum' if nan else 'imumnum'}.f32"

    def scalar(a: Value, b: Value) -> Value:
        e = fn.emitter
        sign_bits = e.binary_const("and", e.binary("xor", a, b), 0x8000)
        if xorsign:
            a, b = (e.binary_const("and", v, 0x7FFF) for v in (a, b))
        x, y = (widen(fn, flush(fn, v, kind, ftz), kind) for v in (a, b))
        result = e.intrinsic(name, "float", x, y)
        bits = e.select(
            e.fcmp("uno", result, result), const("i16", _NAN[kind]), narrow(fn, result, kind)
        )
        return e.binary("or", bits, sign_bits) if xorsign else bits

    lanes(fn, i, ptx, 2, scalar)


def sign(fn: Lowering, i: Instr, mods: Mods, ptx: str) -> None:
    """abs, neg"""
    ftz, kind = mods.flag("ftz"), ptx.removesuffix("x2")

    def scalar(a: Value) -> Value:
        a = flush(fn, a, kind, ftz)
        return fn.emitter.binary_const(
            "and" if i.op == "abs" else "xor", a, 0x7FFF if i.op == "abs" else 0x8000
        )

    lanes(fn, i, ptx, 1, scalar)


def unary_by_float(fn: Lowering, i: Instr, ptx: str, function: str) -> None:
    """A function of the C library on widened values."""
    kind = ptx.removesuffix("x2")

    def scalar(a: Value) -> Value:
        result = fn.emitter.call(
            function, "float", widen(fn, a, kind), attributes="nounwind memory(none)"
        )
        return narrow(fn, result, kind)

    lanes(fn, i, ptx, 1, scalar)
