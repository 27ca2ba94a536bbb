# SPDX-License-Identifier: Apache-2.0
"""The driver's functions called by address, with arguments where the C convention has them."""

from __future__ import annotations

import ctypes
import struct
from typing import Any

import pytest

from gpu_proxy.binding import Driver
from gpu_proxy.request import CallError
from idm.api.table import Call, load
from idm.api.types import Wire


class OneFunction(Driver):
    """A driver whose every function is the given one."""

    def __init__(self, function: Any) -> None:
        self._raw = {}
        self.kept = function

    def address_of(self, row: Call) -> int:
        assert row.symbol
        return ctypes.cast(self.kept, ctypes.c_void_p).value or 0


def bits(value: float) -> int:
    """A float as it crosses the ring."""
    return int(struct.unpack("=I", struct.pack("=f", value))[0])


def test_floats_travel_in_their_own_registers() -> None:
    seen: list[tuple[int, float, float]] = []

    @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_uint64, ctypes.c_float, ctypes.c_float)
    def clamp(reference: int, least: float, greatest: float) -> int:
        seen.append((reference, least, greatest))
        return 0

    OneFunction(clamp).call_named("cuTexRefSetMipmapLevelClamp", 1 << 40, bits(-0.5), bits(7.25))
    assert seen == [(1 << 40, -0.5, 7.25)]


def test_an_error_is_the_status_of_the_call() -> None:
    @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_uint64)
    def refuse(_: int) -> int:
        return 400

    with pytest.raises(CallError) as caught:
        OneFunction(refuse).call_named("cuStreamDestroy_v2", 5)
    assert caught.value.status == 400


def test_the_c_executor_has_no_row_with_floats() -> None:
    """It passes integers only."""
    rows = [row for row in load().calls if row.fast]
    assert rows
    values = {p.type.c_name for r in rows for p in r.params if p.wire is Wire.SCALAR}
    assert not values & {"float", "double"}
