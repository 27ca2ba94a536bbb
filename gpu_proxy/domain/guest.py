# SPDX-License-Identifier: Apache-2.0
"""The guest that pod domains boot: kernel and root image, as `make guest-image` builds them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gpu_proxy.errors import DomainError

INSTALLED = Path("/usr/lib/vgpu/guest")
CHECKOUT = Path(__file__).resolve().parents[2] / "build" / "guest"
KERNELS = ("vmlinux", "bzImage")  # the first starts faster, the second is smaller
ROOTS = ("root.erofs", "root.squashfs")
OPTIONS = "root=/dev/xvda ro rootwait console=hvc0 panic=-1 quiet"


@dataclass(frozen=True)
class Guest:
    """What a domain boots; `disks` are devices or files, xvda first."""

    kernel: Path
    disks: tuple[Path, ...]
    options: str
    ramdisk: Path | None = None


def find_guest(directory: Path | None) -> Guest:
    """Return the guest of a directory, else of the installed one, else of this checkout's.

    Raises DomainError.
    """
    places = [directory] if directory else [INSTALLED, CHECKOUT]
    for place in places:
        kernel, root = _first(place, KERNELS), _first(place, ROOTS)
        if kernel and root:
            kind = root.suffix.removeprefix(".")
            return Guest(kernel, (root,), f"{OPTIONS} rootfstype={kind}")
    wanted = f"{' or '.join(KERNELS)} and {' or '.join(ROOTS)}"
    raise DomainError(
        f"no guest: {wanted} in {' or '.join(map(str, places))};"
        " make guest-image builds them, --guest-dir names another directory"
    )


def _first(directory: Path, names: tuple[str, ...]) -> Path | None:
    paths = (directory / name for name in names)
    return next((path for path in paths if path.is_file()), None)
