# SPDX-License-Identifier: Apache-2.0
"""Unmodified CUDA programs, natively on the software GPU and from a chroot through the path."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from program_building import build

from demo import toolkit

ROOT = Path(__file__).resolve().parents[2]
HERE = ROOT / "tests" / "programs"
DEMOS = [ROOT / "demo" / "programs" / f"{name}.cu" for name in ("vadd", "matmul", "reduce")]
PROGRAMS = sorted(HERE.glob("*.cu"))
PLAIN_C = sorted(HERE.glob("*.c"))
RUNTIMES = [(13, "static"), (13, "shared"), (12, "static"), (12, "shared"), (11, "shared")]
PER_THREAD = ("--default-stream", "per-thread")


@pytest.mark.toolkit
@pytest.mark.parametrize(("cuda", "cudart"), RUNTIMES)
@pytest.mark.parametrize("source", DEMOS, ids=lambda path: path.stem)
def test_demo_program_on_every_runtime(side, source, cuda, cudart):
    side.run(build(source, cuda, cudart), cuda)


@pytest.mark.toolkit
@pytest.mark.parametrize("source", PROGRAMS, ids=lambda path: path.stem)
def test_program(side, source):
    side.run(build(source))


@pytest.mark.toolkit
@pytest.mark.parametrize(("cuda", "cudart"), [(12, "static"), (11, "shared")])
@pytest.mark.parametrize("name", ["errors", "graph", "symbols", "capture"])
def test_program_on_older_runtimes(side, name, cuda, cudart):
    side.run(build(HERE / f"{name}.cu", cuda, cudart), cuda)


@pytest.mark.toolkit
@pytest.mark.parametrize("name", ["threads", "streams", "hostfunc", "capture"])
def test_per_thread_default_stream(side, name):
    side.run(build(HERE / f"{name}.cu", flags=PER_THREAD))


@pytest.mark.parametrize("source", PLAIN_C, ids=lambda path: path.stem)
def test_driver_program(side, source):
    side.run(build(source))


@pytest.mark.toolkit
def test_kernels_compiled_at_run_time(side):
    if not toolkit.is_installed("nvrtc"):
        pytest.skip("not installed: python -m demo.toolkit install nvrtc")
    side.run(build(ROOT / "demo" / "programs" / "driver_nvrtc.c"))


@pytest.mark.toolkit
def test_without_the_proxy_nothing_runs(own_chroot):
    program = build(DEMOS[0])
    own_chroot.run(program)
    own_chroot.proxy.stop()
    done = own_chroot.execute(program)
    assert done.returncode != 0
    assert "/run/vgpu/default/proxy.sock" in done.stderr


def test_cuda_python_finds_the_software_gpu(native):
    pytest.importorskip("cuda.bindings.driver", reason="cuda-python is not installed")
    native.run_python(HERE / "cuda_python.py")


def test_cuda_python_through_the_proxy(places):
    """An application that we did not write the driver calls of, with libvgpu by library path."""
    libraries = ROOT / "libvgpu" / "_lib"
    socket = places("c").proxy.socket()
    environment = {**os.environ, "LD_LIBRARY_PATH": str(libraries), "VGPU_SOCKET": str(socket)}
    done = subprocess.run(
        [sys.executable, str(HERE / "cuda_python.py")],
        env=environment, text=True, capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
