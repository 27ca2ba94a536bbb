# SPDX-License-Identifier: Apache-2.0
"""Sizes for people: "4GiB" and back."""

from __future__ import annotations

import re

UNITS = {"": 1, "B": 1, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30, "TIB": 1 << 40}
UNITS |= {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)")
SIZE_MAX = 1 << 50


def parse_size(value: int | str) -> int:
    """Return bytes; raises ValueError with a text for the configuration's author."""
    if isinstance(value, str):
        match = SIZE.fullmatch(value.strip())
        if not match or match[2].upper() not in UNITS:
            raise ValueError(f"{value!r} is not a size; write bytes or KiB, MiB, GiB, TiB")
        size = int(float(match[1]) * UNITS[match[2].upper()])
    else:
        size = value
    if not 0 <= size <= SIZE_MAX:
        raise ValueError(f"{value!r} is not between 0 and 1024 TiB")
    return size


def format_size(size: float) -> str:
    """Return a short text as "1.5 GiB"."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
