# SPDX-License-Identifier: Apache-2.0
"""A memory cgroup for each worker, so that one that takes too much of the host's memory ends alone.

Needs version 2 with the memory controller, and a cgroup that was delegated to the daemon: its own
when the service manager says so, or one that the configuration names. Version 2 lets no process be
in a cgroup that divides memory among its children, so in its own one the daemon moves itself down.
"""

from __future__ import annotations

import asyncio
import errno
import os
from dataclasses import dataclass
from pathlib import Path

from gpu_proxy.errors import CgroupUnavailable

AUTO, NONE = "auto", "none"  # values of [workers] cgroup that are no path
DAEMON = "daemon"  # where the daemon goes when it divides its own cgroup
PREFIX = "vgpu-worker-"
DELEGATED = ("trusted.delegate", "user.delegate")  # extended attributes by systemd
REMOVE_TRIES, REMOVE_SECONDS = (
    100,
    0.05,
)  # a process that has ended leaves its cgroup a moment later


@dataclass(frozen=True)
class WorkerGroup:
    """The cgroup of one worker."""

    path: Path
    limit: int

    def add(self, pid: int) -> None:
        """Move a process in. What it has allocated before stays charged where it was."""
        _write(self.path / "cgroup.procs", str(pid))

    def was_exhausted(self) -> bool:
        """Whether the kernel has ended a process for going over the limit."""
        events = dict(line.split() for line in _read(self.path / "memory.events").splitlines())
        return int(events.get("oom_kill", 0)) > 0

    async def remove(self) -> bool:
        """Remove it once it is empty. False: something is still in it."""
        for _ in range(REMOVE_TRIES):
            try:
                self.path.rmdir()
            except FileNotFoundError:
                return True
            except OSError as error:
                if error.errno != errno.EBUSY:
                    return False
                await asyncio.sleep(REMOVE_SECONDS)
            else:
                return True
        return False


class Cgroups:
    """The cgroup under which workers get theirs."""

    def __init__(self, setting: str, process: Path = Path("/proc/self")) -> None:
        """Find and prepare it. Raises CgroupUnavailable with the reason."""
        own = _own_cgroup(process, wanted=setting == AUTO)
        self.base = own if own and setting == AUTO else Path(setting)
        try:
            self.base.mkdir(exist_ok=True)
            self._check(asked=setting != AUTO)
            if own and self.base == own:
                _descend(own)
            _write(self.base / "cgroup.subtree_control", "+memory")
            self._sweep()
        except OSError as error:
            raise CgroupUnavailable(f"{self.base}: {error.strerror}") from None

    def _check(self, *, asked: bool) -> None:
        controllers = _read(self.base / "cgroup.controllers").split()
        if "memory" not in controllers:
            offered = ", ".join(controllers) or "none"
            raise CgroupUnavailable(f"{self.base} has no memory controller (it has {offered})")
        if not asked and not _is_delegated(self.base):
            raise CgroupUnavailable(
                f"{self.base} is not delegated to gpu-proxy: Delegate=memory in its unit, or name"
                " another one in [workers] cgroup"
            )

    def _sweep(self) -> None:
        """Remove what a daemon that was killed has left."""
        for path in self.base.glob(f"{PREFIX}*"):
            daemon = path.name.removeprefix(PREFIX).partition("-")[0]
            if not Path("/proc", daemon).exists():
                path.rmdir()  # Its workers have ended with it.

    def make(self, session: int, limit: int) -> WorkerGroup:
        """Make the cgroup of a session's worker. Raises OSError."""
        group = WorkerGroup(self.base / f"{PREFIX}{os.getpid()}-{session}", limit)
        group.path.mkdir()
        try:
            _write(group.path / "memory.max", str(limit))
            _write(group.path / "memory.oom.group", "1")
            if (group.path / "memory.swap.max").exists():  # not without swap accounting
                _write(group.path / "memory.swap.max", "0")
        except OSError:
            group.path.rmdir()
            raise
        return group


def _own_cgroup(process: Path, *, wanted: bool) -> Path | None:
    """Where this process is in the hierarchy of version 2, or None if that is not wanted."""
    lines = _read(process / "cgroup").splitlines()
    inside = next((line[3:] for line in lines if line.startswith("0::/")), "")
    for line in _read(process / "mountinfo").splitlines():
        left, _, right = line.partition(" - ")
        if right.split()[0] == "cgroup2" and inside:
            root, mount = left.split()[3:5]
            if not inside.startswith("/..") and (inside + "/").startswith(root.rstrip("/") + "/"):
                return Path(mount) / inside[len(root.rstrip("/")) :].lstrip("/")
    if wanted:
        raise CgroupUnavailable("no cgroup of version 2 is mounted that this process is in")
    return None


def _is_delegated(path: Path) -> bool:
    for name in DELEGATED:
        try:
            if os.getxattr(path, name) == b"1":
                return True
        except OSError:
            continue
    return False


def _descend(own: Path) -> None:
    """Make room: the daemon, alone in its cgroup, goes into a child of it."""
    (own / DAEMON).mkdir(exist_ok=True)
    _write(own / DAEMON / "cgroup.procs", str(os.getpid()))
    if _read(own / "cgroup.procs").split():
        _write(own / "cgroup.procs", str(os.getpid()))
        raise CgroupUnavailable(f"{own} has other processes in it, so it cannot be divided")


def _read(path: Path) -> str:
    return path.read_text(encoding="ascii", errors="replace")


def _write(path: Path, text: str) -> None:
    """Write to a file of the kernel's: one call, and never a new file."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)
