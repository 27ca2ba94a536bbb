# SPDX-License-Identifier: Apache-2.0
"""Variables laid out one after another."""

from __future__ import annotations

from dataclasses import dataclass, field

from gpu_proxy.softgpu.ptx.ast import Variable


def align_up(value: int, align: int) -> int:
    """The next multiple."""
    return -(-value // align) * align


@dataclass
class Slots:
    """Variables laid out one after another."""

    offsets: dict[str, int] = field(default_factory=dict)
    bytes: int = 0

    def add(self, variable: Variable) -> None:
        """Append a variable at its alignment."""
        if variable.name not in self.offsets:
            self.bytes = align_up(self.bytes, variable.align)
            self.offsets[variable.name] = self.bytes
            self.bytes += variable.bytes


def layout(variables: list[Variable]) -> Slots:
    """Parameters in a buffer, in their order."""
    slots = Slots()
    for variable in variables:
        slots.add(variable)
    return slots
