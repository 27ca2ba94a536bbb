# SPDX-License-Identifier: Apache-2.0
"""Integer arithmetic, and the entry points of the opcodes that integers share with floats."""

from __future__ import annotations

from gpu_proxy.softgpu.codegen import floating, half, types
from gpu_proxy.softgpu.codegen.emitter import Value, const
from gpu_proxy.softgpu.codegen.lowering import Lowering
from gpu_proxy.softgpu.codegen.registry import Mods, instruction
from gpu_proxy.softgpu.ptx.ast import Instr

_OPS = {"add": "add", "sub": "sub"}


def _is_half(ptx: str) -> bool:
    return ptx in ("f16", "bf16", "f16x2", "bf16x2")


@instruction("add", "sub")
def add_sub(fn: Lowering, i: Instr, mods: Mods) -> None:
    """add, sub, with saturation, carry-out or packed halves."""
    ptx = mods.type()
    if _is_half(ptx):
        half.arithmetic(fn, i, mods, ptx)
    elif types.is_float(ptx):
        floating.arithmetic(fn, i, mods, ptx)
    elif types.is_packed(ptx):
        packed_integer(fn, i, i.op, ptx)
    elif mods.flag("cc"):
        _with_carry(fn, i, ptx, carry_in=False, carry_out=True)
    else:
        a, b = fn.read(i.args[1], ptx), fn.read(i.args[2], ptx)
        if mods.flag("sat"):
            fn.write(i.args[0], fn.emitter.intrinsic(f"llvm.s{i.op}.sat.{a.type}", a.type, a, b))
        else:
            fn.write(i.args[0], fn.emitter.binary(i.op, a, b))


@instruction("addc", "subc")
def add_sub_carry(fn: Lowering, i: Instr, mods: Mods) -> None:
    """addc, subc: with carry-in, and carry-out if .cc."""
    _with_carry(fn, i, mods.type(), carry_in=True, carry_out=mods.flag("cc"))


def _with_carry(fn: Lowering, i: Instr, ptx: str, *, carry_in: bool, carry_out: bool) -> None:
    a, b = fn.read(i.args[1], ptx), fn.read(i.args[2], ptx)
    fn.write(
        i.args[0],
        carry_chain(fn, a, b, i.op.startswith("sub"), carry_in=carry_in, carry_out=carry_out),
    )


def carry_chain(
    fn: Lowering, a: Value, b: Value, subtract: bool, *, carry_in: bool, carry_out: bool
) -> Value:
    """a +- b +- CC.CF in one bit more, whose top bit is the carry or borrow."""
    e = fn.emitter
    bits = int(a.type[1:])
    op = "sub" if subtract else "add"
    wide = e.binary(op, e.resize(a, bits + 1), e.resize(b, bits + 1))
    if carry_in:
        flag = e.op("i1", f"load i1, ptr {fn.carry()}")
        wide = e.binary(op, wide, e.resize(flag, bits + 1))
    if carry_out:
        top = e.resize(e.binary_const("lshr", wide, bits), 1)
        e.line(f"store {top}, ptr {fn.carry()}")
    return e.resize(wide, bits)


def multiply(fn: Lowering, i: Instr, mods: Mods, ptx: str) -> Value:
    """The product by .lo, .hi or .wide."""
    e = fn.emitter
    part = mods.one_of("lo", "hi", "wide")
    a, b = fn.read(i.args[1], ptx), fn.read(i.args[2], ptx)
    if part == "lo":
        return e.binary("mul", a, b)
    bits, signed = types.bits(ptx), types.is_signed(ptx)
    wide = e.binary("mul", e.resize(a, 2 * bits, signed), e.resize(b, 2 * bits, signed))
    if part == "wide":
        return wide
    return e.resize(e.binary_const("lshr", wide, bits), bits)


@instruction("mul")
def mul(fn: Lowering, i: Instr, mods: Mods) -> None:
    """mul"""
    ptx = mods.type()
    if _is_half(ptx):
        half.arithmetic(fn, i, mods, ptx)
    elif types.is_float(ptx):
        floating.arithmetic(fn, i, mods, ptx)
    else:
        fn.write(i.args[0], multiply(fn, i, mods, ptx), types.is_signed(ptx))


@instruction("mad", "madc")
def mad(fn: Lowering, i: Instr, mods: Mods) -> None:
    """mad and madc; the float form is fma."""
    ptx = mods.type()
    if types.is_float(ptx):
        floating.fused(fn, i, mods, ptx)
        return
    wide = "wide" in mods.left
    product = multiply(fn, i, mods, ptx)
    c = fn.read(i.args[3], f"{ptx[0]}{types.bits(ptx) * 2}" if wide else ptx)
    if mods.flag("sat"):
        total = fn.emitter.intrinsic(f"llvm.sadd.sat.{c.type}", c.type, product, c)
    else:
        carry_in, carry_out = i.op == "madc", mods.flag("cc")
        if carry_in or carry_out:
            total = carry_chain(fn, product, c, False, carry_in=carry_in, carry_out=carry_out)
        else:
            total = fn.emitter.binary("add", product, c)
    fn.write(i.args[0], total, types.is_signed(ptx))


@instruction("mul24", "mad24")
def mul24(fn: Lowering, i: Instr, mods: Mods) -> None:
    """Products of 24-bit values: bits 0 to 31, or 16 to 47."""
    e = fn.emitter
    ptx, part = mods.type(), mods.one_of("lo", "hi")
    signed = types.is_signed(ptx)

    def extend(value: Value) -> Value:
        wide = e.binary_const("shl", e.resize(value, 64), 40)
        return e.binary_const("ashr" if signed else "lshr", wide, 40)

    product = e.binary("mul", extend(fn.read(i.args[1], ptx)), extend(fn.read(i.args[2], ptx)))
    if part == "hi":
        product = e.binary_const("lshr", product, 16)
    result = e.resize(product, 32)
    if i.op == "mad24":
        c = fn.read(i.args[3], ptx)
        saturate = mods.flag("sat")
        result = (
            e.intrinsic("llvm.sadd.sat.i32", "i32", result, c)
            if saturate
            else e.binary("add", result, c)
        )
    fn.write(i.args[0], result)


@instruction("sad")
def sad(fn: Lowering, i: Instr, mods: Mods) -> None:
    """c + |a - b|"""
    e = fn.emitter
    ptx = mods.type()
    a, b, c = (fn.read(x, ptx) for x in i.args[1:4])
    less = e.icmp("slt" if types.is_signed(ptx) else "ult", a, b)
    distance = e.select(less, e.binary("sub", b, a), e.binary("sub", a, b))
    fn.write(i.args[0], e.binary("add", c, distance))


@instruction("div", "rem")
def div_rem(fn: Lowering, i: Instr, mods: Mods) -> None:
    """Integer division, which never traps: by zero it gives all ones, as CUDA GPUs do."""
    ptx = mods.type()
    if types.is_float(ptx):
        floating.divide(fn, i, mods, ptx)
        return
    e = fn.emitter
    a, b = fn.read(i.args[1], ptx), fn.read(i.args[2], ptx)
    signed = types.is_signed(ptx)
    zero = e.icmp("eq", b, const(b.type, 0))
    unsafe = zero
    if signed:
        lowest = e.icmp("eq", a, const(a.type, 1 << (types.bits(ptx) - 1)))
        overflow = e.binary("and", lowest, e.icmp("eq", b, const(b.type, -1)))
        unsafe = e.binary("or", zero, overflow)
    divisor = e.select(unsafe, const(b.type, 1), b)
    result = e.binary(("s" if signed else "u") + i.op, a, divisor)
    fn.write(i.args[0], e.select(zero, const(a.type, -1), result), signed)


@instruction("min", "max")
def min_max(fn: Lowering, i: Instr, mods: Mods) -> None:
    """min, max"""
    ptx = mods.type()
    if _is_half(ptx):
        half.min_max(fn, i, mods, ptx)
    elif types.is_float(ptx):
        floating.min_max(fn, i, mods, ptx)
    elif types.is_packed(ptx):
        packed_integer(fn, i, f"llvm.{ptx[0]}{i.op}", ptx, relu=mods.flag("relu"))
    else:
        e = fn.emitter
        a, b = fn.read(i.args[1], ptx), fn.read(i.args[2], ptx)
        sign = "s" if types.is_signed(ptx) else "u"
        result = e.intrinsic(f"llvm.{sign}{i.op}.{a.type}", a.type, a, b)
        if mods.flag("relu"):
            result = e.intrinsic(f"llvm.smax.{a.type}", a.type, result, const(a.type, 0))
        fn.write(i.args[0], result, types.is_signed(ptx))


def packed_integer(fn: Lowering, i: Instr, op: str, ptx: str, *, relu: bool = False) -> None:
    """Two 16-bit operations at once."""
    e = fn.emitter
    vector = "<2 x i16>"
    a, b = (e.convert("bitcast", fn.read(x, ptx), vector) for x in i.args[1:3])
    result = (
        e.intrinsic(f"{op}.v2i16", vector, a, b) if op.startswith("llvm.") else e.binary(op, a, b)
    )
    if relu:
        result = e.intrinsic("llvm.smax.v2i16", vector, result, Value(vector, "zeroinitializer"))
    fn.write(i.args[0], e.convert("bitcast", result, "i32"))


@instruction("abs", "neg")
def abs_neg(fn: Lowering, i: Instr, mods: Mods) -> None:
    """abs, neg"""
    ptx = mods.type()
    e = fn.emitter
    if _is_half(ptx):
        half.sign(fn, i, mods, ptx)
    elif types.is_float(ptx):
        floating.sign(fn, i, mods, ptx)
    elif i.op == "neg":
        a = fn.read(i.args[1], ptx)
        fn.write(i.args[0], e.binary("sub", const(a.type, 0), a), signed=True)
    else:
        a = fn.read(i.args[1], ptx)
        fn.write(
            i.args[0], e.intrinsic(f"llvm.abs.{a.type}", a.type, a, const("i1", 0)), signed=True
        )


@instruction("dp4a", "dp2a")
def dot_product(fn: Lowering, i: Instr, mods: Mods) -> None:
    """dp4a.atype.btype and dp2a.{lo,hi}.atype.btype: small dot products added to c."""
    e = fn.emitter
    a_type, b_type = mods.type(), mods.type()
    a, b, total = fn.read(i.args[1], "u32"), fn.read(i.args[2], "u32"), fn.read(i.args[3], "u32")
    count, width = (4, 8) if i.op == "dp4a" else (2, 16)
    first = 2 if i.op == "dp2a" and mods.one_of("lo", "hi") == "hi" else 0
    for k in range(count):
        x = e.resize(e.binary_const("lshr", a, k * width), width)
        y = e.resize(e.binary_const("lshr", b, (first + k) * 8), 8)
        product = e.binary(
            "mul",
            e.resize(x, 32, types.is_signed(a_type)),
            e.resize(y, 32, types.is_signed(b_type)),
        )
        total = e.binary("add", total, product)
    fn.write(i.args[0], total)
