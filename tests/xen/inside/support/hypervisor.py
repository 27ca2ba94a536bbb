# SPDX-License-Identifier: Apache-2.0
"""What Xen says about itself: domains, grants, event channels, xenstore."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass

LIMIT_SECONDS = 120


def command(*words: object, check: bool = True) -> str:
    """Run a tool of Xen's; what it printed."""
    done = subprocess.run(
        [str(word) for word in words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=LIMIT_SECONDS,
    )
    assert not check or done.returncode == 0, f"{words}: exit {done.returncode}\n{done.stdout}"
    return done.stdout


@dataclass(frozen=True)
class Listed:
    """A line of `xl list`."""

    name: str
    domid: int
    memory: int
    state: str


def domains() -> dict[int, Listed]:
    """All domains, the dying ones as well: those have the name "(null)"."""
    found = {}
    for line in command("xl", "list").splitlines()[1:]:
        name, domid, memory, _cpus, state, _time = line.rsplit(maxsplit=5)
        found[int(domid)] = Listed(name.strip(), int(domid), int(memory), state)
    return found


def read_store(path: str) -> str | None:
    """A node's value, or None."""
    done = subprocess.run(
        ["xenstore-read", path], capture_output=True, text=True, check=False, timeout=LIMIT_SECONDS
    )
    return done.stdout.removesuffix("\n") if done.returncode == 0 else None


def store_paths() -> set[str]:
    """Every node of xenstore."""
    lines = command("xenstore-ls", "-f").splitlines()
    return {line.split(" = ", 1)[0].strip() for line in lines}


def debug_key(key: str) -> str:
    """What Xen prints for a debug key, from its own ring of messages."""
    command("xl", "dmesg", "--clear")
    command("xl", "debug-keys", key)
    return command("xl", "dmesg")


GRANTOR = re.compile(r"grant-table for remote (?:d|dom)?(\d+)")
ACTIVE = re.compile(r"\[0x[0-9a-f]+\]\s+(\d+)\s+0x[0-9a-f]+\s+0x[0-9a-f]+")


def mapped_grants() -> dict[int, list[str]]:
    """Lines of Xen's dump for the grants that are in use, by the domain that granted them."""
    found: dict[int, list[str]] = {}
    grantor = None
    for line in debug_key("g").splitlines():
        start = GRANTOR.search(line)
        if start:
            grantor = int(start.group(1))
        elif grantor is not None and ACTIVE.search(line):
            found.setdefault(grantor, []).append(line.strip())
    return found
