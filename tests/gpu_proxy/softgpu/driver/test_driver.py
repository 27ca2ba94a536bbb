# SPDX-License-Identifier: Apache-2.0
"""The driver's test programs, in C: each is linked with the driver and an engine that needs no
compiler.

Set VGPU_TEST_SANITIZE to `address,undefined` or `thread` to run them under a sanitizer.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from gpu_proxy.softgpu import build
from idm.api.table import Mode, load

HERE = Path(__file__).parent
ENGINE = HERE / "fake_engine.c"
PROGRAMS = sorted(path.stem for path in HERE.glob("test_*.c"))
SANITIZE = os.environ.get("VGPU_TEST_SANITIZE", "")
TIMEOUT_S = 300 if SANITIZE else 60


@pytest.fixture(scope="module")
def library() -> Path:
    folder = "-".join(filter(None, ("softgpu-test-lib", SANITIZE.replace(",", "-"))))
    return build.build(Path("build") / folder / build.LIBRARY_NAME, SANITIZE, (ENGINE,))


def compile_program(name: str, library: Path, folder: Path) -> Path:
    generated = Path("build") / "-".join(
        filter(None, ("softgpu", SANITIZE.replace(",", "-"), "test"))
    )
    program = folder / name
    flags = [f"-fsanitize={SANITIZE}"] if SANITIZE else []
    includes = [f"-I{path}" for path in ("idm/csrc", generated, HERE)]
    warnings = ["-Wall", "-Wextra", "-Werror"]
    sources = [str(HERE / f"{name}.c"), str(library.resolve())]
    command = ["gcc", "-std=gnu11", "-g", *warnings, "-pthread", *flags, *includes, *sources]
    subprocess.run([*command, "-o", str(program)], check=True)
    return program


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name: str, library: Path, tmp_path: Path) -> None:
    program = compile_program(name, library, tmp_path)
    env = os.environ | {
        "LD_LIBRARY_PATH": str(library.parent.resolve()),
        "VGPU_SOFTGPU_MEMORY": "4G",
    }
    done = subprocess.run(
        [program], env=env, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    assert done.returncode == 0, done.stderr


def exported(library: Path) -> set[str]:
    listed = subprocess.run(
        ["nm", "-D", "--defined-only", library], capture_output=True, text=True, check=True
    )
    return {line.split()[-1] for line in listed.stdout.splitlines()}


def test_exports_are_the_table(library: Path) -> None:
    rows = build.exported_rows(load())
    assert exported(library) == {symbol for row in rows for symbol in row.symbols}


def test_soname(library: Path) -> None:
    listed = subprocess.run(
        ["readelf", "-d", library], capture_output=True, text=True, check=True
    ).stdout
    assert "Library soname: [libcuda.so.1]" in listed
    assert "RUNPATH" not in listed


def test_refused_rows_say_so_once(library: Path) -> None:
    refused = next(
        row for row in load().calls if row.mode is Mode.REFUSED and row.symbol.startswith("cu")
    )
    code = (
        "import ctypes\n"
        f"lib = ctypes.CDLL({str(library.resolve())!r})\n"
        f"print([lib.{refused.symbol}() for _ in range(2)])\n"
    )
    if SANITIZE:
        pytest.skip("a sanitizer's runtime must be loaded first, which Python does not")
    done = subprocess.run(
        ["python3", "-c", code], capture_output=True, text=True, check=True, timeout=TIMEOUT_S
    )
    assert done.stdout.strip() == "[801, 801]"
    assert done.stderr.count(refused.symbol) == 1


CONFIGURED = """
import ctypes as c, sys
lib = c.CDLL(sys.argv[1])
count, name, total, major = c.c_int(), c.create_string_buffer(64), c.c_size_t(), c.c_int()
context, module = c.c_void_p(), c.c_void_p()
assert lib.cuInit(0) == 0
lib.cuDeviceGetCount(c.byref(count))
lib.cuDeviceGetName(name, 64, 1)
lib.cuDeviceTotalMem_v2(c.byref(total), 1)
lib.cuDeviceGetAttribute(c.byref(major), 75, 1)
lib.cuDevicePrimaryCtxRetain(c.byref(context), 1)
lib.cuCtxSetCurrent(context)
status = lib.cuModuleLoadData(c.byref(module), b".version 8.0")
print(count.value, name.value.decode(), total.value, major.value, status)
"""


def test_environment(library: Path) -> None:
    if SANITIZE:
        pytest.skip("a sanitizer's runtime must be loaded first, which Python does not")
    settings = {
        "VGPU_SOFTGPU_DEVICES": "2",
        "VGPU_SOFTGPU_NAME": "Test GPU",
        "VGPU_SOFTGPU_MEMORY": "64M",
        "VGPU_SOFTGPU_COMPUTE": "9.0",
        "VGPU_SOFTGPU_PYTHON": "/nonexistent/python3",
    }
    done = subprocess.run(
        ["python3", "-c", CONFIGURED, library.resolve()],
        env=os.environ | settings,
        capture_output=True,
        text=True,
        check=True,
        timeout=TIMEOUT_S,
    )
    assert done.stdout.split("\n")[0] == f"2 Test GPU {64 << 20} 9 221"
    assert "compile helper" in done.stderr
