# SPDX-License-Identifier: Apache-2.0
"""Dom0's root: Debian packages, unpacked and trimmed, and what QEMU boots from them.

Packages are only unpacked (10 s); configuring them would take minutes and needs a running system.
What their scripts would have done and Dom0 needs is in `complete`. The same image is the root of
the trial guests, which have Debian's kernel, so it is mounted read-only everywhere.
"""

from __future__ import annotations

import gzip
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.xen.disks import make_disk
from tests.xen.initramfs import make_initramfs, modules_folder, with_dependencies
from tests.xen.kernel_image import unpack_kernel
from tests.xen.places import BUILD, HERE, HarnessError, digest, is_fresh, run_tool, step

SUITE = "bookworm"
SOURCES = """\
deb http://deb.debian.org/debian bookworm main
deb http://deb.debian.org/debian bookworm-updates main
deb http://deb.debian.org/debian-security bookworm-security main
"""
PACKAGES = (
    *("xen-hypervisor-4.17-amd64", "xen-utils-4.17", "xen-utils-common", "xenstore-utils"),
    *("libxenmisc4.17", "libxengnttab1", "libxenevtchn1", "libxenstore4", "qemu-system-xen"),
    *("linux-image-amd64", "seabios", "busybox-static", "kmod", "mount", "util-linux", "bsdutils"),
    *("python3", "python3-pyxs", "bash", "dash", "coreutils", "grep", "sed", "procps", "iproute2"),
    *("strace", "gdb-minimal", "less", "libstdc++6", "zlib1g", "libzstd1"),
)
MODULES = (
    *("xen-evtchn", "xen-gntdev", "xen-gntalloc", "xen-privcmd", "xenfs", "xen-blkback"),
    *("xen-blkfront", "xen-netback", "xen-netfront", "xen-pciback", "bridge", "veth", "tun"),
    *("virtio_pci", "virtio_blk", "crc32c_generic", "ext4", "erofs", "squashfs", "overlay", "loop"),
    *("9pnet_virtio", "9pnet_xen", "9p"),
)
TRIMMED = (
    *("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info", "usr/share/perl"),
    *("usr/share/i18n", "usr/share/lintian", "usr/share/bug", "usr/share/gtk-doc", "var/cache"),
    *("var/lib/apt", "lib/udev/hwdb.d", "usr/lib/valgrind", "usr/share/icons", "usr/share/zsh"),
)
MOUNT_POINTS = ("venv", "repo", "programs", "guest", "app", "share", "root", "tmp", "run")
ACCOUNTS = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534::/nonexistent:/bin/false\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "etc/hosts": "127.0.0.1 localhost\n",
    "etc/hostname": "dom0\n",
}
LINKS = {
    "bin/sh": "dash",
    "usr/bin/awk": "../../bin/busybox",
    "var/run": "/run",
    "var/lock": "/run/lock",
}


@dataclass(frozen=True)
class Dom0:
    """What QEMU boots."""

    xen: Path
    kernel: Path
    initramfs: Path
    root: Path


def build_dom0() -> Dom0:
    """Make what is not there or is out of date."""
    folder = BUILD / "dom0"
    made = Dom0(*(folder / n for n in ("xen.elf", "vmlinux", "initramfs.gz", "root.img")))
    files = ("dom0_root.py", "disks.py", "kernel_image.py")
    key = digest(sys.version, *((HERE / name).read_text() for name in files))
    tree = folder / "tree"
    if not is_fresh(made.root, key):
        folder.mkdir(parents=True, exist_ok=True)
        with step("Dom0's packages"):
            unpack(tree)
        with step("Dom0's root"):
            complete(tree, made)
            make_disk(tree, made.root, key)
    make_initramfs(tree, made.initramfs)
    return made


def unpack(tree: Path) -> None:
    """The packages' files."""
    shutil.rmtree(tree, ignore_errors=True)
    sources = tree.with_name("sources.list")
    sources.write_text(SOURCES)
    options = ("--variant=extract", "--include=" + ",".join(PACKAGES))
    recommends = "--aptopt=APT::Install-Recommends false"
    run_tool("mmdebstrap", "--quiet", *options, recommends, SUITE, tree, sources)


def complete(tree: Path, made: Dom0) -> None:
    """Take the boot files out, keep the modules wanted, do what package scripts would have done."""
    (xen,) = (tree / "boot").glob("xen-*.gz")
    made.xen.write_bytes(gzip.decompress(xen.read_bytes()))
    (kernel,) = (tree / "boot").glob("vmlinuz-*")
    unpack_kernel(kernel, made.kernel)
    for name in TRIMMED:
        shutil.rmtree(tree / name, ignore_errors=True)
    keep_modules(tree)
    for name in MOUNT_POINTS:
        (tree / name).mkdir(exist_ok=True)
    for name, text in ACCOUNTS.items():
        (tree / name).write_text(text)
    for name, target in LINKS.items():
        link = tree / name
        if link.is_dir() and not link.is_symlink():
            link.rmdir()
        if not link.is_symlink():
            link.symlink_to(target)
    for old in (tree / "boot").iterdir():
        old.unlink()
    shutil.copy(made.kernel, tree / "boot" / "vmlinux")
    run_tool("ldconfig", "-r", tree)
    compile_python(tree)


def keep_modules(tree: Path) -> None:
    """Of 390 MB of modules, those that Dom0 and guests load."""
    folder = modules_folder(tree)
    run_tool("depmod", "-b", tree, folder.name)
    wanted = set(with_dependencies(tree, MODULES))
    for module in folder.rglob("*.ko"):
        if module not in wanted:
            module.unlink()
    run_tool("depmod", "-b", tree, folder.name)


def compile_python(tree: Path) -> None:
    """Byte code of the standard library: Dom0 would compile it at every start of Python."""
    library = tree / "usr" / "lib" / f"python3.{sys.version_info.minor}"
    if not library.is_dir():
        raise HarnessError(f"Debian {SUITE} has no Python 3.{sys.version_info.minor}: run the harness"
                           " with the Python of that Debian release (PYTHON=/usr/bin/python3)")  # fmt: skip
    packages = tree / "usr" / "lib" / "python3" / "dist-packages"
    for folder in (library, packages):
        compile_tree(folder, tree, "/")


def compile_tree(folder: Path, strip: Path, prepend: str) -> None:
    """Byte code beside each source; tracebacks then name the path inside Dom0."""
    command = [sys.executable, "-m", "compileall", "-q", "-s", strip, "-p", prepend, folder]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    if done.returncode:
        raise HarnessError(f"compiling {folder} failed:\n{done.stdout}{done.stderr}")
