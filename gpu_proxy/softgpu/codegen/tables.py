# SPDX-License-Identifier: Apache-2.0
"""Writing tables of constants for csrc/loader.c as LLVM text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


class Tables:
    """Collects lines of LLVM text."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def array(self, name: str, kind: str, items: Sequence[str]) -> None:
        """A constant array."""
        body = (
            "[" + ", ".join(f"{kind} {item}" for item in items) + "]"
            if items
            else "zeroinitializer"
        )
        self.lines.append(f"@{name} = internal constant [{len(items)} x {kind}] {body}, align 8")

    def bytes(self, name: str, data: bytes, align: int = 1) -> str:
        """Constant bytes; a pointer to them."""
        text = "".join(f"\\{b:02X}" for b in data)
        self.lines.append(
            f'@"{name}" = internal constant [{len(data)} x i8] c"{text}", align {align}'
        )
        return f'ptr @"{name}"'

    def root(self, name: str, numbers: Sequence[int], tables: Iterable[str]) -> None:
        """A constant that the loader finds by its name: 32-bit numbers, then pointers."""
        kinds = ["i32"] * len(numbers) + ["ptr"] * len(list(tables))
        fields = [*(f"i32 {n}" for n in numbers), *(f"ptr @{table}" for table in tables)]
        self.lines.append(
            f"@{name} = constant {{ {', '.join(kinds)} }} {{ {', '.join(fields)} }}, align 8"
        )
