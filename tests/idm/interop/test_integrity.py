# SPDX-License-Identifier: Apache-2.0
"""The integrity message, built a second time in Python."""

from __future__ import annotations

import ctypes
import os
import struct
import threading

import pytest

from tests.idm.interop.reference import hmac_md2

KEY = bytes.fromhex("146addae53a9a752aa0841360bf55a9f")
CONSTANTS = {
    0: (0x3341181C03CB675C, 0x8ED383AA1F4CD1E8),
    1: (0x1841181C03CB675C, 0x8ED383AA1F4CD1E8),
}
SECONDS = 1_795_000_000


def check(library: ctypes.CDLL, version: int) -> tuple[int, int]:
    """Call the table's slot as libcudart does."""
    table = (ctypes.c_void_p * 3).in_dll(library, "interop_integrity_table")
    prototype = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_uint32, ctypes.c_uint64, ctypes.c_void_p)
    out = (ctypes.c_uint64 * 2)()
    assert table[1]
    assert prototype(table[1])(version, SECONDS, ctypes.byref(out)) == 0
    return out[0], out[1]


def message(library: ctypes.CDLL, version: int, devices: int) -> bytes:
    """What the answer signs."""
    integrity = (ctypes.c_uint64 * 3).in_dll(library, "interop_integrity_table")
    cudart = ctypes.c_char.in_dll(library, "interop_cudart_table")
    text = struct.pack("<IIII", 13000, version, os.getpid(), threading.get_ident() & 0xFFFFFFFF)
    text += struct.pack("<QQ", ctypes.addressof(cudart), ctypes.addressof(integrity))
    text += struct.pack("<QQ", integrity[1], SECONDS)
    for i in range(devices):
        text += bytes([0x10 + i]) * 16 + struct.pack("<iii", 0, 0xA0 + i, i)
    return text


@pytest.mark.parametrize("version", [11080, 12091, 13000, 13001])
def test_two_versions_have_fixed_answers(interop: ctypes.CDLL, version: int) -> None:
    assert check(interop, version) == CONSTANTS[version % 10]


@pytest.mark.parametrize("devices", [0, 1, 2, 8])
def test_the_third_is_signed(interop: ctypes.CDLL, devices: int) -> None:
    ctypes.c_int.in_dll(interop, "fake_devices").value = devices
    expected = hmac_md2(KEY, message(interop, 13002, devices))
    assert struct.pack("<QQ", *check(interop, 13002)) == expected


def test_too_many_devices_are_refused_by_name(interop: ctypes.CDLL) -> None:
    ctypes.c_int.in_dll(interop, "fake_devices").value = 257
    out = (ctypes.c_uint64 * 2)()
    result = interop.interop_integrity_check(13002, ctypes.c_uint64(SECONDS), out)
    assert result == 801
    log = (ctypes.c_char * 4096).in_dll(interop, "fake_log").value
    assert log == b"integrity check: 257 devices, at most 256 are possible\n"
