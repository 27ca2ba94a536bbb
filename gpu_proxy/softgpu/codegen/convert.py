# SPDX-License-Identifier: Apache-2.0
"""cvt, in all its forms, and cvta."""

from __future__ import annotations

from gpu_proxy.softgpu.codegen import floating, half, types
from gpu_proxy.softgpu.codegen.emitter import Value, const, float_const
from gpu_proxy.softgpu.codegen.lowering import Lowering
from gpu_proxy.softgpu.codegen.registry import Mods, instruction
from gpu_proxy.softgpu.errors import UnsupportedError
from gpu_proxy.softgpu.ptx.ast import Instr

_INTEGRAL = {"rni": "roundeven", "rzi": "trunc", "rmi": "floor", "rpi": "ceil"}
# Significant bits and exponent bits of the formats that the runtime narrows to.
_FORMATS = {"f16": (11, 5), "bf16": (8, 8), "tf32": (11, 8)}


@instruction("cvt")
def cvt(fn: Lowering, i: Instr, mods: Mods) -> None:
    """Decide by the kinds of the two types."""
    integral = mods.choice(*_INTEGRAL)
    mode = mods.choice("rn", "rz", "rm", "rp", "rna")
    ftz, sat, relu = mods.flag("ftz"), mods.flag("sat"), mods.flag("relu")
    if mods.flag("tf32"):
        _to_tf32(fn, i, mods, mode, relu)
        return
    to, source = mods.type(), mods.type()
    if types.is_packed(to):
        _pack(fn, i, to, source, mode, relu)
        return
    if mode == "rna" or (relu and not types.is_float(to)):
        raise UnsupportedError("")
    if not types.is_float(source):
        value = fn.read(i.args[1], source)
        if types.is_float(to):
            _from_integer(fn, i, to, source, value, mode, sat)
        else:
            _between_integers(fn, i, to, source, value, sat)
        return
    value = _read_float(fn, i, source, ftz)
    if not types.is_float(to):
        if integral is None:
            raise UnsupportedError("no rounding")
        _to_integer(fn, i, to, source, value, integral)
        return
    _between_floats(fn, i, to, source, value, integral, mode, ftz, sat, relu)


def _read_float(fn: Lowering, i: Instr, source: str, ftz: bool) -> Value:
    if source in ("f16", "bf16"):
        return half.widen(fn, fn.read(i.args[1], "b16"), source)
    return floating.flush(fn, fn.read(i.args[1], source), ftz)


def _between_integers(
    fn: Lowering, i: Instr, to: str, source: str, value: Value, sat: bool
) -> None:
    e = fn.emitter
    if sat:
        # All 64-bit values fit 65 signed bits, so one clamp serves every pair of types.
        wide = e.resize(value, 65, types.is_signed(source))
        bits = types.bits(to)
        low, high = (
            (-(1 << (bits - 1)), (1 << (bits - 1)) - 1)
            if types.is_signed(to)
            else (0, (1 << bits) - 1)
        )
        wide = e.intrinsic("llvm.smax.i65", "i65", wide, Value("i65", str(low)))
        value = e.intrinsic("llvm.smin.i65", "i65", wide, Value("i65", str(high)))
    fn.write(
        i.args[0], e.resize(value, types.bits(to), types.is_signed(source)), types.is_signed(to)
    )


def _from_integer(
    fn: Lowering, i: Instr, to: str, source: str, value: Value, mode: str | None, sat: bool
) -> None:
    e = fn.emitter
    signed = types.is_signed(source)
    op = "sitofp" if signed else "uitofp"
    if to in ("f16", "bf16"):
        # Exact in double up to 53 bits; beyond them f16 overflows anyway, and bf16 would round twice.
        if (to == "bf16" and types.bits(source) == 64) or mode not in (None, "rn"):
            value = _directed_from_integer(fn, value, signed, "double", "rz")
            fn.write(i.args[0], _narrow_directed(fn, value, to, mode or "rn"))
            return
        fn.write(i.args[0], half.narrow(fn, e.convert(op, value, "double"), to))
        return
    wanted = types.llvm_type(to)
    exact = types.bits(source) < (32 if to == "f32" else 64)
    if mode in (None, "rn") or exact:
        result = e.convert(op, value, wanted)
    else:
        assert mode is not None
        result = _directed_from_integer(fn, value, signed, wanted, mode)
    fn.write(i.args[0], floating.saturate(fn, result, sat))


def _directed_from_integer(
    fn: Lowering, value: Value, signed: bool, wanted: str, mode: str
) -> Value:
    name = f"sg_op_{'s' if signed else 'u'}64_to_{floating.SUFFIX[wanted]}"
    wide = fn.emitter.resize(value, 64, signed)
    number = const("i32", floating.MODES[mode])
    return fn.emitter.call(name, wanted, wide, number, attributes="nounwind memory(none)")


def _to_integer(fn: Lowering, i: Instr, to: str, source: str, value: Value, integral: str) -> None:
    """Out of range saturates; NaN is 0 for narrow types and the middle of the range for wide ones."""
    e = fn.emitter
    kind, bits = value.type, types.bits(to)
    suffix = floating.SUFFIX[kind]
    whole = e.intrinsic(f"llvm.{_INTEGRAL[integral]}.{suffix}", kind, value)
    sign = "s" if types.is_signed(to) else "u"
    result = e.intrinsic(f"llvm.fpto{sign}i.sat.i{bits}.{suffix}", f"i{bits}", whole)
    if source == "f64" or bits == 64:
        result = e.select(e.fcmp("uno", value, value), const(f"i{bits}", 1 << (bits - 1)), result)
    fn.write(i.args[0], result, types.is_signed(to))


def _between_floats(
    fn: Lowering,
    i: Instr,
    to: str,
    source: str,
    value: Value,
    integral: str | None,
    mode: str | None,
    ftz: bool,
    sat: bool,
    relu: bool,
) -> None:
    e = fn.emitter
    if integral:
        value = e.intrinsic(
            f"llvm.{_INTEGRAL[integral]}.{floating.SUFFIX[value.type]}", value.type, value
        )
    if relu:
        value = _relu(fn, value)
    if to in ("f16", "bf16"):
        if sat:
            value = half.saturate_any(fn, value)
        narrow = (
            half.narrow(fn, value, to)
            if mode in (None, "rn")
            else _narrow_directed(fn, value, to, mode)
        )
        fn.write(i.args[0], narrow)
        return
    if to == "f64":
        result = e.convert("fpext", value, "double")
    elif value.type == "float":
        result = value
    elif mode in (None, "rn"):
        result = e.convert("fptrunc", value, "float")
    else:
        assert mode is not None
        number = const("i32", floating.MODES[mode])
        result = e.call(
            "sg_op_f64_to_f32", "float", value, number, attributes="nounwind memory(none)"
        )
    floating.finish(fn, i, result, ftz, sat)


def _relu(fn: Lowering, value: Value) -> Value:
    """Negative values and -0 become 0; NaN stays."""
    e = fn.emitter
    positive = e.fcmp("ugt", value, float_const(value.type, 0))
    return e.select(positive, value, float_const(value.type, 0))


def _narrow_directed(fn: Lowering, value: Value, to: str, mode: str | None) -> Value:
    """To 16 bits in any rounding mode, by the runtime."""
    e = fn.emitter
    wide = e.convert("fpext", value, "double")
    return e.resize(_narrow_call(fn, wide, to, mode or "rn"), 16)


def _narrow_call(fn: Lowering, wide: Value, to: str, mode: str) -> Value:
    precision, exponent = _FORMATS[to]
    number = const("i32", 4 if mode == "rna" else floating.MODES[mode])
    return fn.emitter.call(
        "sg_op_narrow",
        "i32",
        wide,
        const("i32", precision),
        const("i32", exponent),
        number,
        attributes="nounwind memory(none)",
    )


def _to_tf32(fn: Lowering, i: Instr, mods: Mods, mode: str | None, relu: bool) -> None:
    mods.one_of("f32")
    if mods.flag("satfinite"):
        raise UnsupportedError("")
    value = fn.read(i.args[1], "f32")
    if relu:
        value = _relu(fn, value)
    wide = fn.emitter.convert("fpext", value, "double")
    fn.write(
        i.args[0], fn.emitter.binary_const("shl", _narrow_call(fn, wide, "tf32", mode or "rn"), 13)
    )


def _pack(fn: Lowering, i: Instr, to: str, source: str, mode: str | None, relu: bool) -> None:
    """cvt.rn.f16x2.f32 d, a, b: a in the upper half."""
    if source != "f32" or mode not in ("rn", "rz"):
        raise UnsupportedError("")
    kind = to.removesuffix("x2")
    parts = []
    for operand in i.args[1:3]:
        value = fn.read(operand, "f32")
        if relu:
            value = _relu(fn, value)
        parts.append(
            half.narrow(fn, value, kind)
            if mode == "rn"
            else _narrow_directed(fn, value, kind, mode)
        )
    fn.write(i.args[0], half.join(fn, parts[1], parts[0]))


@instruction("cvta")
def cvta(fn: Lowering, i: Instr, mods: Mods) -> None:
    """Between generic addresses and addresses of a state space."""
    e = fn.emitter
    to_space = mods.flag("to")
    space = mods.one_of(
        "global", "const", "shared", "shared::cta", "local", "param", "param::entry"
    )
    ptx = mods.type()
    address = fn.read(i.args[1], ptx)
    base = window(fn, space)
    if base is None:
        fn.write(i.args[0], address)
        return
    if types.bits(ptx) != 64:
        raise UnsupportedError("32-bit addresses")
    fn.write(i.args[0], e.binary("sub" if to_space else "add", address, base))


def window(fn: Lowering, space: str) -> Value | None:
    """Where a state space lies among the generic addresses; None if addresses are the same."""
    kind = space.split("::", maxsplit=1)[0]
    if kind == "shared":
        return fn.field("shared_base")
    if kind == "local":
        return fn.field("local_base")
    if kind == "param":
        return fn.field("params")
    return None
