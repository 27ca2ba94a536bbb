# SPDX-License-Identifier: Apache-2.0
"""Builds the interop code with fake hooks and a symbol for every exported function."""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from idm.api.table import load
from idm.gen import proc_table

ROOT = Path(__file__).parents[3]
INTEROP = ROOT / "idm/csrc/interop"
FLAGS = [
    "-std=c11",
    "-D_GNU_SOURCE",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-Wconversion",
    "-Wshadow",
    "-Wvla",
    "-fPIC",
]


def _build(folder: Path) -> Path:
    """One shared library: interop, the generated list, the fake driver and its functions."""
    table = load()
    proc_table.write(table, folder / "procs.c")
    names = [s for row in proc_table.rows(table) for s in (row.symbol, row.per_thread) if s]
    functions = [f"void {name}(void);\nvoid {name}(void) {{ }}" for name in names]
    (folder / "functions.c").write_text("\n".join(functions))
    sources = [*INTEROP.glob("*.c"), Path(__file__).with_name("fake_driver.c")]
    library = folder / "libinterop.so"
    subprocess.run(
        ["gcc", *FLAGS, "-O1", "-g", "-shared", "-Wl,-Bsymbolic,-z,defs", f"-I{INTEROP}"]
        + [str(path) for path in (*sources, folder / "procs.c", folder / "functions.c")]
        + ["-o", str(library), "-lpthread"],
        check=True,
    )
    return library


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """The library, without hooks."""
    return ctypes.CDLL(str(_build(tmp_path_factory.mktemp("interop"))))


@pytest.fixture
def interop(library: ctypes.CDLL) -> Iterator[ctypes.CDLL]:
    """The library with the fake driver's hooks, in its first state."""
    library.interop_init(ctypes.byref(ctypes.c_char.in_dll(library, "fake_hooks")))
    ctypes.c_int.in_dll(library, "fake_version").value = 13000
    ctypes.c_int.in_dll(library, "fake_devices").value = 2
    ctypes.c_void_p.in_dll(library, "fake_context").value = None
    ctypes.memset((ctypes.c_char * 4096).in_dll(library, "fake_log"), 0, 4096)
    ctypes.memset((ctypes.c_uint * 2).in_dll(library, "fake_destroyed"), 0, 8)
    ctypes.c_uint.in_dll(library, "fake_visits").value = 0
    return library
