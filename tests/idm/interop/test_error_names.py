# SPDX-License-Identifier: Apache-2.0
"""Names and descriptions of results."""

from __future__ import annotations

import ctypes

import pytest


def text(library: ctypes.CDLL, function: str, number: int) -> str | None:
    """What the library says of a number."""
    call = library[function]
    call.restype = ctypes.c_char_p
    said: bytes | None = call(number)
    return said.decode() if said is not None else None


def test_known_and_unknown_numbers(library: ctypes.CDLL) -> None:
    assert text(library, "interop_error_name", 0) == "CUDA_SUCCESS"
    assert text(library, "interop_error_name", 2) == "CUDA_ERROR_OUT_OF_MEMORY"
    assert text(library, "interop_error_string", 0) == "no error"
    for number in (-1, 9, 998, 1000, 1 << 30):
        assert text(library, "interop_error_name", number) is None
        assert text(library, "interop_error_string", number) is None


def test_all_names_agree_with_cuda_python(library: ctypes.CDLL) -> None:
    driver = pytest.importorskip("cuda.bindings.driver", reason="cuda-python is not installed")
    for result in driver.CUresult:
        assert text(library, "interop_error_name", int(result)) == result.name
        assert text(library, "interop_error_string", int(result))


def test_every_name_has_one_number(library: ctypes.CDLL) -> None:
    names = [name for n in range(1000) if (name := text(library, "interop_error_name", n))]
    assert len(names) == len(set(names)) == 106
