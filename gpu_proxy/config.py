# SPDX-License-Identifier: Apache-2.0
"""The configuration: one TOML file, every key with a default, checked when the daemon starts."""

from __future__ import annotations

import grp
import os
import pwd
import re
import tomllib
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from gpu_proxy.config_errors import line_of
from gpu_proxy.errors import ConfigError
from gpu_proxy.handshake import HANDLE_MAX
from gpu_proxy.sizes import parse_size

ZONE_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?")
ZONES_MAX = 256
Count = Annotated[int, msgspec.Meta(ge=1, le=65536)]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=3600)]


class ZoneConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One zone. Sizes are bytes, or texts as "4GiB"; 0 means no limit but the machine's."""

    owner: int | str = ""  # of the socket and its directory; default: the daemon's user
    group: int | str = ""
    device_memory: int | str = 0  # default: the whole device
    host_memory: int | str = 0  # default: half of this machine's memory
    sessions: Count = 256
    handles: Annotated[int, msgspec.Meta(ge=1, le=1 << 30)] = 4 * HANDLE_MAX
    isolation: Literal["shared", "exclusive", "virtual"] = "shared"
    pending: Count = 32  # connections of which the handshake is not finished
    environment: dict[str, str] = {}  # CUDA_* settings for the workers' driver


class WorkersConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How workers run."""

    uid_base: Annotated[int, msgspec.Meta(ge=1000, lt=1 << 31)] = 2_000_000_000
    own_uid: Literal["auto", "always", "never"] = "auto"
    stderr: bool = False  # let workers write to the daemon's standard error: for debugging
    hello_seconds: Seconds = 5.0
    ready_seconds: Seconds = 60.0


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All settings of the daemon."""

    runtime_dir: str = ""
    state_dir: str = ""
    executor: Literal["c", "python"] = "c"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    software_memory: int | str = 0  # of the software GPU; 0: its own default
    workers: WorkersConfig = WorkersConfig()
    zone: dict[str, ZoneConfig] = {}


def default_runtime_dir() -> Path:
    """Return /run/vgpu for root, else vgpu below $XDG_RUNTIME_DIR."""
    if os.geteuid() == 0:
        return Path("/run/vgpu")
    base = os.environ.get("XDG_RUNTIME_DIR")
    if not base:
        raise ConfigError("XDG_RUNTIME_DIR is not set: give --runtime-dir")
    return Path(base) / "vgpu"


def default_state_dir(runtime_dir: Path) -> Path:
    """Return the place for caches, which outlive the daemon."""
    if runtime_dir != _or_none(default_runtime_dir):
        return runtime_dir / "state"
    if os.geteuid() == 0:
        return Path("/var/lib/vgpu")
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "vgpu"


def _or_none(function: object) -> Path | None:
    try:
        return function() if callable(function) else None
    except ConfigError:
        return None


def load(path: Path) -> Config:
    """Read and check a file. Raises ConfigError with file, line and key."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from None
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: {error}") from None
    try:
        config = msgspec.convert(tree, Config)
    except msgspec.ValidationError as error:
        raise ConfigError(_with_place(path, text, str(error))) from None
    for name, zone in config.zone.items():
        _check(zone, name, lambda key, problem, n=name: _placed(path, text, ["zone", n, key], problem))
    if len(config.zone) > ZONES_MAX:
        raise ConfigError(f"{path}: {len(config.zone)} zones, at most {ZONES_MAX}")
    return config
