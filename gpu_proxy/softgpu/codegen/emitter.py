# SPDX-License-Identifier: Apache-2.0
"""Writing LLVM text: values with their types, basic blocks, and the few idioms that every
lowering needs.
"""

from __future__ import annotations

from typing import NamedTuple


class Value(NamedTuple):
    """An LLVM operand."""

    type: str
    text: str

    def __str__(self) -> str:
        return f"{self.type} {self.text}"


def bits_of(type_name: str) -> int:
    """Width of a scalar LLVM type."""
    widths = {
        "half": 16,
        "bfloat": 16,
        "float": 32,
        "double": 64,
        "<2 x half>": 32,
        "<2 x i16>": 32,
        "ptr": 64,
    }
    return widths[type_name] if type_name in widths else int(type_name[1:])


def const(type_name: str, value: int) -> Value:
    """An integer constant."""
    if type_name == "i1":
        return Value("i1", "true" if value & 1 else "false")
    bits = bits_of(type_name)
    value &= (1 << bits) - 1
    return Value(type_name, str(value - (1 << bits) if value >> (bits - 1) else value))


def float_const(type_name: str, bits: int) -> Value:
    """A float constant with an exact bit pattern."""
    width = bits_of(type_name)
    return Value(type_name, f"bitcast (i{width} {const(f'i{width}', bits).text} to {type_name})")


class Emitter:
    """The body of one LLVM function under construction."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.allocas: list[str] = []
        self.count = 0
        self.terminated = False
        # Runtime functions called, with their declarations.
        self.externals: dict[str, str] = {}

    def line(self, text: str) -> None:
        """An instruction without result. Code after a terminator is unreachable and goes to a
        block of its own.
        """
        if self.terminated:
            self.block(self.label("dead"))
        self.lines.append("  " + text)

    def op(self, result_type: str, text: str) -> Value:
        """An instruction with a result."""
        self.count += 1
        name = f"%t{self.count}"
        self.line(f"{name} = {text}")
        return Value(result_type, name)

    def label(self, hint: str = "b") -> str:
        """A fresh block name."""
        self.count += 1
        return f"{hint}.{self.count}"

    def block(self, name: str) -> None:
        """Begin a block; falls through from the one before."""
        if not self.terminated:
            self.lines.append(f'  br label %"{name}"')
        self.lines.append(f'"{name}":')
        self.terminated = False

    def jump(self, name: str) -> None:
        """Branch."""
        self.end(f'br label %"{name}"')

    def branch(self, condition: Value, yes: str, no: str, weights: str = "") -> None:
        """Conditional branch."""
        self.end(f'br {condition}, label %"{yes}", label %"{no}"{weights}')

    def end(self, text: str) -> None:
        """A terminator."""
        self.line(text)
        self.terminated = True

    def alloca(self, type_name: str, align: int = 0) -> str:
        """A stack slot, in the entry block so that LLVM can make it a register."""
        self.count += 1
        name = f"%a{self.count}"
        self.allocas.append(
            f"  {name} = alloca {type_name}" + (f", align {align}" if align else "")
        )
        return name

    # Arithmetic in short form.
    def binary(self, op: str, a: Value, b: Value) -> Value:
        """a op b, both of one type."""
        return self.op(a.type, f"{op} {a}, {b.text}")

    def binary_const(self, op: str, a: Value, b: int) -> Value:
        """a op constant."""
        return self.binary(op, a, const(a.type, b))

    def icmp(self, condition: str, a: Value, b: Value) -> Value:
        """Integer comparison."""
        return self.op("i1", f"icmp {condition} {a}, {b.text}")

    def fcmp(self, condition: str, a: Value, b: Value) -> Value:
        """Float comparison."""
        return self.op("i1", f"fcmp {condition} {a}, {b.text}")

    def select(self, condition: Value, a: Value, b: Value) -> Value:
        """condition ? a : b"""
        return self.op(a.type, f"select {condition}, {a}, {b}")

    def convert(self, op: str, a: Value, type_name: str) -> Value:
        """trunc, zext, bitcast and friends; nothing if the type is right already."""
        if a.type == type_name:
            return a
        return self.op(type_name, f"{op} {a} to {type_name}")

    def resize(self, a: Value, bits: int, signed: bool = False) -> Value:
        """Integer of another width."""
        have = bits_of(a.type)
        if have == bits:
            return a
        if have > bits:
            return self.convert("trunc", a, f"i{bits}")
        return self.convert("sext" if signed else "zext", a, f"i{bits}")

    def intrinsic(self, name: str, result_type: str, *args: Value) -> Value:
        """Call an LLVM intrinsic or another function that is known by its full name."""
        self._declare(name, result_type, args, "")
        return self.op(result_type, f'call {result_type} @"{name}"({", ".join(map(str, args))})')

    def call(
        self, name: str, result_type: str, *args: Value, attributes: str = "nounwind"
    ) -> Value:
        """Call a runtime function of csrc/."""
        self._declare(name, result_type, args, attributes)
        text = f'call {result_type} @"{name}"({", ".join(map(str, args))})'
        if result_type == "void":
            self.line(text)
            return Value("void", "")
        return self.op(result_type, text)

    def _declare(
        self, name: str, result_type: str, args: tuple[Value, ...], attributes: str
    ) -> None:
        types = ", ".join(a.type for a in args)
        self.externals[name] = f'declare {result_type} @"{name}"({types}) {attributes}'.rstrip()
