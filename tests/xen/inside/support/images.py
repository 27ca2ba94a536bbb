# SPDX-License-Identifier: Apache-2.0
"""What a domain boots: the pod's own image, or a trial guest of Debian's kernel on Dom0's root."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

QUIET = "console=hvc0 panic=-1 quiet random.trust_cpu=on"
FAST = "script=/run/boot/block,format=raw,access=ro,target=/dev/vgpu/"


@dataclass(frozen=True)
class Image:
    """Kernel and disks of a domain; `disks` are xl's words for each, xvda first."""

    kernel: Path
    options: str
    ready: str  # what the console says when the guest is up
    ramdisk: Path | None = None
    disks: tuple[str, ...] = ()
    memory: int = 256


def debian(*disks: str) -> Image:
    """A trial guest whose console takes commands; `disks` of Dom0 by name: venv, repo, programs."""
    return Image(
        kernel=Path("/boot/vmlinux"),
        ramdisk=Path("/share/initramfs.gz"),
        options=f"{QUIET} vgpu.start=guest vgpu.disks={','.join(disks)}",
        disks=tuple(f"{FAST}{name}" for name in ("root", *disks)),
        ready="vgpu: guest ready",
    )
