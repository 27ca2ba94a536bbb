# SPDX-License-Identifier: Apache-2.0
"""The root's files that are ours: init, the package idm, and libvgpu under the driver's names."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from guest_image.places import HERE, ROOT, GuestError, digest, digest_of_files, run, sha256_of, tool
from guest_image.tree import LIBRARIES, compile_python

INIT = HERE / "init"
FILES = HERE / "files"
PACKAGES = "usr/lib/python3/dist-packages"
# Linked statically: the first process needs nothing of the image, and the image's libc may be older
# than that of the machine that builds it.
CC = ("gcc", "-static", "-s")
CFLAGS = ("-std=gnu11", "-Os", "-Wall", "-Wextra", "-Werror", "-Wconversion", "-Wshadow", "-Wvla")
# Programs of busybox that must not hide our own.
OURS = ("init", "linuxrc", "poweroff", "reboot", "halt")
# What the kernel runs when the toolstack asks for it, and people type.
LEAVING = ("poweroff", "reboot", "halt")
# The driver's libraries and the names under which programs open them.
DRIVER = {
    "libvgpu.so": ("libcuda.so.1", "libcuda.so"),
    "libnvidia-ml.so.1": ("libnvidia-ml.so.1", "libnvidia-ml.so"),
}
OPTIONAL = ("libnvidia-ml.so.1",)


def idm_sources() -> list[Path]:
    """The package idm's Python files."""
    return sorted((ROOT / "idm").rglob("*.py"))


def own_key(driver: Path) -> str:
    """One name for what is ours in the image."""
    files = [*INIT.glob("*.[ch]"), *idm_sources(), *FILES.rglob("*"), *driver.glob("*.so*")]
    files += [Path(__file__)]
    base = Path(os.path.commonpath(files))
    libc = Path(run([tool("gcc"), "-print-file-name=libc.a"]).strip())
    names = (file for file in files if file.is_file())
    return digest(digest_of_files(names, base), sha256_of(libc), run([tool("gcc"), "--version"]))


def build_init(out: Path) -> None:
    """Compile the first process."""
    run([*CC, *CFLAGS, "-o", out, *sorted(INIT.glob("*.c"))])


def build_driver(out: Path) -> Path:
    """libvgpu for an old glibc, as the wheel has it: containers in the pod have their own libc."""
    run([sys.executable, "-m", "libvgpu.build", "--cc", "zig", "--out", out], cwd=ROOT,
        more={"PYTHONPATH": str(ROOT)})  # fmt: skip
    return out


def add_own_parts(tree: Path, driver: Path) -> None:
    """All of it, into a tree that has Debian's files."""
    add_busybox(tree)
    shutil.copytree(FILES, tree, dirs_exist_ok=True, symlinks=True)
    build_init(tree / "usr/sbin/init")
    for name in LEAVING:
        (tree / "usr/sbin" / name).symlink_to("init")
    add_python(tree)
    add_driver(tree, driver)
    make_links_and_folders(tree)


def add_busybox(tree: Path) -> None:
    """A link for each of its programs that the tree does not have from somewhere else."""
    busybox = tree / "usr/bin/busybox"
    for name in run([busybox, "--list-full"]).split():
        link = tree / ("usr/" + name.removeprefix("usr/"))
        if link.name not in OURS and not os.path.lexists(link):
            link.parent.mkdir(exist_ok=True)
            link.symlink_to("/usr/bin/busybox")


def add_python(tree: Path) -> None:
    """The package idm with its byte code."""
    for source in idm_sources():
        target = tree / PACKAGES / source.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    compile_python(tree, tree / PACKAGES)


def add_driver(tree: Path, driver: Path) -> None:
    """libvgpu's libraries, without symbols and without a number of the build."""
    for library, names in DRIVER.items():
        source = driver / library
        if not source.exists():
            if library in OPTIONAL:
                continue
            raise GuestError(f"{source} is missing: python -m libvgpu.build makes it")
        target = tree / LIBRARIES / names[0]
        run([tool("strip"), "--strip-unneeded", "-R", ".note.gnu.build-id", "-o", target, source])
        for name in names[1:]:
            (tree / LIBRARIES / name).symlink_to(names[0])


def make_links_and_folders(tree: Path) -> None:
    """Where init mounts, and names that lead to what can be written."""
    for name in ("proc", "sys", "dev", "run", "tmp", "var", "mnt"):
        (tree / name).mkdir(exist_ok=True)
    links = {
        "share": "run/share",
        "root": "var/root",
        "home": "var/home",
        "etc/resolv.conf": "/run/resolv.conf",
        "etc/hosts": "/run/hosts",
        "etc/mtab": "/proc/self/mounts",
    }
    for name, target in links.items():
        (tree / name).symlink_to(target)
