# SPDX-License-Identifier: Apache-2.0
"""Which function lowers which instruction, and strict reading of an instruction's modifiers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from gpu_proxy.softgpu.errors import UnsupportedError
from gpu_proxy.softgpu.ptx.ast import Instr
from gpu_proxy.softgpu.ptx.declarations import TYPE

if TYPE_CHECKING:
    from gpu_proxy.softgpu.codegen.lowering import Lowering

Handler = Callable[["Lowering", Instr, "Mods"], None]
HANDLERS: dict[str, Handler] = {}


def instruction(*names: str) -> Callable[[Handler], Handler]:
    """Register the lowering of instructions."""

    def register(handler: Handler) -> Handler:
        for name in names:
            HANDLERS[name] = handler
        return handler

    return register


class Mods:
    """The modifiers of an instruction. What a lowering did not take makes the instruction
    unsupported,
    so that no modifier is ever ignored by accident."""

    def __init__(self, instr: Instr) -> None:
        self.instr = instr
        self.left = list(instr.mods)

    def flag(self, name: str) -> bool:
        """Take `name` if it is there."""
        if name in self.left:
            self.left.remove(name)
            return True
        return False

    def choice(self, *names: str) -> str | None:
        """Take the first of `names` that is there."""
        for name in names:
            if self.flag(name):
                return name
        return None

    def one_of(self, *names: str) -> str:
        """Take one of `names`, which must be there."""
        found = self.choice(*names)
        if found is None:
            raise UnsupportedError("", self.instr.line)
        return found

    def ignore(self, *names: str) -> None:
        """Take modifiers that mean nothing on a CPU."""
        self.left = [m for m in self.left if m not in names]

    def type(self) -> str:
        """Take the first type."""
        for mod in self.left:
            if TYPE.fullmatch("." + mod):
                self.left.remove(mod)
                return mod
        raise UnsupportedError("", self.instr.line)

    def done(self) -> None:
        """All must have been taken."""
        if self.left:
            raise UnsupportedError("", self.instr.line)
