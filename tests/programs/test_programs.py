# SPDX-License-Identifier: Apache-2.0
"""Every program is built with the toolkit and run on the software GPU, loaded as libcuda.so.1.

Needs `python -m demo.toolkit install` and the built software GPU; nothing is downloaded here.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from demo import toolkit

ROOT = Path(__file__).parents[2]
DRIVER = ROOT / "gpu_proxy" / "softgpu" / "_lib"
DEMOS = [ROOT / "demo" / "programs" / f"{name}.cu" for name in ("vadd", "matmul", "reduce")]
PROGRAMS = sorted(Path(__file__).parent.glob("*.cu"))
PLAIN_C = sorted(Path(__file__).parent.glob("*.c"))
RUNTIMES = [(13, "static"), (13, "shared"), (12, "static"), (12, "shared"), (11, "shared")]
PER_THREAD = ("--default-stream", "per-thread")
SECONDS_MAX = 120
SKIPPED = 77  # a program's exit status when the device lacks what it needs


@pytest.fixture(scope="session")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where programs are built."""
    return tmp_path_factory.mktemp("programs")


def build(
    source: Path, out: Path, cuda: int = 13, cudart: str = "static", flags: tuple[str, ...] = ()
) -> Path:
    """Build, or skip if the toolkit's part is not there."""
    needed = () if source.suffix == ".c" else ("compiler", str(cuda))
    if not toolkit.is_installed(*needed):
        pytest.skip(f"not installed: python -m demo.toolkit install {' '.join(needed)}")
    name = "-".join((source.stem, str(cuda), cudart, *flags))
    all_flags = toolkit.GENERATE_PTX + flags
    return toolkit.build_program(source, out / name, cuda=cuda, cudart=cudart, flags=all_flags)


def run(command: list[str], cuda: int = 13) -> None:
    """Run on the software GPU; the program itself says whether its numbers are right."""
    if not (DRIVER / "libcuda.so.1").exists():
        pytest.skip("the software GPU's libcuda.so.1 is not built")
    environment = {**os.environ, **toolkit.environment(cuda)}
    environment["LD_LIBRARY_PATH"] = f"{DRIVER}:{environment['LD_LIBRARY_PATH']}"
    environment |= {"VGPU_SOFTGPU_PYTHON": sys.executable, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, env=environment, text=True, capture_output=True, timeout=SECONDS_MAX, check=False
    )
    if done.returncode == SKIPPED:
        pytest.skip(done.stdout.strip())
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.toolkit
@pytest.mark.parametrize(("cuda", "cudart"), RUNTIMES)
@pytest.mark.parametrize("source", DEMOS, ids=lambda path: path.stem)
def test_demo_program_on_every_runtime(source: Path, cuda: int, cudart: str, out: Path) -> None:
    run([str(build(source, out, cuda, cudart))], cuda)


@pytest.mark.toolkit
@pytest.mark.parametrize("source", PROGRAMS, ids=lambda path: path.stem)
def test_program(source: Path, out: Path) -> None:
    run([str(build(source, out))])


@pytest.mark.toolkit
@pytest.mark.parametrize("name", ["errors", "graph", "symbols"])
def test_program_on_older_runtimes(name: str, out: Path) -> None:
    source = ROOT / "tests" / "programs" / f"{name}.cu"
    for cuda, cudart in ((12, "static"), (11, "shared")):
        run([str(build(source, out, cuda, cudart))], cuda)


@pytest.mark.toolkit
@pytest.mark.parametrize("name", ["threads", "streams", "hostfunc"])
def test_per_thread_default_stream(name: str, out: Path) -> None:
    run([str(build(ROOT / "tests" / "programs" / f"{name}.cu", out, flags=PER_THREAD))])


@pytest.mark.parametrize("source", PLAIN_C, ids=lambda path: path.stem)
def test_driver_program(source: Path, out: Path) -> None:
    run([str(build(source, out))])


@pytest.mark.toolkit
def test_kernels_compiled_at_run_time(out: Path) -> None:
    if not toolkit.is_installed("nvrtc"):
        pytest.skip("not installed: python -m demo.toolkit install nvrtc")
    run([str(build(ROOT / "demo" / "programs" / "driver_nvrtc.c", out))])


def test_cuda_python() -> None:
    pytest.importorskip("cuda.bindings.driver", reason="cuda-python is not installed")
    run([sys.executable, str(Path(__file__).with_name("cuda_python.py"))])
