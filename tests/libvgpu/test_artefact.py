# SPDX-License-Identifier: Apache-2.0
"""The library as a file: its name, what it exports, and what it needs."""

import importlib.util
import os
import re
import subprocess
from pathlib import Path

import pytest

from idm.api.table import load
from libvgpu import build, interface

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "libvgpu" / "_lib" / "libvgpu.so"


def readelf(*arguments, library=LIBRARY):
    return subprocess.run(
        ["readelf", "--wide", *arguments, str(library)], capture_output=True, text=True, check=True
    ).stdout


def exported(library=LIBRARY):
    rows = [line.split() for line in readelf("--dyn-syms", library=library).splitlines()]
    return {
        row[7].split("@")[0]
        for row in rows
        if len(row) >= 8
        and row[3] in ("FUNC", "OBJECT")
        and row[4] in ("GLOBAL", "WEAK")
        and row[6] != "UND"
    }


def test_soname_and_links():
    assert "Library soname: [libcuda.so.1]" in readelf("--dynamic")
    for name in ("libcuda.so.1", "libcuda.so"):
        assert (LIBRARY.parent / name).resolve() == LIBRARY


def test_exports_are_exactly_the_tables_symbols():
    wanted = {s for row in load().calls if row.symbol.startswith("cu") for s in row.symbols}
    assert exported() == wanted


def test_it_needs_only_libc_and_has_no_search_path():
    dynamic = readelf("--dynamic")
    needed = set(re.findall(r"Shared library: \[(.+?)\]", dynamic))
    assert needed <= {"libc.so.6", "libpthread.so.0", "ld-linux-x86-64.so.2"}
    assert "RUNPATH" not in dynamic
    assert "RPATH" not in dynamic


def test_built_for_an_old_glibc_it_needs_nothing_newer(tmp_path):
    if not importlib.util.find_spec("ziglang"):
        pytest.skip("ziglang is not installed: pip install '.[dev]'")
    os.chdir(ROOT)
    library = build.build(cc="zig", out=tmp_path)
    versions = re.findall(r"GLIBC_(\d+)\.(\d+)", readelf("--version-info", library=library))
    assert versions
    assert max((int(major), int(minor)) for major, minor in versions) <= (2, 17)
    assert exported(library) == exported()


def test_cffi_parses_the_same_prototypes_and_finds_every_function():
    ffi, library = interface.open_library(LIBRARY)
    for row in load().calls:
        if row.symbol.startswith("cu"):
            for symbol in row.symbols:
                assert getattr(library, symbol)
    assert ffi.sizeof("CUuuid") == 16
