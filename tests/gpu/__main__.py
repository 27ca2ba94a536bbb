# SPDX-License-Identifier: Apache-2.0
"""Runs the end-to-end tests and programs on an NVIDIA GPU; says in one line when there is none.

The same tests as with the software GPU: the daemon is started without `--stub` (VGPU_TEST_REAL_GPU),
and programs run natively against the system's libcuda.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pynvml

SUITES = ("tests/end_to_end", "tests/programs", "tests/libvgpu")


def device_name() -> str | None:
    """The first GPU's name, or None without a driver or device."""
    try:
        pynvml.nvmlInit()
        return str(pynvml.nvmlDeviceGetName(pynvml.nvmlDeviceGetHandleByIndex(0)))
    except pynvml.NVMLError as error:
        print(f"make gpu: skipped, no NVIDIA GPU can be used here: {error}")
        return None


def main() -> int:
    """Run, and print the GPU's name with the outcome."""
    name = device_name()
    if name is None:
        return 0
    print(f"make gpu: running on {name}")
    environment = dict(os.environ, VGPU_TEST_REAL_GPU="1")
    command = [sys.executable, "-m", "pytest", *SUITES, *sys.argv[1:]]
    status = subprocess.run(command, env=environment, check=False).returncode
    print(f"make gpu: {'passed' if status == 0 else 'FAILED'} on {name}")
    return status


if __name__ == "__main__":
    sys.exit(main())
