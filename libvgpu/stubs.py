# SPDX-License-Identifier: Apache-2.0
"""Generates libvgpu's exported functions from the call table: data, and one call each."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from idm.api.table import Call, Mode, Table
from idm.gen.prototypes import declaration

FRONT = re.compile(r"^CUresult vgpu_front_(\w+)\(", re.MULTILINE)


class MissingFront(ValueError):
    """A row names a hand-written function that does not exist."""


def implemented_fronts(sources: Iterable[Path]) -> set[str]:
    """Names of the hand-written front-end functions."""
    return {name for source in sources for name in FRONT.findall(source.read_text())}


def fronts_header(names: Iterable[str]) -> str:
    """`fronts.h`: one prototype for each hand-written function."""
    lines = ["#ifndef VGPU_FRONTS_H", "#define VGPU_FRONTS_H", '#include "vgpu.h"']
    lines += [f"vgpu_front vgpu_front_{name};" for name in sorted(names)]
    return "\n".join([*lines, "#endif", ""])


def check_fronts(table: Table, names: set[str]) -> None:
    """Every named function exists, and every existing one is named or called by another."""
    wanted = {row.front for row in table.calls if row.front}
    if missing := sorted(wanted - names):
        raise MissingFront(f"the call table names front-end functions without code: {missing}")


def exported(table: Table) -> list[Call]:
    """Rows that are symbols of libcuda, internal ones left out."""
    return [row for row in table.calls if row.symbol.startswith("cu")]


def _entry(row: Call, symbol: str, variant: bool) -> str:
    front = f"vgpu_front_{row.front}" if row.front else "0"
    flags = "IDM_FLAG_PER_THREAD" if variant else "0"
    return (
        f"static const struct vgpu_entry {symbol}_entry = "
        f"{{&{row.symbol}_call, {front}, {flags}, 0}};"
    )


def _stub(row: Call, symbol: str) -> str:
    parameters = ", ".join(declaration(p.c_type, p.name) for p in row.params) or "void"
    arguments = ", ".join(f"(void *)&{p.name}" for p in row.params)
    array = f"(void *const[]){{{arguments}}}" if arguments else "0"
    return (
        f"CUresult {symbol}({parameters});\n"
        f"CUresult {symbol}({parameters})\n"
        f"{{\n    return vgpu_invoke(&{symbol}_entry, {array});\n}}"
    )


def _refusal(row: Call, symbol: str) -> str:
    # The arguments are never read, so the prototype does not matter on x86-64.
    return (
        f"static _Atomic uint32_t {symbol}_logged;\n"
        f"static const struct vgpu_entry {symbol}_entry = "
        f"{{&{row.symbol}_call, 0, 0, &{symbol}_logged}};\n"
        f"CUresult {symbol}(void);\n"
        f"CUresult {symbol}(void)\n{{\n    return vgpu_refuse(&{symbol}_entry);\n}}"
    )


def stubs(table: Table) -> str:
    """C source of all exported functions."""
    lines = ['#include "fronts.h"', '#include "vgpu.h"', ""]
    for row in exported(table):
        lines.append(f"extern const struct idm_call {row.symbol}_call;")
        for symbol in row.symbols:
            if row.mode is Mode.REFUSED:
                lines.append(_refusal(row, symbol))
            else:
                lines.append(_entry(row, symbol, symbol != row.symbol))
                lines.append(_stub(row, symbol))
    return "\n".join([*lines, ""])


def version_script(table: Table) -> str:
    """Linker script: exactly the symbols of the table are exported."""
    names = "".join(f"    {s};\n" for row in exported(table) for s in row.symbols)
    return f"{{\n  global:\n{names}  local: *;\n}};\n"
