# SPDX-License-Identifier: Apache-2.0
"""Boxes: only memory of the session is touched, for the whole extent, whatever a zone sends."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gpu_proxy.handlers.copies2d import ARRAY, DEVICE, EXTENT, HOST, UNIFIED, Box, Side, copy_3d_in
from gpu_proxy.request import CallError
from idm.api.types import Kind

INVALID_VALUE, INVALID_HANDLE = 1, 400
ROW, ROWS, SLICES = 16, 4, 2
STAGED, ROOM = 0x5000_0000_0000, ROW * ROWS * SLICES


def side(kind: int, device: int = 0, **more: int) -> Side:
    plain = Side(0, 0, 0, 0, kind, 0, device, 0, 0, ROW, ROWS)
    return replace(plain, **more)


def packed(src: Side, dst: Side, extent: tuple[int, int, int] = (ROW, ROWS, SLICES)) -> bytes:
    return src.pack() + dst.pack() + EXTENT.pack(*extent)


def status(worker: Any, data: bytes, **staging: int) -> int:
    try:
        Box(worker, data, **staging)
    except CallError as error:
        return error.status
    return 0


def test_device_to_device(worker: Any, memory: tuple[int, int]) -> None:
    base, _ = memory
    assert status(worker, packed(side(DEVICE, base), side(UNIFIED, base + 4096))) == 0


def test_the_staged_side_is_the_only_host_side(worker: Any, memory: tuple[int, int]) -> None:
    data = packed(side(HOST, host=0x1234), side(DEVICE, memory[0]))
    assert Box(worker, data, staged=STAGED, room=ROOM).src.host == STAGED
    assert status(worker, data) == INVALID_VALUE
    assert status(worker, data, staged=STAGED, room=ROOM - 1) == INVALID_VALUE
    both = packed(side(HOST), side(HOST))
    assert status(worker, both, staged=STAGED, room=ROOM) == INVALID_VALUE
    shifted = packed(side(HOST, x=1, pitch=ROW + 1), side(DEVICE, memory[0]))
    assert status(worker, shifted, staged=STAGED, room=2 * ROOM) == INVALID_VALUE


@pytest.mark.parametrize(
    "change",
    [
        {"device": 0x1000},
        {"z": 1 << 40},
        {"z": (1 << 64) - 1},
        {"pitch": ROW - 1},
        {"height": ROWS - 1},
        {"pitch": 1 << 63},
        {"type": 0},
        {"type": 5},
    ],
)
def test_what_leaves_the_allocation(
    worker: Any, memory: tuple[int, int], change: dict[str, int]
) -> None:
    bad = replace(side(DEVICE, memory[0]), **change)
    assert status(worker, packed(bad, side(DEVICE, memory[0]))) == INVALID_VALUE
    assert status(worker, packed(side(DEVICE, memory[0]), bad)) == INVALID_VALUE


def test_arrays_are_translated(worker: Any, memory: tuple[int, int]) -> None:
    handle = worker.give(Kind.ARRAY, 0xABC0)
    data = packed(side(ARRAY, array=handle), side(DEVICE, memory[0]))
    assert Box(worker, data).src.array == 0xABC0
    foreign = packed(side(ARRAY, array=handle + 1), side(DEVICE, memory[0]))
    assert status(worker, foreign) == INVALID_HANDLE


WORD = st.one_of(
    st.integers(0, 64), st.integers(0, (1 << 64) - 1), st.just((1 << 64) - 1), st.just(1 << 63)
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(fields=st.tuples(*[WORD] * 7), extent=st.tuples(WORD, WORD, WORD))
def test_no_box_that_passes_leaves_the_allocation(
    worker: Any,
    memory: tuple[int, int],
    fields: tuple[int, ...],
    extent: tuple[int, int, int],
) -> None:
    base, length = memory
    x, y, z, level, offset, pitch, height = fields
    one = Side(x, y, z, level, DEVICE, 0, (base + offset) % (1 << 64), 0, 0, pitch, height)
    if status(worker, packed(one, one, extent)):
        return
    width, rows, slices = extent
    first = one.device + (z * height + y) * pitch + x
    last = first + ((slices - 1) * height + rows - 1) * pitch + width
    assert base <= first < last <= base + length


def test_a_bad_piece_gives_its_chunk_back(worker: Any) -> None:
    data = packed(side(HOST), side(DEVICE, 0x1000))
    request = worker.request("vgpuCopy3DIn", copy=data, chunk=1, count=ROOM, stream=0)
    with pytest.raises(CallError):
        copy_3d_in(worker, request)
    assert worker.driver.calls == []
