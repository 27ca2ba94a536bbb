# SPDX-License-Identifier: Apache-2.0
"""Compiling and linking C, as little as the builds of this project need.

Objects are rebuilt when their source, any header, or the command line changed. Everything generated
goes below `build/`; finished libraries go to the `_lib` folder of the package that ships them.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

WARNINGS = ("-Wall", "-Wextra", "-Werror", "-Wconversion", "-Wshadow", "-Wvla")
ZIG_TARGET = "x86_64-linux-gnu.2.17"


class BuildError(RuntimeError):
    """A compiler is missing or has failed."""


def root() -> Path:
    """The checkout that holds the C sources: the working directory of every build."""
    here = Path.cwd()
    if not (here / "idm" / "csrc").is_dir():
        raise BuildError(f"{here} is not a checkout of this project: idm/csrc is missing")
    return here


def compiler(name: str = "") -> list[str]:
    """The compiler's command: `gcc` or `zig`; by default $CC or gcc."""
    wanted = name or os.environ.get("CC", "gcc")
    if wanted == "zig":
        return [sys.executable, "-m", "ziglang", "cc", "-target", ZIG_TARGET]
    if not shutil.which(wanted.split()[0]):
        raise BuildError(f"the C compiler {wanted!r} is not installed (apt install gcc)")
    return wanted.split()


@dataclass
class Library:
    """One shared library: its sources, how to compile and how to link them."""

    output: Path
    sources: Sequence[Path]
    includes: Sequence[Path]
    cc: list[str] = field(default_factory=compiler)
    flags: Sequence[str] = ()
    link: Sequence[str] = ()
    objects: Path = Path("build/objects")
    made: Sequence[Path] = ()  # objects that were compiled elsewhere

    def build(self) -> Path:
        """Compile what changed and link when anything did."""
        compile_flags = ["-std=gnu11", "-O2", "-g", "-fPIC", *WARNINGS, *self.flags]
        compile_flags += [f"-I{path}" for path in self.includes]
        headers = newest(header for path in self.includes for header in path.glob("*.h"))
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            objects = list(
                pool.map(lambda source: self._object(source, compile_flags, headers), self.sources)
            )
        objects += self.made
        command = [*self.cc, "-shared", "-o", str(self.output), *map(str, objects), *self.link]
        stamp = self.output.with_name(self.output.name + ".stamp")
        identity = _digest(command)
        if (
            not self.output.exists()
            or self.output.stat().st_mtime < newest(objects)
            or not stamp.exists()
            or stamp.read_text() != identity
        ):
            self.output.parent.mkdir(parents=True, exist_ok=True)
            run(command)
            stamp.write_text(identity)
        return self.output

    def _object(self, source: Path, flags: Sequence[str], headers: float) -> Path:
        command = [*self.cc, *flags, "-c", str(source)]
        out = self.objects / f"{source.stem}-{_digest(command)[:16]}.o"
        if not out.exists() or out.stat().st_mtime < max(source.stat().st_mtime, headers):
            out.parent.mkdir(parents=True, exist_ok=True)
            temporary = out.with_suffix(f".{os.getpid()}.o")
            run([*command, "-o", str(temporary)])
            temporary.replace(out)
        return out


def newest(paths: Iterable[Path]) -> float:
    """The latest modification time of some files, 0 when there are none."""
    return max((path.stat().st_mtime for path in paths), default=0.0)


def write_if_changed(path: Path, text: str) -> Path:
    """Write a generated file, leaving it untouched when nothing changed."""
    if not path.exists() or path.read_text() != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return path


def run(command: Sequence[str]) -> None:
    """Run a command; its output is the error's text when it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BuildError(f"{' '.join(command)}\n{done.stdout}{done.stderr}")


def _digest(command: Sequence[str]) -> str:
    return hashlib.sha256("\0".join(command).encode()).hexdigest()


def extension(
    name: str, *, binding: Path, sources: Sequence[Path], includes: Sequence[Path], sanitize: str
) -> Path:
    """A Python extension module `name` (a path without suffix) from a cffi binding and its C."""
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    python = Path(sysconfig.get_path("include"))
    if not (python / "Python.h").exists():
        raise BuildError(f"Python.h is missing in {python} (apt install python3-dev)")
    instrument = [f"-fsanitize={sanitize}"] if sanitize else []
    # cffi's generated code does not keep to our warnings.
    glue = binding.with_suffix(".o")
    if not glue.exists() or glue.stat().st_mtime < binding.stat().st_mtime:
        paths = [f"-I{path}" for path in (*includes, python)]
        run(
            [
                *compiler(),
                "-O2",
                "-fPIC",
                "-w",
                *paths,
                *instrument,
                "-c",
                str(binding),
                "-o",
                str(glue),
            ]
        )
    return Library(
        output=root() / f"{name}{suffix}",
        sources=sources,
        includes=includes,
        flags=instrument,
        made=[glue],
        link=[*instrument, "-lpthread"],
    ).build()
