# SPDX-License-Identifier: Apache-2.0
"""The syntax tree of a PTX module."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Reg:
    """A register; `name` is unique in its function."""

    name: str


@dataclass(frozen=True, slots=True)
class Special:
    """A special register such as %tid.x."""

    name: str


@dataclass(frozen=True, slots=True)
class Imm:
    """A literal. `bits` is the value, or the bit pattern of a float of `kind` f32 or f64."""

    bits: int
    kind: str = "int"


@dataclass(frozen=True, slots=True)
class Sym:
    """The address of a variable, function or label, plus a constant."""

    name: str
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Vec:
    """{a, b, ...}"""

    items: tuple[Operand, ...]


@dataclass(frozen=True, slots=True)
class Pair:
    """a|b, two destinations."""

    first: Operand
    second: Operand


@dataclass(frozen=True, slots=True)
class Not:
    """!p"""

    item: Operand


@dataclass(frozen=True, slots=True)
class Addr:
    """[base + offset]"""

    base: Operand
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Group:
    """(a, b, ...) of a call."""

    items: tuple[Operand, ...]


@dataclass(frozen=True, slots=True)
class Sink:
    """_, a result that nobody wants."""


Operand = Reg | Special | Imm | Sym | Vec | Pair | Not | Addr | Group | Sink


@dataclass(frozen=True, slots=True)
class Guard:
    """@p or @!p"""

    reg: Reg
    negated: bool


@dataclass(slots=True, eq=False)
class Instr:
    """One instruction: `ld.global.u32` has op `ld` and mods (global, u32). Equal only to itself."""

    op: str
    mods: tuple[str, ...]
    args: tuple[Operand, ...]
    guard: Guard | None
    line: int

    @property
    def name(self) -> str:
        """The instruction as written."""
        return ".".join((self.op, *self.mods))


@dataclass(frozen=True, slots=True)
class Label:
    """A branch target; `name` is unique in its function."""

    name: str


@dataclass(slots=True)
class Variable:
    """A variable in one of the state spaces. `count` 0 means an array of unknown size."""

    space: str
    type: str
    name: str
    align: int
    count: int
    is_array: bool = False
    external: bool = False
    vector: int = 1
    init: list[Imm | Sym | Masked] | None = None
    line: int = 0

    @property
    def element_bytes(self) -> int:
        """Bytes of one element."""
        return type_bytes(self.type) * self.vector

    @property
    def bytes(self) -> int:
        """Bytes of the whole variable."""
        return self.element_bytes * self.count


@dataclass(frozen=True, slots=True)
class Masked:
    """0xFF00(symbol): one byte of an address in a byte-array initialiser."""

    mask: int
    symbol: Sym


@dataclass(slots=True)
class Prototype:
    """Types of a call through a pointer."""

    returns: list[Variable]
    params: list[Variable]


@dataclass(slots=True)
class Function:
    """A kernel (`is_entry`) or a device function; `body` is None for a declaration."""

    name: str
    is_entry: bool
    params: list[Variable]
    returns: list[Variable]
    line: int
    external: bool = False
    body: list[Instr | Label] | None = None
    regs: dict[str, str] = field(default_factory=dict)
    variables: dict[str, Variable] = field(default_factory=dict)
    tables: dict[str, list[str]] = field(default_factory=dict)
    prototypes: dict[str, Prototype] = field(default_factory=dict)
    max_threads: int = 0
    required_block: tuple[int, int, int] = (0, 0, 0)


@dataclass(slots=True)
class Module:
    """One PTX translation unit."""

    version: int = 0
    target: int = 0
    variables: dict[str, Variable] = field(default_factory=dict)
    functions: dict[str, Function] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)


_TYPE_BYTES = {"pred": 1, "b128": 16, "f16x2": 4, "bf16x2": 4, "s16x2": 4, "u16x2": 4, "bf16": 2}


def type_bytes(name: str) -> int:
    """Bytes of a fundamental type such as `u32`."""
    if name in _TYPE_BYTES:
        return _TYPE_BYTES[name]
    return int(name[1:]) // 8
