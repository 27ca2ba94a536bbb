# SPDX-License-Identifier: Apache-2.0
"""What must be the same before the first test and after the last one."""

from __future__ import annotations

import re
from pathlib import Path

from hypervisor import channels, domains, grants, store_paths

TOOLSTACK_FOLDERS = {"/libxl", "/vm"}  # xl makes them with the first domain, for good
OURS = re.compile(rb"(^|/)(xl|qemu-system\S*|gpu-proxy|vgpu\S*|gpu_proxy\S*|idm\.\S*)$")


def snapshot() -> dict[str, set[object]]:
    """Everything of Xen's that a test could leave behind, by kind."""
    return {
        "domain": {f"{one.domid} {one.name}" for one in domains().values() if one.domid},
        "grant": set(grants()),
        "event channel": set(channels()),
        "xenstore node": store_paths() - TOOLSTACK_FOLDERS,
        "loop device": {path.parent.name for path in Path("/sys/block").glob("loop*/loop")},
        "process": processes(),
    }


def processes() -> set[object]:
    """Processes of ours and of xl's."""
    found: set[object] = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue  # it ended meanwhile
        if any(OURS.search(word) for word in words):
            found.add(f"{folder.name} {b' '.join(words).decode(errors='replace').strip()}")
    return found


def left_over(before: dict[str, set[object]], after: dict[str, set[object]]) -> list[str]:
    """What is there now and was not."""
    return [
        f"{kind}: {one}" for kind in after for one in sorted(map(str, after[kind] - before[kind]))
    ]
