# SPDX-License-Identifier: Apache-2.0
"""Which driver this daemon uses, and, in real mode, what is wrong when there is none."""

from __future__ import annotations

import asyncio
import importlib.resources
import os
import subprocess
import sys
from pathlib import Path

import pynvml

from gpu_proxy import snapshot
from gpu_proxy.errors import DriverMissing

PROBE_SECONDS = 120.0
DRIVER_VERSION = Path("/proc/driver/nvidia/version")


def software_gpu() -> str:
    """Return the path of the software GPU's library."""
    found = importlib.resources.files("gpu_proxy.softgpu") / "_lib" / "libcuda.so.1"
    if not found.is_file():
        raise DriverMissing(f"the software GPU is not built: no {found}")
    return str(found)


def find_real_devices() -> list[str]:
    """Return the names of the NVIDIA GPUs; raises DriverMissing that says plainly what is wrong."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError_LibraryNotFound:
        raise DriverMissing(_no_library()) from None
    except pynvml.NVMLError as error:
        raise DriverMissing(f"the NVIDIA driver does not answer: {error}") from None
    try:
        count = pynvml.nvmlDeviceGetCount()
        handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(count)]
        names = [str(pynvml.nvmlDeviceGetName(handle)) for handle in handles]
    except pynvml.NVMLError as error:
        raise DriverMissing(f"the NVIDIA driver does not describe its devices: {error}") from None
    finally:
        pynvml.nvmlShutdown()
    if not names:
        raise DriverMissing("the NVIDIA driver is loaded but there is no GPU")
    return names


def _no_library() -> str:
    if DRIVER_VERSION.exists():
        return (
            "the NVIDIA kernel module is loaded, but libnvidia-ml.so.1 is missing: "
            "install the driver's libraries of the same version"
        )
    return (
        "no NVIDIA driver on this machine (no libnvidia-ml.so.1, no nvidia kernel module): "
        "install it, or use --stub for the software GPU"
    )


async def take_snapshot(module: str, library: str) -> snapshot.Snapshot:
    """Run the probe. Raises DriverMissing with the probe's own line."""
    command = [sys.executable, "-P", "-m", module]
    if library:
        command.append(f"--driver-library={library}")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    process = await asyncio.create_subprocess_exec(
        *command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), PROBE_SECONDS)
    except TimeoutError:
        process.kill()
        raise DriverMissing(f"the driver did not answer in {PROBE_SECONDS:.0f} s") from None
    if process.returncode != 0:
        lines = err.decode("utf-8", "replace").strip().splitlines()
        raise DriverMissing(lines[-1] if lines else f"the probe ended with {process.returncode}")
    return snapshot.unpack(out)
