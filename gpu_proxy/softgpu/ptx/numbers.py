# SPDX-License-Identifier: Apache-2.0
"""Literals and constant expressions of PTX."""

from __future__ import annotations

import struct

from gpu_proxy.softgpu.errors import PtxError
from gpu_proxy.softgpu.ptx.ast import Imm
from gpu_proxy.softgpu.ptx.lexer import Tokens


def parse_number(text: str) -> Imm:
    """One literal without sign."""
    prefix = text[:2].lower()
    if prefix == "0f":
        return Imm(int(text[2:], 16), "f32")
    if prefix == "0d":
        return Imm(int(text[2:], 16), "f64")
    if prefix == "0x":
        return Imm(int(text[2:].rstrip("U"), 16))
    if prefix == "0b":
        return Imm(int(text[2:].rstrip("U"), 2))
    if "." in text or "e" in text or "E" in text:
        return Imm(struct.unpack("<Q", struct.pack("<d", float(text)))[0], "f64")
    digits = text.rstrip("U")
    is_octal = len(digits) > 1 and digits[0] == "0" and not set(digits) & set("89")
    return Imm(int(digits, 8 if is_octal else 10))


def take_number(tokens: Tokens) -> Imm:
    """Take a literal without sign."""
    if tokens.kind != "number":
        raise PtxError(f"expected a number, found {tokens.value or 'the end'!r}", tokens.line)
    return parse_number(tokens.next())


def negate(value: Imm) -> Imm:
    """-value"""
    if value.kind == "int":
        return Imm(-value.bits)
    return Imm(value.bits ^ (1 << (31 if value.kind == "f32" else 63)), value.kind)


_BINARY = (("|",), ("^",), ("&",), ("<<", ">>"), ("+", "-"), ("*", "/"))


def parse_constant(tokens: Tokens, level: int = 0) -> Imm:
    """A constant expression of literals."""
    if level == len(_BINARY):
        return _unary(tokens)
    left = parse_constant(tokens, level + 1)
    while tokens.value in _BINARY[level]:
        left = _apply(tokens.next(), left, parse_constant(tokens, level + 1), tokens.line)
    return left


def _unary(tokens: Tokens) -> Imm:
    if tokens.accept("-"):
        return negate(_unary(tokens))
    if tokens.accept("+"):
        return _unary(tokens)
    if tokens.accept("~"):
        return Imm(~_unary(tokens).bits)
    if tokens.accept("("):
        value = parse_constant(tokens)
        tokens.expect(")")
        return value
    if tokens.value == "WARP_SZ":
        tokens.next()
        return Imm(32)
    return take_number(tokens)


def _apply(operator: str, left: Imm, right: Imm, line: int) -> Imm:
    a, b = left.bits, right.bits
    if left.kind != "int" or right.kind != "int" or (operator == "/" and b == 0):
        raise PtxError("constant expression that is not of integers", line)
    if operator in ("<<", ">>") and not 0 <= b < 64:
        raise PtxError("shift by more than 63 in a constant expression", line)
    results = {"|": a | b, "^": a ^ b, "&": a & b, "+": a + b, "-": a - b, "*": a * b}
    if operator == "<<":
        return Imm((a << b) & (2**64 - 1))
    if operator == ">>":
        return Imm(a >> b)
    return Imm(results[operator] if operator in results else int(a / b))
