# SPDX-License-Identifier: Apache-2.0
"""The root's files that come from Debian packages: unpacked, trimmed, with Python's byte code.

Packages are only unpacked. What their scripts would do on a running system, nothing here needs.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from guest_image.elf import require_libraries
from guest_image.lock import Package
from guest_image.places import Places, digest, run, step, tool

PYTHON = "python3.11"
LIBRARIES = "usr/lib/x86_64-linux-gnu"
LIBRARY = f"usr/lib/{PYTHON}"
# Where Debian still installs to `/lib`, files go where the merged layout has them.
MERGED = ("bin", "sbin", "lib", "lib64")
PRUNED = (
    # documentation, packaging, desktop
    *("usr/share", "usr/lib/mime", "etc/python3.11", f"{LIBRARY}/sitecustomize.py"),
    # character sets other than UTF-8, and libc's own development
    *(f"{LIBRARIES}/gconv", f"{LIBRARIES}/audit"),
    # Python's own development, windows, installation of packages
    *(f"{LIBRARY}/{name}" for name in ("idlelib", "lib2to3", "tkinter", "turtledemo", "test")),
    *(f"{LIBRARY}/{name}" for name in ("ensurepip", "pydoc_data", "distutils", "turtle.py")),
    *(f"{LIBRARY}/lib-dynload/{name}" for name in ("_test*", "_ctypes_test*", "_xxtest*", "xx*")),
    # modules whose libraries `packages.LEFT_OUT` names
    *(f"{LIBRARY}/lib-dynload/{name}" for name in ("_dbm.*", "nis.*")),
)


def tree_key(packages: Iterable[Package]) -> str:
    """One name for all that the tree is made from."""
    recipe = (Path(__file__).with_name(name).read_text() for name in ("tree.py", "elf.py"))
    return digest(*recipe, *sorted(packages))


def build_tree(packages: list[Package], fetch: Callable[[], None], places: Places) -> Path:
    """The unpacked root; made when no earlier build left it."""
    kept = places.cache / f"tree-{tree_key(packages)}"
    if kept.exists():
        return kept
    fetch()
    with (
        tempfile.TemporaryDirectory(dir=places.work, prefix="tree-") as name,
        step("Debian's files"),
    ):
        tree = Path(name) / "tree"
        unpack(packages, places.packages, tree)
        prune(tree)
        require_libraries(tree)
        compile_python(tree, tree / LIBRARY)
        tree.rename(kept)
    return kept


def unpack(packages: list[Package], folder: Path, tree: Path) -> None:
    """All packages' files in the merged layout."""
    tree.mkdir()
    for name in MERGED:
        (tree / "usr" / name).mkdir(parents=True)
        (tree / name).symlink_to(f"usr/{name}")
    tar = f"{tool('tar')} -x --keep-directory-symlink --no-same-owner -C {tree}"
    for package in packages:
        archive = f"{tool('dpkg-deb')} --fsys-tarfile {folder / package.file}"
        run(["sh", "-c", f"umask 022; {archive} | {tar}"])
    (tree / "usr/bin/python3").symlink_to(PYTHON)
    (tree / "usr/bin/python").symlink_to("python3")


def prune(tree: Path) -> None:
    """Remove what `PRUNED` names, and folders that are empty then."""
    for pattern in PRUNED:
        for path in tree.glob(pattern):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    for folder, _, _ in os.walk(tree, topdown=False):
        if not os.listdir(folder) and folder != str(tree):
            os.rmdir(folder)


def compile_python(tree: Path, folder: Path) -> None:
    """Byte code beside each source, by the image's own Python: it cannot be written in the guest.

    Checked by nothing at run time, because the image is never changed; and the same each time.
    """
    loader = tree / "lib64/ld-linux-x86-64.so.2"
    libraries = ("--library-path", tree / LIBRARIES)
    command = [loader, *libraries, tree / "usr/bin" / PYTHON, "-S", "-B", "-m", "compileall", "-q"]
    options = ("--invalidation-mode", "unchecked-hash", "-s", tree, "-p", "/")
    run([*command, *options, folder], more={"PYTHONHOME": str(tree / "usr")})
