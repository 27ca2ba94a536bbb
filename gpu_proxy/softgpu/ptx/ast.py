# SPDX-License-Identifier: Apache-2.0
"""The syntax tree of a PTX module. It can be written to bytes and read again (outline.py)."""

from __future__ import annotations

from msgspec import Struct, field


class Reg(Struct, frozen=True, tag=True):
    """A register; `name` is unique in its function."""

    name: str


class Special(Struct, frozen=True, tag=True):
    """A special register such as %tid.x."""

    name: str


class Imm(Struct, frozen=True, tag=True):
    """A literal. `bits` is the value, or the bit pattern of a float of `kind` f32 or f64."""

    bits: int
    kind: str = "int"


class Sym(Struct, frozen=True, tag=True):
    """The address of a variable, function or label, plus a constant."""

    name: str
    offset: int = 0


class Vec(Struct, frozen=True, tag=True):
    """{a, b, ...}"""

    items: tuple[Operand, ...]


class Pair(Struct, frozen=True, tag=True):
    """a|b, two destinations."""

    first: Operand
    second: Operand


class Not(Struct, frozen=True, tag=True):
    """!p"""

    item: Operand


class Addr(Struct, frozen=True, tag=True):
    """[base + offset]"""

    base: Operand
    offset: int = 0


class Group(Struct, frozen=True, tag=True):
    """(a, b, ...) of a call."""

    items: tuple[Operand, ...]


class Sink(Struct, frozen=True, tag=True):
    """_, a result that nobody wants."""


Operand = Reg | Special | Imm | Sym | Vec | Pair | Not | Addr | Group | Sink


class Guard(Struct, frozen=True, tag=True):
    """@p or @!p"""

    reg: Reg
    negated: bool


class Instr(Struct, tag=True, eq=False):
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


class Label(Struct, frozen=True, tag=True):
    """A branch target; `name` is unique in its function."""

    name: str


class Variable(Struct, omit_defaults=True):
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


class Masked(Struct, frozen=True, tag=True):
    """0xFF00(symbol): one byte of an address in a byte-array initialiser."""

    mask: int
    symbol: Sym


class Prototype(Struct, omit_defaults=True):
    """Types of a call through a pointer."""

    returns: list[Variable]
    params: list[Variable]


class Facts(Struct, omit_defaults=True):
    """What others need to know of a function's body."""

    calls: list[str] = field(default_factory=list)  # by name
    uses: list[str] = field(default_factory=list)  # variables and functions named otherwise
    variables: list[Variable] = field(default_factory=list)  # of its own, but for parameters
    calls_pointers: bool = False
    reserved_shared: bool = False


class Span(Struct, frozen=True):
    """Where a body lies in the text, from brace to brace."""

    start: int
    end: int
    line: int


class Function(Struct, omit_defaults=True):
    """A kernel (`is_entry`) or a device function. A body is read only when it is needed."""

    name: str
    is_entry: bool
    params: list[Variable]
    returns: list[Variable]
    line: int
    external: bool = False
    max_threads: int = 0
    required_block: tuple[int, int, int] = (0, 0, 0)
    unsupported: str = ""  # why it cannot be compiled, if its head says so
    span: Span | None = None  # None: only declared
    facts: Facts = field(default_factory=Facts)
    body: list[Instr | Label] | None = None
    regs: dict[str, str] = field(default_factory=dict)
    variables: dict[str, Variable] = field(default_factory=dict)
    tables: dict[str, list[str]] = field(default_factory=dict)
    prototypes: dict[str, Prototype] = field(default_factory=dict)


class Module(Struct, omit_defaults=True):
    """One PTX translation unit."""

    version: int = 0
    target: int = 0
    variables: dict[str, Variable] = field(default_factory=dict)
    functions: dict[str, Function] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    address_taken: list[str] = field(default_factory=list)  # functions, by name

    def resolve(self, name: str) -> str:
        """The function behind an alias."""
        return self.aliases.get(name, name)


_TYPE_BYTES = {"pred": 1, "b128": 16, "f16x2": 4, "bf16x2": 4, "s16x2": 4, "u16x2": 4, "bf16": 2}


def type_bytes(name: str) -> int:
    """Bytes of a fundamental type such as `u32`."""
    if name in _TYPE_BYTES:
        return _TYPE_BYTES[name]
    return int(name[1:]) // 8
