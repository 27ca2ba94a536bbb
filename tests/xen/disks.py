# SPDX-License-Identifier: Apache-2.0
"""Read-only disk images, each made from one folder.

A machine keeps the image that it has opened: a new one takes the old one's name by a rename.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tests.xen.places import mark_fresh, run_tool

BLOCK_BYTES = 4096
INODE_BYTES = 256
SPARE_BLOCKS = 512  # superblock, group tables, directories that grew


def make_disk(tree: Path, image: Path, key: str) -> None:
    """An ext4 image that just holds the tree. It is never written, so it needs no journal."""
    blocks, inodes = measure(tree.rglob("*"))
    inodes += 64
    blocks += blocks // 64 + inodes * INODE_BYTES // BLOCK_BYTES + SPARE_BLOCKS
    new = image.with_name(image.name + ".new")
    new.unlink(missing_ok=True)
    options = (
        "-q",
        "-F",
        "-t",
        "ext4",
        "-O",
        "^has_journal,^metadata_csum",
        "-m",
        0,
        "-b",
        BLOCK_BYTES,
    )
    owner = ("-E", "root_owner=0:0,lazy_itable_init=1", "-L", image.stem, "-N", inodes)
    run_tool("mke2fs", *options, *owner, "-d", tree, new, blocks)
    new.rename(image)
    mark_fresh(image, key)


def measure(paths: Iterable[Path]) -> tuple[int, int]:
    """Blocks and inodes that these files take."""
    blocks = inodes = 0
    for path in paths:
        inodes += 1
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            continue
        blocks += -(-path.stat().st_size // BLOCK_BYTES) if path.is_file() else 1
    return blocks, inodes
