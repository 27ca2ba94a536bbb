# SPDX-License-Identifier: Apache-2.0
"""How much device memory an image takes, known before the driver is asked to load it.

A driver says nothing of it, before or after. A cubin states all that is loaded of it; PTX states
its variables, and its code is taken to be as long as its text. Of a fatbin the driver takes one
entry, so it counts as the largest that a device here can run. Images are hostile input: one whose
size cannot be told is not loaded.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from gpu_proxy.account.ptx_variables import variable_sizes
from gpu_proxy.softgpu import fatbin
from gpu_proxy.softgpu.errors import SoftGpuError

Bytes = bytes | memoryview

VARIABLE_ALIGN = 256  # no driver is known to place variables further apart than they need
# Sections that are no device memory of the module: shared memory and each thread's own.
NOT_LOADED = (b".nv.shared", b".nv.local", b".nv.reservedSmem")
NAME_BYTES = 16
CLASS_AT, CLASS_64 = 4, 2
SHF_ALLOC, SHN_XINDEX, PT_LOAD = 2, 0xFFFF, 1
HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
SECTION = struct.Struct("<IIQQQQIIQQ")
SEGMENT = struct.Struct("<IIQQQQQQ")


class UnknownSize(ValueError):
    """The image does not say how much memory it takes."""


def device_bytes(image: Bytes, capabilities: Iterable[int]) -> int:
    """Return the most that loading may take. `capabilities`: 10 * major + minor of the devices."""
    try:
        return _device_bytes(image, frozenset(capabilities))
    except (SoftGpuError, struct.error, ValueError, MemoryError, RecursionError) as error:
        raise UnknownSize(f"{type(error).__name__}: {error}") from error


def _device_bytes(image: Bytes, capabilities: frozenset[int]) -> int:
    magic = int.from_bytes(image[:4], "little")
    if magic == fatbin.WRAPPER_MAGIC:
        raise UnknownSize("a wrapper's pointer leads out of the image")
    if magic != fatbin.FATBIN_MAGIC:
        return _plain_bytes(image)
    found = list(fatbin.entries(image))
    fitting = [entry for entry in found if _can_run(entry, capabilities)]
    return max((_entry_bytes(entry) for entry in fitting or found), default=len(image))


def _entry_bytes(entry: fatbin.Entry) -> int:
    plain = fatbin.plain(entry)
    is_elf = bytes(plain[:4]) == fatbin.ELF_MAGIC
    if is_elf != (entry.kind == fatbin.KIND_ELF):
        raise UnknownSize(f"an entry of kind {entry.kind} that is packed in an unknown way")
    return _plain_bytes(plain)


def _can_run(entry: fatbin.Entry, capabilities: frozenset[int]) -> bool:
    if entry.kind == fatbin.KIND_PTX:
        return True
    return any(entry.arch // 10 == one // 10 and entry.arch <= one for one in capabilities)


def _plain_bytes(image: Bytes) -> int:
    return _elf_bytes(image) if bytes(image[:4]) == fatbin.ELF_MAGIC else _ptx_bytes(image)


def _ptx_bytes(image: Bytes) -> int:
    text = bytes(image).split(b"\0", 1)[0]
    sizes = variable_sizes(text.decode("latin-1"))
    return len(text) + sum(_round_up(size, VARIABLE_ALIGN) for size in sizes)


def _elf_bytes(image: Bytes) -> int:
    """What its sections or its segments state, whichever is more."""
    fields = HEADER.unpack_from(image)
    ident, at, sections_at, segments, count, names = (fields[i] for i in (0, 5, 6, 10, 12, 13))
    if ident[CLASS_AT] != CLASS_64:
        raise UnknownSize("a cubin of 32 bits")
    loads = [SEGMENT.unpack_from(image, at + i * SEGMENT.size) for i in range(segments)]
    in_segments = sum(load[6] for load in loads if load[0] == PT_LOAD)
    loaded, others = _section_bytes(image, sections_at, count, names) if sections_at else (0, 0)
    return max(loaded, in_segments - others) or len(image)


def _section_bytes(image: Bytes, at: int, count: int, names: int) -> tuple[int, int]:
    """Bytes of sections that take device memory, and of those that the kernels' own memory is."""
    first = SECTION.unpack_from(image, at)
    count = count or first[5]  # More than fit the header: the first section has the number.
    names = first[6] if names == SHN_XINDEX else names
    if at + count * SECTION.size > len(image):
        raise UnknownSize("sections beyond the image")
    texts = SECTION.unpack_from(image, at + names * SECTION.size)[4]
    loaded = others = 0
    for index in range(count):
        section = SECTION.unpack_from(image, at + index * SECTION.size)
        name, flags, size, align = section[0], section[2], section[5], section[8]
        if not flags & SHF_ALLOC:
            continue
        if _name(image, texts + name).startswith(NOT_LOADED):
            others += size
        else:
            loaded += _round_up(size, align)
    return loaded, others


def _name(image: Bytes, at: int) -> bytes:
    return bytes(image[at : at + NAME_BYTES])


def _round_up(size: int, unit: int) -> int:
    return -(-size // unit) * unit if unit else size
