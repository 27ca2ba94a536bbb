# SPDX-License-Identifier: Apache-2.0
"""A user's program tree as a disk: a file or device as it is, a directory packed into one.

A directory is not shared over 9p, although Xen could: its 9p back end cannot be read-only, so the
domain could write the directory with the rights of Dom0's root.
"""

from __future__ import annotations

from pathlib import Path

from gpu_proxy.domain.tools import find_tool, run_tool
from gpu_proxy.errors import DomainError

PACKERS = ("mkfs.erofs", "mksquashfs")
# Not compressed: a domain of a moment would wait for it.
SQUASHFS_OPTIONS = ("-noappend", "-quiet", "-no-progress", "-noI", "-noD", "-noF", "-noX")


def as_disk(image: Path, packed: Path) -> Path:
    """Return a disk with this image: a directory is packed into `packed`. Raises DomainError."""
    image = image.absolute()
    if image.is_dir():
        pack(image, packed)
        return packed
    if not (image.is_file() or image.is_block_device()):
        raise DomainError(f"image {image} is no file, block device or directory")
    return image


def pack(tree: Path, out: Path) -> None:
    """Make a read-only file system of a directory. Raises ToolFailed."""
    out.unlink(missing_ok=True)
    tool = find_tool(*PACKERS)
    if tool.endswith("mkfs.erofs"):
        run_tool(tool, "--quiet", out, tree)
    else:
        run_tool(tool, tree, out, *SQUASHFS_OPTIONS)
