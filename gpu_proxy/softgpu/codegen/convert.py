# SPDX-License-Identifier: Apache-2.0
"""cvt, in all its forms, and cvta."""

from __future__ import annotations

from dataclasses import dataclass

from gpu_proxy.softgpu.codegen import floating, half, types
from gpu_proxy.softgpu.codegen.emitter import Value, const, float_const
from gpu_proxy.softgpu.codegen.lowering import Lowering
from gpu_proxy.softgpu.codegen.registry import Mods, instruction
from gpu_proxy.softgpu.errors import UnsupportedError
from gpu_proxy.softgpu.ptx.ast import Instr

_INTEGRAL = {"rni": "roundeven", "rzi": "trunc", "rmi": "floor", "rpi": "ceil"}
# Significant bits and exponent bits of the formats that the runtime narrows to.
_FORMATS = {"f16": (11, 5), "bf16": (8, 8), "tf32": (11, 8)}


@dataclass(frozen=True)
class _Form:
    """What the modifiers of a cvt say."""

    to: str
    source: str
    integral: str | None
    mode: str | None
    ftz: bool
    sat: bool
    relu: bool

    @property
    def nearest(self) -> bool:
        """Whether the rounding is the usual one."""
        return self.mode in (None, "rn")


@instruction("cvt")
def cvt(fn: Lowering, i: Instr, mods: Mods) -> None:
    """Decide by the kinds of the two types."""
    integral = mods.choice(*_INTEGRAL)
    mode = mods.choice("rn", "rz", "rm", "rp", "rna")
    ftz, sat, relu = mods.flag("ftz"), mods.flag("sat"), mods.flag("relu")
    if mods.flag("tf32"):
        _to_tf32(fn, i, mods, mode, relu)
        return
    form = _Form(mods.type(), mods.type(), integral, mode, ftz, sat, relu)
    if types.is_packed(form.to):
        _pack(fn, i, form)
        return
    if mode == "rna" or (relu and not types.is_float(form.to)):
        raise UnsupportedError("")
    if not types.is_float(form.source):
        value = fn.read(i.args[1], form.source)
        if types.is_float(form.to):
            _from_integer(fn, i, form, value)
        else:
            _between_integers(fn, i, form, value)
        return
    value = _read_float(fn, i, form.source, ftz)
    if types.is_float(form.to):
        _between_floats(fn, i, form, value)
    elif integral is None:
        raise UnsupportedError("no rounding")
    else:
        _to_integer(fn, i, form, value)


def _read_float(fn: Lowering, i: Instr, source: str, ftz: bool) -> Value:
    if source in ("f16", "bf16"):
        return half.widen(fn, fn.read(i.args[1], "b16"), source)
    return floating.flush(fn, fn.read(i.args[1], source), ftz)


def _between_integers(fn: Lowering, i: Instr, form: _Form, value: Value) -> None:
    e, to = fn.emitter, form.to
    from_signed = types.is_signed(form.source)
    if form.sat:
        # All 64-bit values fit 65 signed bits, so one clamp serves every pair of types.
        wide = e.resize(value, 65, from_signed)
        bits = types.bits(to)
        low, high = 0, (1 << bits) - 1
        if types.is_signed(to):
            low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
        wide = e.intrinsic("llvm.smax.i65", "i65", wide, Value("i65", str(low)))
        value = e.intrinsic("llvm.smin.i65", "i65", wide, Value("i65", str(high)))
    fn.write(i.args[0], e.resize(value, types.bits(to), from_signed), types.is_signed(to))


def _from_integer(fn: Lowering, i: Instr, form: _Form, value: Value) -> None:
    e, to = fn.emitter, form.to
    signed, bits = types.is_signed(form.source), types.bits(form.source)
    op = "sitofp" if signed else "uitofp"
    if to in ("f16", "bf16"):
        # Exact in double up to 53 bits; beyond them f16 overflows anyway, and bf16 would round
        # twice, unless the first rounding is to odd.
        if (to == "bf16" and bits == 64) or not form.nearest:
            wide = _directed_from_integer(fn, value, signed, "double", "odd")
            fn.write(i.args[0], _narrow_directed(fn, wide, to, form.mode))
            return
        fn.write(i.args[0], half.narrow(fn, e.convert(op, value, "double"), to))
        return
    wanted = types.llvm_type(to)
    exact = bits < (32 if to == "f32" else 64)
    if form.nearest or exact:
        result = e.convert(op, value, wanted)
    else:
        result = _directed_from_integer(fn, value, signed, wanted, form.mode or "rn")
    fn.write(i.args[0], floating.saturate(fn, result, form.sat))


def _directed_from_integer(
    fn: Lowering, value: Value, signed: bool, wanted: str, mode: str
) -> Value:
    name = f"sg_op_{'s' if signed else 'u'}64_to_{floating.SUFFIX[wanted]}"
    wide = fn.emitter.resize(value, 64, signed)
    number = const("i32", floating.MODES[mode])
    return fn.emitter.call(name, wanted, wide, number, attributes="nounwind memory(none)")


def _to_integer(fn: Lowering, i: Instr, form: _Form, value: Value) -> None:
    """Out of range saturates; NaN is 0 for narrow types, the middle of the range for wide ones."""
    e = fn.emitter
    kind, bits = value.type, types.bits(form.to)
    suffix = floating.SUFFIX[kind]
    rounding = _INTEGRAL[form.integral or "rzi"]
    whole = e.intrinsic(f"llvm.{rounding}.{suffix}", kind, value)
    sign = "s" if types.is_signed(form.to) else "u"
    result = e.intrinsic(f"llvm.fpto{sign}i.sat.i{bits}.{suffix}", f"i{bits}", whole)
    if form.source == "f64" or bits == 64:
        middle = const(f"i{bits}", 1 << (bits - 1))
        result = e.select(e.fcmp("uno", value, value), middle, result)
    fn.write(i.args[0], result, types.is_signed(form.to))


def _between_floats(fn: Lowering, i: Instr, form: _Form, value: Value) -> None:
    e, to = fn.emitter, form.to
    if form.integral:
        name = f"llvm.{_INTEGRAL[form.integral]}.{floating.SUFFIX[value.type]}"
        value = e.intrinsic(name, value.type, value)
    if form.relu:
        value = _relu(fn, value)
    if to in ("f16", "bf16"):
        value = floating.saturate(fn, value, form.sat)
        if form.nearest:
            fn.write(i.args[0], half.narrow(fn, value, to))
        else:
            fn.write(i.args[0], _narrow_directed(fn, value, to, form.mode))
        return
    if to == "f64":
        result = e.convert("fpext", value, "double")
    elif value.type == "float":
        result = value
    elif form.nearest:
        result = e.convert("fptrunc", value, "float")
    else:
        number = const("i32", floating.MODES[form.mode or "rn"])
        attributes = "nounwind memory(none)"
        result = e.call("sg_op_f64_to_f32", "float", value, number, attributes=attributes)
    floating.finish(fn, i, result, form.ftz, form.sat)


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


def _pack(fn: Lowering, i: Instr, form: _Form) -> None:
    """cvt.rn.f16x2.f32 d, a, b: a in the upper half."""
    if form.source != "f32" or form.mode not in ("rn", "rz"):
        raise UnsupportedError("")
    kind = form.to.removesuffix("x2")
    parts = []
    for operand in i.args[1:3]:
        value = fn.read(operand, "f32")
        if form.relu:
            value = _relu(fn, value)
        if form.nearest:
            parts.append(half.narrow(fn, value, kind))
        else:
            parts.append(_narrow_directed(fn, value, kind, form.mode))
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
