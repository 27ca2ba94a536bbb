# SPDX-License-Identifier: Apache-2.0
"""f32 and f64 arithmetic. Every operation rounds exactly once; LLVM never gets a fast-math flag."""

from __future__ import annotations

from gpu_proxy.softgpu.codegen.emitter import Value, bits_of, const, float_const
from gpu_proxy.softgpu.codegen.lowering import Lowering
from gpu_proxy.softgpu.codegen.registry import Mods, instruction
from gpu_proxy.softgpu.errors import UnsupportedError
from gpu_proxy.softgpu.ptx.ast import Instr

# Rounding modes as the MXCSR encodes them; the runtime's rounded operations take these numbers.
MODES = {"rn": 0, "rm": 1, "rp": 2, "rz": 3, "odd": 5}
ONE = {"float": 0x3F80_0000, "double": 0x3FF0_0000_0000_0000}
SUFFIX = {"float": "f32", "double": "f64"}


def rounding(mods: Mods) -> str:
    """The rounding modifier, nearest by default."""
    return mods.choice("rn", "rz", "rm", "rp") or "rn"


def flush(fn: Lowering, value: Value, enabled: bool) -> Value:
    """Subnormals to zero of the same sign, if enabled."""
    if not enabled or value.type != "float":
        return value
    e = fn.emitter
    bits = e.convert("bitcast", value, "i32")
    magnitude = e.binary_const("and", bits, 0x7FFF_FFFF)
    tiny = e.icmp("ult", magnitude, const("i32", 0x0080_0000))
    kept = e.select(tiny, e.binary_const("and", bits, 0x8000_0000), bits)
    return e.convert("bitcast", kept, "float")


def saturate(fn: Lowering, value: Value, enabled: bool) -> Value:
    """Clamp to [0, 1]; NaN becomes 0."""
    if not enabled:
        return value
    e = fn.emitter
    zero, one = float_const(value.type, 0), float_const(value.type, ONE[value.type])
    above = e.select(e.fcmp("ogt", value, zero), value, zero)
    return e.select(e.fcmp("olt", above, one), above, one)


def finish(fn: Lowering, i: Instr, value: Value, ftz: bool, sat: bool) -> None:
    """Flush, saturate, write."""
    fn.write(i.args[0], saturate(fn, flush(fn, value, ftz), sat))


def negate(fn: Lowering, value: Value) -> Value:
    """-value"""
    return fn.emitter.op(value.type, f"fneg {value}")


def rounded(fn: Lowering, op: str, mode: str, *args: Value) -> Value:
    """An operation in one of the four rounding modes: LLVM for nearest, the runtime for the
    others.
    """
    e = fn.emitter
    kind = args[0].type
    if mode != "rn":
        name = f"sg_op_{op}_{SUFFIX[kind]}"
        return e.call(
            name, kind, *args, const("i32", MODES[mode]), attributes="nounwind memory(none)"
        )
    if op in ("fma", "sqrt"):
        return e.intrinsic(f"llvm.{op}.{SUFFIX[kind]}", kind, *args)
    return e.binary(f"f{op}", args[0], args[1])


def arithmetic(fn: Lowering, i: Instr, mods: Mods, ptx: str) -> None:
    """add, sub, mul"""
    mode, ftz, sat = rounding(mods), mods.flag("ftz"), mods.flag("sat")
    a, b = (flush(fn, fn.read(x, ptx), ftz) for x in i.args[1:3])
    op = i.op
    if op == "sub" and mode != "rn":
        op, b = "add", negate(fn, b)
    finish(fn, i, rounded(fn, op, mode, a, b), ftz, sat)


def fused(fn: Lowering, i: Instr, mods: Mods, ptx: str) -> None:
    """fma, and mad of floats"""
    mode, ftz, sat = rounding(mods), mods.flag("ftz"), mods.flag("sat")
    a, b, c = (flush(fn, fn.read(x, ptx), ftz) for x in i.args[1:4])
    finish(fn, i, rounded(fn, "fma", mode, a, b, c), ftz, sat)


def divide(fn: Lowering, i: Instr, mods: Mods, ptx: str) -> None:
    """div: the approximate forms are computed exactly."""
    mods.ignore("approx", "full")
    mode, ftz = rounding(mods), mods.flag("ftz")
    a, b = (flush(fn, fn.read(x, ptx), ftz) for x in i.args[1:3])
    finish(fn, i, rounded(fn, "div", mode, a, b), ftz, False)


@instruction("rcp")
def reciprocal(fn: Lowering, i: Instr, mods: Mods) -> None:
    """rcp; rcp.approx.ftz.f64 has zeros in its lower half."""
    ptx = mods.type()
    approx, mode, ftz = mods.flag("approx"), rounding(mods), mods.flag("ftz")
    a = flush(fn, fn.read(i.args[1], ptx), ftz)
    one = float_const(a.type, ONE[a.type])
    result = rounded(fn, "div", mode, one, a)
    if approx and a.type == "double":
        result = _coarse(fn, a, result)
    finish(fn, i, result, ftz, False)


@instruction("rsqrt")
def reciprocal_root(fn: Lowering, i: Instr, mods: Mods) -> None:
    """rsqrt.approx, computed in double and rounded."""
    e = fn.emitter
    mods.flag("approx")
    ptx = mods.type()
    ftz = ptx == "f32" and mods.flag("ftz")
    a = flush(fn, fn.read(i.args[1], ptx), ftz)
    wide = e.convert("fpext", a, "double")
    root = e.intrinsic("llvm.sqrt.f64", "double", wide)
    inverse = e.binary("fdiv", float_const("double", ONE["double"]), root)
    if ptx == "f64":
        result = _coarse(fn, wide, inverse) if mods.flag("ftz") else inverse
    else:
        result = e.convert("fptrunc", inverse, "float")
    finish(fn, i, result, ftz, False)


def _coarse(fn: Lowering, argument: Value, result: Value) -> Value:
    """The approximate double forms: subnormals flushed, lower 32 bits of the result zero."""
    e = fn.emitter
    tiny = float_const("double", 0x0010_0000_0000_0000)
    magnitude = e.intrinsic("llvm.fabs.f64", "double", argument)
    infinite = float_const("double", 0x7FF0_0000_0000_0000)
    signed_inf = e.intrinsic("llvm.copysign.f64", "double", infinite, argument)
    result = e.select(e.fcmp("olt", magnitude, tiny), signed_inf, result)
    small = e.fcmp("olt", e.intrinsic("llvm.fabs.f64", "double", result), tiny)
    bits = e.binary_const("and", e.convert("bitcast", result, "i64"), 0xFFFF_FFFF_0000_0000)
    is_nan = e.fcmp("uno", result, result)
    bits = e.select(is_nan, const("i64", 0x7FFF_FFFF_0000_0000), bits)
    bits = e.select(small, e.binary_const("and", bits, 1 << 63), bits)
    return e.convert("bitcast", bits, "double")


@instruction("sqrt")
def root(fn: Lowering, i: Instr, mods: Mods) -> None:
    """sqrt: the approximate form is computed exactly."""
    ptx = mods.type()
    mods.flag("approx")
    mode, ftz = rounding(mods), mods.flag("ftz")
    a = flush(fn, fn.read(i.args[1], ptx), ftz)
    finish(fn, i, rounded(fn, "sqrt", mode, a), ftz, False)


@instruction("sin", "cos", "ex2", "lg2", "tanh")
def transcendental(fn: Lowering, i: Instr, mods: Mods) -> None:
    """The approximate functions, by the C library, which is more accurate than PTX asks for."""
    mods.flag("approx")
    ptx, ftz = mods.type(), mods.flag("ftz")
    names = {"ex2": "exp2f", "lg2": "log2f", "sin": "sinf", "cos": "cosf", "tanh": "tanhf"}
    from gpu_proxy.softgpu.codegen import half

    if ptx == "f64" or (ptx != "f32" and i.op not in ("ex2", "tanh")):
        raise UnsupportedError("")
    if ptx != "f32":
        half.unary_by_float(fn, i, ptx, names[i.op])
        return
    a = flush(fn, fn.read(i.args[1], ptx), ftz)
    finish(
        fn,
        i,
        fn.emitter.call(names[i.op], "float", a, attributes="nounwind memory(none)"),
        ftz,
        False,
    )


def min_max(fn: Lowering, i: Instr, mods: Mods, ptx: str) -> None:
    """A number wins over NaN, unless .NaN; -0 is less than +0."""
    e = fn.emitter
    nan, ftz = mods.flag("NaN"), mods.flag("ftz")
    xorsign = mods.flag("xorsign")
    if xorsign:
        mods.one_of("abs")
    values = [flush(fn, fn.read(x, ptx), ftz) for x in i.args[1:]]
    result = values[0]
    name = f"llvm.{i.op}{'imum' if nan else 'imumnum'}.{ptx}"
    for other in values[1:]:
        left, right = result, other
        if xorsign:
            left, right = (e.intrinsic(f"llvm.fabs.{ptx}", v.type, v) for v in (left, right))
        result = e.intrinsic(name, left.type, left, right)
    if xorsign:
        width = f"i{bits_of(result.type)}"
        signs = e.binary("xor", *(e.convert("bitcast", v, width) for v in values[:2]))
        result = e.intrinsic(
            f"llvm.copysign.{ptx}", result.type, result, e.convert("bitcast", signs, result.type)
        )
    if nan:
        quiet = 0x7FFF_FFFF if ptx == "f32" else 0x7FFF_FFFF_FFFF_FFFF
        result = e.select(e.fcmp("uno", result, result), float_const(result.type, quiet), result)
    fn.write(i.args[0], result)


def sign(fn: Lowering, i: Instr, mods: Mods, ptx: str) -> None:
    """abs, neg"""
    a = flush(fn, fn.read(i.args[1], ptx), mods.flag("ftz"))
    if i.op == "neg":
        fn.write(i.args[0], negate(fn, a))
    else:
        fn.write(i.args[0], fn.emitter.intrinsic(f"llvm.fabs.{ptx}", a.type, a))


@instruction("copysign")
def copysign(fn: Lowering, i: Instr, mods: Mods) -> None:
    """The sign of a on the magnitude of b."""
    ptx = mods.type()
    a, b = fn.read(i.args[1], ptx), fn.read(i.args[2], ptx)
    fn.write(i.args[0], fn.emitter.intrinsic(f"llvm.copysign.{ptx}", a.type, b, a))


@instruction("testp")
def testp(fn: Lowering, i: Instr, mods: Mods) -> None:
    """Classify a float."""
    # Bits of llvm.is.fpclass: 0-1 NaN, 2/9 infinity, 3/8 normal, 4/7 subnormal, 5/6 zero.
    masks = {
        "finite": 0x1F8,
        "infinite": 0x204,
        "number": 0x3FC,
        "notanumber": 3,
        "normal": 0x108,
        "subnormal": 0x90,
    }
    mask = masks[mods.one_of(*masks)]
    a = fn.read(i.args[1], mods.type())
    fn.write(
        i.args[0],
        fn.emitter.intrinsic(f"llvm.is.fpclass.{SUFFIX[a.type]}", "i1", a, const("i32", mask)),
    )
