# SPDX-License-Identifier: Apache-2.0
"""The configuration: one TOML file, every key with a default, checked when the daemon starts."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from gpu_proxy.errors import ConfigError
from idm.handshake import HANDLE_MAX

ZONES_MAX = 256
Count = Annotated[int, msgspec.Meta(ge=1, le=65536)]
Works = Annotated[int, msgspec.Meta(ge=128, le=1 << 20)]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=3600)]


class ZoneConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One zone. Sizes are bytes, or texts as "4GiB"; 0 means no limit but the machine's."""

    owner: int | str = ""  # of the socket and its directory; default: the daemon's user
    group: int | str = ""  # default: the owner's group
    device_memory: int | str = 0  # default: the whole device
    context_memory: int | str = "auto"  # of device_memory, for each CUDA context
    host_memory: int | str = 0  # default: half of this machine's memory
    worker_memory: int | str = 0  # of each worker's cgroup; default: half of this machine's memory
    sessions: Count = 256
    handles: Annotated[int, msgspec.Meta(ge=1, le=1 << 30)] = 4 * HANDLE_MAX
    isolation: str = "shared"
    pending: Count = 32  # connections whose handshake is not finished
    environment: dict[str, str] = {}  # CUDA_* settings for the driver in the workers
    domain: str = ""  # name of the pod domain that this zone is; needs --xen


class WorkersConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How workers run."""

    uid_base: Annotated[int, msgspec.Meta(ge=1000, lt=1 << 31)] = 1_900_000_000
    own_uid: Literal["auto", "always", "never"] = "auto"
    stderr: bool = False  # keep the daemon's standard error in workers: for debugging only
    hello_seconds: Seconds = 5.0
    ready_seconds: Seconds = 60.0
    cgroup: str = "auto"  # under which workers get memory cgroups: a path, auto, none
    # Works that the driver takes in one stream without blocking; default: 1024, with --stub 65,536.
    stream_queue: Works | None = None


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All settings of the daemon."""

    runtime_dir: str = ""
    state_dir: str = ""
    executor: Literal["c", "python"] = "c"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    workers: WorkersConfig = WorkersConfig()
    zone: dict[str, ZoneConfig] = {}


class Source:
    """Where the configuration was written, for errors that name file, line and key."""

    def __init__(self, path: Path | None = None, text: str = "") -> None:
        self.path = path
        self._lines = text.splitlines()

    def error(self, key: str, problem: str) -> ConfigError:
        """Return the error for a dotted key."""
        if self.path is None:
            return ConfigError(f"command line: {key}: {problem}")
        return ConfigError(f"{self.path}:{self._line(key)}: {key}: {problem}")

    def _line(self, key: str) -> int:
        """Return the line of a key, or the nearest line of a table above it."""
        table, best, depth = "", 1, -1
        for number, line in enumerate(self._lines, 1):
            name = _key_of_line(line, table)
            if line.lstrip().startswith("["):
                table = name
            if name and name.count(".") > depth and (key == name or key.startswith(name + ".")):
                best, depth = number, name.count(".")
        return best


def _key_of_line(line: str, table: str) -> str:
    header = re.match(r"\s*\[+\s*([^\]]+?)\s*\]+", line)
    if header:
        return header[1].replace('"', "").replace(" ", "")
    assignment = re.match(r'\s*([A-Za-z0-9_."-]+)\s*=', line)
    if not assignment:
        return ""
    name = assignment[1].replace('"', "")
    return f"{table}.{name}" if table else name


def load(path: Path) -> tuple[Config, Source]:
    """Read and check a file. Raises ConfigError with file, line and key."""
    try:
        text = path.read_text(encoding="utf-8")
        tree = tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from None
    source = Source(path, text)
    _expect_known_keys(tree, source)
    try:
        config = msgspec.convert(tree, Config)
    except msgspec.ValidationError as error:
        problem, _, place = str(error).partition(" - at `")
        raise source.error(_dotted(place.rstrip("`"), tree), problem) from None
    if len(config.zone) > ZONES_MAX:
        raise source.error("zone", f"{len(config.zone)} zones, at most {ZONES_MAX}")
    return config, source


def _dotted(place: str, tree: dict[str, object]) -> str:
    """Turn msgspec's `$.zone[...].sessions` into `zone.NAME.sessions`: the first that fails."""
    key = place.removeprefix("$").removeprefix(".")
    if not key.startswith("zone[...]"):
        return key
    zones = tree.get("zone")
    for name, zone in zones.items() if isinstance(zones, dict) else ():
        try:
            msgspec.convert(zone, ZoneConfig)
        except msgspec.ValidationError:
            return key.replace("zone[...]", f"zone.{name}")
    return key


def _expect_known_keys(tree: dict[str, object], source: Source) -> None:
    """Find unknown keys ourselves: msgspec names the table only, not the key."""
    _known(tree, Config, "", source)
    workers, zones = tree.get("workers"), tree.get("zone")
    if isinstance(workers, dict):
        _known(workers, WorkersConfig, "workers.", source)
    if isinstance(zones, dict):
        for name, zone in zones.items():
            if isinstance(zone, dict):
                _known(zone, ZoneConfig, f"zone.{name}.", source)


def _known(
    table: dict[str, object], kind: type[msgspec.Struct], prefix: str, source: Source
) -> None:
    for key in table:
        if key not in kind.__struct_fields__:
            known = ", ".join(sorted(kind.__struct_fields__))
            raise source.error(prefix + key, f"unknown key; known are {known}")


def parse_zone_option(option: str) -> tuple[str, ZoneConfig]:
    """Parse NAME[:key=value,...] of the command line."""
    name, _, rest = option.partition(":")
    values: dict[str, object] = {}
    for part in filter(None, rest.split(",")):
        key, equals, value = part.partition("=")
        if not equals:
            raise ConfigError(f"--zone {option}: {part!r} is not key=value")
        values[key.strip().replace("-", "_")] = value.strip()
    _known(values, ZoneConfig, f"zone.{name}.", Source())
    try:
        return name, msgspec.convert(values, ZoneConfig, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(f"--zone {option}: {error}") from None
