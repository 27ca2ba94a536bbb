# SPDX-License-Identifier: Apache-2.0
"""What an image takes is known before it is loaded, and a hostile one cannot understate it."""

from __future__ import annotations

import contextlib
import struct
import sys
from pathlib import Path

import lz4.block
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from gpu_proxy.account.images import HEADER, SECTION, SEGMENT, UnknownSize, device_bytes
from gpu_proxy.account.ptx_variables import variable_sizes

sys.path.insert(0, str(Path(__file__).parents[1] / "softgpu" / "support"))
from softgpu_harness import cuda_to_ptx, nvcc

HOPPER = [90]
PTX, ELF, LZ4, ZSTD = 1, 2, 0x2000, 0x8000


def sizes(text: str) -> list[int]:
    return list(variable_sizes(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (".visible .global .align 4 .b8 a[200];", [200]),
        (".global .u32 a; .const .align 8 .f64 b[3][5];", [4, 120]),
        (".visible.global.align 4.b8 a[7];", [7]),
        (".global .b8 a[6], b, c[10];", [6, 1, 10]),
        (".global .u64 a[4] = {1, {2, 3}, 4}, b[5];", [32, 40]),
        (".global .v4 .f32 a[2];", [32]),
        (".global .f16x2 a; .global .b128 b;", [4, 16]),
        (".const[2] .align 4 .u32 a[3];", [12]),
        (".global .b8 a[4 * (1 << 20)]; .global .b8 b[0x10];", [4 << 20, 16]),
        (".global .attribute(.managed) .u32 a[2];", [8]),
        (".global .attribute(.unified(1, 2)) .u32 a[2];", [8]),
        (".global .texref a;", [8]),
        (".global .u32 a", [4]),
        # Neither instructions nor pointers among parameters declare anything.
        (".entry f(.param .u64 .ptr .global .align 4 a) { ld.global.u32 %r1, [a+4]; }", []),
        (".entry f(.param .align 8 .u64.ptr.const a, .param .u64 .ptr .global b) {}", []),
        ("atom.global.add.u32 %r1, [%rd1], 1; ld.volatile.global.v2.f32 {%a,%b}, [%c];", []),
        # Comments and strings hide nothing and reveal nothing.
        ("// .global .u32 a;\n/* .global .u32 b; */ .global .u32 c;", [4]),
        ('.file 1 "/*" .global .b64 a[9]; .file 2 "*/"', [72]),
        ('.file 1 "a\\"/*" .global .b64 a[9];', [72]),
        (".global /* x */ .b8 a[ /* y */ 5 ];", [5]),
    ],
)
def test_variables_of_ptx(text: str, expected: list[int]) -> None:
    assert sizes(text) == expected


def test_an_open_dimension_has_at_most_the_values_that_it_is_given() -> None:
    assert 12 <= sizes(".global .u32 a[] = {1, 2, 3};")[0] <= 16


@pytest.mark.parametrize(
    "dimension", ["1 ? 2 : 3", "n", "-1", "1.5", "4 5", "(" * 5000, "9" * 5000]
)
def test_a_dimension_that_is_no_constant_is_refused(dimension: str) -> None:
    with pytest.raises(UnknownSize):
        device_bytes(f".version 7.0\n.global .b8 a[{dimension}];".encode(), HOPPER)


def entry(kind: int, arch: int, data: bytes, flags: int = 0, plain: int | None = None) -> bytes:
    padded = data.ljust((len(data) + 7) & ~7, b"\0")
    return struct.pack(
        "<HHIQIIHHIIIQQQ", kind, 0x101, 64, len(padded), len(data), 0, 0, 0, arch, 0, 0, flags, 0,
        len(data) if plain is None else plain,
    ) + padded  # fmt: skip


def bundle(*entries: bytes) -> bytes:
    body = b"".join(entries)
    return struct.pack("<IHHQ", 0xBA55ED50, 1, 16, len(body)) + body


def ptx(size: int) -> bytes:
    return b".version 7.0\n.global .b8 a[%d];" % size


def cubin(*sections: tuple[bytes, int, int], segments: tuple[int, ...] = ()) -> bytes:
    """Sections by name, flags and size; none has contents."""
    names = b"\0" + b"\0".join(name for name, _, _ in sections) + b"\0"
    at = HEADER.size + len(names)
    table_at = at + len(segments) * SEGMENT.size
    header = HEADER.pack(
        b"\x7fELF\x02\x01\x01".ljust(16, b"\0"), 2, 190, 1, 0, at, table_at, 0, 64, 56,
        len(segments), 64, len(sections) + 1, 0,
    )  # fmt: skip
    loads = b"".join(SEGMENT.pack(1, 6, 0, 0, 0, 0, size, 1) for size in segments)
    rows = SECTION.pack(0, 3, 0, 0, HEADER.size, len(names), 0, 0, 0, 0)
    for name, flags, size in sections:
        rows += SECTION.pack(names.index(name), 8, flags, 0, 0, size, 0, 0, 1, 0)
    return header + names + loads + rows


def test_a_cubin_takes_what_its_sections_say() -> None:
    image = cubin((b".nv.global", 3, 5000), (b".text.k", 6, 128), (b".debug_frame", 0, 9999))
    assert device_bytes(image, HOPPER) == 5128


def test_shared_memory_is_none_of_the_module() -> None:
    sections = ((b".nv.global", 3, 5000), (b".nv.shared.k", 3, 7000))
    assert device_bytes(cubin(*sections, segments=(12000,)), HOPPER) == 5000
    assert device_bytes(cubin(*sections, segments=(1 << 20,)), HOPPER) == (1 << 20) - 7000


def test_a_fatbin_takes_its_largest_entry_that_can_run() -> None:
    small, large = cubin((b".nv.global", 3, 1000)), cubin((b".nv.global", 3, 1 << 30))
    image = bundle(entry(ELF, 80, large), entry(ELF, 90, small), entry(PTX, 75, ptx(512)))
    assert 1000 <= device_bytes(image, HOPPER) < 2000
    assert device_bytes(image, [86]) == 1 << 30
    assert device_bytes(bundle(entry(ELF, 80, large)), HOPPER) == 1 << 30


@pytest.mark.parametrize("capabilities", [[90], [75, 90]])
def test_an_older_device_beside_counts(capabilities: list[int]) -> None:
    image = bundle(
        *(entry(ELF, arch, cubin((b".nv.global", 3, 10**9 // arch))) for arch in (75, 90))
    )
    assert device_bytes(image, capabilities) == 10**9 // min(capabilities)


@pytest.mark.parametrize(
    ("flags", "compress"),
    [(LZ4, lambda d: lz4.block.compress(d, store_size=False)), (ZSTD, zstandard.compress)],
)
def test_compressed_entries_are_read(flags: int, compress) -> None:
    plain = cubin((b".nv.global", 3, 1 << 30))
    packed = compress(plain)
    assert device_bytes(bundle(entry(ELF, 90, packed, flags, len(plain))), HOPPER) == 1 << 30
    with pytest.raises(UnknownSize):
        device_bytes(bundle(entry(ELF, 90, packed, flags, len(plain) - 1)), HOPPER)
    with pytest.raises(UnknownSize):
        device_bytes(bundle(entry(ELF, 90, b"x" * 50, flags, 400)), HOPPER)


def test_a_frame_that_claims_a_terabyte_is_refused() -> None:
    frame = b"\x28\xb5\x2f\xfd\xe0" + (1 << 40).to_bytes(8, "little") + bytes(20)
    with pytest.raises(UnknownSize):
        device_bytes(bundle(entry(ELF, 90, frame, ZSTD, 1000)), HOPPER)


def test_a_wrapper_is_refused_because_its_pointer_leads_anywhere() -> None:
    with pytest.raises(UnknownSize, match="wrapper"):
        device_bytes(struct.pack("<IIQQ", 0x466243B1, 1, 0x1000, 0), HOPPER)


@pytest.mark.parametrize(
    "damage",
    [
        lambda image: image[:70],
        lambda image: image[:40] + (1 << 40).to_bytes(8, "little") + image[48:],
        lambda image: image[:60] + b"\xff\xf0" + image[62:],
        lambda image: image[:4] + b"\x01" + image[5:],
    ],
    ids=["short", "table far away", "too many sections", "32 bits"],
)
def test_damaged_cubins_are_refused(damage) -> None:
    with pytest.raises(UnknownSize):
        device_bytes(damage(cubin((b".nv.global", 3, 5000))), HOPPER)


@given(
    st.binary(max_size=300),
    st.sampled_from([b"", b"\x7fELF\x02", b"\x50\xed\x55\xba", b".const .b8 a["]),
)
def test_any_bytes_have_a_size_or_are_refused(data: bytes, start: bytes) -> None:
    with contextlib.suppress(UnknownSize):
        assert device_bytes(start + data, HOPPER) >= 0


SOURCE = """
__device__ char large[5 << 20];
__device__ int filled[4] = {1, 2, 3, 4};
__constant__ float table[1000];
extern "C" __global__ void k(int *p) {
    __shared__ int s[8192];
    s[threadIdx.x] = p[0];
    __syncthreads();
    large[p[1]] = table[p[2]] + filled[p[3]] + s[p[4]];
}
"""


@pytest.mark.toolkit
@pytest.mark.parametrize("kind", ["-cubin", "-fatbin", "-ptx"])
@pytest.mark.parametrize("arch", ["75", "90", "120"])
def test_what_the_compiler_makes(kind: str, arch: str) -> None:
    if nvcc() is None:
        pytest.skip("needs nvcc from a CUDA toolkit, which is not installed")
    name = f"compute_{arch}" if kind == "-ptx" else f"sm_{arch}"
    image = cuda_to_ptx(SOURCE, "-Xfatbin", "-compress-all", arch=name, kind=kind)
    variables = (5 << 20) + 16 + 4000
    assert variables < device_bytes(image, [int(arch)]) < variables + (24 << 10)
