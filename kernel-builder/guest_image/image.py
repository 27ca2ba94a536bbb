# SPDX-License-Identifier: Apache-2.0
"""The read-only root image: Debian's files and ours in EROFS, always with the same bytes."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from guest_image.lock import Package
from guest_image.own_parts import add_own_parts, own_key
from guest_image.places import EPOCH, GuestError, Places, digest, run, sha256_of, step, tool
from guest_image.tree import build_tree, tree_key

BYTES_MAX = 50_000_000
UUID = "76677075-0000-4000-8000-706f64726f6f"
# Measured in README.md: larger clusters save little and make each small read dearer.
COMPRESSION = ("-zlz4hc,12", "-C65536")


def image_key(packages: list[Package], driver: Path) -> str:
    """One name for all that the image is made from."""
    maker = sha256_of(Path(tool("mkfs.erofs")))  # it does not say its version without work
    return digest(tree_key(packages), own_key(driver), Path(__file__).read_text(), maker)


def build_image(
    packages: list[Package], fetch: Callable[[], None], driver: Path, places: Places, key: str
) -> Path:
    """The image; made when no earlier build left it."""
    kept = places.cache / f"root-{key}.erofs"
    if kept.exists():
        return kept
    base = build_tree(packages, fetch, places)
    os.utime(base)
    with tempfile.TemporaryDirectory(dir=places.work, prefix="root-") as name, step("root image"):
        tree = Path(name) / "tree"
        shutil.copytree(base, tree, symlinks=True)
        add_own_parts(tree, driver)
        make_image(tree, Path(name) / "image")
        (Path(name) / "image").rename(kept)
    return kept


def normalize(paths: Iterable[Path]) -> None:
    """The same modes and times whatever the umask and the age of the machine's files."""
    for path in paths:
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        os.utime(path, (EPOCH, EPOCH), follow_symlinks=False)


def make_image(tree: Path, image: Path) -> None:
    """Everything belongs to root, and no attribute of the machine's files gets in."""
    normalize([tree, *tree.rglob("*")])
    fixed = ("--all-root", f"-T{EPOCH}", f"-U{UUID}", "-x-1", "--quiet")
    run([tool("mkfs.erofs"), *fixed, *COMPRESSION, image, tree])
    size = os.path.getsize(image)
    if size > BYTES_MAX:
        raise GuestError(f"the root image has {size} bytes, more than {BYTES_MAX}")
