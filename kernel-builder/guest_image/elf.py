# SPDX-License-Identifier: Apache-2.0
"""Whether every program and library of a tree finds the libraries that it needs there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from guest_image.places import GuestError, run, tool

MAGIC = b"\x7fELF"
NEEDED = re.compile(r"\(NEEDED\).*\[(.+)\]")
FILE = re.compile(r"^File: (.+)$")


def elf_files(tree: Path) -> Iterator[Path]:
    """Every file with ELF's first bytes."""
    for path in sorted(tree.rglob("*")):
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as stream:
                if stream.read(len(MAGIC)) == MAGIC:
                    yield path


def require_libraries(tree: Path) -> None:
    """Raise an error that names what is missing, and for whom."""
    files = list(elf_files(tree))
    present = {path.name for path in tree.rglob("*.so*")}
    missing, current = set(), ""
    # Of one file alone readelf would not say the name: the last one is there twice.
    for line in run([tool("readelf"), "-d", *files, *files[-1:]]).splitlines():
        if named := FILE.match(line):
            current = named[1]
        elif (needed := NEEDED.search(line)) and needed[1] not in present:
            missing.add(f"{Path(current).relative_to(tree)} needs {needed[1]}")
    if missing:
        raise GuestError("libraries are missing in the image:\n" + "\n".join(sorted(missing)))
