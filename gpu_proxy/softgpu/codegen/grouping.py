# SPDX-License-Identifier: Apache-2.0
"""Accesses that share one check.

Loads and stores of a basic block through the same, unchanged register at constant offsets are
checked together,
before the first of them: all will be executed, so if one is illegal, the thread faults anyway.
Unrolled loops thus
pay for one check instead of dozens.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gpu_proxy.softgpu.codegen import types
from gpu_proxy.softgpu.ptx.ast import Addr, Function, Instr, Label, Operand, Pair, Reg, Vec
from gpu_proxy.softgpu.ptx.declarations import TYPE

_ENDS = frozenset({"bra", "brx", "ret", "exit", "trap", "call", "bar", "barrier"})
_NO_RESULT = frozenset({"st", "red", "prefetch", "membar", "fence", "cp", "bar", "barrier"})
_SPACES = ("global", "shared", "shared::cta", "local", "const")
_VECTORS = {"v2": 2, "v4": 4, "v8": 8}
MAX_SPAN_BYTES = 1 << 16


@dataclass(frozen=True)
class Access:
    """One load or store at [register + offset]."""

    instr: Instr
    offset: int
    size: int
    write: bool


@dataclass
class Group:
    """Accesses with one check."""

    space: str
    members: list[Access]

    @property
    def low(self) -> int:
        """The lowest offset."""
        return min(a.offset for a in self.members)

    @property
    def span(self) -> int:
        """Bytes from the lowest to the end of the highest access."""
        return max(a.offset + a.size for a in self.members) - self.low

    @property
    def align(self) -> int:
        """Alignment that the lowest address needs."""
        return max(a.size for a in self.members)

    def is_sound(self) -> bool:
        """Whether an aligned start makes every member aligned."""
        return self.span <= MAX_SPAN_BYTES and all(
            (a.offset - self.low) % a.size == 0 for a in self.members
        )


def find_groups(function: Function) -> dict[Instr, Group]:
    """The group of each access that has company."""
    groups: dict[Instr, Group] = {}
    for members in _runs(function):
        for group in members.values():
            if len(group.members) > 1 and group.is_sound():
                groups.update({access.instr: group for access in group.members})
    return groups


def _runs(function: Function) -> Iterator[dict[tuple[str, str, int], Group]]:
    """For each basic block, accesses by space, register and the register's version."""
    open_groups: dict[tuple[str, str, int], Group] = {}
    versions: dict[str, int] = {}
    for item in function.body or ():
        if isinstance(item, Label) or item.op in _ENDS:
            yield open_groups
            open_groups = {}
            continue
        described = _describe(item)
        if described is not None:
            space, register, access = described
            key = (space, register, versions.get(register, 0))
            open_groups.setdefault(key, Group(space, [])).members.append(access)
        for name in _written(item):
            versions[name] = versions.get(name, 0) + 1
    yield open_groups


def _describe(item: Instr) -> tuple[str, str, Access] | None:
    if item.op not in ("ld", "st") or item.guard is not None or len(item.args) != 2:
        return None
    address = item.args[1 if item.op == "ld" else 0]
    if (
        not isinstance(address, Addr)
        or not isinstance(address.base, Reg)
        or "param" in "".join(item.mods)
    ):
        return None
    space = next((m for m in item.mods if m in _SPACES), "generic").split("::")[0]
    kinds = [m for m in item.mods if TYPE.fullmatch("." + m)]
    if len(kinds) != 1:
        return None
    count = next((_VECTORS[m] for m in item.mods if m in _VECTORS), 1)
    size = types.bits(kinds[0]) // 8 * count
    return space, address.base.name, Access(item, address.offset, size, item.op == "st")


def _written(item: Instr) -> Iterator[str]:
    if item.op not in _NO_RESULT and item.args:
        yield from _names(item.args[0])


def _names(operand: Operand) -> Iterator[str]:
    if isinstance(operand, Reg):
        yield operand.name
    elif isinstance(operand, Pair):
        yield from _names(operand.first)
        yield from _names(operand.second)
    elif isinstance(operand, Vec):
        for item in operand.items:
            yield from _names(item)
