# SPDX-License-Identifier: Apache-2.0
"""What must be the same before the first test and after the last one."""

from __future__ import annotations

import re
from pathlib import Path

from hypervisor import debug_key, domains, mapped_grants, store_paths

CHANNEL = re.compile(r"^\(XEN\)\s+(\d+) \[[^]]*\]: s=(\d) .*?(d=.*)?$")
STATE_UNBOUND, STATE_INTERDOMAIN = 2, 3
TOOLSTACK_FOLDERS = {"/libxl", "/vm"}  # xl makes them with the first domain, for good
LOOP = Path("/sys/block")


def snapshot() -> dict[str, set[str]]:
    """Everything of Xen's that a test could leave behind, by kind."""
    return {
        "domain": {
            f"{one.domid} {one.name} {one.state}" for one in domains().values() if one.domid
        },
        "mapped grant": {f"d{d} {line}" for d, lines in mapped_grants().items() for line in lines},
        "event channel of Dom0": event_channels(),
        "xenstore node": store_paths() - TOOLSTACK_FOLDERS,
        "loop device": {path.name for path in LOOP.glob("loop*") if (path / "loop").is_dir()},
        "process": processes(),
    }


def event_channels() -> set[str]:
    """Dom0's ports that are bound to another domain, or wait for one."""
    found = set()
    for line in debug_key("e").splitlines():
        if "information for domain" in line and "domain 0:" not in line:
            break
        match = CHANNEL.match(line)
        if match and int(match.group(2)) in (STATE_UNBOUND, STATE_INTERDOMAIN):
            found.add(f"port {match.group(1)} {match.group(3)}")
    return found


def processes() -> set[str]:
    """Processes of ours and of xl's; kernel threads have no command line."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if any(re.search(rb"(^|/)(xl|qemu-system\S*|gpu-proxy|vgpu\S*)$", word) for word in words):
            found.add(f"{folder.name} {b' '.join(words).decode(errors='replace').strip()}")
    return found


def left_over(before: dict[str, set[str]], after: dict[str, set[str]]) -> list[str]:
    """What is there now and was not."""
    return [f"{kind}: {one}" for kind in after for one in sorted(after[kind] - before[kind])]
