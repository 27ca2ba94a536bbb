# SPDX-License-Identifier: Apache-2.0
"""Configuration: defaults, and errors that name file, line and key."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gpu_proxy.config import Config, Source, load, parse_zone_option
from gpu_proxy.errors import ConfigError
from gpu_proxy.settings import resolve
from gpu_proxy.sizes import format_size, parse_size

GOOD = """
executor = "python"

[workers]
hello_seconds = 1.5

[zone.alpha]
device_memory = "1.5GiB"
sessions = 3

[zone.beta]
owner = 4711
environment = { CUDA_MODULE_LOADING = "EAGER" }
"""


def written(directory: Path, text: str) -> Path:
    path = directory / "vgpu.toml"
    path.write_text(text)
    return path


def test_a_file_is_read(tmp_path: Path) -> None:
    config, source = load(written(tmp_path, GOOD))
    settings = resolve(config, source, stub=True)
    alpha, beta = settings.zones
    assert settings.executor == "python"
    assert settings.workers.hello_seconds == 1.5
    assert (alpha.device_memory, alpha.sessions, alpha.uid) == (3 << 29, 3, os.geteuid())
    assert (beta.uid, beta.gid, beta.index) == (4711, 4711, 1)
    assert beta.environment == {"CUDA_MODULE_LOADING": "EAGER"}
    assert alpha.host_memory > 0


def test_defaults_are_one_zone(tmp_path: Path) -> None:
    config = Config(runtime_dir=str(tmp_path))
    settings = resolve(config, Source(), stub=True)
    assert [zone.name for zone in settings.zones] == ["default"]
    assert settings.zones[0].device_memory == 0
    assert settings.state_dir == tmp_path / ".state"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("executor = 'rust'", "vgpu.toml:1: executor: Invalid enum value 'rust'"),
        ("a = 1", "vgpu.toml:1: a: unknown key; known are executor"),
        ("a = \n", "vgpu.toml: Invalid value (at line 1, column 5)"),
        ("\n[workers]\nspeed = 1", "vgpu.toml:3: workers.speed: unknown key"),
        ("[zone.a]\n\nsessions = 0", "vgpu.toml:3: zone.a.sessions: Expected `int` >= 1"),
        ("[zone.a]\nsessions = 1\n[zone.b]\nsessions = 'x'", "vgpu.toml:4: zone.b.sessions: Exp"),
        ("[zone.a]\ncolour = 1", "vgpu.toml:2: zone.a.colour: unknown key"),
        ("[zone.a]\ndevice_memory = '4 bananas'", "vgpu.toml:2: zone.a.device_memory: '4 ban"),
        ("[zone.a]\ncontext_memory = 'much'", "vgpu.toml:2: zone.a.context_memory: 'much' is no"),
        ("[zone.a]\nowner = 'no such user'", "vgpu.toml:2: zone.a.owner: no user 'no such user'"),
        ("[zone.a]\ngroup = 'nobody?'", "vgpu.toml:2: zone.a.group: no group"),
        ("[zone.'../x']", "zone.../x: a zone's name is"),
        ("[zone.a]\nisolation = 'virtual'", "vgpu.toml:2: zone.a.isolation: 'virtual' is not sup"),
        ("[zone.a]\nisolation = 'loose'", "vgpu.toml:2: zone.a.isolation: 'loose' is neither"),
        ("[zone.a]\n[zone.b]\nisolation = 'exclusive'", "vgpu.toml:3: zone.b.isolation: an exclu"),
        ("[zone.a]\nenvironment = {LD_PRELOAD = 'x'}", "vgpu.toml:2: zone.a.environment.LD_PRE"),
        ("zone = 1", "vgpu.toml:1: zone: Expected `object`"),
    ],
)
def test_errors_name_file_line_and_key(tmp_path: Path, text: str, error: str) -> None:
    with pytest.raises(ConfigError) as raised:
        resolve(*load(written(tmp_path, text)), stub=True)
    assert error in str(raised.value)


@pytest.mark.parametrize(
    ("line", "with_stub", "with_gpu"),
    [
        ("", 0, 512 << 20),
        ("context_memory = '1MiB'", 1 << 20, 1 << 20),
        ("context_memory = 0", 0, 0),
    ],
)
def test_what_a_context_takes(tmp_path: Path, line: str, with_stub: int, with_gpu: int) -> None:
    read = load(written(tmp_path, f"[zone.a]\n{line}"))
    for stub, expected in ((True, with_stub), (False, with_gpu)):
        assert resolve(*read, stub=stub).zones[0].context_memory == expected


def test_a_zone_without_room_for_a_context_is_refused(tmp_path: Path) -> None:
    read = load(written(tmp_path, "[zone.a]\ndevice_memory = '512MiB'"))
    assert resolve(*read, stub=True).zones[0].device_memory == 512 << 20
    with pytest.raises(ConfigError, match=r"vgpu.toml:2: zone.a.device_memory: no room for a CUDA"):
        resolve(*read, stub=False)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing\.toml"):
        load(tmp_path / "nothing.toml")


def test_zones_of_the_command_line() -> None:
    name, zone = parse_zone_option("a:device_memory=1GiB,sessions=2,isolation=exclusive")
    assert (name, zone.device_memory, zone.sessions) == ("a", "1GiB", 2)
    assert parse_zone_option("b")[0] == "b"


@pytest.mark.parametrize("option", ["a:sessions", "a:sessions=x", "a:colour=1", "a:pending=0"])
def test_bad_zones_of_the_command_line(option: str) -> None:
    with pytest.raises(ConfigError, match="a"):
        parse_zone_option(option)


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), (17, 17), ("4KiB", 4096), ("1.5 GiB", 3 << 29), ("2g", 2 << 30), ("1TiB", 1 << 40)],
)
def test_sizes(text: int | str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GiB", "-1", -1, "1 PiB", "2000TiB", "1e3"])
def test_no_sizes(text: int | str) -> None:
    with pytest.raises(ValueError, match=r"size|between"):
        parse_size(text)


def test_sizes_for_people() -> None:
    assert [format_size(n) for n in (5, 2048, 3 << 29, 5 << 40)] == [
        "5 B", "2.0 KiB", "1.5 GiB", "5.0 TiB",
    ]  # fmt: skip
