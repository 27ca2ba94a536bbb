# SPDX-License-Identifier: Apache-2.0
"""`vgpu domain`: what the arguments mean, what is printed, and which exit code comes back."""

from __future__ import annotations

import argparse
import json
import os
import pty
import signal
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_xen import BACK, FRONT, FakeXen

from gpu_proxy.cli import domain, foreground, vgpu
from gpu_proxy.domain.guest import Guest
from gpu_proxy.domain.life import Toolstack
from gpu_proxy.domain.pod import Pod
from gpu_proxy.errors import DomainError, DomainGone, ExecutionCancelled
from idm.xen import nodes
from idm.xen.exec_messages import Outcome, Request

ROOT = Path(__file__).resolve().parents[3]


def parse(*arguments: str) -> argparse.Namespace:
    return vgpu.parser().parse_args(["domain", *arguments])


def test_a_command_and_how_to_run_it() -> None:
    options = parse(
        "exec", "--env", "A=1=2", "--env", "B=", "--cwd", "/data", "--user", "5:6",
        "--guest-root", "a", "--", "sh", "-c", "echo -- $1", "--", "-x",
    )  # fmt: skip
    assert options.name == "a"
    assert domain.request_of(options) == Request(
        argv=("sh", "-c", "echo -- $1", "--", "-x"),
        environment={"A": "1=2", "B": ""},
        directory="/data",
        root="/",
        uid=5,
        gid=6,
    )


def test_a_command_by_itself() -> None:
    assert domain.request_of(parse("exec", "a", "ls", "-l")) == Request(argv=("ls", "-l"))
    assert domain.request_of(parse("create", "--name", "a")) is None


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["exec", "a", "-t", "--", "sh"], "-t: options come before the name"),
        (["exec", "--env", "A", "a", "--", "sh"], "--env A: not NAME=VALUE"),
        (["exec", "--env", "=1", "a", "--", "sh"], "--env =1: not NAME=VALUE"),
        (["exec", "-t", "a", "--", "sh"], "-t: standard input and output are not a terminal"),
    ],
)
def test_arguments_that_make_no_sense(
    arguments: list[str], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "isatty", lambda _: False)
    with pytest.raises(DomainError, match=text):
        domain.request_of(parse(*arguments))


@pytest.mark.parametrize(
    ("text", "mib"), [("512", 512), ("1G", 1024), ("1.5GiB", 1536), ("256M", 256)]
)
def test_memory(text: str, mib: int) -> None:
    assert parse("create", "--name", "a", "--memory", text).memory == mib


@pytest.mark.parametrize(
    "arguments",
    [
        ["--memory", "much"],
        ["--gpu-memory", "1 elephant"],
        ["--user", "root"],
        ["--type", "lxc"],
        [],
    ],
)
def test_values_that_are_none(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    name = ["--name", "a"] if arguments else []
    with pytest.raises(SystemExit) as caught:
        parse("create", *name, *arguments)
    assert caught.value.code == 2
    assert (arguments or ["--name"])[0] in capsys.readouterr().err


def test_what_is_created(tmp_path: Path) -> None:
    for name in ("vmlinux", "root.erofs"):
        (tmp_path / name).touch()
    options = parse(
        "create", "--name=a", "--memory=1G", "--gpu-memory=1G", "--sessions=2", "--vcpus=2",
        "--type=pv", "--network=bridge=br0", "--network=bridge=br1", f"--guest-dir={tmp_path}",
        "--zone=z", "--image=image.erofs", "--grant-frames=128", "--xl=acpi = 0", "--", "nvidia-smi",
    )  # fmt: skip
    pod = domain.pod_of(options)
    assert pod == Pod(
        name="a",
        memory_mib=1024,
        guest=Guest(tmp_path / "vmlinux", (tmp_path / "root.erofs",), pod.guest.options),
        image=Path.cwd() / "image.erofs",
        kind="pv",
        vcpus=2,
        grant_frames=128,
        networks=("bridge=br0", "bridge=br1"),
        more=("acpi = 0",),
        zone="z",
        quota={"device-memory": 1 << 30, "sessions": 2},
    )


class Stub:
    """Stands in for an execution."""

    def __init__(self, act: Callable[[Stub], Outcome]) -> None:
        self.act = act
        self.heard: list[object] = []

    def run(self) -> Outcome:
        return self.act(self)

    def signal(self, number: int) -> None:
        self.heard.append(number)

    def resize(self, rows: int, columns: int) -> None:
        self.heard.append((rows, columns))


@pytest.mark.parametrize(
    ("outcome", "code"),
    [(Outcome(7), 7), (Outcome(signal=9), 137), (Outcome(127, failure="x"), 127)],
)
def test_exit_codes(outcome: Outcome, code: int) -> None:
    assert foreground.run_in_foreground(Stub(lambda _: outcome), terminal=False) == code


def test_a_failure_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    foreground.exit_code(Outcome(126, failure="bad\x1b]0;title\x07\nname"))
    assert capsys.readouterr().err == "vgpu domain: bad\ufffd]0;title\ufffd\ufffdname\n"


def test_signals_are_passed_on_and_restored() -> None:
    before = {number: signal.getsignal(number) for number in foreground.PASSED_ON}

    def act(stub: Stub) -> Outcome:
        for number in foreground.PASSED_ON:
            os.kill(os.getpid(), number)
        return Outcome()

    stub = Stub(act)
    foreground.run_in_foreground(stub, terminal=False)
    assert stub.heard == list(foreground.PASSED_ON)
    assert {number: signal.getsignal(number) for number in foreground.PASSED_ON} == before


def test_a_signal_before_the_start() -> None:
    def act(_: Stub) -> Outcome:
        raise ExecutionCancelled(signal.SIGTERM)

    assert foreground.run_in_foreground(Stub(act), terminal=False) == 128 + signal.SIGTERM


def test_the_terminal_is_raw_while_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (33, 99))
    monkeypatch.setattr(foreground, "STDIN", slave)
    monkeypatch.setattr(foreground, "STDOUT", slave)
    assert foreground.terminal_size() == (33, 99)
    cooked = termios.tcgetattr(slave)
    seen = []

    def act(stub: Stub) -> Outcome:
        seen.append(termios.tcgetattr(slave)[3] & (termios.ICANON | termios.ECHO | termios.ISIG))
        termios.tcsetwinsize(slave, (11, 22))
        os.kill(os.getpid(), signal.SIGWINCH)
        raise DomainGone("gone")

    stub = Stub(act)
    with pytest.raises(DomainGone):
        foreground.run_in_foreground(stub, terminal=True)
    assert (seen, stub.heard) == ([0], [(11, 22)])
    assert termios.tcgetattr(slave) == cooked
    os.close(master)
    os.close(slave)


def test_standard_streams_that_our_caller_has_closed() -> None:
    script = (
        "import os; from gpu_proxy.cli.foreground import open_standard_streams as o; o();"
        "print([os.fstat(fd).st_rdev == os.stat('/dev/null').st_rdev for fd in range(3)], flush=True)"
    )
    done = subprocess.run(
        ["sh", "-c", 'exec "$0" -c "$1" <&- 2>&-', sys.executable, script],
        stdout=subprocess.PIPE, text=True, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.stdout == "[True, False, True]\n"


def main(*arguments: str) -> int:
    return vgpu.main(["domain", *arguments])


def test_the_list(
    xen: FakeXen, connect: Callable[[], object], capsys: pytest.CaptureFixture[str]
) -> None:
    store = xen.store(BACK)
    assert main("list", "--json") == 0
    assert json.loads(capsys.readouterr().out) == []
    nodes.announce(store, nodes.GPU, FRONT, BACK, {"zone": "z"})
    nodes.announce(store, nodes.EXEC, FRONT, BACK, index=1)
    store.write(f"/local/domain/{FRONT}/memory/target", 262144)
    back = nodes.back_path(BACK, nodes.GPU, FRONT)
    expected: dict[str, Any] = {
        "name": "domain-7", "number": 7, "back": 0, "memory_kib": 262144, "zone": "z", "commands": 1,
    }  # fmt: skip
    for node, value, state in (
        ("state", "1", "unserved"),
        ("error", "no", "refused"),
        ("state", "4", "served"),
    ):
        store.write(f"{back}/{node}", value)
        assert main("list", "--json") == 0
        assert json.loads(capsys.readouterr().out) == [{**expected, "state": state}]
    assert main("list") == 0
    table = capsys.readouterr().out
    assert all(word in table for word in ("domain-7", "256 MiB", "served", "z"))


def test_what_is_missing_is_said(
    xen: FakeXen, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(*arguments: str) -> str:
        assert main(*arguments) == 1
        return capsys.readouterr().err

    monkeypatch.setattr("idm.xen.store.SOCKET", "/nonexistent/socket")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "pod domains are root's" in said("list")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert "does this machine run Xen" in said("exec", "a", "--", "true")
    assert "no command given" in said("exec", "a")
    assert "--rm: no command" in said("create", "--name", "a", "--rm")


def test_a_domain_that_is_not_there(
    xen: FakeXen, connect: Callable[[], object], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main("exec", "b", "--", "true") == 1
    assert "no domain 'b'; vgpu domain list shows" in capsys.readouterr().err
    assert main("destroy", "--state-dir", str(tmp_path), "b") == 1
    assert "no domain 'b'" in capsys.readouterr().err


@pytest.mark.parametrize(("rm", "destroyed"), [([], []), (["--rm"], ["a"])])
def test_create_runs_its_command(
    connect: Callable[[], object],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    rm: list[str],
    destroyed: list[str],
) -> None:
    ended: list[str] = []
    monkeypatch.setattr(Toolstack, "create", lambda self, pod, back: FRONT)
    monkeypatch.setattr(Toolstack, "destroy", lambda self, name: ended.append(name))
    monkeypatch.setattr(domain, "_execute", lambda number, request: number + len(request.argv))
    for name in ("vmlinux", "root.erofs"):
        (tmp_path / name).touch()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    places = [f"--guest-dir={tmp_path}", f"--state-dir={tmp_path}"]
    try:
        assert main("create", "--name=a", *places, *rm, "--", "one", "two") == FRONT + 2
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert ended == destroyed


def test_create_that_is_interrupted(
    connect: Callable[[], object],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def create(*_: object) -> int:
        os.kill(os.getpid(), signal.SIGTERM)
        return FRONT

    monkeypatch.setattr(Toolstack, "create", create)
    for name in ("vmlinux", "root.erofs"):
        (tmp_path / name).touch()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        assert (
            main("create", "--name=a", f"--guest-dir={tmp_path}", f"--state-dir={tmp_path}") == 130
        )
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert "interrupted" in capsys.readouterr().err
