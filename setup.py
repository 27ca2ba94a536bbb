# SPDX-License-Identifier: Apache-2.0
"""Compiles the C parts when the package is built: `pip install .` needs gcc and python3-dev."""

import glob
import os
import shutil
import sys

from setuptools import Distribution, setup
from setuptools.command.build_py import build_py


class BuildWithLibraries(build_py):
    """Builds libvgpu, the executor and the software GPU first, so that they are package data."""

    def run(self) -> None:
        """Compile, then collect."""
        if not os.environ.get("VGPU_SKIP_BUILD"):
            sys.path.insert(0, os.getcwd())  # a build back end does not look in the checkout
            import gpu_proxy.executor_build
            import gpu_proxy.softgpu.build
            import libvgpu.build

            libvgpu.build.build()
            gpu_proxy.executor_build.build()
            gpu_proxy.softgpu.build.build()
        super().run()
        self._copy_libraries()

    def _copy_libraries(self) -> None:
        """What was compiled after setuptools listed the packages' files."""
        patterns = ("libvgpu/_lib/*.so*", "gpu_proxy/softgpu/_lib/*.so*", "*/_*.so")
        for pattern in patterns:
            for path in glob.glob(pattern):
                if not path.endswith(".stamp"):
                    target = os.path.join(self.build_lib, path)
                    self.mkpath(os.path.dirname(target))
                    shutil.copy(path, target)


class WithExtensions(Distribution):
    """The wheel belongs to one Python and one platform: its parts are compiled."""

    def has_ext_modules(self) -> bool:
        """Yes."""
        return True


setup(cmdclass={"build_py": BuildWithLibraries}, distclass=WithExtensions)
