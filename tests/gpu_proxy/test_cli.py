# SPDX-License-Identifier: Apache-2.0
"""The commands of `vgpu` against a running daemon."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from daemon import ROOT, Daemon
from front_end import FrontEnd

from gpu_proxy.cli import places
from gpu_proxy.cli.run import environment
from gpu_proxy.cli.top import Rates
from gpu_proxy.counters import Report, SessionRow
from idm.counters_page import COUNTER_NAMES


def vgpu(*arguments: str, **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gpu_proxy.cli.vgpu", *arguments],
        capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}, **more,
    )  # fmt: skip


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> Path:
    try:
        return places.library()
    except places.NotFound as error:
        pytest.skip(str(error))


def in_zone(daemon: Daemon, *command: str) -> subprocess.CompletedProcess[str]:
    return vgpu("run", "--zone=default", f"--runtime-dir={daemon.runtime_dir}", "--", *command)


def test_lib_prints_the_path(built: Path) -> None:
    done = vgpu("lib")
    assert done.stdout == f"{built}\n"
    assert (built.parent / "libcuda.so.1").exists()


def test_run_sets_what_programs_look_at(built: Path, shared_daemon: Daemon) -> None:
    done = in_zone(shared_daemon, "env")
    seen = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    assert seen["VGPU_SOCKET"] == str(shared_daemon.socket())
    assert seen["LD_LIBRARY_PATH"].split(":")[0] == str(built.parent)
    assert seen["LD_PRELOAD"].split(":")[0] == str(built)


@pytest.mark.parametrize(
    ("command", "code"),
    [("exit 0", 0), ("exit 7", 7), ("kill -TERM $$", 128 + 15), ("kill -KILL $$", 128 + 9)],
)
def test_run_passes_the_exit_code_on(
    built: Path, shared_daemon: Daemon, command: str, code: int
) -> None:
    assert in_zone(shared_daemon, "sh", "-c", command).returncode == code


def test_run_names_what_is_missing(built: Path, shared_daemon: Daemon) -> None:
    directory = f"--runtime-dir={shared_daemon.runtime_dir}"
    assert in_zone(shared_daemon, "no-such-program").returncode == 127
    assert "choose one with --zone: default, other" in vgpu("run", directory, "--", "true").stderr
    assert "no zone 'x'" in vgpu("run", directory, "--zone=x", "--", "true").stderr
    assert vgpu("run", directory).returncode == 2


def test_run_passes_signals_on(built: Path, shared_daemon: Daemon) -> None:
    directory = f"--runtime-dir={shared_daemon.runtime_dir}"
    command = [sys.executable, "-m", "gpu_proxy.cli.vgpu", "run", "--zone=default", directory]
    command += ["--", "sh", "-c", "trap 'exit 5' TERM; echo ready; while :; do sleep 0.05; done"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)}
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 5


def test_variables_are_kept() -> None:
    made = environment({"LD_PRELOAD": "a.so", "X": "1"}, Path("/s"), Path("/d/libvgpu.so"))
    assert made == {
        "X": "1",
        "VGPU_SOCKET": "/s",
        "LD_PRELOAD": "/d/libvgpu.so:a.so",
        "LD_LIBRARY_PATH": "/d",
    }


def report(daemon: Daemon) -> dict[str, Any]:
    done = vgpu("info", "--json", f"--runtime-dir={daemon.runtime_dir}")
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def report_when(daemon: Daemon, condition: Callable[[Any], Any]) -> Any:
    """The first report for which a condition holds; the segment is written a few times a second."""
    deadline = time.monotonic() + 20
    while not condition(seen := report(daemon)):
        assert time.monotonic() < deadline, seen
    return seen


def test_info_reports_live_and_ended_sessions(start: Callable[..., Daemon]) -> None:
    daemon = start("--zone=a:device_memory=1MiB,sessions=5")
    session = FrontEnd(daemon.socket("a"))
    session.ask("count", values=[10, 6, 4, 100, 200, 3, 1])
    session.ask("charge", kind="device", amount=4096)
    seen = report_when(daemon, lambda seen: seen["sessions"] and seen["zones"][0]["device_used"])
    (zone,), (row,) = seen["zones"], seen["sessions"]
    assert (seen["mode"], seen["devices"]) == ("stub", ["Fake GPU"])
    assert (zone["device_used"], zone["device_limit"], zone["sessions"]) == (4096, 1 << 20, 1)
    assert (row["live"], row["device_bytes"], row["counters"]["calls"]) == (True, 4096, 10)
    session.close()
    daemon.wait_for("session-ended")
    seen = report_when(daemon, lambda seen: not seen["sessions"][0]["live"])
    (zone,), (row,) = seen["zones"], seen["sessions"]
    assert (zone["device_used"], zone["sessions"], zone["sessions_ended"]) == (0, 0, 1)
    assert (row["live"], row["counters"]["launches"]) == (False, 3)
    assert zone["counters"]["calls"] == 10
    table = vgpu("info", f"--runtime-dir={daemon.runtime_dir}").stdout
    assert "1.0 MiB" in table
    assert "ended" in table


def test_top_shows_rates(start: Callable[..., Daemon]) -> None:
    daemon = start()
    session = FrontEnd(daemon.socket())
    done = vgpu("top", "--once", "--interval=0.3", f"--runtime-dir={daemon.runtime_dir}")
    assert done.returncode == 0, done.stderr
    assert "calls/s" in done.stdout
    assert "1 live" in done.stdout
    session.close()


def test_rates_never_go_backwards() -> None:
    def at(calls: int) -> Report:
        counted = dict.fromkeys(COUNTER_NAMES, calls)
        return Report(1, 0, "", [], [], [SessionRow("z", 1, 1, True, 0, 0, 0, "", counted)])

    assert Rates(at(10), at(30), 2.0).of(("z", 1), "calls") == 10
    assert Rates(at(30), at(10), 2.0).of(("z", 1), "calls") == 0
    assert Rates(at(30), at(10), 2.0).of(("new", 1), "calls") == 0


def test_no_daemon_is_one_line(tmp_path: Path) -> None:
    done = vgpu("info", f"--runtime-dir={tmp_path}")
    assert done.returncode == 1
    assert done.stderr == "vgpu: no gpu-proxy runs on this runtime directory\n"
