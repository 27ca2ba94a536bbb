# SPDX-License-Identifier: Apache-2.0
"""Building programs once, and running them on either side: the software GPU itself, or the whole
path.

"Through the proxy" means: in a chroot that holds only libc and what the program links, libvgpu as
libcuda.so.1, the program, and the zone's socket. There is no Python, no software GPU and no
toolkit.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from applications import Proxy

from demo import toolkit

ROOT = Path(__file__).resolve().parents[3]
DRIVER = ROOT / "gpu_proxy" / "softgpu" / "_lib"
BUILT = ROOT / "build" / "programs"
SKIPPED = 77  # a program's exit status when the device lacks what it needs
SECONDS_MAX = 120


def build(
    source: Path, cuda: int = 13, cudart: str = "static", flags: tuple[str, ...] = ()
) -> Path:
    """Build a program unless it is newer than its source; skip if the toolkit is missing."""
    needed = () if source.suffix == ".c" else ("compiler", str(cuda))
    if not toolkit.is_installed(*needed):
        pytest.skip(f"not installed: python -m demo.toolkit install {' '.join(needed)}")
    name = "-".join((source.stem, str(cuda), cudart, *(flag.strip("-") for flag in flags)))
    out = BUILT / name.replace("=", "-")
    if not out.exists() or out.stat().st_mtime < source.stat().st_mtime:
        all_flags = toolkit.GENERATE_PTX + flags
        toolkit.build_program(source, out, cuda=cuda, cudart=cudart, flags=all_flags)
    return out


def judge(done: subprocess.CompletedProcess[str]) -> None:
    """The program itself says whether its numbers are right."""
    if done.returncode == SKIPPED:
        pytest.skip(done.stdout.strip())
    assert done.returncode == 0, done.stdout + done.stderr


class Native:
    """The driver loaded by the program itself: the software GPU, or the system's."""

    def __init__(self, folder: str) -> None:
        self.folder = folder  # of the software GPU, or "" for the system's driver

    def run(self, program: Path, cuda: int = 13) -> None:
        environment = {**os.environ, **toolkit.environment(cuda)}
        environment["LD_LIBRARY_PATH"] = f"{self.folder}:{environment['LD_LIBRARY_PATH']}"
        environment |= {"VGPU_SOFTGPU_PYTHON": sys.executable, "PYTHONPATH": str(ROOT)}
        judge(_execute([str(program)], environment))

    def run_python(self, script: Path) -> None:
        environment = {**os.environ, "LD_LIBRARY_PATH": self.folder, "PYTHONPATH": str(ROOT)}
        environment["VGPU_SOFTGPU_PYTHON"] = sys.executable
        judge(_execute([sys.executable, str(script)], environment))


def _execute(command: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, env=environment, text=True, capture_output=True, timeout=SECONDS_MAX, check=False
    )


class Chroot:
    """A root directory with nothing but what a program needs, and a zone's socket."""

    def __init__(self, root: Path, *arguments: str) -> None:
        self.root = root
        for folder in ("lib", "lib64", "run", "tmp", "dev"):
            (root / folder).mkdir()
        library = ROOT / "libvgpu" / "_lib" / "libvgpu.so"
        shutil.copy(library, root / "lib" / "libcuda.so.1")
        self._copy_libraries(library)
        self.proxy = Proxy(root / "run" / "vgpu", *arguments)

    def _copy_libraries(self, binary: Path, search: str = "") -> None:
        """What the loader would load for a binary, by the paths that it prints."""
        listed = subprocess.run(
            ["ldd", str(binary)],
            env={**os.environ, "LD_LIBRARY_PATH": search},
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        for path in map(Path, re.findall(r"(/\S+) \(0x", listed)):
            folder = "lib64" if path.name.startswith("ld-linux") else "lib"
            target = self.root / folder / path.name
            if not target.exists():
                shutil.copy(path, target)

    def execute(self, program: Path, cuda: int = 13) -> subprocess.CompletedProcess[str]:
        """Run a program inside; its outcome."""
        search = toolkit.environment(cuda)["LD_LIBRARY_PATH"]
        self._copy_libraries(program, search)
        shutil.copy(program, self.root / "program")
        for nvrtc in toolkit.FOLDER.glob("nvrtc/nvidia/cu13/lib/*.so*"):
            if program.stem.startswith("driver_nvrtc"):
                shutil.copy(nvrtc, self.root / "lib" / nvrtc.name)
        environment = {
            "LD_LIBRARY_PATH": "/lib",
            "VGPU_SOCKET": "/run/vgpu/default/proxy.sock",
            "NVRTC_PATH": "/lib/libnvrtc.so.13",
        }
        chroot = shutil.which("chroot") or "chroot"
        enter = [chroot] if os.getuid() == 0 else ["/usr/bin/unshare", "-r", chroot]
        return _execute([*enter, str(self.root), "/program"], environment)

    def run(self, program: Path, cuda: int = 13) -> None:
        """Run a program that must find every number right."""
        judge(self.execute(program, cuda))


def make_chroot(*arguments: str) -> Iterator[Chroot]:
    """A chroot and its daemon, until the end of the fixture."""
    if not shutil.which("chroot"):
        pytest.skip("chroot is not installed")
    base = Path(tempfile.mkdtemp(prefix="vgpu-"))
    base.chmod(0o755)
    place = Chroot(base, *arguments)
    yield place
    place.proxy.stop()
    shutil.rmtree(base)
