# SPDX-License-Identifier: Apache-2.0
"""Commands from the toolstack to the zone's agent and back, over grants in memory."""

from __future__ import annotations

import contextlib
import os
import signal
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from fake_xen import BACK, FRONT, STEP_SECONDS, FakeXen, Granted, wait_until
from zone import Zone

import idm.xen.front_channel
from gpu_proxy.domain import instances
from gpu_proxy.domain.execution import Execution
from gpu_proxy.errors import AgentSilent, DomainError, DomainGone, ExecutionCancelled
from idm.xen import exec_messages as said
from idm.xen import nodes, stream
from idm.xen.exec_messages import Outcome, Request

FRONTS = f"/local/domain/{FRONT}/device/{nodes.EXEC}"


def test_output_error_and_exit_code(zone: Zone) -> None:
    one = zone.run("sh", "-c", "echo out; echo err >&2; exit 7")
    assert one.end() == Outcome(code=7)
    assert (bytes(one.output), bytes(one.errors)) == (b"out\n", b"err\n")


def test_nothing_is_left(zone: Zone, xen: FakeXen) -> None:
    before, descriptors = xen.paths(), set(os.listdir("/proc/self/fd"))
    watched = len(zone.agent._selector.get_map())
    assert zone.run("true").end() == Outcome()
    zone.until(lambda: zone.idle)
    assert xen.paths() == before
    assert not xen.hypervisor.grants
    assert not xen.hypervisor.ports
    assert len(zone.agent._selector.get_map()) == watched
    left = {f for f in os.listdir("/proc/self/fd") if f not in descriptors}
    sockets = {
        os.readlink(f"/proc/self/fd/{f}") for f in left if os.path.exists(f"/proc/self/fd/{f}")
    }
    assert all(name.startswith("socket:") for name in sockets), sockets  # the test's own stores


def test_much_goes_through_both_ways(zone: Zone) -> None:
    one = zone.run("cat")
    data = b"".join(struct.pack("<I", number) for number in range(300_000))
    sent = 0
    while len(one.output) < len(data):
        if sent < len(data):
            with contextlib.suppress(BlockingIOError):
                sent += os.write(one.feed, data[sent : sent + 65536])
        zone.step()
        one.step()
    assert one.output == data
    os.close(one.feed)
    one.feed = os.open("/dev/null", os.O_RDONLY)
    assert one.end() == Outcome()


def test_several_at_once(zone: Zone) -> None:
    runs = [zone.run("sh", "-c", f"read x; echo {n} $x; exit {n}") for n in range(5)]
    for one in runs:
        os.write(one.feed, b"go\n")
    for n, one in reversed(list(enumerate(runs))):
        assert one.end() == Outcome(code=n)
        assert one.output == f"{n} go\n".encode()


def test_what_cannot_be_started(zone: Zone) -> None:
    outcome = zone.run("nonexistent-program").end()
    assert outcome == Outcome(127, failure="nonexistent-program: No such file or directory")


def test_signals(zone: Zone) -> None:
    one = zone.run(
        "sh", "-c", "trap 'echo caught; exit 3' INT; echo ready; while :; do sleep 0.05; done"
    )
    one.until_output(b"ready")
    one.execution.signal(signal.SIGINT)
    assert one.end() == Outcome(code=3)
    assert b"caught" in one.output


def test_a_signal_before_the_start_cancels(zone: Zone) -> None:
    one = zone.run("sleep", "1000")
    one.execution.signal(signal.SIGTERM)
    with pytest.raises(ExecutionCancelled) as caught:
        one.step()
    assert caught.value.number == signal.SIGTERM


def test_a_terminal(zone: Zone) -> None:
    one = zone.run("sh", "-c", "stty size; read x; stty size", terminal=(24, 80))
    one.execution.resize(50, 100)
    one.until_output(b"\r\n")
    os.write(one.feed, b"\r")
    assert one.end() == Outcome()
    assert one.output.endswith(b"50 100\r\n")


def test_the_command_ends_with_its_execution(zone: Zone) -> None:
    one = zone.run("sh", "-c", "echo $$; exec sleep 1000")
    one.until_output(b"\n")
    one.close()
    zone.until(lambda: zone.idle)
    assert not Path(f"/proc/{int(one.output)}").exists()


def test_the_command_ends_when_its_execution_is_killed(zone: Zone, xen: FakeXen) -> None:
    """No node changes then: the kernel unmaps the channel, and says so."""
    one = zone.run("sh", "-c", "echo $$; exec sleep 1000")
    one.until_output(b"\n")
    one.execution._channel._let_go()
    zone.until(lambda: not Path(f"/proc/{int(one.output)}").exists())
    assert xen.store(BACK).children(FRONTS)


def test_the_agent_dies(zone: Zone) -> None:
    one = zone.run("sleep", "1000")
    one.until(lambda: one.execution._command.started)
    (instance,) = zone.agent._exec._instances.values()
    instance._channel.end("killed")
    with pytest.raises(AgentSilent, match="domain domain-7: its agent is gone"):
        one.end()


def test_the_domain_dies(zone: Zone, xen: FakeXen) -> None:
    one = zone.run("sleep", "1000")
    one.until(lambda: one.execution._command.started)
    xen.store(BACK).remove(f"/local/domain/{FRONT}")
    with pytest.raises(DomainGone, match="domain domain-7 is gone"):
        one.end()
    one.close()
    assert not {path for path in xen.paths() if f"/{FRONT}" in path or nodes.EXEC in path}


def test_no_agent(xen: FakeXen) -> None:
    store = xen.store(BACK)
    before = xen.paths()
    with pytest.raises(AgentSilent, match="no agent in domain domain-7 has started the command"):
        Execution(store, FRONT, BACK, Request(("true",))).run(start_seconds=0.05)
    assert xen.paths() == before


def test_references_that_are_none(
    zone: Zone, xen: FakeXen, monkeypatch: pytest.MonkeyPatch
) -> None:
    def granted(_: int, pages: int) -> Granted:
        one = Granted(xen.hypervisor, FRONT, pages)
        one.refs[3] += 1_000_000
        xen.hypervisor.grants[one.refs[3]] = one
        monkeypatch.setattr(one, "refs", list(one.refs))
        xen.hypervisor.grants.update(dict.fromkeys(one.refs, Granted(xen.hypervisor, FRONT, 1)))
        return one

    monkeypatch.setattr(idm.xen.front_channel, "GrantedPages", granted)
    one = zone.run("true")
    with pytest.raises(AgentSilent, match="no channel: .*a reference is none"):
        one.end()


@pytest.mark.parametrize(
    "message",
    [
        (said.EXITED, 0, b"short"),
        (said.DATA, 1, b"before the start"),
        (said.STARTED, 0, b"", (said.STARTED, 0, b"")),
        (said.CREDIT, 0, b"\x01\x00\x00\x00"),
        (said.SIGNAL, 0, b""),
        (99, 7, b""),
    ],
)
def test_an_agent_that_misbehaves(
    zone: Zone, message: tuple, monkeypatch: pytest.MonkeyPatch
) -> None:
    messages = [message[:3], *message[3:]]

    def lie(self: object, _: object) -> None:
        for kind, number, payload in messages:
            self._send(kind, number, payload)

    monkeypatch.setattr("idm.xen.agent.exec.Instance._received", lie)
    one = zone.run("true")
    with pytest.raises(DomainError, match="domain domain-7: its agent misbehaves"):
        one.end()


def test_an_agent_that_sends_more_than_there_is_room_for(
    zone: Zone, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flood(self: object, _: object) -> None:
        self._send(said.STARTED, 0, b"")
        for _ in range(said.WINDOW // 65536 + 1):
            self._send(said.DATA, 1, b"x" * 65536)

    monkeypatch.setattr("idm.xen.agent.exec.Instance._received", flood)
    one = zone.run("true")
    only = one.execution  # its step alone: nobody reads the pipe
    with pytest.raises(DomainError, match="room for"):
        wait_until(lambda: only.finished, zone.step, lambda: only.step(STEP_SECONDS))


def test_a_ring_that_is_garbage(zone: Zone) -> None:
    one = zone.run("sleep", "1000")
    one.until(lambda: one.execution._command.started)
    (instance,) = zone.agent._exec._instances.values()
    words = instance._channel._stream._rings._words
    words[stream.FRONT_AT // 4] = 0x7FFFFFFF
    with pytest.raises(DomainError, match="misbehaves"):
        one.end()


def test_as_many_commands_as_there_may_be(zone: Zone, xen: FakeXen) -> None:
    store = xen.store(BACK)
    for _ in range(nodes.EXECS_MAX):
        instances.announce_instance(store, FRONT, BACK)
    with pytest.raises(DomainError, match="64 commands already"):
        zone.run("true")
    instances.withdraw_all(store, FRONT, BACK)
    assert not store.children(FRONTS)


def test_nodes_of_a_killed_process_go(xen: FakeXen) -> None:
    store = xen.store(BACK)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    alive = instances.announce_instance(store, FRONT, BACK)
    dead = instances.announce_instance(store, FRONT, BACK)
    other = instances.announce_instance(store, FRONT, BACK)
    back = nodes.back_path(BACK, nodes.EXEC, FRONT, dead)
    store.write(f"{back}/{instances.OWNER}", instances.identity(ended.pid))
    reused = nodes.back_path(BACK, nodes.EXEC, FRONT, other)
    store.write(f"{reused}/{instances.OWNER}", f"{os.getpid()} 1")
    ended.wait()
    instances.withdraw_dead(store, BACK)
    assert store.children(FRONTS) == [str(alive)]


def test_a_command_that_is_too_long(xen: FakeXen) -> None:
    store = xen.store(BACK)
    with pytest.raises(DomainError, match="too long"):
        Execution(store, FRONT, BACK, Request(("x" * stream.PAYLOAD_MAX,)))
    assert not store.children(FRONTS)
