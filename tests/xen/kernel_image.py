# SPDX-License-Identifier: Apache-2.0
"""The ELF kernel out of a bzImage: Xen's own unpacking costs 12 s under emulation."""

from __future__ import annotations

import lzma
import struct
import zlib
from pathlib import Path

from tests.xen.places import HarnessError

# Offsets of the boot protocol's header (Documentation/x86/boot.rst).
SETUP_SECTORS = 0x1F1
PAYLOAD = 0x248
SECTOR_BYTES = 512
DEFAULT_SETUP_SECTORS = 4


def unpack_kernel(bzimage: Path, vmlinux: Path) -> None:
    """Write the uncompressed kernel."""
    data = bzimage.read_bytes()
    sectors = (data[SETUP_SECTORS] or DEFAULT_SETUP_SECTORS) + 1
    offset, length = struct.unpack_from("<II", data, PAYLOAD)
    begin = sectors * SECTOR_BYTES + offset
    payload = data[begin : begin + length]
    kernel = _decompress(payload, bzimage)
    if not kernel.startswith(b"\x7fELF"):
        raise HarnessError(f"{bzimage}: its payload is not an ELF kernel")
    vmlinux.write_bytes(kernel)


def _decompress(payload: bytes, name: Path) -> bytes:
    if payload.startswith(b"\xfd7zXZ\0"):
        return lzma.LZMADecompressor().decompress(payload)
    if payload.startswith(b"\x1f\x8b"):
        return zlib.decompressobj(wbits=31).decompress(payload)
    raise HarnessError(f"{name}: compressed with {payload[:6]!r}, which the harness does not know")
