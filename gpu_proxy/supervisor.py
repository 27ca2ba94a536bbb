# SPDX-License-Identifier: Apache-2.0
"""The daemon: finds the driver, starts the zygote, serves the zones, and stops in order."""

from __future__ import annotations

import asyncio
import fcntl
import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gpu_proxy import cgroups, devices, host_memory_risk, log
from gpu_proxy.cgroups import Cgroups
from gpu_proxy.counters import CountersWriter, segment_name
from gpu_proxy.counters_source import daemon_rows
from gpu_proxy.errors import AlreadyRunning, CgroupUnavailable, StartError
from gpu_proxy.listener import PRIVATE
from gpu_proxy.plans import plan_zone
from gpu_proxy.settings import Settings, ZoneSettings
from gpu_proxy.snapshot import Snapshot
from gpu_proxy.xen.service import XenService
from gpu_proxy.zone import Zone, session_numbers
from gpu_proxy.zygote_link import ZygoteLink

COUNT_SECONDS = 0.25
STOP_SECONDS = 10.0
OPEN_FILES = 65536


class Supervisor:
    """Everything that the daemon owns."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._own_zones: list[Zone] = []
        self._xen: XenService | None = None
        self._zygote: ZygoteLink | None = None
        self._counters: CountersWriter | None = None
        self._lock = -1
        self._stop = asyncio.Event()
        self._log = log.get(part="supervisor")

    @property
    def zones(self) -> list[Zone]:
        """All zones: the configured ones, and those of pod domains."""
        return [*self._own_zones, *(self._xen.zones if self._xen else [])]

    async def run(self) -> None:
        """Serve until asked to stop. Raises StartError."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._report_bug)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        try:
            await self._start()
            await self._count_until_stopped()
        finally:
            await self._shut_down()

    def _report_bug(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """An error in a callback is ours; the sessions go on, and the log says where."""
        error = context.get("exception")
        self._log.error("internal-error", text=context.get("message"), exc_info=error)

    async def _start(self) -> None:
        _raise_open_files()
        self._make_directories()
        self._lock = _lock_directory(self.settings.runtime_dir)
        library = self._find_driver()
        snapshot = await devices.take_snapshot(self.settings.probe_module, library)
        if not self.settings.stub:
            self._check_host_memory(snapshot)
        groups = self._find_cgroups()  # before the zygote, which must not stay in the daemon's own
        self._zygote = ZygoteLink(self._zygote_arguments(library))
        await self._zygote.start()
        make_zone = self._zone_maker(snapshot, library, self._zygote, groups)
        self._own_zones = [make_zone(zone) for zone in self.settings.zones if not zone.domain]
        self._counters = CountersWriter(segment_name(self.settings.runtime_dir))
        self._count(snapshot)
        for zone in self.zones:
            zone.listen()
        if self.settings.xen:
            self._xen = XenService(self.settings, make_zone)
            self._xen.start()
        self._log.info(
            "ready",
            mode="stub" if self.settings.stub else "real",
            devices=[device.name for device in snapshot.devices],
            zones=[zone.name for zone in self.zones],
            runtime_dir=str(self.settings.runtime_dir),
        )

    def _make_directories(self) -> None:
        runtime_dir, state_dir = self.settings.runtime_dir, self.settings.state_dir
        try:
            for directory in (runtime_dir, state_dir):
                directory.mkdir(parents=True, exist_ok=True, mode=0o755)
            (runtime_dir / PRIVATE).mkdir(exist_ok=True, mode=0o700)
        except OSError as error:
            raise StartError(str(error)) from None

    def _find_driver(self) -> str:
        """Return the software GPU's library, or nothing for the system's driver."""
        if self.settings.stub:
            return devices.software_gpu() if self._uses_software_gpu() else ""
        names = devices.find_real_devices()
        self._log.info("devices-found", names=names)
        return ""

    def _check_host_memory(self, snapshot: Snapshot) -> None:
        risks = host_memory_risk.risks(snapshot)
        for risk in risks:
            self._log.warning("host-memory-risk", text=risk)
        if not risks:
            self._log.info("host-memory-safe", text="neither HMM nor ATS is in use")

    def _find_cgroups(self) -> Cgroups | None:
        """Return what workers get memory cgroups from. Raises StartError when it was asked for."""
        setting = self.settings.workers.cgroup
        if setting == cgroups.NONE:
            return None
        try:
            found = Cgroups(setting)
        except CgroupUnavailable as error:
            if setting != cgroups.AUTO:
                raise StartError(f"[workers] cgroup: {error}") from None
            say = self._log.info if self.settings.stub else self._log.warning
            say("no-worker-cgroups", text=str(error))
            return None
        self._log.info("worker-cgroups", path=str(found.base))
        return found

    def _uses_software_gpu(self) -> bool:
        return self.settings.probe_module == Settings.probe_module

    def _zygote_arguments(self, library: str) -> list[str]:
        arguments = [f"--worker-module={self.settings.worker_module}"]
        if library:
            arguments.append(f"--driver-library={library}")
        if self.settings.stub:
            arguments.append("--compiler")
        return arguments

    def _zone_maker(
        self, snapshot: Snapshot, library: str, zygote: ZygoteLink, groups: Cgroups | None
    ) -> Callable[[ZoneSettings], Zone]:
        numbers = session_numbers()

        def make(zone: ZoneSettings) -> Zone:
            plan = plan_zone(self.settings, zone, library)
            return Zone(
                self.settings,
                zone,
                plan,
                zygote=zygote,
                snapshot=snapshot,
                driver_library=library,
                numbers=numbers,
                groups=groups,
            )

        return make

    def _count(self, snapshot: Snapshot) -> None:
        assert self._counters is not None
        names = [device.name for device in snapshot.devices]
        self._counters.describe("stub" if self.settings.stub else "real", names)
        self._counters.update(*daemon_rows(self.zones))

    async def _count_until_stopped(self) -> None:
        assert self._counters is not None
        while not self._stop.is_set():
            self._counters.update(*daemon_rows(self.zones))
            try:
                await asyncio.wait_for(self._stop.wait(), COUNT_SECONDS)
            except TimeoutError:
                continue

    async def _shut_down(self) -> None:
        """Undo what was started, in the opposite order."""
        await asyncio.gather(*(zone.stop(STOP_SECONDS) for zone in self._own_zones))
        if self._xen:
            await self._xen.stop(STOP_SECONDS)
        if self._zygote:
            self._zygote.stop()
        if self._counters:
            self._counters.close()
        if self._lock >= 0:
            os.close(self._lock)
        self._log.info("stopped")


def _raise_open_files() -> None:
    """A session takes some ten descriptors for good and eighty while it starts."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _lock_directory(runtime_dir: Path) -> int:
    """Be the only daemon of this directory; the lock ends with the process."""
    path = runtime_dir / "lock"
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.read(fd, 32).decode("ascii", "replace").strip() or "unknown"
        os.close(fd)
        raise AlreadyRunning(f"{runtime_dir} is in use by gpu-proxy with pid {owner}") from None
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    return fd
