# SPDX-License-Identifier: Apache-2.0
"""The configuration with everything looked up: numbers of users, bytes, directories."""

from __future__ import annotations

import grp
import os
import pwd
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gpu_proxy import cgroups
from gpu_proxy.config import (
    ZONES_MAX,
    Config,
    Source,
    WorkersConfig,
    ZoneConfig,
    parse_zone_option,
)
from gpu_proxy.errors import ConfigError
from gpu_proxy.sizes import format_size, parse_size

# What a context of a GPU takes by itself; 300 to 600 MiB on GPUs of a data centre. The software
# GPU's takes nothing of its memory.
CONTEXT_BYTES = 512 << 20
ZONE_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?")
DEFAULT_ZONE = "default"


@dataclass(frozen=True)
class ZoneSettings:
    """One zone, ready to use. Memory of 0 means no limit but the machine's."""

    name: str
    index: int
    uid: int
    gid: int
    device_memory: int
    context_memory: int
    host_memory: int
    worker_memory: int
    sessions: int
    handles: int
    isolation: str
    pending: int
    environment: dict[str, str]
    domain: str = ""  # name of the pod domain, or "" for a zone of this kernel


@dataclass(frozen=True)
class Settings:
    """The whole daemon, ready to use. The modules are replaced by tests only."""

    stub: bool
    runtime_dir: Path
    state_dir: Path
    executor: str
    workers: WorkersConfig
    zones: tuple[ZoneSettings, ...]
    worker_module: str = "gpu_proxy.worker"
    probe_module: str = "gpu_proxy.probe"
    xen: bool = False


def default_runtime_dir() -> Path:
    """Return /run/vgpu for root, else vgpu below $XDG_RUNTIME_DIR."""
    if os.geteuid() == 0:
        return Path("/run/vgpu")
    base = os.environ.get("XDG_RUNTIME_DIR")
    if not base:
        raise ConfigError("XDG_RUNTIME_DIR is not set: give --runtime-dir")
    return Path(base) / "vgpu"


def default_state_dir(runtime_dir: Path, *, chosen: bool) -> Path:
    """Return where caches lie, which outlive the daemon; beside a chosen runtime directory."""
    if chosen:
        return runtime_dir / ".state"
    if os.geteuid() == 0:
        return Path("/var/lib/vgpu")
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "vgpu"


def resolve(config: Config, source: Source, *, stub: bool, xen: bool = False) -> Settings:
    """Look everything up. Raises ConfigError."""
    chosen = bool(config.runtime_dir)
    runtime_dir = Path(config.runtime_dir).absolute() if chosen else default_runtime_dir()
    state_dir = (
        Path(config.state_dir).absolute()
        if config.state_dir
        else default_state_dir(runtime_dir, chosen=chosen)
    )
    named = config.zone or {DEFAULT_ZONE: ZoneConfig()}
    zones = tuple(_zone(n, i, z, source, stub=stub) for i, (n, z) in enumerate(named.items()))
    _check_isolation(zones, source)
    _check_cgroup(config.workers.cgroup, source)
    _check_domains(zones, source, xen=xen)
    return Settings(stub, runtime_dir, state_dir, config.executor, config.workers, zones, xen=xen)


def announced_zone(name: str, domain: int, given: dict[str, str], *, stub: bool) -> ZoneSettings:
    """Return the zone of a pod domain that the toolstack announced. Raises ConfigError."""
    text = f"{name}:" + ",".join(f"{key}={value}" for key, value in given.items())
    name, zone = parse_zone_option(text)
    return _zone(name, ZONES_MAX + domain, zone, Source(), stub=stub)


def _check_cgroup(cgroup: str, source: Source) -> None:
    if cgroup not in (cgroups.AUTO, cgroups.NONE) and not Path(cgroup).is_absolute():
        raise source.error("workers.cgroup", f"{cgroup!r} is no absolute path, auto or none")


def _check_domains(zones: tuple[ZoneSettings, ...], source: Source, *, xen: bool) -> None:
    named = [zone.domain for zone in zones if zone.domain]
    for zone in zones:
        key = f"zone.{zone.name}.domain"
        if zone.domain and not xen:
            raise source.error(key, "pod domains are served with --xen")
        if zone.domain and named.count(zone.domain) > 1:
            raise source.error(key, f"domain {zone.domain!r} is two zones")


def _zone(name: str, index: int, zone: ZoneConfig, source: Source, *, stub: bool) -> ZoneSettings:
    key = f"zone.{name}"
    if not ZONE_NAME.fullmatch(name):
        raise source.error(
            key,
            "a zone's name is 1 to 63 of a-z, 0-9, '.', '_', '-', a letter or digit at the ends",
        )

    def looked_up(field: str, function: Callable[[int | str], int]) -> int:
        try:
            return function(getattr(zone, field))
        except (ValueError, KeyError) as error:
            raise source.error(f"{key}.{field}", str(error.args[0])) from None

    uid = looked_up("owner", _uid)
    made = ZoneSettings(
        name=name,
        index=index,
        uid=uid,
        gid=looked_up("group", lambda value: _gid(value, uid, owned=zone.owner != "")),
        device_memory=looked_up("device_memory", parse_size),
        context_memory=looked_up("context_memory", lambda value: _context_bytes(value, stub=stub)),
        host_memory=looked_up("host_memory", parse_size) or _half_of_memory(),
        worker_memory=looked_up("worker_memory", parse_size) or _half_of_memory(),
        sessions=zone.sessions,
        handles=zone.handles,
        isolation=zone.isolation,
        pending=zone.pending,
        environment=_environment(zone, key, source),
        domain=zone.domain,
    )
    return _check_room(made, source)


def _context_bytes(value: int | str, *, stub: bool) -> int:
    if value == "auto":
        return 0 if stub else CONTEXT_BYTES
    return parse_size(value)


def _environment(zone: ZoneConfig, key: str, source: Source) -> dict[str, str]:
    for name in zone.environment:
        if not name.startswith("CUDA_"):
            raise source.error(f"{key}.environment.{name}", "only CUDA_* settings reach a worker")
    return dict(zone.environment)


def _check_isolation(zones: tuple[ZoneSettings, ...], source: Source) -> None:
    for zone in zones:
        key = f"zone.{zone.name}.isolation"
        if zone.isolation == "exclusive" and len(zones) > 1:
            raise source.error(key, "an exclusive zone must be the only one of this daemon")
        if zone.isolation == "virtual":
            raise source.error(key, "'virtual' is not supported by this version")
        if zone.isolation not in ("shared", "exclusive"):
            raise source.error(key, f"{zone.isolation!r} is neither shared, exclusive nor virtual")


def _check_room(zone: ZoneSettings, source: Source) -> ZoneSettings:
    if 0 < zone.device_memory <= zone.context_memory:
        takes = format_size(zone.context_memory)
        text = f"no room for a CUDA context, which takes {takes} (context_memory)"
        raise source.error(f"zone.{zone.name}.device_memory", text)
    return zone


def _uid(value: int | str) -> int:
    if value == "":
        return os.geteuid()
    if isinstance(value, int) or value.isdecimal():
        return int(value)
    try:
        return pwd.getpwnam(value).pw_uid
    except KeyError:
        raise ValueError(f"no user {value!r} on this machine") from None


def _gid(value: int | str, uid: int, *, owned: bool) -> int:
    if value == "":
        return _group_of(uid) if owned else os.getegid()
    if isinstance(value, int) or value.isdecimal():
        return int(value)
    try:
        return grp.getgrnam(value).gr_gid
    except KeyError:
        raise ValueError(f"no group {value!r} on this machine") from None


def _group_of(uid: int) -> int:
    try:
        return pwd.getpwuid(uid).pw_gid
    except KeyError:
        return uid


def _half_of_memory() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
