# SPDX-License-Identifier: Apache-2.0
"""`packages.lock`: every Debian package of a build with version and checksum."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, dataclass
from pathlib import Path

from guest_image.places import GuestError

HEADER = (
    "# Every Debian package of the guest's kernel and root image. Written by `make guest-lock`.\n"
    "# used for, name, version, architecture, sha256\n"
)
KERNEL, IMAGE = "kernel", "root"


@dataclass(frozen=True, order=True)
class Package:
    """One package of a known version and content."""

    used_for: str
    name: str
    version: str
    architecture: str
    sha256: str

    @property
    def file(self) -> str:
        """The name of its file, as apt writes it."""
        return f"{self.name}_{self.version.replace(':', '%3a')}_{self.architecture}.deb"


def read_lock(path: Path) -> list[Package]:
    """The packages that a lock names."""
    if not path.exists():
        raise GuestError(f"{path} is missing: make guest-lock writes it")
    packages = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        words = line.split()
        if len(words) != len(HEADER.splitlines()[1].split(",")) or words[0] not in (KERNEL, IMAGE):
            raise GuestError(f"{path}:{number}: not a line of a lock: {line}")
        packages.append(Package(*words))
    return packages


def write_lock(path: Path, packages: Iterable[Package]) -> None:
    """Write a lock, always in the same order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [" ".join(astuple(package)) + "\n" for package in sorted(packages)]
    path.write_text(HEADER + "".join(lines))


def differences(locked: Iterable[Package], met: Iterable[Package]) -> list[str]:
    """A line for each package that is not as it was locked."""
    old = {(package.used_for, package.name): package for package in locked}
    new = {(package.used_for, package.name): package for package in met}
    lines = []
    for key in sorted(old.keys() | new.keys()):
        was, now = old.get(key), new.get(key)
        if was == now:
            continue
        name = f"{key[1]} ({key[0]})"
        if was is None or now is None:
            lines.append(f"{name}: {'gone' if now is None else 'new, ' + now.version}")
        elif was.version != now.version:
            lines.append(f"{name}: locked {was.version}, now {now.version}")
        else:
            lines.append(f"{name}: {now.version} has another checksum than was locked")
    return lines
