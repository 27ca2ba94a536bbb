# SPDX-License-Identifier: Apache-2.0
"""Logic, shifts and bit fields."""

from __future__ import annotations

from gpu_proxy.softgpu.codegen import types
from gpu_proxy.softgpu.codegen.emitter import Value, const
from gpu_proxy.softgpu.codegen.lowering import Lowering
from gpu_proxy.softgpu.codegen.registry import Mods, instruction
from gpu_proxy.softgpu.errors import UnsupportedError
from gpu_proxy.softgpu.ptx.ast import Imm, Instr, Pair


@instruction("and", "or", "xor")
def logic(fn: Lowering, i: Instr, mods: Mods) -> None:
    """and, or, xor, of predicates too"""
    ptx = mods.type()
    fn.write(i.args[0], fn.emitter.binary(i.op, fn.read(i.args[1], ptx), fn.read(i.args[2], ptx)))


@instruction("not", "cnot")
def complement(fn: Lowering, i: Instr, mods: Mods) -> None:
    """not; cnot is 1 for zero, else 0."""
    e = fn.emitter
    a = fn.read(i.args[1], mods.type())
    if i.op == "not":
        fn.write(i.args[0], e.binary("xor", a, const(a.type, -1)))
    else:
        fn.write(i.args[0], e.convert("zext", e.icmp("eq", a, const(a.type, 0)), a.type))


@instruction("lop3")
def lop3(fn: Lowering, i: Instr, mods: Mods) -> None:
    """Any logic function of three inputs, as the OR of the minterms of its table."""
    boolean = mods.choice("or", "and")
    ptx = mods.type()
    e = fn.emitter
    a, b, c = (fn.read(x, ptx) for x in i.args[1:4])
    table = i.args[4]
    if not isinstance(table, Imm):
        raise UnsupportedError("a table that is no constant", i.line)
    result = lookup3(fn, table.bits & 0xFF, a, b, c)
    target = i.args[0]
    if boolean:
        assert isinstance(target, Pair)
        nonzero = e.icmp("ne", result, const(result.type, 0))
        fn.write(target.second, e.binary(boolean, nonzero, fn.read(i.args[5], "pred")))
        target = target.first
    fn.write(target, result)


def lookup3(fn: Lowering, table: int, a: Value, b: Value, c: Value) -> Value:
    """The minterms of `table`, or of its complement if that has fewer."""
    e = fn.emitter
    invert = table.bit_count() > 4
    if invert:
        table ^= 0xFF
    inputs = [(e.binary("xor", x, const(x.type, -1)), x) for x in (a, b, c)]
    result = const(a.type, 0)
    for row in range(8):
        if table >> row & 1:
            picked = [pair[row >> (2 - n) & 1] for n, pair in enumerate(inputs)]
            result = e.binary(
                "or", result, e.binary("and", e.binary("and", picked[0], picked[1]), picked[2])
            )
    return e.binary("xor", result, const(a.type, -1)) if invert else result


@instruction("shl", "shr")
def shift(fn: Lowering, i: Instr, mods: Mods) -> None:
    """Shifts by more than the width give 0, or copies of the sign."""
    e = fn.emitter
    ptx = mods.type()
    bits, signed = types.bits(ptx), types.is_signed(ptx)
    a, amount = fn.read(i.args[1], ptx), fn.read(i.args[2], "u32")
    if i.op == "shr" and signed:
        amount = e.intrinsic("llvm.umin.i32", "i32", amount, const("i32", bits - 1))
        result = e.binary("ashr", a, e.resize(amount, bits))
    else:
        inside = e.icmp("ult", amount, const("i32", bits))
        safe = e.resize(e.binary_const("and", amount, bits - 1), bits)
        shifted = e.binary("shl" if i.op == "shl" else "lshr", a, safe)
        result = e.select(inside, shifted, const(a.type, 0))
    fn.write(i.args[0], result, signed)


@instruction("shf")
def funnel(fn: Lowering, i: Instr, mods: Mods) -> None:
    """shf.{l,r}.{clamp,wrap}: half of the 64-bit value b:a, shifted."""
    e = fn.emitter
    mods.type()
    direction, mode = mods.one_of("l", "r"), mods.one_of("clamp", "wrap")
    low, high, amount = (e.resize(fn.read(x, "b32"), 64) for x in i.args[1:4])
    both = e.binary("or", e.binary_const("shl", high, 32), low)
    if mode == "wrap":
        amount = e.binary_const("and", amount, 31)
    else:
        amount = e.intrinsic("llvm.umin.i64", "i64", amount, const("i64", 32))
    if direction == "l":
        result = e.binary_const("lshr", e.binary("shl", both, amount), 32)
    else:
        result = e.binary("lshr", both, amount)
    fn.write(i.args[0], e.resize(result, 32))


@instruction("popc", "clz", "brev")
def count(fn: Lowering, i: Instr, mods: Mods) -> None:
    """Counts are 32 bits wide whatever the operand."""
    e = fn.emitter
    a = fn.read(i.args[1], mods.type())
    if i.op == "brev":
        fn.write(i.args[0], e.intrinsic(f"llvm.bitreverse.{a.type}", a.type, a))
    elif i.op == "popc":
        fn.write(i.args[0], e.resize(e.intrinsic(f"llvm.ctpop.{a.type}", a.type, a), 32))
    else:
        fn.write(
            i.args[0], e.resize(e.intrinsic(f"llvm.ctlz.{a.type}", a.type, a, const("i1", 0)), 32)
        )


@instruction("bfind")
def bfind(fn: Lowering, i: Instr, mods: Mods) -> None:
    """Position of the highest bit that differs from the sign, or the shift that brings it to the
    top.
    """
    e = fn.emitter
    shift_amount = mods.flag("shiftamt")
    ptx = mods.type()
    a = fn.read(i.args[1], ptx)
    if types.is_signed(ptx):
        a = e.binary("xor", a, e.binary_const("ashr", a, types.bits(ptx) - 1))
    zeros = e.resize(e.intrinsic(f"llvm.ctlz.{a.type}", a.type, a, const("i1", 0)), 32)
    found = zeros if shift_amount else e.binary("sub", const("i32", types.bits(ptx) - 1), zeros)
    fn.write(i.args[0], e.select(e.icmp("eq", a, const(a.type, 0)), const("i32", -1), found))


@instruction("fns")
def find_nth_set(fn: Lowering, i: Instr, mods: Mods) -> None:
    """fns.b32: the n-th set bit from a base."""
    mods.type()
    mask, base, offset = (fn.read(x, "b32") for x in i.args[1:4])
    fn.write(i.args[0], fn.emitter.call("sg_op_fns", "i32", mask, base, offset))


def _clamped(fn: Lowering, operand: Value, limit: int, bits: int) -> Value:
    """The low byte of a position or length, at most `limit`, in `bits` bits."""
    e = fn.emitter
    byte = e.binary_const("and", operand, 0xFF)
    return e.resize(e.intrinsic("llvm.umin.i32", "i32", byte, const("i32", limit)), bits)


@instruction("bfe")
def bfe(fn: Lowering, i: Instr, mods: Mods) -> None:
    """Extract a bit field: computed in twice the width, so that no shift is too far."""
    e = fn.emitter
    ptx = mods.type()
    bits, signed = types.bits(ptx), types.is_signed(ptx)
    wide = 2 * bits
    a = e.resize(fn.read(i.args[1], ptx), wide, signed)
    position = _clamped(fn, fn.read(i.args[2], "u32"), bits, wide)
    length = _clamped(fn, fn.read(i.args[3], "u32"), bits, wide)
    field = e.binary("ashr" if signed else "lshr", a, position)
    keep = e.binary("sub", const(f"i{wide}", wide), length)
    # A length of zero would shift by the whole width, which LLVM leaves undefined.
    keep = e.binary_const("and", keep, wide - 1)
    field = e.binary("ashr" if signed else "lshr", e.binary("shl", field, keep), keep)
    empty = e.icmp("eq", length, const(length.type, 0))
    fn.write(i.args[0], e.select(empty, const(f"i{bits}", 0), e.resize(field, bits)))


@instruction("bfi")
def bfi(fn: Lowering, i: Instr, mods: Mods) -> None:
    """Insert a bit field."""
    e = fn.emitter
    ptx = mods.type()
    bits = types.bits(ptx)
    wide = 2 * bits
    field, into = fn.read(i.args[1], ptx), fn.read(i.args[2], ptx)
    position = _clamped(fn, fn.read(i.args[3], "u32"), bits, wide)
    length = _clamped(fn, fn.read(i.args[4], "u32"), bits, wide)
    ones = e.binary_const("sub", e.binary("shl", const(f"i{wide}", 1), length), 1)
    mask = e.resize(e.binary("shl", ones, position), bits)
    moved = e.resize(e.binary("shl", e.resize(field, wide), position), bits)
    kept = e.binary("and", into, e.binary("xor", mask, const(mask.type, -1)))
    fn.write(i.args[0], e.binary("or", kept, e.binary("and", moved, mask)))


@instruction("bmsk", "szext")
def mask_extend(fn: Lowering, i: Instr, mods: Mods) -> None:
    """bmsk: `b` ones from bit `a`; szext: sign or zero extension from bit `b`."""
    e = fn.emitter
    wrap = mods.one_of("clamp", "wrap") == "wrap"
    ptx = mods.type()
    a, amount = fn.read(i.args[1], ptx), fn.read(i.args[2], "u32")
    if wrap:
        amount = e.binary_const("and", amount, 31)
    else:
        amount = e.intrinsic("llvm.umin.i32", "i32", amount, const("i32", 32))
    length = e.resize(amount, 64)
    if i.op == "bmsk":
        start = e.resize(a, 64)
        start = (
            e.binary_const("and", start, 31)
            if wrap
            else e.intrinsic("llvm.umin.i64", "i64", start, const("i64", 32))
        )
        ones = e.binary_const("sub", e.binary("shl", const("i64", 1), length), 1)
        fn.write(i.args[0], e.resize(e.binary("shl", ones, start), 32))
        return
    keep = e.binary("sub", const("i64", 64), length)
    keep = e.binary_const("and", keep, 63)
    value = e.binary("shl", e.resize(a, 64), keep)
    value = e.resize(e.binary("ashr" if types.is_signed(ptx) else "lshr", value, keep), 32)
    fn.write(i.args[0], e.select(e.icmp("eq", length, const("i64", 0)), const("i32", 0), value))


@instruction("prmt")
def prmt(fn: Lowering, i: Instr, mods: Mods) -> None:
    """Pick four of the eight bytes of b:a."""
    e = fn.emitter
    mods.type()
    mode = mods.choice("f4e", "b4e", "rc8", "ecl", "ecr", "rc16")
    low, high = (e.resize(fn.read(x, "b32"), 64) for x in i.args[1:3])
    both = e.binary("or", e.binary_const("shl", high, 32), low)
    selector = fn.read(i.args[3], "b32")
    result = const("i32", 0)
    for k in range(4):
        byte = _picked_byte(fn, both, selector, mode, k)
        result = e.binary("or", result, e.binary_const("shl", byte, 8 * k))
    fn.write(i.args[0], result)


def _picked_byte(fn: Lowering, both: Value, selector: Value, mode: str | None, k: int) -> Value:
    e = fn.emitter
    if mode is None:
        nibble = e.binary_const("lshr", selector, 4 * k)
        index = e.binary_const("and", nibble, 7)
    else:
        index = _mode_index(fn, e.binary_const("and", selector, 3), mode, k)
    shift_by = e.resize(e.binary_const("mul", index, 8), 64)
    byte = e.resize(e.binary("lshr", both, shift_by), 8)
    if mode is None:
        signs = e.binary_const("ashr", byte, 7)
        replicate = e.icmp("ne", e.binary_const("and", nibble, 8), const("i32", 0))
        byte = e.select(replicate, signs, byte)
    return e.resize(byte, 32)


def _mode_index(fn: Lowering, start: Value, mode: str, k: int) -> Value:
    e = fn.emitter
    if mode == "f4e":
        return e.binary_const("add", start, k)
    if mode == "b4e":
        return e.binary_const("and", e.binary("sub", start, const("i32", k)), 7)
    if mode == "rc8":
        return start
    if mode == "ecl":
        return e.intrinsic("llvm.umax.i32", "i32", start, const("i32", k))
    if mode == "ecr":
        return e.intrinsic("llvm.umin.i32", "i32", start, const("i32", k))
    return e.binary_const("add", e.binary_const("mul", e.binary_const("and", start, 1), 2), k & 1)
