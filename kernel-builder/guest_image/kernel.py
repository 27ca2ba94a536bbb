# SPDX-License-Identifier: Apache-2.0
"""The guest's kernel from Debian's source: bzImage, and an uncompressed vmlinux.

It is always built from nothing in a folder of its own, so what was built before cannot matter.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from guest_image import kernel_config
from guest_image.lock import Package
from guest_image.places import ENVIRONMENT, EPOCH, Places, digest, run, step, tool

OUTPUTS = ("vmlinux", "bzImage", "kernel.config")
# Both forms: Xen unpacks a bzImage slowly under emulation, and some loaders want one.
TARGETS = ("bzImage", "vmlinux")
STRIPPED = ("--strip-all",)
JOBS = os.cpu_count() or 1
NICENESS = 10
BANNER = {
    "KBUILD_BUILD_TIMESTAMP": time.strftime("%Y-%m-%d", time.gmtime(EPOCH)),
    "KBUILD_BUILD_USER": "vgpu",
    "KBUILD_BUILD_HOST": "vgpu",
    "KBUILD_BUILD_VERSION": "1",
}
# Sources of what the guest never has: leaving them out halves the time to unpack. Their Kconfig
# files stay, because the configuration reads all of them.
UNUSED = (
    *("arch/[!x]*", "sound", "tools/testing", "tools/perf", "drivers/gpu", "drivers/media"),
    *("drivers/infiniband", "drivers/staging", "drivers/scsi", "drivers/usb", "drivers/clk"),
    *("drivers/iio", "drivers/mtd", "drivers/pinctrl", "drivers/net/ethernet", "drivers/video"),
    *("drivers/net/wireless", "drivers/misc", "drivers/isdn", "fs/xfs", "fs/btrfs", "fs/ocfs2"),
)


def tools_of_kernel() -> dict[str, str]:
    """The versions that decide what is built, beside the source and its configuration."""
    return {name: run([tool(name), "--version"]).splitlines()[0] for name in ("gcc", "ld")}


def kernel_key(source: Package, places: Places) -> str:
    """One name for all that decides the kernel's bytes; comments of the fragment do not."""
    asked = sorted(kernel_config.read_fragment(places.fragment).items())
    fixed = (*BANNER.items(), *ENVIRONMENT.items(), *TARGETS, *STRIPPED)
    return digest(source.sha256, *asked, *tools_of_kernel().values(), *fixed)


def build_kernel(source: Package, fetch: Callable[[], None], places: Places, key: str) -> Path:
    """The folder that has `OUTPUTS`; made when no earlier build left it."""
    kept = places.cache / f"kernel-{key}"
    if kept.exists():
        return kept
    fetch()
    with tempfile.TemporaryDirectory(dir=places.work, prefix="kernel-") as name:
        work = Path(name)
        with step("kernel's source"):
            tree = unpack_source(places.packages / source.file, work)
        config = configure(tree, work / "objects", places.fragment)
        with step("kernel"):
            compile_kernel(tree, config.parent)
        collect(config.parent, work / "kept")
        (work / "kept").rename(kept)
    return kept


def unpack_source(package: Path, work: Path) -> Path:
    """The source tree out of the archive within the package."""
    run([tool("dpkg-deb"), "-x", package, work / "package"])
    (archive,) = (work / "package/usr/src").glob("linux-source-*.tar.xz")
    top = archive.name.removesuffix(".tar.xz")
    left_out = [f"--exclude={top}/{folder}/*.[chS]" for folder in UNUSED]
    left_out += [f"--exclude={top}/Documentation/*/*", "--exclude=*.dts", "--exclude=*.dtsi"]
    run([tool("tar"), "-xJf", archive, "-C", work, *left_out])
    shutil.rmtree(work / "package")
    return work / top


def configure(tree: Path, objects: Path, fragment: Path) -> Path:
    """A configuration that has what the fragment asks for and as little else as possible."""
    objects.mkdir()
    _make(tree, objects, f"KCONFIG_ALLCONFIG={fragment}", "allnoconfig")
    kernel_config.require(fragment, objects / ".config")
    return objects / ".config"


def compile_kernel(tree: Path, objects: Path) -> None:
    """Everything; the machine's other work comes first."""
    _make(tree, objects, f"-j{JOBS}", *TARGETS)


def collect(objects: Path, kept: Path) -> None:
    """What the pod domain boots, and how it was configured."""
    kept.mkdir()
    run([tool("strip"), *STRIPPED, "-o", kept / "vmlinux", objects / "vmlinux"])
    shutil.copyfile(objects / "arch/x86/boot/bzImage", kept / "bzImage")
    shutil.copyfile(objects / ".config", kept / "kernel.config")


def _make(tree: Path, objects: Path, *words: str) -> None:
    nice = ["nice", "-n", NICENESS]
    run([*nice, tool("make"), "-s", "-C", tree, f"O={objects}", *words], more=BANNER)
