# SPDX-License-Identifier: Apache-2.0
"""MD2 against the vectors of RFC 1319, HMAC against an independent implementation."""

from __future__ import annotations

import ctypes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.idm.interop.reference import hmac_md2, md2

VECTORS = {
    b"": "8350e5a3e24c153df2275c9f80692773",
    b"a": "32ec01ec4a6dac72c0ab96fb34c0b5d1",
    b"abc": "da853b0d3f88d99b30283a69e6ded6bb",
    b"message digest": "ab4f496bfb2a530b219ff33031fe06b0",
    b"abcdefghijklmnopqrstuvwxyz": "4e8ddff3650292ab5a4108c3aa47940b",
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789": (
        "da33def2a42df13975352846c30338cd"
    ),
    b"1234567890" * 8: "d5976f79d83d3a0dc9806c3c66f3efd8",
}


def digest(library: ctypes.CDLL, data: bytes) -> bytes:
    """MD2 by the library."""
    out = ctypes.create_string_buffer(16)
    library.fake_md2(data, ctypes.c_size_t(len(data)), out)
    return out.raw


@pytest.mark.parametrize("data", VECTORS)
def test_vectors_of_the_standard(library: ctypes.CDLL, data: bytes) -> None:
    assert digest(library, data).hex() == VECTORS[data]
    assert md2(data).hex() == VECTORS[data]


@given(data=st.binary(max_size=100), key=st.binary(min_size=16, max_size=16))
def test_hmac_equals_the_reference(library: ctypes.CDLL, data: bytes, key: bytes) -> None:
    out = ctypes.create_string_buffer(16)
    library.fake_hmac(key, data, ctypes.c_size_t(len(data)), out)
    assert out.raw == hmac_md2(key, data)
