# SPDX-License-Identifier: Apache-2.0
"""What is in an image: PTX text, a fatbin, or the wrapper around one. Images are hostile input."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import lz4.block
import zstandard

from gpu_proxy.softgpu.errors import ImageError, LimitError, NoBinaryError

FATBIN_MAGIC = 0xBA55ED50
WRAPPER_MAGIC = 0x466243B1
ELF_MAGIC = b"\x7fELF"
CAPABILITY = 80
MAX_PTX_BYTES = 256 << 20

MAX_PLAIN_BYTES = 2 << 30

KIND_PTX = 1
KIND_ELF = 2
_FLAG_LZ4 = 0x2000
_FLAG_ZSTD = 0x8000
# magic, version, header bytes, size of everything after the header
_HEADER = struct.Struct("<IHHQ")
# kind, version, header bytes, payload bytes, compressed bytes, ..., architecture, ..., flags,
# ..., plain bytes
_ENTRY = struct.Struct("<HHIQIIHHIII QQQ".replace(" ", ""))


@dataclass(frozen=True)
class Entry:
    """One image in a fatbin."""

    kind: int
    arch: int
    flags: int
    payload: bytes | memoryview
    plain_bytes: int


def find_ptx(image: bytes, capability: int = CAPABILITY) -> str:
    """The PTX text of any kind of image."""
    if image.startswith(ELF_MAGIC):
        raise NoBinaryError(
            f"the image is a cubin only ({_elf_arch(image)}): the software GPU runs PTX"
        )
    if len(image) >= 4 and struct.unpack_from("<I", image)[0] == FATBIN_MAGIC:
        return _text(plain(_choose(list(entries(image)), capability), MAX_PTX_BYTES))
    if b".version" in image[:4096] or b".target" in image[:65536]:
        return _text(image)
    if len(image) >= 4 and struct.unpack_from("<I", image)[0] == WRAPPER_MAGIC:
        raise ImageError("the image is a fatbin wrapper: send the fatbin that it points to")
    raise ImageError("the image is neither PTX nor a fatbin nor a cubin")


def entries(image: bytes | memoryview) -> Iterator[Entry]:
    """All entries of the fatbins that follow one another in `image`."""
    at = 0
    while at + _HEADER.size <= len(image):
        magic, _version, header_bytes, size = _HEADER.unpack_from(image, at)
        if magic != FATBIN_MAGIC:
            return
        end = at + header_bytes + size
        if header_bytes < _HEADER.size or end > len(image):
            raise ImageError("fatbin header with sizes beyond the image")
        yield from _entries_between(image, at + header_bytes, end)
        at = end


def _entries_between(image: bytes | memoryview, at: int, end: int) -> Iterator[Entry]:
    while at + _ENTRY.size <= end:
        kind, _, header_bytes, payload_bytes, stored, _, _, _, arch, _, _, flags, _, plain = (
            _ENTRY.unpack_from(image, at)
        )
        start = at + header_bytes
        if header_bytes < _ENTRY.size or start + payload_bytes > end:
            raise ImageError("fatbin entry with sizes beyond the image")
        compressed = flags & (_FLAG_LZ4 | _FLAG_ZSTD)
        used = stored if compressed else payload_bytes
        if used > payload_bytes:
            raise ImageError("fatbin entry with more compressed bytes than it has")
        yield Entry(kind, arch, flags, image[start : start + used], plain)
        at = start + payload_bytes


def _choose(found: list[Entry], capability: int) -> Entry:
    """The newest PTX that the reported capability allows, else the oldest that there is."""
    ptx = [entry for entry in found if entry.kind == KIND_PTX]
    if not ptx:
        archs = sorted({entry.arch for entry in found if entry.kind == KIND_ELF})
        names = ", ".join(f"sm_{arch}" for arch in archs) or "nothing"
        raise NoBinaryError(
            f"the fatbin holds no PTX, only machine code for {names}: the software GPU runs PTX"
        )
    fitting = [entry for entry in ptx if entry.arch <= capability]
    if fitting:
        return max(fitting, key=lambda entry: entry.arch)
    return min(ptx, key=lambda entry: entry.arch)


def plain(entry: Entry, limit: int = MAX_PLAIN_BYTES) -> bytes | memoryview:
    """The payload of an entry, decompressed: never more than the entry states, nor the limit."""
    if not entry.flags & (_FLAG_LZ4 | _FLAG_ZSTD):
        return entry.payload
    if not 0 < entry.plain_bytes <= limit:
        raise LimitError(f"a fatbin entry of {entry.plain_bytes} bytes")
    try:
        if entry.flags & _FLAG_LZ4 and not entry.flags & _FLAG_ZSTD:
            data: bytes = lz4.block.decompress(entry.payload, uncompressed_size=entry.plain_bytes)
            return data
        return _from_zstd(entry)
    except (zstandard.ZstdError, lz4.block.LZ4BlockError, ValueError) as error:
        raise ImageError(f"damaged compressed entry: {error}") from error


def _from_zstd(entry: Entry) -> bytes:
    """A frame that states its own length is given that much memory, so it must not lie."""
    stated = zstandard.get_frame_parameters(entry.payload).content_size
    if stated != zstandard.CONTENTSIZE_UNKNOWN and stated > entry.plain_bytes:
        raise ImageError(f"a frame of {stated} bytes in an entry of {entry.plain_bytes}")
    data: bytes = zstandard.ZstdDecompressor().decompress(
        entry.payload, max_output_size=entry.plain_bytes
    )
    return data


def _text(image: bytes | memoryview) -> str:
    if len(image) > MAX_PTX_BYTES:
        raise LimitError(f"PTX of {len(image)} bytes")
    data = bytes(image)  # No copy where it is bytes already.
    end = data.find(b"\0")
    with memoryview(data) as view:  # It may be long: no copy.
        return str(view[: end if end >= 0 else None], "utf-8", errors="replace")


def _elf_arch(image: bytes) -> str:
    """The architecture in a cubin's ELF flags."""
    if len(image) < 52:
        return "truncated"
    flags = int(struct.unpack_from("<I", image, 48)[0])
    return f"sm_{flags & 0xFF or flags >> 8 & 0xFF}"
