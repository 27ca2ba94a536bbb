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


GRANTOR = re.compile(r"grant-table for remote d(\d+)")
GRANT = re.compile(r"\[0x([0-9a-f]+)\]\s+(\d+)\s+0x[0-9a-f]+\s+0x([0-9a-f]+)")
CHANNELS_OF = re.compile(r"Event channel information for domain (\d+):")
CHANNEL = re.compile(r"\s(\d+) \[.*\]: s=([0-9]) .*?(?:d=(\d+)(?: p=(\d+))?)?$")
UNBOUND, INTERDOMAIN = 2, 3  # states of a port that another domain has to do with


@dataclass(frozen=True, order=True)
class Grant:
    """A page that one domain granted and another has mapped; `pin` counts its mappings."""

    granted_by: int
    reference: int
    mapped_by: int
    pin: int


@dataclass(frozen=True, order=True)
class Channel:
    """A port of one domain that is bound to a port of another, or waits for that."""

    domain: int
    port: int
    state: int
    remote_domain: int | None
    remote_port: int | None


def grants() -> set[Grant]:
    """All grants in use, from Xen's own dump."""
    return parse_grants(debug_key("g"))


def mapped_grants() -> dict[int, set[Grant]]:
    """The same by the domain that granted them."""
    found: dict[int, set[Grant]] = {}
    for one in grants():
        found.setdefault(one.granted_by, set()).add(one)
    return found


def picture() -> str:
    """Xen's own list of domains, and how many pages each has granted, for a log to show."""
    lines = [command("xl", "list").rstrip(), "grants in use (xl debug-keys g):"]
    for domid, used in sorted(mapped_grants().items()):
        mappers = sorted({grant.mapped_by for grant in used})
        by = ", ".join(f"domain {mapper}" for mapper in mappers)
        lines.append(f"  domain {domid} granted {len(used)} pages, mapped by {by}")
    return "\n".join(lines)


def channels() -> set[Channel]:
    """All event channels between domains, from Xen's own dump."""
    return parse_channels(debug_key("e"))


def parse_grants(dump: str) -> set[Grant]:
    """What `xl debug-keys g` printed."""
    found, granted_by = set(), -1
    for line in dump.splitlines():
        if start := GRANTOR.search(line):
            granted_by = int(start.group(1))
        elif entry := GRANT.search(line):
            reference, mapped_by, pin = entry.groups()
            found.add(Grant(granted_by, int(reference, 16), int(mapped_by), int(pin, 16)))
    return found


def parse_channels(dump: str) -> set[Channel]:
    """What `xl debug-keys e` printed."""
    found, domain = set(), -1
    for line in dump.splitlines():
        if start := CHANNELS_OF.search(line):
            domain = int(start.group(1))
        elif (entry := CHANNEL.search(line)) and int(entry.group(2)) in (UNBOUND, INTERDOMAIN):
            port, state, *remote = (int(word) if word else None for word in entry.groups())
            found.add(Channel(domain, port, state, *remote))
    return found
