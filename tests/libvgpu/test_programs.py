# SPDX-License-Identifier: Apache-2.0
"""Programs in C, through the whole path and on the software GPU alone: both agree with CUDA."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from idm.api.table import load
from idm.gen.prototypes import prototypes

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SUPPORT = (ROOT / "tests" / "end_to_end" / "support", ROOT / "tests" / "gpu_proxy" / "support")
sys.path[:0] = [str(path) for path in SUPPORT]

from applications import Proxy

PROGRAMS = sorted((HERE / "programs").glob("*.c"))
DRIVER = ROOT / "gpu_proxy" / "softgpu" / "_lib"
FRONT = ROOT / "libvgpu" / "_lib"
FLAGS = ("-std=gnu11", "-O1", "-g", "-pthread", "-Wall", "-Wextra", "-Werror")
SECONDS = 120
EXECUTORS = os.environ.get("VGPU_TEST_EXECUTORS", "c python").split()


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where programs are built, with the prototypes of the call table."""
    folder = tmp_path_factory.mktemp("programs")
    (folder / "api_prototypes.h").write_text(prototypes(load()))
    (folder / "unsafe_calls.h").write_text(unsafe_calls())
    return folder


def unsafe_calls() -> str:
    """Names of the rows that a capture may forbid."""
    names = "".join(f'    "{row.symbol}",\n' for row in load().calls if row.unsafe)
    return f"static const char *const unsafe_calls[] = {{\n{names}}};\n"


@pytest.fixture(scope="module", params=EXECUTORS)
def proxy(request: pytest.FixtureRequest) -> Iterator[Proxy]:
    """A daemon with the software GPU, once with each executor."""
    base = Path(tempfile.mkdtemp(prefix="vgpu-"))
    base.chmod(0o755)
    one = Proxy(base / "run", f"--executor={request.param}")
    yield one
    assert one.stop() == 0
    shutil.rmtree(base)


def build(source: Path, out: Path) -> Path:
    """Compile a program against the call table's own headers."""
    program = out / source.stem
    if not program.exists():
        includes = [f"-I{folder}" for folder in (out, ROOT / "idm" / "csrc", source.parent)]
        link = [f"-L{FRONT}", "-l:libcuda.so.1", "-Wl,--allow-shlib-undefined"]
        subprocess.run(["gcc", *FLAGS, *includes, "-o", program, source, *link], check=True)
    return program


def run(program: Path, library: Path, **environment: str) -> None:
    """Run with one of the two libraries as libcuda.so.1."""
    settings = {**os.environ, "LD_LIBRARY_PATH": str(library), **environment}
    done = subprocess.run(
        [program], env=settings, text=True, capture_output=True, timeout=SECONDS, check=False
    )
    assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout}{done.stderr}"


@pytest.mark.parametrize("source", PROGRAMS, ids=lambda path: path.stem)
def test_through_the_proxy(source: Path, out: Path, proxy: Proxy) -> None:
    run(build(source, out), FRONT, VGPU_SOCKET=str(proxy.socket()))


@pytest.mark.parametrize("source", PROGRAMS, ids=lambda path: path.stem)
def test_on_the_software_gpu_alone(source: Path, out: Path) -> None:
    program = build(source, out)
    run(program, DRIVER, VGPU_SOFTGPU_PYTHON=sys.executable, PYTHONPATH=str(ROOT))
