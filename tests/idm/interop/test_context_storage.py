# SPDX-License-Identifier: Apache-2.0
"""Context local storage, alone and under writers."""

from __future__ import annotations

import ctypes

from hypothesis import given
from hypothesis import strategies as st

LIMIT = 4096


def put(
    library: ctypes.CDLL, context: int | None, key: int, value: int, destroy: bool = False
) -> int:
    """Store; with the counting destructor if asked."""
    destructor = library.fake_destructor if destroy else None
    pointer = ctypes.c_void_p
    return int(
        library.interop_storage_put(pointer(context), pointer(key), pointer(value), destructor)
    )


def get(library: ctypes.CDLL, context: int | None, key: int) -> tuple[int, int | None]:
    """Result and value."""
    value = ctypes.c_void_p(0xBAD)
    result = library.interop_storage_get(
        ctypes.byref(value), ctypes.c_void_p(context), ctypes.c_void_p(key)
    )
    return result, value.value


def delete(library: ctypes.CDLL, context: int | None, key: int) -> int:
    """Result of a deletion."""
    return int(library.interop_storage_delete(ctypes.c_void_p(context), ctypes.c_void_p(key)))


def destroyed(library: ctypes.CDLL) -> tuple[int, int]:
    """Runs of the destructor, and those with the right context."""
    counts = (ctypes.c_uint * 2).in_dll(library, "fake_destroyed")
    return counts[0], counts[1]


def test_unset_is_an_invalid_handle(interop: ctypes.CDLL) -> None:
    assert get(interop, 0x10, 0x20) == (400, 0xBAD)
    assert delete(interop, 0x10, 0x20) == 400


def test_null_is_the_current_context(interop: ctypes.CDLL) -> None:
    assert get(interop, None, 1) == (201, 0xBAD)
    assert put(interop, None, 1, 2) == 201
    ctypes.c_void_p.in_dll(interop, "fake_context").value = 0x30
    assert put(interop, None, 1, 2) == 0
    assert get(interop, 0x30, 1) == (0, 2)
    assert get(interop, None, 1) == (0, 2)
    assert delete(interop, None, 1) == 0


def test_null_values_are_values(interop: ctypes.CDLL) -> None:
    assert put(interop, 0x40, 0, 0) == 0
    assert get(interop, 0x40, 0) == (0, None)
    assert delete(interop, 0x40, 0) == 0


def test_destructors_run_once_for_the_context_that_dies(interop: ctypes.CDLL) -> None:
    for key in range(5):
        put(interop, 0x50, key, 0x50, destroy=True)
        put(interop, 0x60, key, 0x60, destroy=True)
    put(interop, 0x50, 99, 1)
    delete(interop, 0x50, 4)
    interop.interop_context_destroyed(ctypes.c_void_p(0x50))
    assert destroyed(interop) == (4, 4)
    assert get(interop, 0x50, 99)[0] == 400
    assert get(interop, 0x60, 4) == (0, 0x60)
    interop.interop_context_destroyed(ctypes.c_void_p(0x50))
    assert destroyed(interop) == (4, 4)
    interop.interop_context_destroyed(ctypes.c_void_p(0x60))
    assert destroyed(interop) == (9, 9)


def test_a_full_storage_says_so(interop: ctypes.CDLL) -> None:
    results = [put(interop, 0x70, key, key) for key in range(LIMIT)]
    assert results == [0] * (LIMIT - 1) + [2]
    assert b"full" in (ctypes.c_char * 4096).in_dll(interop, "fake_log").value
    assert put(interop, 0x70, 5, 6) == 0
    assert get(interop, 0x70, 5) == (0, 6)
    assert get(interop, 0x70, LIMIT)[0] == 400
    interop.interop_context_destroyed(ctypes.c_void_p(0x70))
    assert put(interop, 0x70, 1, 1) == 0
    assert delete(interop, 0x70, 1) == 0


OPERATIONS = st.tuples(
    st.sampled_from(["put", "delete", "destroy"]), st.integers(1, 3), st.integers(0, 20)
)


@given(operations=st.lists(OPERATIONS, max_size=60))
def test_it_equals_a_dictionary(
    library: ctypes.CDLL, operations: list[tuple[str, int, int]]
) -> None:
    model: dict[tuple[int, int], int] = {}
    for i, (name, context, key) in enumerate(operations, 1):
        if name == "put":
            assert put(library, context, key, i) == 0
            model[context, key] = i
        elif name == "delete":
            assert delete(library, context, key) == (0 if (context, key) in model else 400)
            model.pop((context, key), None)
        else:
            library.interop_context_destroyed(ctypes.c_void_p(context))
            model = {pair: value for pair, value in model.items() if pair[0] != context}
    for context in range(1, 4):
        for key in range(21):
            expected = (0, model[context, key]) if (context, key) in model else (400, 0xBAD)
            assert get(library, context, key) == expected
        library.interop_context_destroyed(ctypes.c_void_p(context))


def test_readers_never_see_half_a_write(interop: ctypes.CDLL) -> None:
    assert interop.fake_stress(200_000) == 0


def test_a_read_takes_no_lock(interop: ctypes.CDLL) -> None:
    put(interop, 0x80, 1, 2)
    interop.fake_time_get.restype = ctypes.c_double
    pointer = ctypes.c_void_p
    best = min(interop.fake_time_get(pointer(0x80), pointer(1), 100_000) for _ in range(5))
    assert best < 100, f"{best:.1f} ns a read"
