# SPDX-License-Identifier: Apache-2.0
"""Compiles the C parts when the package is built: `pip install .` needs gcc and python3-dev."""

import os

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithLibraries(build_py):
    """Builds libvgpu, the executor and the software GPU first, so that they are package data."""

    def run(self) -> None:
        """Compile, then collect."""
        if not os.environ.get("VGPU_SKIP_BUILD"):
            import gpu_proxy.executor_build
            import gpu_proxy.softgpu.build
            import libvgpu.build

            libvgpu.build.build()
            gpu_proxy.executor_build.build()
            gpu_proxy.softgpu.build.build()
        super().run()


setup(cmdclass={"build_py": BuildWithLibraries})
