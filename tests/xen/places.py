# SPDX-License-Identifier: Apache-2.0
"""Where things are on the host, the one exception, and what the host must have installed."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BUILD = ROOT / "build" / "xen"
LOGS = BUILD / "logs"
GUEST = ROOT / "build" / "guest"

# Each command that the harness calls, and the Debian package that has it.
TOOLS = {
    "qemu-system-x86_64": "qemu-system-x86",
    "mmdebstrap": "mmdebstrap",
    "mke2fs": "e2fsprogs",
    "depmod": "kmod",
    "ldconfig": "libc-bin",
    "gcc": "gcc",
    "git": "git",
}
FIRMWARE = {Path("/usr/share/seabios/bios-256k.bin"): "seabios"}
SEARCH = "/usr/sbin:/sbin:/usr/bin:/bin"


class HarnessError(RuntimeError):
    """The harness cannot go on; the text says what is missing or what failed."""


def tool(name: str) -> str:
    """A command's path; system directories count even where an unprivileged PATH leaves them out."""
    found = shutil.which(name) or shutil.which(name, path=SEARCH)
    if found is None:
        raise HarnessError(f"missing: {name} (apt install {TOOLS[name]})")
    return found


def require_tools() -> None:
    """Name everything that is missing at once, with the line that installs it."""
    missing = {
        package
        for name, package in TOOLS.items()
        if not (shutil.which(name) or shutil.which(name, path=SEARCH))
    }
    missing |= {package for file, package in FIRMWARE.items() if not file.exists()}
    if missing:
        packages = " ".join(sorted(missing))
        raise HarnessError(f"missing packages: apt install --no-install-recommends {packages}")


def run_tool(name: str, *arguments: object) -> str:
    """Run a tool to its end; its output, or an error that has it."""
    command = [tool(name), *map(str, arguments)]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        raise HarnessError(f"{' '.join(command)} failed:\n{done.stdout[-4000:]}")
    return done.stdout


def digest(*parts: object) -> str:
    """One short name for everything that a cached thing was made from."""
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:16]


def digest_of_files(files: Iterable[Path]) -> str:
    """The same for files, by name, size, time and mode: reading them all would take seconds."""
    facts = []
    for file in sorted(files):
        status = file.stat()
        facts.append(f"{file}|{status.st_size}|{status.st_mtime_ns}|{status.st_mode}")
    return digest(*facts)


def digest_of_bytes(file: Path) -> str:
    """The same for one small file's content."""
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16]


def is_fresh(target: Path, key: str) -> bool:
    """Whether the target was made from what has this digest."""
    return target.exists() and stamp_of(target) == key


def stamp_of(target: Path) -> str:
    """The digest of what the target was made from; empty when it was not finished."""
    stamp = target.with_name(target.name + ".stamp")
    return stamp.read_text() if stamp.exists() else ""


def mark_fresh(target: Path, key: str) -> None:
    """Remember what the target was made from."""
    target.with_name(target.name + ".stamp").write_text(key)


@contextmanager
def step(name: str) -> Iterator[None]:
    """Say what takes time, and how much."""
    begin = time.monotonic()
    yield
    print(f"xen: {name}: {time.monotonic() - begin:.1f} s", flush=True)
