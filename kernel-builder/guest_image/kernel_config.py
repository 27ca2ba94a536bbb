# SPDX-License-Identifier: Apache-2.0
"""The fragment `guest.config` against the configuration that the kernel made of it."""

from __future__ import annotations

import re
from pathlib import Path

from guest_image.places import GuestError

LINE = re.compile(r"(CONFIG_\w+)=(.+)")


def read_config(path: Path) -> dict[str, str]:
    """The options that a configuration sets; what is not set is not in it."""
    found = (LINE.fullmatch(line) for line in path.read_text().splitlines())
    return {match[1]: match[2] for match in found if match}


def read_fragment(path: Path) -> dict[str, str]:
    """The options that a fragment asks for, with `n` for those that must be off."""
    asked: dict[str, str] = {}
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        match = LINE.fullmatch(line)
        if match is None:
            raise GuestError(f"{path}:{number}: neither a comment nor CONFIG_NAME=VALUE: {line}")
        if match[1] in asked:
            raise GuestError(f"{path}:{number}: {match[1]} is asked for twice")
        asked[match[1]] = match[2]
    return asked


def missing(asked: dict[str, str], final: dict[str, str]) -> list[str]:
    """The lines of the fragment that the configuration does not follow."""
    return [
        f"{name}={value} is {final.get(name, 'n')}"
        for name, value in asked.items()
        if final.get(name, "n") != value
    ]


def require(fragment: Path, config: Path) -> None:
    """Raise an error that names each line that was not followed."""
    lines = missing(read_fragment(fragment), read_config(config))
    if lines:
        raise GuestError(f"the kernel's configuration does not follow {fragment.name}:\n"
                         + "\n".join(lines))  # fmt: skip
