# SPDX-License-Identifier: Apache-2.0
"""The agent's side of a command, over a channel in memory: processes, streams, signals, ends."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from wired import Wire

from idm.errors import ChannelError
from idm.xen import exec_messages as said
from idm.xen.agent.command import Command
from idm.xen.agent.spawn import CANNOT, NOT_EXECUTABLE, NOT_FOUND, SpawnError
from idm.xen.exec_messages import STDERR, STDIN, STDOUT, Outcome, Request
from idm.xen.stream import Message

# Says what its terminal does, and ends with its input.
TALKER = """
import os, signal, sys
signal.signal(signal.SIGWINCH, lambda *_: print("changed to %d, %d" % os.get_terminal_size(0)))
signal.signal(signal.SIGINT, lambda *_: print("interrupted"))
print("ready")
for line in sys.stdin:
    print("got", line)
"""
ENVIRONMENT = {"PATH": os.environ["PATH"], "HOME": "/"}


class Runner:
    """One command, and what it has said; this side reads everything at once."""

    def __init__(self, *argv: str, **how: object) -> None:
        self.wire = Wire()
        self.got = {STDOUT: bytearray(), STDERR: bytearray()}
        self.outcome: Outcome | None = None
        ids = {"uid": os.getuid(), "gid": os.getgid()}
        request = Request(argv, **{**ids, **how})
        self.command = Command(self.wire.selector, request, "/", ENVIRONMENT, self.wire.from_front)
        self.wire.at_front = self.command.received
        self.wire.at_back = self.received

    def received(self, message: Message) -> None:
        assert self.outcome is None, "nothing may come after the end"
        match message.kind:
            case said.DATA:
                self.got[message.session] += message.payload
                credit = said.NUMBER.pack(len(message.payload))
                self.wire.from_back(said.CREDIT, message.session, credit)
            case said.EXITED:
                self.outcome = Outcome.unpack(message.kind, message.payload)

    def say(self, kind: int, payload: bytes = b"", stream: int = 0) -> None:
        self.wire.from_back(kind, stream, payload)

    def wait_output(self, text: bytes) -> None:
        self.wire.until(lambda: text in self.got[STDOUT])

    def end(self) -> Outcome:
        self.wire.until(lambda: self.outcome is not None)
        return self.outcome


@pytest.fixture
def run() -> Iterator[Callable[..., Runner]]:
    made: list[Runner] = []

    def begin(*argv: str, **how: object) -> Runner:
        made.append(Runner(*argv, **how))
        return made[-1]

    yield begin
    for one in made:
        one.command.kill()
        one.wire.until(lambda one=one: not one.wire.selector.get_map())


def test_output_error_and_exit_code(run: Callable[..., Runner]) -> None:
    one = run("sh", "-c", "echo out; echo err >&2; exit 7")
    assert one.end() == Outcome(code=7)
    assert (bytes(one.got[STDOUT]), bytes(one.got[STDERR])) == (b"out\n", b"err\n")


def test_the_signal_that_killed_it(run: Callable[..., Runner]) -> None:
    assert run("sh", "-c", "kill -SEGV $$").end() == Outcome(signal=signal.SIGSEGV)


def test_input_reaches_it_and_ends(run: Callable[..., Runner]) -> None:
    one = run("cat")
    one.say(said.DATA, b"hello ")
    one.say(said.DATA, b"world")
    one.wait_output(b"hello world")
    one.say(said.END)
    assert one.end() == Outcome()


def test_input_that_it_does_not_read(run: Callable[..., Runner]) -> None:
    one = run("sh", "-c", "exec <&-; echo closed; sleep 1000")
    one.wait_output(b"closed")
    one.say(said.DATA, b"for nobody")
    one.wire.until(lambda: Message(said.CLOSED, STDIN, b"") in one.wire.log)
    one.say(said.SIGNAL, said.NUMBER.pack(signal.SIGTERM))
    assert one.end() == Outcome(signal=signal.SIGTERM)


def test_a_signal_reaches_the_whole_group(run: Callable[..., Runner]) -> None:
    one = run("sh", "-c", "sh -c 'echo $$; exec sleep 1000' | cat; echo end")
    one.wait_output(b"\n")
    child = int(one.got[STDOUT])
    one.say(said.SIGNAL, said.NUMBER.pack(signal.SIGINT))
    assert one.end().signal == signal.SIGINT
    one.wire.until(lambda: not is_running(child))


def test_kill_ends_the_group_and_reports_nothing(run: Callable[..., Runner]) -> None:
    one = run("sh", "-c", "sh -c 'echo $$; exec sleep 1000' | cat; echo end")
    one.wait_output(b"\n")
    child = int(one.got[STDOUT])
    one.command.kill()
    one.wire.until(lambda: not is_running(child))
    one.wire.until(lambda: not one.wire.selector.get_map())
    assert one.outcome is None


def test_what_runs_on_does_not_delay_the_end(run: Callable[..., Runner]) -> None:
    one = run("sh", "-c", "sleep 1000 & echo $!; exit 3")
    assert one.end() == Outcome(code=3)
    os.kill(int(one.got[STDOUT]), signal.SIGKILL)


def test_all_output_comes_before_the_end(run: Callable[..., Runner]) -> None:
    one = run("sh", "-c", "head -c 3000000 /dev/zero; head -c 100000 /dev/zero >&2; exit 1")
    assert one.end() == Outcome(code=1)
    assert (len(one.got[STDOUT]), len(one.got[STDERR])) == (3_000_000, 100_000)


def test_output_that_nobody_reads_stops_it(run: Callable[..., Runner]) -> None:
    one = run("sh", "-c", "yes; echo never >&2")
    one.say(said.CLOSED, stream=STDOUT)
    assert one.end().code == 0
    assert one.got[STDERR] == b"never\n"  # yes has died of SIGPIPE


def test_environment_directory_and_session(run: Callable[..., Runner], tmp_path: Path) -> None:
    script = (
        "import os; print(os.getcwd(), os.getsid(0) == os.getpid(), os.listdir('/proc/self/fd'))"
    )
    one = run(sys.executable, "-c", script, directory=str(tmp_path))
    assert one.end() == Outcome()
    assert one.got[STDOUT] == f"{tmp_path} True ['0', '1', '2', '3']\n".encode()  # 3: the listing's


@pytest.mark.parametrize(
    ("argv", "how", "code", "text"),
    [
        (("nonexistent-program",), {}, NOT_FOUND, "nonexistent-program: No such file"),
        (("/nonexistent/program",), {}, NOT_FOUND, "No such file"),
        (("/etc/passwd",), {}, NOT_EXECUTABLE, "Permission denied"),
        (("true",), {"directory": "/nonexistent"}, CANNOT, "directory /nonexistent: No such"),
        (("true",), {"root": "/nonexistent"}, CANNOT, "No such file"),
        ((), {}, CANNOT, "no command given"),
    ],
)
def test_what_cannot_be_started(
    argv: tuple[str, ...], how: dict[str, str], code: int, text: str
) -> None:
    before = set(os.listdir("/proc/self/fd"))
    wire, root = Wire(), how.pop("root", "/")
    request = Request(argv, uid=os.getuid(), gid=os.getgid(), **how)
    with pytest.raises(SpawnError, match=text) as caught:
        Command(wire.selector, request, root, ENVIRONMENT, wire.from_front)
    assert caught.value.code == code
    assert set(os.listdir("/proc/self/fd")) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
def test_another_user(run: Callable[..., Runner]) -> None:
    one = run("sh", "-c", "id -u; id -g; id -G", uid=1234, gid=5678)
    assert one.end() == Outcome()
    assert one.got[STDOUT] == b"1234\n5678\n5678\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may chroot")
def test_another_root(tmp_path: Path) -> None:
    (tmp_path / "only-here").write_text("")
    wire = Wire()
    script = "import os; os._exit(len(os.listdir('/')))"
    with pytest.raises(SpawnError, match="No such file"):  # no interpreter there: it is the root
        Command(wire.selector, Request((sys.executable, "-c", script)), str(tmp_path), {}, print)


def test_a_terminal(run: Callable[..., Runner]) -> None:
    one = run("sh", "-c", "tty >/dev/null && stty size; echo err >&2", terminal=(40, 132))
    assert one.end() == Outcome()
    assert one.got[STDOUT] == b"40 132\r\nerr\r\n"
    assert not one.got[STDERR]


def test_a_terminal_has_keys_and_sizes(run: Callable[..., Runner]) -> None:
    one = run(sys.executable, "-u", "-c", TALKER, terminal=(24, 80))
    one.wait_output(b"ready")
    one.say(said.RESIZE, said.SIZE.pack(50, 100))
    one.wait_output(b"changed to 100, 50")
    one.say(said.DATA, b"word\r")
    one.wait_output(b"got word")
    one.say(said.DATA, b"\x03")
    one.wait_output(b"interrupted")
    one.say(said.DATA, b"\x04")
    assert one.end() == Outcome()


def test_a_terminal_hangs_up_when_its_command_ends(run: Callable[..., Runner]) -> None:
    """Who ignores that goes on, and holds the terminal open."""
    script = "trap '' HUP; sleep 1000 & echo $!; head -c 100000 /dev/zero; exit 2"
    one = run("sh", "-c", script, terminal=(24, 80))
    assert one.end() == Outcome(code=2)
    number, _, rest = bytes(one.got[STDOUT]).partition(b"\r\n")
    assert rest == bytes(100_000)
    assert is_running(int(number))
    os.kill(int(number), signal.SIGKILL)


@pytest.mark.parametrize(
    "message",
    [
        Message(said.DATA, STDOUT, b"x"),
        Message(said.CREDIT, STDOUT, said.NUMBER.pack(1)),
        Message(said.CREDIT, 9, said.NUMBER.pack(1)),
        Message(said.SIGNAL, 0, said.NUMBER.pack(65)),
        Message(said.SIGNAL, 0, said.NUMBER.pack(0)),
        Message(99, 0, b""),
    ],
)
def test_messages_that_make_no_sense(run: Callable[..., Runner], message: Message) -> None:
    one = run("sleep", "1000")
    with pytest.raises(ChannelError):
        one.command.received(message)


def is_running(pid: int) -> bool:
    """A zombie that somebody else must bury does not run."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
