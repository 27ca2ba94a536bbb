# SPDX-License-Identifier: Apache-2.0
"""Debian's archive through apt, with folders of its own: the machine's packages do not matter.

Nothing is installed. apt checks the archive's signatures; the dependencies are those of a system
that has nothing yet.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from guest_image.lock import Package
from guest_image.places import GuestError, run, tool

INSTALLED = re.compile(r"^Inst (\S+) \((\S+) ", re.MULTILINE)
FIELD = re.compile(r"^([\w-]+): (.*)$", re.MULTILINE)
CONFIGURATION = """\
Dir "{folder}";
Dir::State "{folder}/";
Dir::State::status "{folder}/status";
Dir::Cache "{folder}/";
Dir::Etc "{folder}/etc/";
Dir::Etc::sourcelist "{folder}/sources.list";
Dir::Etc::sourceparts "-";
Dir::Etc::preferencesparts "-";
APT::Architecture "amd64";
APT::Architectures "amd64";
APT::Install-Recommends "false";
APT::Sandbox::User "";
Acquire::Languages "none";
"""


class Apt:
    """A private view of the archives that a list of sources names."""

    def __init__(self, folder: Path, sources: Path) -> None:
        for name in ("lists/partial", "archives/partial", "etc/apt.conf.d"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        self._folder = folder
        (folder / "status").touch()
        (folder / "sources.list").write_text(sources.read_text())
        # The machine's own proxies and retries hold here too.
        proxies = run([tool("apt-config"), "dump", "Acquire"])
        (folder / "apt.conf").write_text(proxies + CONFIGURATION.format(folder=folder))
        self._updated = False

    def _run(self, command: str, *words: str, cwd: Path | None = None) -> str:
        more = {"APT_CONFIG": str(self._folder / "apt.conf")}
        return run([tool(command), *words], cwd=cwd, more=more)

    def _update(self) -> None:
        if not self._updated:
            self._run("apt-get", "-q", "-o", "APT::Update::Error-Mode=any", "update")
            self._updated = True

    def resolve(self, used_for: str, names: Iterable[str]) -> list[Package]:
        """The packages and all that they depend on, in their newest versions."""
        self._update()
        plan = self._run("apt-get", "-q", "-s", "install", *names)
        wanted = [f"{name}={version}" for name, version in INSTALLED.findall(plan)]
        return self._show(used_for, wanted)

    def newest(self, used_for: str, name: str) -> Package:
        """One package alone."""
        self._update()
        (found,) = self._show(used_for, [name])
        return found

    def has(self, packages: Iterable[Package]) -> bool:
        """Whether the archive still has these very packages."""
        self._update()
        wanted = list(packages)
        try:
            names = [f"{package.name}={package.version}" for package in wanted]
            return sorted(self._show("", names)) == sorted(replace(p, used_for="") for p in wanted)
        except GuestError:
            return False

    def download(self, packages: Iterable[Package], folder: Path) -> None:
        """Their files, whose checksums the caller compares."""
        self._update()
        folder.mkdir(parents=True, exist_ok=True)
        names = [f"{package.name}={package.version}" for package in packages]
        self._run("apt-get", "-q", "download", *names, cwd=folder)

    def _show(self, used_for: str, wanted: list[str]) -> list[Package]:
        """What the archive says about packages; an error when it lacks one."""
        text = self._run("apt-cache", "show", "--no-all-versions", *wanted)
        records = [dict(FIELD.findall(part)) for part in text.split("\n\n") if part.strip()]
        words = ("Package", "Version", "Architecture", "SHA256")
        # A version may be in two parts of the archive: it is the same package.
        found = {Package(used_for, *(record[word] for word in words)) for record in records}
        if len(found) != len(wanted):
            raise GuestError(f"the archive does not have all of {' '.join(wanted)}")
        return sorted(found)
