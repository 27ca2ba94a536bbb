# SPDX-License-Identifier: Apache-2.0

"""Float instructions: one rounding, in each rounding mode, against exact fractions."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from softgpu_harness import Gpu, kernel

# Significant bits, exponent of the smallest subnormal, exponent of the largest power of two.
FORMATS = {
    "f16": (11, -24, 15),
    "bf16": (8, -133, 127),
    "f32": (24, -149, 127),
    "f64": (53, -1074, 1023),
}


def round_to(value: Fraction, mode: str, form: str) -> float:
    """A fraction in a format, rounded once."""
    precision, tiny, top = FORMATS[form]
    if value == 0:
        return 0.0
    size = abs(value)
    exponent = math.floor(math.log2(size.numerator) - math.log2(size.denominator))
    while Fraction(2) ** exponent > size:
        exponent -= 1
    while Fraction(2) ** (exponent + 1) <= size:
        exponent += 1
    quantum = Fraction(2) ** max(exponent - precision + 1, tiny)
    whole, rest = divmod(size, quantum)
    negative = value < 0
    up = {
        "rn": rest * 2 > quantum or (rest * 2 == quantum and whole & 1),
        "rz": False,
        "rna": rest * 2 >= quantum,
        "rm": rest and negative,
        "rp": rest and not negative,
    }[mode]
    result = (whole + bool(up)) * quantum
    if result >= Fraction(2) ** (top + 1):
        to_infinity = (
            mode in ("rn", "rna") or (mode == "rp" and not negative) or (mode == "rm" and negative)
        )
        largest = (2 - Fraction(2) ** (1 - precision)) * Fraction(2) ** top
        return (-1 if negative else 1) * (math.inf if to_infinity else float(largest))
    return float(-result if negative else result)


def operands(form: str, count: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if form == "f32":
        values = rng.integers(0, 2**32, count).astype(np.uint32).view(np.float32)
        near = (rng.standard_normal(count) * 2).astype(np.float32)
    else:
        values = rng.integers(0, 2**64, count, dtype=np.uint64).view(np.float64)
        near = rng.standard_normal(count)
    values = np.where(np.isfinite(values), values, near)
    return np.where(rng.random(count) < 0.7, near, values).astype(near.dtype)


Meaning = Callable[[Fraction, Fraction, Fraction], Fraction | None]
BINARY: dict[str, Meaning] = {
    "add.{m}.{f} D, A, B": lambda a, b, c: a + b,
    "sub.{m}.{f} D, A, B": lambda a, b, c: a - b,
    "mul.{m}.{f} D, A, B": lambda a, b, c: a * b,
    "div.{m}.{f} D, A, B": lambda a, b, c: a / b if b else None,
    "fma.{m}.{f} D, A, B, C": lambda a, b, c: a * b + c,
    "rcp.{m}.{f} D, A": lambda a, b, c: 1 / a if a else None,
}


@pytest.mark.parametrize("form", ["f32", "f64"])
@pytest.mark.parametrize("mode", ["rn", "rz", "rm", "rp"])
def test_arithmetic_rounds_once(gpu: Gpu, form: str, mode: str) -> None:
    n = 300
    size, letter = (4, "%f") if form == "f32" else (8, "%e")
    lines = [
        "ld.param.u64 %d1, [in]; ld.param.u64 %d2, [out]; mov.u32 %r1, %tid.x; "
        f"mul.wide.u32 %d3, %r1, {3 * size}; add.s64 %d1, %d1, %d3; mul.wide.u32 %d3, %r1, {8 * len(BINARY)};"
        "add.s64 %d2, %d2, %d3;"
    ]
    lines += [f"ld.global.{form} {letter}{k + 1}, [%d1+{k * size}];" for k in range(3)]
    for k, text in enumerate(BINARY):
        code = text.format(m=mode, f=form)
        for name, register in (("D", "4"), ("A", "1"), ("B", "2"), ("C", "3")):
            code = code.replace(f" {name}", f" {letter}{register}")
        lines.append(f"{code}; st.global.{form} [%d2+{8 * k}], {letter}4;")
    dtype = np.float32 if form == "f32" else np.float64
    rows = np.stack([operands(form, n, seed) for seed in (1, 2, 3)], 1)
    out = gpu.zeros(n * len(BINARY), np.uint64)
    gpu.compile(kernel("u64 in, u64 out", "\n".join(lines))).run(
        "k", 1, n, gpu.put(rows, dtype), out
    )
    results = out.get().reshape(n, len(BINARY)).view(dtype).reshape(n, len(BINARY), -1)[:, :, 0]
    for row, got in zip(rows, results, strict=True):
        exact = [Fraction(float(v)) for v in row]
        for (text, meaning), value in zip(BINARY.items(), got, strict=True):
            wanted = meaning(*exact)
            if wanted is not None:
                assert float(value) == round_to(wanted, mode, form), (text, mode, row)


def _run_unary(gpu: Gpu, code: str, values: np.ndarray, result: type) -> np.ndarray:
    """code uses IN and OUT as registers of the arrays' types."""
    letters = {
        "float32": "%f",
        "float64": "%e",
        "uint16": "%h",
        "uint32": "%r",
        "int32": "%r",
        "uint64": "%d",
        "int64": "%d",
    }
    kinds = {"%f": "f32", "%e": "f64", "%h": "b16", "%r": "b32", "%d": "b64"}
    source, target = letters[values.dtype.name], letters[np.dtype(result).name]
    body = f"""
    ld.param.u64 %d1, [in]; ld.param.u64 %d2, [out]; mov.u32 %r1, %tid.x;
    mul.wide.u32 %d3, %r1, {values.dtype.itemsize}; add.s64 %d1, %d1, %d3;
    mul.wide.u32 %d4, %r1, {np.dtype(result).itemsize}; add.s64 %d2, %d2, %d4;
    ld.global.{kinds[source]} {source}9, [%d1];
    {code.replace("IN", source + "9").replace("OUT", target + "8")};
    st.global.{kinds[target]} [%d2], {target}8;
    """
    out = gpu.zeros(values.size, result)
    gpu.compile(kernel("u64 in, u64 out", body)).run("k", 1, values.size, gpu.put(values), out)
    return out.get()


@pytest.mark.parametrize("mode", ["rn", "rz", "rm", "rp"])
def test_narrowing_double_to_float(gpu: Gpu, mode: str) -> None:
    values = np.concatenate(
        [operands("f64", 300, 4), operands("f32", 100, 5).astype(np.float64) * (1 + 2**-24)]
    )
    got = _run_unary(gpu, f"cvt.{mode}.f32.f64 OUT, IN", values, np.float32)
    for value, result in zip(values, got, strict=True):
        assert float(result) == round_to(Fraction(float(value)), mode, "f32")


def _widen(number: float, form: str) -> float:
    if form == "f16":
        return float(np.array([number], np.uint16).view(np.float16)[0])
    if form == "bf16":
        return float(struct.unpack("<f", struct.pack("<I", int(number) << 16))[0])
    return number


@pytest.mark.parametrize("source", ["f32", "f64"])
@pytest.mark.parametrize("mode", ["rn", "rz", "rm", "rp"])
@pytest.mark.parametrize("form", ["f16", "bf16"])
def test_narrowing_to_halves(gpu: Gpu, source: str, mode: str, form: str) -> None:
    base = np.concatenate(
        [
            np.random.default_rng(6).standard_normal(200)
            * 10.0 ** np.arange(-8, 6).repeat(200)[::14][:200],
            [
                65504,
                65519.99,
                65520,
                65536,
                1e30,
                2**-24,
                2**-25,
                2**-25 * 1.0001,
                6e-8,
                2049,
                2051,
            ],
        ]
    )
    values = base.astype(np.float32 if source == "f32" else np.float64)
    got = _run_unary(gpu, f"cvt.{mode}.{form}.{source} OUT, IN", values, np.uint16)
    for value, bits in zip(values, got, strict=True):
        result = _widen(bits, form)
        assert result == round_to(Fraction(float(value)), mode, form), value


@pytest.mark.parametrize("mode", ["rn", "rz", "rm", "rp"])
@pytest.mark.parametrize("kind", ["s32", "u32", "s64", "u64"])
@pytest.mark.parametrize("form", ["f32", "f64", "f16", "bf16"])
def test_integers_to_floats(gpu: Gpu, mode: str, kind: str, form: str) -> None:
    bits = int(kind[1:])
    rng = np.random.default_rng(7)
    values = np.concatenate(
        [
            rng.integers(0, 2**bits, 100, dtype=np.uint64),
            rng.integers(0, 70000, 50, dtype=np.uint64),
            np.array(
                [0, 1, 2**bits - 1, 2 ** (bits - 1), 2 ** (bits - 1) - 1, 2**24 + 1, 2**31 + 129],
                np.uint64,
            ),
            (rng.integers(2**23, 2**24, 50, dtype=np.uint64) << np.uint64(1)) + np.uint64(1),
        ]
    )
    values = values.astype(np.uint32 if bits == 32 else np.uint64)
    result = {"f32": np.float32, "f64": np.float64}.get(form, np.uint16)
    got = _run_unary(gpu, f"cvt.{mode}.{form}.{kind} OUT, IN", values, result)
    for value, number in zip(values, got, strict=True):
        plain = int(value) - (2**bits if kind[0] == "s" and int(value) >> (bits - 1) else 0)
        exact = _widen(number, form)
        assert float(exact) == round_to(Fraction(plain), mode, form), plain


@pytest.mark.parametrize("source", ["f32", "f64"])
@pytest.mark.parametrize("kind", ["s32", "u32", "s64", "u64", "s16", "u8"])
@pytest.mark.parametrize("mode", ["rni", "rzi", "rmi", "rpi"])
def test_floats_to_integers(gpu: Gpu, source: str, kind: str, mode: str) -> None:
    specials = [
        0.0,
        -0.0,
        0.5,
        1.5,
        2.5,
        -0.5,
        -1.5,
        2.0**31,
        -(2.0**31),
        2.0**32,
        2.0**63,
        -(2.0**63),
        2.0**64,
        1e30,
        -1e30,
        math.inf,
        -math.inf,
        math.nan,
        255.5,
        256.0,
        -32768.5,
        32767.5,
    ]
    values = np.array(
        specials + list(np.random.default_rng(8).uniform(-300, 300, 50)),
        np.float32 if source == "f32" else np.float64,
    )
    bits = int(kind[1:])
    wide = max(bits, 16)
    out = {16: np.uint16, 32: np.uint32, 64: np.uint64}[wide]
    got = _run_unary(gpu, f"cvt.{mode}.{kind}.{source} OUT, IN", values, out)
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if kind[0] == "s" else (0, 2**bits - 1)
    rounding = {"rni": round, "rzi": math.trunc, "rmi": math.floor, "rpi": math.ceil}[mode]
    for value, number in zip(values, got, strict=True):
        if math.isnan(value):
            wanted = 1 << (bits - 1) if source == "f64" or bits == 64 else 0
        elif math.isinf(value):
            wanted = high if value > 0 else low
        else:
            wanted = max(low, min(high, rounding(float(value))))
        assert int(number) & ((1 << bits) - 1) == wanted & ((1 << bits) - 1), (value, int(number))


@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        ("add.ftz.f32 OUT, IN, 0f80000000", lambda x: 0.0 * x if abs(x) < 2**-126 else x),
        ("mul.ftz.f32 OUT, IN, 0f3F000000", lambda x: 0.0 * x if abs(x) < 2**-125 else x / 2),
        ("add.sat.f32 OUT, IN, 0f00000000", lambda x: min(max(x, 0.0), 1.0)),
        ("cvt.sat.f32.f32 OUT, IN", lambda x: min(max(x, 0.0), 1.0)),
        ("cvt.rni.f32.f32 OUT, IN", lambda x: float(np.rint(x))),
        ("abs.f32 OUT, IN", abs),
        ("neg.f32 OUT, IN", lambda x: -x),
        ("min.f32 OUT, IN, 0f40000000", lambda x: min(x, 2.0)),
        ("max.f32 OUT, IN, 0fFFC00000", lambda x: x),
        ("copysign.f32 OUT, IN, 0f3F800000", lambda x: math.copysign(1.0, x)),
        ("sqrt.rn.f32 OUT, IN; mul.f32 OUT, OUT, OUT; sqrt.approx.f32 OUT, IN", None),
    ],
)
def test_float_modifiers(gpu: Gpu, code: str, meaning: Callable[[float], float] | None) -> None:
    values = np.array(
        [
            0.0,
            1.0,
            -1.0,
            0.5,
            2.5,
            -3.5,
            1e-40,
            -1e-40,
            1.5e-38,
            3e38,
            0.9999,
            1.0001,
            -0.0,
            2.0**-126,
            2.0**-125,
        ],
        np.float32,
    )
    got = _run_unary(gpu, code, values, np.float32)
    with np.errstate(all="ignore"):
        wanted = (
            np.sqrt(values)
            if meaning is None
            else np.array([meaning(float(v)) for v in values], np.float32)
        )
    assert np.array_equal(got, wanted, equal_nan=True), (got, wanted)
    same_sign = np.signbit(got) == np.signbit(wanted)
    assert same_sign[~np.isnan(wanted)].all() or "sat" in code


@pytest.mark.parametrize(
    "op",
    ["eq", "ne", "lt", "le", "gt", "ge", "equ", "neu", "ltu", "leu", "gtu", "geu", "num", "nan"],
)
def test_float_comparisons(gpu: Gpu, op: str) -> None:
    body = (
        """
    ld.param.u64 %d1, [in]; ld.param.u64 %d2, [out]; mov.u32 %r1, %tid.x; mul.wide.u32 %d3, %r1, 8;
    add.s64 %d1, %d1, %d3; mul.wide.u32 %d3, %r1, 4; add.s64 %d2, %d2, %d3;
    ld.global.v2.f32 {%f1, %f2}, [%d1];
    """
        + f"setp.{op}.f32 %p1|%p2, %f1, %f2; selp.u32 %r2, 1, 0, %p1; selp.u32 %r3, 2, 0, %p2; or.b32 %r2, %r2, %r3; st.global.u32 [%d2], %r2;"
    )
    pairs = np.array(
        [
            (a, b)
            for a in (0.0, 1.0, -1.0, math.nan, math.inf, -0.0)
            for b in (0.0, 1.0, math.nan, -math.inf)
        ],
        np.float32,
    )
    out = gpu.zeros(len(pairs), np.uint32)
    gpu.compile(kernel("u64 in, u64 out", body)).run("k", 1, len(pairs), gpu.put(pairs), out)
    ordered = {
        "eq": lambda a, b: a == b,
        "ne": lambda a, b: a != b,
        "lt": lambda a, b: a < b,
        "le": lambda a, b: a <= b,
        "gt": lambda a, b: a > b,
        "ge": lambda a, b: a >= b,
    }
    for (a, b), got in zip(pairs, out.get(), strict=True):
        unordered = math.isnan(a) or math.isnan(b)
        if op in ("num", "nan"):
            wanted = unordered == (op == "nan")
        elif op.endswith("u"):
            wanted = unordered or bool(ordered[op[:-1]](a, b))
        else:
            wanted = not unordered and bool(ordered[op](a, b))
        assert int(got) == (1 if wanted else 2), (a, op, b)


def _ftz_or_nan(values: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(values), 0, values)


@pytest.mark.parametrize(
    ("code", "function", "limit"),
    [
        ("sin.approx.f32 OUT, IN", np.sin, 2**-20),
        ("cos.approx.f32 OUT, IN", np.cos, 2**-20),
        ("ex2.approx.f32 OUT, IN", np.exp2, 2**-21),
        ("lg2.approx.f32 OUT, IN", np.log2, 2**-20),
        ("rsqrt.approx.f32 OUT, IN", lambda x: 1 / np.sqrt(x), 2**-22),
        ("tanh.approx.f32 OUT, IN", np.tanh, 2**-10),
        ("rcp.approx.ftz.f32 OUT, IN", lambda x: 1 / x, 2**-22),
    ],
)
def test_approximations(
    gpu: Gpu, code: str, function: Callable[[np.ndarray], np.ndarray], limit: float
) -> None:
    values = np.random.default_rng(9).uniform(0.01, 3.1, 500).astype(np.float32)
    got = _run_unary(gpu, code, values, np.float32).astype(np.float64)
    exact = function(values.astype(np.float64))
    assert np.max(np.abs(got - exact) / np.maximum(np.abs(exact), 0.25)) < limit


def test_tf32_rounds_half_away(gpu: Gpu) -> None:
    values = np.array([1.0, 1 + 2**-11, 1 + 2**-12, -1 - 2**-11, 3.14159, 1e-40], np.float32)
    got = _run_unary(gpu, "cvt.rna.tf32.f32 OUT, IN", values, np.uint32).view(np.float32)
    assert got[:4].tolist() == [1.0, 1 + 2**-10, 1.0, -1 - 2**-10]
    assert abs(got[4] - 3.14159) < 2**-9
