# SPDX-License-Identifier: Apache-2.0
"""Settings of a pod domain: `vgpu.KEY=VALUE` on the kernel's command line, else xenstore's
`vm-data/vgpu/KEY`, as the guest's init has them."""

from __future__ import annotations

from pathlib import Path

from idm.xen.store import Store

COMMAND_LINE = Path("/proc/cmdline")


def setting(store: Store, key: str, line: Path = COMMAND_LINE) -> str:
    """Return a setting's value; "" when nobody has set it."""
    start = f"vgpu.{key}="
    words = [word for word in line.read_text().split() if word.startswith(start)]
    if words:
        return words[-1].removeprefix(start)  # what is written later wins, as in the kernel
    return store.read(f"vm-data/vgpu/{key}") or ""
