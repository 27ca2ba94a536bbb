# SPDX-License-Identifier: Apache-2.0
"""cuGetExportTable: sizes, the slots that are implemented, and the answer to unknown tables."""

from __future__ import annotations

import ctypes
import shutil
import uuid
from pathlib import Path
from typing import Any

import pytest

CUDART = "6bd5fb6c-5bf4-e74a-8987-d93912fd9df9"
HOOKS = "a094798c-2e74-2e74-93f2-0800200c0a66"
THREAD = "42d85a81-23f6-cb47-8298-f6e78a3aecdc"
STORAGE = "c693336e-1121-df11-a8c3-68f355d89593"
CHECKS = "263e8860-7cd2-6143-92f6-bbd5006dfa7e"
INTEGRITY = "d4082055-bde6-704b-8d34-ba123c66e1f2"
SKIP_INIT = "f8cff951-2146-8b4e-b9e2-fb469e7c0dd9"
CONTEXT = "21318c60-9714-3248-8ca6-41ff7324c8f2"
MODULE = "6e163fbe-b958-444d-835c-e182aff1991e"
CUPTI = "7cb63f9b-9ca4-8e42-a484-beb66e6aed7f"

# Slots that do something; every other one returns CUDA_ERROR_NOT_SUPPORTED.
IMPLEMENTED = {
    CUDART: (13, {1, 2, 6, 7, 8, 12}),
    HOOKS: (7, {2, 6}),
    THREAD: (4, {2}),
    CHECKS: (4, {2, 3}),
    INTEGRITY: (3, {1}),
    CONTEXT: (95, {4, 39, 51}),
    MODULE: (32, {7}),
    CUPTI: (128, set()),
}


def request(library: ctypes.CDLL, identifier: bytes) -> tuple[int, int | None]:
    """Result and address of a table."""
    table = ctypes.c_void_p(1)
    result = library.interop_get_export_table(ctypes.byref(table), identifier)
    return result, table.value


def slots(library: ctypes.CDLL, name: str, count: int) -> ctypes.Array[ctypes.c_void_p]:
    """The table of a name."""
    result, address = request(library, uuid.UUID(name).bytes)
    assert result == 0
    assert address
    return (ctypes.c_void_p * count).from_address(address)


def function(library: ctypes.CDLL, name: str, slot: int, *types: Any) -> Any:
    """One slot as a function that returns int."""
    address = slots(library, name, slot + 1)[slot]
    assert address
    return ctypes.CFUNCTYPE(ctypes.c_int, *types)(address)


def log(library: ctypes.CDLL) -> str:
    """What was logged."""
    return (ctypes.c_char * 4096).in_dll(library, "fake_log").value.decode()


@pytest.mark.parametrize("name", IMPLEMENTED)
def test_size_word_and_unused_slots(interop: ctypes.CDLL, name: str) -> None:
    count, implemented = IMPLEMENTED[name]
    table = slots(interop, name, count)
    assert table[0] == 8 * count
    for slot in set(range(1, count)) - implemented:
        assert function(interop, name, slot)() == 801, slot


def test_storage_table_ends_with_null(interop: ctypes.CDLL) -> None:
    table = slots(interop, STORAGE, 4)
    assert all(table[:3])
    assert table[3] is None


def test_skipping_initialisation_is_not_offered(interop: ctypes.CDLL) -> None:
    assert request(interop, uuid.UUID(SKIP_INIT).bytes) == (500, None)


def test_null_arguments(interop: ctypes.CDLL) -> None:
    assert interop.interop_get_export_table(None, bytes(16)) == 1
    assert interop.interop_get_export_table(ctypes.byref(ctypes.c_void_p()), None) == 1


def test_unknown_table_is_logged_once_and_stays(interop: ctypes.CDLL) -> None:
    identifier = uuid.uuid4()
    first = request(interop, identifier.bytes)
    assert first == request(interop, identifier.bytes)
    assert first[1] != request(interop, uuid.UUID(CUPTI).bytes)[1]
    assert log(interop).count(identifier.hex) == 1


def test_cudart_slots(interop: ctypes.CDLL) -> None:
    out = ctypes.c_void_p()
    pointer = ctypes.c_void_p
    assert function(interop, CUDART, 2, pointer, ctypes.c_int)(ctypes.addressof(out), 1) == 0
    assert out.value == 0xC001
    assert function(interop, CUDART, 2, pointer, ctypes.c_int)(None, 1) == 1
    assert function(interop, CUDART, 1, pointer, pointer)(ctypes.addressof(out), 0x5000) == 0
    assert out.value == 0x5001
    load = function(interop, CUDART, 6, pointer, pointer, pointer, pointer, ctypes.c_uint)
    assert load(ctypes.addressof(out), 0x6000, None, None, 0) == 0
    assert out.value == 0x6001
    assert load(ctypes.addressof(out), 0x6000, 1, None, 0) == 801
    assert "options" in log(interop)
    raw = function(interop, CUDART, 8, pointer, pointer, pointer, pointer, ctypes.c_uint)
    assert raw(0x8000, ctypes.addressof(out), None, None, 0) == 0
    assert out.value == 0x8001
    assert function(interop, CUDART, 12)() == 0


@pytest.mark.parametrize(("slot", "words"), [(2, 1024), (6, 14)])
def test_hook_buffers_are_zero(interop: ctypes.CDLL, slot: int, words: int) -> None:
    buffer, size = ctypes.c_void_p(), ctypes.c_size_t()
    call = function(interop, HOOKS, slot, ctypes.c_void_p, ctypes.c_void_p)
    call(ctypes.addressof(buffer), ctypes.addressof(size))
    assert size.value == words
    assert buffer.value
    assert not any((ctypes.c_uint64 * words).from_address(buffer.value))


def test_context_slots(interop: ctypes.CDLL) -> None:
    pointer = ctypes.c_void_p
    ctypes.c_void_p.in_dll(interop, "fake_context").value = 0x4440
    out = ctypes.c_uint64(7)
    assert function(interop, THREAD, 2, pointer)(ctypes.addressof(out)) == 0
    assert out.value == 0x4440
    number = function(interop, CONTEXT, 4, pointer, pointer)
    assert number(0x9990, ctypes.addressof(out)) == 0
    assert out.value == 0x9991
    assert number(None, ctypes.addressof(out)) == 0
    assert out.value == 0x4441
    green = function(interop, CONTEXT, 51, ctypes.c_uint, pointer, pointer)
    assert green(0, None, ctypes.addressof(out)) == 0
    assert out.value == 0
    out.value = 7
    zero = function(interop, CONTEXT, 39, pointer, pointer, pointer)
    assert zero(None, None, ctypes.addressof(out)) == 0
    assert out.value == 0
    out.value = 7
    checks = function(interop, CHECKS, 2, pointer, pointer, pointer)
    assert checks(None, ctypes.addressof(out), None) == 0
    assert out.value == 0
    assert function(interop, CHECKS, 3)() == 0


def test_functions_of_a_module(interop: ctypes.CDLL) -> None:
    pointer = ctypes.c_void_p
    visit = function(interop, MODULE, 7, pointer, pointer, pointer, pointer)
    visitor = ctypes.cast(interop.fake_visitor, pointer)
    assert visit(None, 0xA000, visitor, None) == 3
    visited = (ctypes.c_void_p * 3).in_dll(interop, "fake_visited")
    assert list(visited) == [0xA000, 0xA001, 0xA002]
    assert visit(None, None, visitor, None) == 0
    assert visit(None, 0xA000, None, None) == 0


def test_unknown_tables_have_a_limit(library: ctypes.CDLL, tmp_path: Path) -> None:
    # A copy, since the tables of a library are never freed.
    fresh = ctypes.CDLL(str(shutil.copy(library._name, tmp_path)))
    fresh.interop_init(ctypes.byref(ctypes.c_char.in_dll(fresh, "fake_hooks")))
    results = [request(fresh, uuid.uuid4().bytes)[0] for _ in range(64)]
    assert results == [0] * 64
    ctypes.memset((ctypes.c_char * 4096).in_dll(fresh, "fake_log"), 0, 4096)
    assert request(fresh, bytes(16)) == (801, None)
    assert log(fresh) == f"cuGetExportTable: too many unknown tables, refused: {'0' * 32}\n"
    assert request(fresh, uuid.UUID(CUDART).bytes)[0] == 0
