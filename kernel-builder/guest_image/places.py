# SPDX-License-Identifier: Apache-2.0
"""Where things are, the one exception, and what the machine must have installed."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
ROOT = HERE.parent
OUT = ROOT / "build" / "guest"

# 2026-01-01: the time of every file and of the kernel's banner.
EPOCH = 1767225600
ENVIRONMENT = {
    "SOURCE_DATE_EPOCH": str(EPOCH),
    "LC_ALL": "C",
    "TZ": "UTC",
    "PYTHONHASHSEED": "0",
}

# Each command that the builder calls, and the Debian package that has it.
TOOLS = {
    "apt-get": "apt",
    "apt-cache": "apt",
    "apt-config": "apt",
    "dpkg-deb": "dpkg",
    "tar": "tar",
    "xz": "xz-utils",
    "make": "make",
    "gcc": "gcc",
    "ld": "binutils",
    "strip": "binutils",
    "readelf": "binutils",
    "flex": "flex",
    "bison": "bison",
    "bc": "bc",
    "perl": "perl",
    "mkfs.erofs": "erofs-utils",
}
FILES = {
    Path("/usr/include/libelf.h"): "libelf-dev",
    Path("/usr/share/keyrings/debian-archive-keyring.gpg"): "debian-archive-keyring",
}
SEARCH = "/usr/sbin:/sbin:/usr/bin:/bin"
OUTPUT_TAIL_CHARACTERS = 4000
READ_BYTES = 1 << 20


class GuestError(RuntimeError):
    """The build cannot go on; the text says what is missing or what failed."""


@dataclass(frozen=True)
class Places:
    """The folders of one build."""

    out: Path = OUT
    cache: Path = OUT / "cache"
    sources: Path = HERE / "sources.list"
    lock: Path = HERE / "packages.lock"
    fragment: Path = HERE / "guest.config"

    @property
    def packages(self) -> Path:
        """Debian packages, as they came."""
        return self.cache / "packages"

    @property
    def work(self) -> Path:
        """What is made on the way."""
        return self.cache / "work"


def tool(name: str) -> str:
    """A command's path; system directories count even where a user's PATH leaves them out."""
    found = shutil.which(name) or shutil.which(name, path=SEARCH)
    if found is None:
        raise GuestError(f"missing: {name} (apt install {TOOLS[name]})")
    return found


def require_tools() -> None:
    """Name everything that is missing at once, with the line that installs it."""
    missing = {
        package
        for name, package in TOOLS.items()
        if not (shutil.which(name) or shutil.which(name, path=SEARCH))
    }
    missing |= {package for file, package in FILES.items() if not file.exists()}
    if missing:
        packages = " ".join(sorted(missing))
        raise GuestError(f"missing packages: apt install --no-install-recommends {packages}")


def run(
    command: Iterable[object], *, cwd: Path | None = None, more: Mapping[str, str] | None = None
) -> str:
    """Run a command to its end; its output, or an error that has it."""
    words = [str(word) for word in command]
    done = subprocess.run(
        words,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        text=True,
        errors="replace",
        check=False,
        cwd=cwd,
        env={**os.environ, **ENVIRONMENT, **(more or {})},
    )
    if done.returncode:
        text = (done.stdout + done.stderr)[-OUTPUT_TAIL_CHARACTERS:]
        raise GuestError(f"{' '.join(words)} failed with {done.returncode}:\n{text}")
    return done.stdout


def digest(*parts: object) -> str:
    """One short name for everything that a cached thing was made from."""
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:16]


def sha256_of(file: Path) -> str:
    """A file's checksum."""
    total = hashlib.sha256()
    with file.open("rb") as stream:
        while data := stream.read(READ_BYTES):
            total.update(data)
    return total.hexdigest()


def digest_of_files(files: Iterable[Path], base: Path) -> str:
    """The same for files, by their names below `base` and their content."""
    return digest(*(f"{file.relative_to(base)} {sha256_of(file)}" for file in sorted(files)))


@contextmanager
def alone(places: Places) -> Iterator[None]:
    """One build at a time in these folders, and nothing left there of one that was killed."""
    places.cache.mkdir(parents=True, exist_ok=True)
    with (places.cache / "lock").open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise GuestError(f"another build is at work in {places.cache}") from None
        shutil.rmtree(places.work, ignore_errors=True)
        places.work.mkdir()
        yield


def say(text: str) -> None:
    """One line for whoever waits."""
    print(f"guest: {text}", flush=True)


@contextmanager
def step(name: str) -> Iterator[None]:
    """Say what takes time, and how much."""
    begin = time.monotonic()
    yield
    say(f"{name}: {time.monotonic() - begin:.1f} s")
