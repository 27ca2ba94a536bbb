# SPDX-License-Identifier: Apache-2.0
"""Writes the call table as C descriptors (idm/csrc/call.h)."""

from __future__ import annotations

import argparse
from pathlib import Path

from idm.api.table import Call, Mode, Table, load
from idm.api.types import Param, Wire

MODES = {
    Mode.SYNC: "IDM_SYNC",
    Mode.POSTED: "IDM_POSTED",
    Mode.LOCAL: "IDM_MODE_LOCAL",
    Mode.REFUSED: "IDM_REFUSED",
}


def _index(row: Call, name: str) -> int:
    """Position of a parameter plus one; 0 for none."""
    if not name:
        return 0
    return [p.name for p in row.params].index(name) + 1


def param_flags(param: Param) -> int:
    """enum idm_param_flags of one parameter."""
    return (
        1 * param.type.signed
        | 2 * param.null
        | 4 * param.drops
        | 8 * ("r" in param.access)
        | 16 * ("w" in param.access)
        | 32 * (param.type.c_name == "CUdevice")
    )


def call_flags(row: Call) -> int:
    """enum idm_call_flags of one row."""
    internal = row.symbol.startswith("vgpu")
    return (
        1 * row.fast
        | 2 * row.lane
        | 4 * row.no_context
        | 8 * internal
        | 16 * row.elsewhere
        | 32 * row.unsafe
    )


def works(row: Call) -> int:
    """What one record of a row puts into a stream; 0 for rows that put nothing there."""
    return 0 if row.stream is None or row.elsewhere else row.queues


def _param(row: Call, param: Param) -> str:
    size = 8 if param.wire is Wire.LOCAL else param.type.size
    return (
        f"    {{{int(param.wire)}, {int(param.type.kind)}, {_index(row, param.count)}, "
        f"{_index(row, param.parent)}, {param_flags(param)}, {size}, {param.scale}}},"
    )


def descriptors(table: Table) -> str:
    """C source: one `const struct idm_call` a row, and the index by number."""
    lines = ['#include "call.h"', ""]
    for row in table.calls:
        if row.params:
            lines.append(f"static const struct idm_param {row.symbol}_params[] = {{")
            lines += [_param(row, p) for p in row.params]
            lines.append("};")
        params = f"{row.symbol}_params" if row.params else "0"
        lines.append(
            f'const struct idm_call {row.symbol}_call = {{"{row.symbol}", {params}, '
            f"{row.number:#06x}, {len(row.params)}, {MODES[row.mode]}, {call_flags(row)}, "
            f"{works(row)}, {_index(row, row.stream or '')}}};"
        )
    lines.append("const struct idm_call *const idm_calls[] = {")
    lines += [f"    &{row.symbol}_call," for row in table.calls]
    lines += ["};", f"const size_t idm_call_count = {len(table.calls)};", ""]
    top = max(table.by_number) + 1
    lines.append(f"static const struct idm_call *const by_number[{top:#x}] = {{")
    lines += [f"    [{row.number:#06x}] = &{row.symbol}_call," for row in table.calls]
    lines += [
        "};",
        "const struct idm_call *idm_call_by_number(unsigned number)",
        "{",
        f"    return number < {top:#x} ? by_number[number] : 0;",
        "}",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Command line: `python -m idm.gen.descriptors --out FILE`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    args.out.write_text(descriptors(load()))


if __name__ == "__main__":
    main()
