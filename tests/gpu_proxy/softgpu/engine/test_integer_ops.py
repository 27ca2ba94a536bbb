# SPDX-License-Identifier: Apache-2.0

"""Integer instructions against Python's unbounded integers, on random and on extreme operands."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from softgpu_harness import Gpu, Image, kernel

COUNT = 64


def signed(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def unsigned(value: int, bits: int) -> int:
    return value & ((1 << bits) - 1)


def quotient(a: int, b: int) -> int:
    if b == 0:
        return -1
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


def remainder(a: int, b: int) -> int:
    return -1 if b == 0 else a - quotient(a, b) * b


def clamp(value: int, bits: int) -> int:
    return max(-(1 << (bits - 1)), min((1 << (bits - 1)) - 1, value))


def shift_left(a: int, n: int, bits: int) -> int:
    return a << n if n < bits else 0


def bfe(a: int, b: int, c: int, bits: int, is_signed: bool) -> int:
    pos, length = b & 255, c & 255
    sign_at = min(pos + length - 1, bits - 1)
    fill = 0 if not is_signed or length == 0 else unsigned(a, bits) >> sign_at & 1
    result = 0
    for i in range(bits):
        inside = i < length and pos + i < bits
        result |= (unsigned(a, bits) >> (pos + i) & 1 if inside else fill) << i
    return result


def bfi(a: int, b: int, c: int, d: int, bits: int) -> int:
    pos, length = c & 255, d & 255
    for i in range(length):
        if pos + i < bits:
            b = b & ~(1 << (pos + i)) | (a >> i & 1) << (pos + i)
    return b


def prmt(a: int, b: int, c: int) -> int:
    data, result = b << 32 | a, 0
    for k in range(4):
        nibble = c >> 4 * k & 15
        byte = data >> 8 * (nibble & 7) & 255
        if nibble & 8:
            byte = 255 if byte & 128 else 0
        result |= byte << 8 * k
    return result


def lop3(a: int, b: int, c: int, table: int) -> int:
    result = 0
    for bit in range(32):
        row = (a >> bit & 1) << 2 | (b >> bit & 1) << 1 | c >> bit & 1
        result |= (table >> row & 1) << bit
    return result


def bfind(a: int, bits: int, is_signed: bool) -> int:
    if is_signed and a < 0:
        a = ~a
    return a.bit_length() - 1


def dot4(a: int, b: int, c: int, a_signed: bool, b_signed: bool) -> int:
    for k in range(4):
        x, y = a >> 8 * k & 255, b >> 8 * k & 255
        c += (signed(x, 8) if a_signed else x) * (signed(y, 8) if b_signed else y)
    return c


# Instruction, width and signedness of the operands, width of the result, and its meaning.
OPS: list[tuple[str, int, bool, int, Callable[[int, int, int], int]]] = []
for bits in (16, 32, 64):
    for sign in (True, False):
        t, s = f"{'s' if sign else 'u'}{bits}", sign
        OPS += [
            (f"add.{t} D, A, B", bits, s, bits, lambda a, b, c: a + b),
            (f"sub.{t} D, A, B", bits, s, bits, lambda a, b, c: a - b),
            (f"mul.lo.{t} D, A, B", bits, s, bits, lambda a, b, c: a * b),
            (f"mul.hi.{t} D, A, B", bits, s, bits, lambda a, b, c, n=bits: a * b >> n),
            (f"mad.lo.{t} D, A, B, C", bits, s, bits, lambda a, b, c: a * b + c),
            (f"div.{t} D, A, B", bits, s, bits, lambda a, b, c: quotient(a, b)),
            (f"rem.{t} D, A, B", bits, s, bits, lambda a, b, c: remainder(a, b)),
            (f"min.{t} D, A, B", bits, s, bits, lambda a, b, c: min(a, b)),
            (f"max.{t} D, A, B", bits, s, bits, lambda a, b, c: max(a, b)),
            (f"sad.{t} D, A, B, C", bits, s, bits, lambda a, b, c: c + abs(a - b)),
        ]
        if bits < 64:
            OPS.append((f"mul.wide.{t} D, A, B", bits, s, 2 * bits, lambda a, b, c: a * b))
        if bits > 16:
            OPS += [
                (f"mad.hi.{t} D, A, B, C", bits, s, bits, lambda a, b, c, n=bits: (a * b >> n) + c),
                (
                    f"bfe.{t} D, A, BL, CL",
                    bits,
                    s,
                    bits,
                    lambda a, b, c, n=bits, g=sign: bfe(a, b, c, n, g),
                ),
                (f"bfind.{t} L, A", bits, s, 32, lambda a, b, c, n=bits, g=sign: bfind(a, n, g)),
            ]
        name = "shr." + t
        OPS.append(
            (
                f"{name} D, A, BL",
                bits,
                s,
                bits,
                lambda a, b, c, n=bits: a >> min(unsigned(b, 32), 999),
            )
        )
    n = bits
    OPS += [
        (f"neg.s{n} D, A", n, True, n, lambda a, b, c: -a),
        (f"abs.s{n} D, A", n, True, n, lambda a, b, c: abs(a)),
        (f"and.b{n} D, A, B", n, False, n, lambda a, b, c: a & b),
        (f"or.b{n} D, A, B", n, False, n, lambda a, b, c: a | b),
        (f"xor.b{n} D, A, B", n, False, n, lambda a, b, c: a ^ b),
        (f"not.b{n} D, A", n, False, n, lambda a, b, c: ~a),
        (f"cnot.b{n} D, A", n, False, n, lambda a, b, c: int(a == 0)),
        (f"shl.b{n} D, A, BL", n, False, n, lambda a, b, c, n=n: shift_left(a, unsigned(b, 32), n)),
    ]
    if n > 16:
        OPS += [
            (f"popc.b{n} L, A", n, False, 32, lambda a, b, c: a.bit_count()),
            (f"clz.b{n} L, A", n, False, 32, lambda a, b, c, n=n: n - a.bit_length()),
            (f"brev.b{n} D, A", n, False, n, lambda a, b, c, n=n: int(f"{a:0{n}b}"[::-1], 2)),
            (f"bfi.b{n} D, A, B, CL, 7", n, False, n, lambda a, b, c, n=n: bfi(a, b, c, 7, n)),
            (
                f"add.cc.u{n} D, A, B; addc.u{n} D, C, 0",
                n,
                False,
                n,
                lambda a, b, c, n=n: c + (a + b >> n),
            ),
            (
                f"sub.cc.u{n} D, A, B; subc.u{n} D, C, 0",
                n,
                False,
                n,
                lambda a, b, c: c - int(a < b),
            ),
            (
                f"mad.lo.cc.u{n} D, A, B, C; madc.hi.u{n} D, A, B, C",
                n,
                False,
                n,
                lambda a, b, c, n=n: (a * b >> n) + c + (((a * b & (1 << n) - 1) + c) >> n),
            ),
        ]
OPS += [
    ("add.sat.s32 D, A, B", 32, True, 32, lambda a, b, c: clamp(a + b, 32)),
    ("sub.sat.s32 D, A, B", 32, True, 32, lambda a, b, c: clamp(a - b, 32)),
    ("mul24.lo.s32 D, A, B", 32, True, 32, lambda a, b, c: signed(a, 24) * signed(b, 24)),
    (
        "mul24.hi.u32 D, A, B",
        32,
        False,
        32,
        lambda a, b, c: unsigned(a, 24) * unsigned(b, 24) >> 16,
    ),
    (
        "mad24.lo.u32 D, A, B, C",
        32,
        False,
        32,
        lambda a, b, c: unsigned(a, 24) * unsigned(b, 24) + c,
    ),
    ("prmt.b32 D, A, B, C", 32, False, 32, prmt),
    ("lop3.b32 D, A, B, C, 0x96", 32, False, 32, lambda a, b, c: a ^ b ^ c),
    ("lop3.b32 D, A, B, C, 0xE8", 32, False, 32, lambda a, b, c: lop3(a, b, c, 0xE8)),
    ("lop3.b32 D, A, B, C, 0x3B", 32, False, 32, lambda a, b, c: lop3(a, b, c, 0x3B)),
    ("shf.l.wrap.b32 D, A, B, C", 32, False, 32, lambda a, b, c: (b << 32 | a) << (c & 31) >> 32),
    ("shf.r.wrap.b32 D, A, B, C", 32, False, 32, lambda a, b, c: (b << 32 | a) >> (c & 31)),
    (
        "shf.l.clamp.b32 D, A, B, C",
        32,
        False,
        32,
        lambda a, b, c: (b << 32 | a) << min(c, 32) >> 32,
    ),
    ("shf.r.clamp.b32 D, A, B, C", 32, False, 32, lambda a, b, c: (b << 32 | a) >> min(c, 32)),
    ("dp4a.s32.s32 D, A, B, C", 32, False, 32, lambda a, b, c: dot4(a, b, c, True, True)),
    ("dp4a.u32.s32 D, A, B, C", 32, False, 32, lambda a, b, c: dot4(a, b, c, False, True)),
    (
        "bfind.shiftamt.u32 L, A",
        32,
        False,
        32,
        lambda a, b, c: 31 - bfind(a, 32, False) if a else -1,
    ),
    ("cvt.sat.u8.s32 D, A", 32, True, 32, lambda a, b, c: max(0, min(255, a))),
    ("cvt.sat.s16.u32 D, A", 32, False, 32, lambda a, b, c: min(32767, a)),
    ("cvt.s8.s32 D, A", 32, True, 32, lambda a, b, c: signed(a, 8)),
    ("cvt.u8.s32 D, A", 32, True, 32, lambda a, b, c: unsigned(a, 8)),
    ("cvt.sat.s32.s64 L, A", 64, True, 32, lambda a, b, c: clamp(a, 32)),
    ("cvt.sat.u64.s64 D, A", 64, True, 64, lambda a, b, c: max(a, 0)),
    ("slct.u32.s32 D, A, B, C", 32, False, 32, lambda a, b, c: a if signed(c, 32) >= 0 else b),
    ("mul.wide.u16 D, A, B", 16, False, 32, lambda a, b, c: a * b),
    ("szext.clamp.s32 D, A, 9", 32, True, 32, lambda a, b, c: signed(a, 9)),
    ("bmsk.clamp.b32 D, A, 5", 32, False, 32, lambda a, b, c: 31 << a if a < 32 else 0),
]
for condition, function in {
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
}.items():
    for bits in (16, 32, 64):
        for letter in "su":
            OPS.append(
                (
                    f"setp.{condition}.{letter}{bits} %p1, A, B; selp.u32 L, 1, 0, %p1",
                    bits,
                    letter == "s",
                    32,
                    lambda a, b, c, f=function: int(f(a, b)),
                )
            )


def _registers(text: str, bits: int, result_bits: int) -> str:
    letters = {16: "%h", 32: "%r", 64: "%d"}
    names = {
        "D": f"{letters[result_bits]}10",
        "A": f"{letters[bits]}11",
        "B": f"{letters[bits]}12",
        "C": f"{letters[bits]}13",
        "L": "%r14",
        "BL": "%r15",
        "CL": "%r16",
    }
    return " ".join(
        names.get(word.strip(",;"), word.strip(",;")) + word[len(word.rstrip(",;")) :]
        for word in text.split()
    )


def _body() -> str:
    """Every operation on the operands of one row; results in 64-bit cells."""
    lines = [
        "ld.param.u64 %d1, [ops]; ld.param.u64 %d2, [out]; mov.u32 %r1, %ctaid.x; mul.wide.u32 %d3, %r1, 24;",
        "add.s64 %d1, %d1, %d3;",
        f"mul.wide.u32 %d3, %r1, {8 * len(OPS)}; add.s64 %d2, %d2, %d3;",
        "ld.global.u64 %d11, [%d1]; ld.global.u64 %d12, [%d1+8]; ld.global.u64 %d13, [%d1+16];",
        "cvt.u32.u64 %r11, %d11; cvt.u32.u64 %r12, %d12; cvt.u32.u64 %r13, %d13;",
        "cvt.u16.u64 %h11, %d11; cvt.u16.u64 %h12, %d12; cvt.u16.u64 %h13, %d13;",
        "mov.u32 %r15, %r12; mov.u32 %r16, %r13;",
    ]
    for n, (text, bits, _, result_bits, _) in enumerate(OPS):
        lines.append(_registers(text, bits, result_bits) + ";")
        target = "%r14" if " L," in text else {16: "%h10", 32: "%r10", 64: "%d10"}[result_bits]
        width = 32 if target == "%r14" else result_bits
        lines.append(f"st.global.u{width} [%d2+{8 * n}], {target};")
    return "\n".join(lines)


@pytest.fixture(scope="module")
def image(engine: Gpu) -> Image:
    return engine.compile(kernel("u64 ops, u64 out", _body()))


EXTREMES = [
    0,
    1,
    2,
    31,
    32,
    33,
    63,
    64,
    255,
    2**15 - 1,
    2**15,
    2**16 - 1,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**63 - 1,
    2**63,
    2**64 - 1,
    0x7FFF8000_80007FFF,
]
operand = st.one_of(st.sampled_from(EXTREMES), st.integers(0, 2**64 - 1), st.integers(0, 300))


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(rows=st.lists(st.tuples(operand, operand, operand), min_size=COUNT, max_size=COUNT))
def test_integer_operations(gpu: Gpu, image: Image, rows: list[tuple[int, int, int]]) -> None:
    gpu.reset()
    out = gpu.zeros(COUNT * len(OPS), np.uint64)
    image.run("k", COUNT, 1, gpu.put(rows, np.uint64), out)
    got = out.get().reshape(COUNT, len(OPS))
    for row, results in zip(rows, got, strict=True):
        for (text, bits, is_signed, result_bits, meaning), result in zip(OPS, results, strict=True):
            values = [signed(v, bits) if is_signed else unsigned(v, bits) for v in row]
            for position, marker in ((1, "BL"), (2, "CL")):
                if marker in text:
                    values[position] = unsigned(row[position], 32)
            wanted = unsigned(meaning(*values), 32 if " L," in text else result_bits)
            assert int(result) == wanted, (
                f"{text} of {[hex(v) for v in row]}: {int(result):#x}, not {wanted:#x}"
            )
