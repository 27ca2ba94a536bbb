# SPDX-License-Identifier: Apache-2.0
"""What a domain boots: the pod's own image, or a trial guest with Dom0's root and Python."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

CONSOLE = "console=hvc0 panic=-1 quiet random.trust_cpu=on"
DEBIAN_KERNEL = Path("/boot/vmlinux")
GUEST_KERNEL = Path("/guest/vmlinux")
GUEST_ROOT = Path("/guest/root.erofs")
FAST = "script=/run/boot/block,format=raw,access=ro,target=/dev/vgpu/"
# Turns an interactive shell into one that neither echoes nor prompts.
QUIET_SHELL = "stty -echo; exec sh -c 'while IFS= read -r line; do eval \"$line\"; done'"


@dataclass(frozen=True)
class Image:
    """Kernel and disks of a domain; `disks` are xl's words for each, xvda first."""

    kernel: Path
    options: str
    ready: str  # what the console says when the guest is up
    shell: str  # runs scripts
    first: str = ""  # is typed into the console before the first script
    ramdisk: Path | None = None
    disks: tuple[str, ...] = ()
    memory: int = 256


def debian(*disks: str, kernel: Path | None = None) -> Image:
    """A trial guest whose console takes commands; `disks` of Dom0 by name: venv, repo, programs.

    It has the pods' kernel, or Debian's, which takes three times as long, where there is none.
    """
    return Image(
        kernel=kernel or (GUEST_KERNEL if GUEST_KERNEL.exists() else DEBIAN_KERNEL),
        ramdisk=Path("/share/initramfs.gz"),
        options=f"{CONSOLE} vgpu.start=guest vgpu.disks={','.join(disks)}",
        disks=tuple(f"{FAST}{name}" for name in ("root", *disks)),
        ready="vgpu: guest ready",
        shell="bash",
    )


def pod() -> Image:
    """What `make guest-image` made, with a shell on the console."""
    return Image(
        kernel=GUEST_KERNEL,
        options=f"{CONSOLE} root=/dev/xvda ro rootfstype=erofs rootwait vgpu.shell",
        disks=(f"format=raw,access=ro,target={GUEST_ROOT}",),
        ready="vgpu-init: ready",
        shell="sh",
        first=QUIET_SHELL,
    )
