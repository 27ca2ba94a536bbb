# SPDX-License-Identifier: Apache-2.0
"""The disks `programs`, `guest` and `app`: CUDA programs, the pod domains' images, a user's binary."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from demo import toolkit
from tests.xen.disks import make_disk
from tests.xen.places import (
    BUILD,
    GUEST,
    ROOT,
    HarnessError,
    digest,
    digest_of_files,
    is_fresh,
    step,
)

SOURCES = ROOT / "demo" / "programs"
LIBRARIES = ("libcudart.so.13", "libnvrtc.so.13", "libnvrtc-builtins.so.13.0")
GUEST_KERNEL = "vmlinux"
GUEST_ROOTS = ("root.erofs", "root.squashfs")


def build_programs_disk() -> Path:
    """The demo's programs, and the libraries that they and others load: libcudart and NVRTC."""
    image = BUILD / "programs.img"
    sources = [*SOURCES.iterdir(), Path(toolkit.__file__)]
    key = digest(digest_of_files(sources), toolkit.FOLDER, toolkit.PARTS)
    if is_fresh(image, key):
        return image
    with step("CUDA programs"), temporary_tree() as tree:
        for part in ("compiler", "13", "nvrtc"):
            toolkit.install(part)
        for source in sorted(SOURCES.glob("*.c*")):
            toolkit.build_program(source, tree / source.stem)
        (tree / "lib").mkdir()
        for name in LIBRARIES:
            part = "13" if "cudart" in name else "nvrtc"
            shutil.copy2(toolkit.path(part) / "lib" / name, tree / "lib")
        make_disk(tree, image, key)
    return image


def build_guest_disk() -> Path | None:
    """Kernel, root and templates that `make guest-image` made; None while they are not there."""
    image = BUILD / "guest.img"
    if not GUEST.is_dir():
        return None
    files = [file for file in GUEST.iterdir() if file.is_file()]
    key = digest_of_files(files)
    if not is_fresh(image, key):
        with step("guest images"), temporary_tree() as tree:
            for file in files:
                shutil.copy2(file, tree)
            make_disk(tree, image, key)
    return image


def require_guest() -> None:
    """The suite needs what `make guest-image` makes."""
    roots = [name for name in GUEST_ROOTS if (GUEST / name).exists()]
    if not (GUEST / GUEST_KERNEL).exists() or not roots:
        wanted = f"{GUEST_KERNEL} and {' or '.join(GUEST_ROOTS)}"
        raise HarnessError(f"missing: {wanted} in {GUEST.relative_to(ROOT)} (make guest-image)")


def build_app_disk(program: Path | None) -> Path | None:
    """A disk with one binary of the user's, if there is one."""
    if program is None:
        return None
    if not program.is_file():
        raise HarnessError(f"{program}: no such file")
    image = BUILD / "app.img"
    key = digest(program.name, digest_of_files([program.resolve()]))
    if not is_fresh(image, key):
        with temporary_tree() as tree:
            shutil.copy2(program, tree / program.name)
            make_disk(tree, image, key)
    return image


@contextmanager
def temporary_tree() -> Iterator[Path]:
    """A folder that becomes a disk's root, readable for everyone there."""
    with tempfile.TemporaryDirectory(dir=BUILD) as name:
        tree = Path(name)
        tree.chmod(0o755)
        yield tree
