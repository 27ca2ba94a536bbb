# SPDX-License-Identifier: Apache-2.0
"""cuGetProcAddress: which function a name, a version and the stream flag stand for."""

from __future__ import annotations

import ctypes

import pytest

from idm.api.table import Call, Mode, Table, TableError, load
from idm.gen import proc_table

LEGACY, PER_THREAD = 1, 2
FOUND, NOT_FOUND, NOT_SUFFICIENT = 0, 1, 2


def ask(library: ctypes.CDLL, name: str, version: int, flags: int = 0) -> tuple[int, str]:
    """Status, and the symbol that was found or ""."""
    address, status = ctypes.c_void_p(1), ctypes.c_int(-1)
    result = library.interop_get_proc_address(
        name.encode(), ctypes.byref(address), version, ctypes.c_uint64(flags), ctypes.byref(status)
    )
    assert result == 0
    return status.value, _symbol(library, address.value)


def _symbol(library: ctypes.CDLL, address: int | None) -> str:
    if address is None:
        return ""
    for row in proc_table.rows(load()):
        for symbol in filter(None, (row.symbol, row.per_thread)):
            if ctypes.cast(library[symbol], ctypes.c_void_p).value == address:
                return symbol
    raise AssertionError(f"{address:#x} is no function of the table")


@pytest.mark.parametrize(
    ("name", "version", "symbol"),
    [
        ("cuStreamGetCaptureInfo", 10010, "cuStreamGetCaptureInfo"),
        ("cuStreamGetCaptureInfo", 11020, "cuStreamGetCaptureInfo"),
        ("cuStreamGetCaptureInfo", 11030, "cuStreamGetCaptureInfo_v2"),
        ("cuStreamGetCaptureInfo", 12020, "cuStreamGetCaptureInfo_v2"),
        ("cuStreamGetCaptureInfo", 12030, "cuStreamGetCaptureInfo_v3"),
        ("cuStreamGetCaptureInfo", 13000, "cuStreamGetCaptureInfo_v3"),
        ("cuMemAlloc", 2000, "cuMemAlloc"),
        ("cuMemAlloc", 3010, "cuMemAlloc"),
        ("cuMemAlloc", 3020, "cuMemAlloc_v2"),
        ("cuCtxCreate", 3010, "cuCtxCreate"),
        ("cuCtxCreate", 3020, "cuCtxCreate_v2"),
        ("cuCtxCreate", 11040, "cuCtxCreate_v3"),
        ("cuCtxCreate", 12050, "cuCtxCreate_v4"),
        ("cuGetProcAddress", 11030, "cuGetProcAddress"),
        ("cuGetProcAddress", 12000, "cuGetProcAddress_v2"),
        ("cuInit", 2000, "cuInit"),
        ("cuInit", 13000, "cuInit"),
    ],
)
def test_newest_that_the_version_allows(
    interop: ctypes.CDLL, name: str, version: int, symbol: str
) -> None:
    assert ask(interop, name, version) == (FOUND, symbol)


@pytest.mark.parametrize(
    ("name", "version", "flags", "symbol"),
    [
        ("cuStreamGetCaptureInfo", 12030, PER_THREAD, "cuStreamGetCaptureInfo_v3_ptsz"),
        ("cuStreamGetCaptureInfo", 12030, LEGACY, "cuStreamGetCaptureInfo_v3"),
        ("cuMemcpyHtoD", 7000, PER_THREAD, "cuMemcpyHtoD_v2_ptds"),
        ("cuMemcpyHtoD", 6050, PER_THREAD, "cuMemcpyHtoD_v2"),
        ("cuMemcpyHtoD", 7000, 0, "cuMemcpyHtoD_v2"),
        ("cuLaunchKernel", 13000, PER_THREAD, "cuLaunchKernel_ptsz"),
        ("cuMemAlloc", 13000, PER_THREAD, "cuMemAlloc_v2"),
    ],
)
def test_per_thread_streams(
    interop: ctypes.CDLL, name: str, version: int, flags: int, symbol: str
) -> None:
    assert ask(interop, name, version, flags) == (FOUND, symbol)


@pytest.mark.parametrize(
    ("name", "version", "status"),
    [
        ("cuMemAllocAsync", 11010, NOT_SUFFICIENT),
        ("cuNoSuchFunction", 13000, NOT_FOUND),
        ("cuMemAlloc_v2", 13000, NOT_FOUND),
        ("cu", 13000, NOT_FOUND),
        ("zzz", 13000, NOT_FOUND),
        ("cuGLInit", 13000, NOT_FOUND),
        ("cuGraphicsEGLRegisterImage", 13000, NOT_FOUND),
        ("cuVDPAUGetDevice", 13000, NOT_FOUND),
        ("vgpuFlush", 13000, NOT_FOUND),
    ],
)
def test_misses(interop: ctypes.CDLL, name: str, version: int, status: int) -> None:
    assert ask(interop, name, version) == (status, "")


def test_the_driver_hides_what_is_newer(interop: ctypes.CDLL) -> None:
    version = ctypes.c_int.in_dll(interop, "fake_version")
    version.value = 12020
    assert ask(interop, "cuMemAlloc", 13000) == (FOUND, "cuMemAlloc_v2")
    assert ask(interop, "cuStreamGetCaptureInfo", 12000) == (FOUND, "cuStreamGetCaptureInfo_v2")
    # The caller would call the older function with the newer one's parameters.
    assert ask(interop, "cuStreamGetCaptureInfo", 12030) == (NOT_FOUND, "")
    assert ask(interop, "cuGreenCtxCreate", 12000) == (NOT_FOUND, "")
    version.value = 0
    assert ask(interop, "cuGreenCtxCreate", 13000) == (FOUND, "cuGreenCtxCreate")


def test_wrong_arguments(interop: ctypes.CDLL) -> None:
    out, flags = ctypes.byref(ctypes.c_void_p()), ctypes.c_uint64
    assert interop.interop_get_proc_address(None, out, 13000, flags(0), None) == 1
    assert interop.interop_get_proc_address(b"", out, 13000, flags(0), None) == 1
    assert interop.interop_get_proc_address(b"cuInit", None, 13000, flags(0), None) == 1
    assert interop.interop_get_proc_address(b"cuInit", out, -1, flags(0), None) == 1
    assert interop.interop_get_proc_address(b"cuInit", out, 13000, flags(3), None) == 1
    assert interop.interop_get_proc_address(b"cuInit", out, 13000, flags(1 << 32), None) == 1
    assert interop.interop_get_proc_address(b"cuInit", out, 13000, flags(0), None) == 0


def test_the_first_version_reports_misses_by_its_result(interop: ctypes.CDLL) -> None:
    address = ctypes.c_void_p(1)
    out, flags = ctypes.byref(address), ctypes.c_uint64(0)
    assert interop.interop_get_proc_address_v1(b"cuNoSuchFunction", out, 11080, flags) == 500
    assert address.value is None
    assert interop.interop_get_proc_address_v1(b"cuInit", out, 11080, flags) == 0
    assert _symbol(interop, address.value) == "cuInit"


def test_every_row_is_found_by_its_own_version(interop: ctypes.CDLL) -> None:
    ctypes.c_int.in_dll(interop, "fake_version").value = 0
    for row in proc_table.rows(load()):
        address = ctypes.c_void_p()
        interop.interop_get_proc_address(
            row.name.encode(), ctypes.byref(address), row.since, ctypes.c_uint64(0), None
        )
        assert address.value == ctypes.cast(interop[row.symbol], ctypes.c_void_p).value, row


def test_refused_rows_are_found_but_for_displays() -> None:
    found = {row.symbol for row in proc_table.rows(load())}
    for call in load().calls:
        display = proc_table.DISPLAY.search(call.symbol) and call.mode is Mode.REFUSED
        assert (call.symbol in found) == (not display and not call.symbol.startswith("vgpu"))


def test_two_rows_of_one_name_and_version_are_an_error() -> None:
    table = Table()
    table.add(Call(1, "cuThing", 5000, Mode.SYNC, ()))
    table.add(Call(2, "cuThing_v2", 5000, Mode.SYNC, ()))
    with pytest.raises(TableError, match="cuThing and cuThing_v2: same name and version"):
        proc_table.rows(table)
