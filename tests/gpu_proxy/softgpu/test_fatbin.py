# SPDX-License-Identifier: Apache-2.0

"""Choosing the PTX of a fatbin; fatbins are hostile input."""

from __future__ import annotations

import contextlib
import struct

import lz4.block
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from softgpu_harness import cuda_to_ptx

from gpu_proxy.softgpu.errors import NoBinaryError, SoftGpuError
from gpu_proxy.softgpu.fatbin import find_ptx

PTX, ELF = 1, 2
# A frame whose head announces 2^50 bytes, whatever the fatbin says.
ZSTD_OF_A_PETABYTE = struct.pack("<IBQ", 0xFD2FB528, 0xE0, 1 << 50) + b"\x01\0\0"


def entry(
    kind: int, arch: int, payload: bytes, flags: int = 0, plain: int = 0, stored: int | None = None
) -> bytes:
    stored = len(payload) if stored is None else stored
    padded = payload + bytes(-len(payload) % 8)
    head = struct.pack(
        "<HHIQIIHHIIIQQQ",
        kind,
        0x101,
        64,
        len(padded),
        stored if flags else 0,
        0,
        5,
        8,
        arch,
        0,
        0,
        flags,
        0,
        plain,
    )
    return head + padded


def fatbin(*entries: bytes) -> bytes:
    body = b"".join(entries)
    return struct.pack("<IHHQ", 0xBA55ED50, 1, 16, len(body)) + body


def text(arch: int) -> bytes:
    return b".version 8.5 // for %d\0" % arch


def test_plain_text() -> None:
    assert find_ptx(b"\n.version 8.5\n\0\0") == "\n.version 8.5\n"


@pytest.mark.parametrize(
    ("archs", "chosen"), [((52, 75, 80, 90), 80), ((50, 70), 70), ((90, 100), 90), ((80,), 80)]
)
def test_the_best_ptx(archs: tuple[int, ...], chosen: int) -> None:
    image = fatbin(entry(ELF, 80, b"\x7fELF"), *(entry(PTX, a, text(a)) for a in archs))
    assert f"for {chosen}" in find_ptx(image)


@pytest.mark.parametrize("method", ["zstd", "lz4"])
def test_compression(method: str) -> None:
    plain = text(80) * 50
    if method == "zstd":
        image = fatbin(entry(PTX, 80, zstandard.compress(plain), 0x8000, len(plain)))
    else:
        image = fatbin(
            entry(PTX, 80, lz4.block.compress(plain, store_size=False), 0x2000, len(plain))
        )
    assert "for 80" in find_ptx(image)


def test_only_machine_code() -> None:
    with pytest.raises(NoBinaryError, match="only machine code for sm_86, sm_90"):
        find_ptx(fatbin(entry(ELF, 90, b"x"), entry(ELF, 86, b"y")))
    with pytest.raises(NoBinaryError, match="cubin only"):
        find_ptx(b"\x7fELF" + bytes(60))


@pytest.mark.parametrize(
    "image",
    [
        fatbin(entry(PTX, 80, text(80)))[:-8],
        fatbin(entry(PTX, 80, b"zz", 0x8000, 10)),
        fatbin(entry(PTX, 80, b"zz", 0x2000, 10)),
        fatbin(entry(PTX, 80, b"zz", 0x2000, 10, stored=1 << 30)),
        fatbin(entry(PTX, 80, b"zz", 0x8000, 1 << 60)),
        fatbin(entry(PTX, 80, ZSTD_OF_A_PETABYTE, 0x8000, 100)),
        struct.pack("<IHHQ", 0xBA55ED50, 1, 0, 5) + bytes(90),
        struct.pack("<I", 0x466243B1) + bytes(20),
        b"",
        b"rubbish",
    ],
)
def test_damaged_images(image: bytes) -> None:
    with pytest.raises(SoftGpuError):
        find_ptx(image)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300), st.integers(0, 200), st.binary(max_size=8))
def test_random_damage_is_an_error_or_a_text(tail: bytes, at: int, patch: bytes) -> None:
    image = bytearray(
        fatbin(entry(PTX, 80, zstandard.compress(text(80)), 0x8000, 24), entry(ELF, 80, tail))
    )
    image[at : at + len(patch)] = patch
    with contextlib.suppress(SoftGpuError):
        assert isinstance(find_ptx(bytes(image)), str)


@pytest.mark.toolkit
@pytest.mark.usefixtures("cuda")
@pytest.mark.parametrize("options", [(), ("--no-compress",)])
def test_fatbins_of_the_toolkit(options: tuple[str, ...]) -> None:
    source = 'extern "C" __global__ void k(int *p) { *p = 1; }'
    image = cuda_to_ptx(source, *options, kind="-fatbin")
    assert ".entry k" in find_ptx(image)
