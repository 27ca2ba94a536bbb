# SPDX-License-Identifier: Apache-2.0
"""One initramfs for Dom0 and for guests on Debian's kernel.

It holds busybox, the modules that find the root disk, and the scripts of `boot/`. So a change to a
script needs no new root image.
"""

from __future__ import annotations

import gzip
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from tests.xen.places import HERE

BOOT = HERE / "boot"
ROOT_MODULES = ("virtio_pci", "virtio_blk", "xen-blkfront", "crc32c_generic", "ext4")
DIRECTORY = stat.S_IFDIR | 0o755
PROGRAM = stat.S_IFREG | 0o755
CPIO_ALIGNMENT = 4


def make_initramfs(root: Path, out: Path) -> None:
    """Write it from the unpacked Debian root."""
    entries = [
        *[(name, DIRECTORY, b"") for name in ("bin", "proc", "dev", "r", "m", "boot")],
        ("bin/busybox", PROGRAM, (root / "bin" / "busybox").read_bytes()),
        ("init", PROGRAM, (BOOT / "init").read_bytes()),
    ]
    for script in sorted(BOOT.iterdir()):
        entries.append((f"boot/{script.name}", PROGRAM, script.read_bytes()))
    for number, module in enumerate(with_dependencies(root, ROOT_MODULES)):
        entries.append((f"m/{number:02}-{module.name}", PROGRAM, module.read_bytes()))
    out.write_bytes(gzip.compress(cpio(entries), compresslevel=1, mtime=0))


def modules_folder(root: Path) -> Path:
    """The one kernel's modules."""
    (folder,) = (root / "lib" / "modules").iterdir()
    return folder


def with_dependencies(root: Path, names: tuple[str, ...]) -> list[Path]:
    """Files of the modules and of all that they need, in the order of loading."""
    folder = modules_folder(root)
    needs = {}
    for line in (folder / "modules.dep").read_text().splitlines():
        file, _, rest = line.partition(":")
        needs[_module_name(file)] = (file, rest.split())
    order: dict[str, None] = {}

    def add(name: str) -> None:
        file, wanted = needs[name]
        for other in reversed(wanted):
            add(_module_name(other))
        order.setdefault(file)

    for name in names:
        if _module_name(name) in needs:  # the others are built in
            add(_module_name(name))
    return [folder / file for file in order]


def _module_name(file: str) -> str:
    return os.path.basename(file).removesuffix(".ko").replace("-", "_")


def cpio(entries: list[tuple[str, int, bytes]]) -> bytes:
    """An archive in the "newc" format, which the kernel unpacks."""
    return b"".join(_cpio_records([*entries, ("TRAILER!!!", 0, b"")]))


def _cpio_records(entries: list[tuple[str, int, bytes]]) -> Iterator[bytes]:
    for inode, (name, mode, data) in enumerate(entries, 1):
        path = name.encode() + b"\0"
        fields = (inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(path), 0)
        header = b"070701" + b"".join(b"%08X" % field for field in fields)
        yield header + path + bytes(-(len(header) + len(path)) % CPIO_ALIGNMENT)
        yield data + bytes(-len(data) % CPIO_ALIGNMENT)
