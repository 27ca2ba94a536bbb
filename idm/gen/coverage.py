# SPDX-License-Identifier: Apache-2.0
"""Writes docs/coverage.md: every symbol of the CUDA driver interface and what becomes of it."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

from idm.api.table import GROUPS, Call, Mode, Table, load

HEAD = """# Coverage

Generated from the call table by `make coverage-page`; a test fails when it is out of date.

Every symbol that cuda.h of 11.8 to 13.5 declares is exported. *synchronous*: forwarded, the caller
waits. *posted*: forwarded, the caller goes on. *local*: answered in the zone. *refused*: returns
`CUDA_ERROR_NOT_SUPPORTED` and is logged once with its name. Some forwarded functions are carried by
internal calls; the column *runs* says so. *unsafe*: refused while a stream captures, as the modes
of the capture and of the calling thread have it.

"""


def runs(row: Call) -> str:
    """Where the work of a row is done, in a few words."""
    if row.mode is Mode.REFUSED:
        return row.reason
    if row.mode is Mode.LOCAL:
        where = "libvgpu"
    elif row.elsewhere:
        where = "libvgpu, carried by internal calls"
    else:
        where = ("C executor" if row.fast else "Python") + (", helper lane" if row.lane else "")
    return where + (", unsafe" if row.unsafe else "")


def page(table: Table) -> str:
    """The whole page."""
    public = [row for row in table.calls if row.symbol.startswith("cu")]
    counted = Counter(row.mode for row in public)
    parts = [HEAD, "| | rows | symbols |\n|---|---|---|\n"]
    for mode in Mode:
        symbols = sum(len(row.symbols) for row in public if row.mode is mode)
        parts.append(f"| {mode.value} | {counted[mode]} | {symbols} |\n")
    for number, group in enumerate(g for g in GROUPS if g != "internal"):
        rows = [row for row in public if row.number >> 8 == number]
        parts.append(f"\n## {group}\n\n| symbol | since | mode | runs |\n|---|---|---|---|\n")
        for row in rows:
            variant = f" ({row.per_thread})" if row.per_thread else ""
            major, minor = divmod(row.since, 1000)
            since = f"{major}.{minor // 10}"
            parts.append(f"| {row.symbol}{variant} | {since} | {row.mode.value} | {runs(row)} |\n")
    return "".join(parts)


def main() -> None:
    """Command line: `python -m idm.gen.coverage --out FILE`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.parse_args().out.write_text(page(load()))


if __name__ == "__main__":
    main()
