# SPDX-License-Identifier: Apache-2.0
"""The life of a session: handshake, ends of every kind, and what is left afterwards: nothing."""

from __future__ import annotations

import contextlib
import mmap
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from daemon import Daemon
from front_end import FrontEnd, Refusal, connect, hello
from hypothesis import given
from hypothesis import strategies as st

from gpu_proxy import snapshot, worker_messages
from idm import handshake, shared_memory


def ended(daemon: Daemon, session: FrontEnd) -> dict[str, Any]:
    return daemon.wait_for("session-ended", session=session.number)


def worker_of(daemon: Daemon, session: FrontEnd) -> int:
    return int(daemon.wait_for("session-started", session=session.number)["worker"])


def test_welcome_brings_everything(shared_daemon: Daemon) -> None:
    session = FrontEnd(shared_daemon.socket())
    assert session.welcome[:4] == (
        handshake.MSG_WELCOME, handshake.MAGIC, handshake.VERSION, handshake.DOORBELLS,
    )  # fmt: skip
    assert handshake.text_of(session.welcome[7]) == "default"
    assert len(session.fds) == 3 + handshake.DOORBELLS
    assert session.region[: handshake.HEADER.size] == handshake.header(0)
    assert session.ask("usage") == [0, 1 << 30]
    session.close()
    line = ended(shared_daemon, session)
    assert line["reason"] == "closed"
    assert line["program"] == "test"


def test_snapshot_is_readable_and_sealed(shared_daemon: Daemon) -> None:
    session = FrontEnd(shared_daemon.socket())
    size = session.welcome[6]
    with mmap.mmap(session.snapshot_fd, size, prot=mmap.PROT_READ) as data:
        seen = snapshot.unpack(data[:])
    assert seen.devices[0].name == "Fake GPU"
    assert seen.devices[0].attributes[83] == 0
    with pytest.raises(PermissionError):
        os.pwrite(session.snapshot_fd, b"x", 0)
    with pytest.raises(PermissionError):
        os.ftruncate(session.region_fd, 0)
    session.close()


def test_quota_is_what_the_zone_sees(shared_daemon: Daemon) -> None:
    session = FrontEnd(shared_daemon.socket("other"))
    with mmap.mmap(session.snapshot_fd, session.welcome[6], prot=mmap.PROT_READ) as data:
        assert snapshot.unpack(data[:]).devices[0].memory_bytes == 1 << 20
    assert session.ask("charge", kind="device", amount=1 << 20) is True
    assert session.ask("charge", kind="device", amount=1) is False
    assert session.ask("usage") == [1 << 20, 1 << 20]
    second = FrontEnd(shared_daemon.socket("other"))
    assert second.ask("charge", kind="device", amount=1) is False
    session.close()
    ended(shared_daemon, session)
    deadline = time.monotonic() + 5
    while not second.ask("charge", kind="device", amount=1 << 20):
        assert time.monotonic() < deadline
    second.close()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"magic": 1}, handshake.REFUSED_MALFORMED),
        ({"type": 4}, handshake.REFUSED_MALFORMED),
        ({"lowest": 2, "highest": 9}, handshake.REFUSED_VERSION),
        ({"base": 4097, "size": 4096}, handshake.REFUSED_MALFORMED),
        ({"base": 1 << 47, "size": 4096}, handshake.REFUSED_MALFORMED),
        ({"base": 0x7000_0000_0000, "size": 4096}, handshake.REFUSED_WINDOW),
    ],
)
def test_refusals(shared_daemon: Daemon, changes: dict[str, int], reason: int) -> None:
    with pytest.raises(Refusal) as refusal:
        FrontEnd(shared_daemon.socket(), **changes)
    assert refusal.value.reason == reason


def test_short_hello_is_refused(shared_daemon: Daemon) -> None:
    with connect(shared_daemon.socket()) as connection:
        connection.send(hello()[:-1])
        assert handshake.REFUSED.unpack(connection.recv(4096))[1] == handshake.REFUSED_MALFORMED


def test_any_later_message_ends_the_session(shared_daemon: Daemon) -> None:
    session = FrontEnd(shared_daemon.socket())
    session.socket.send(b"hello again")
    session.wait_for_end()
    assert ended(shared_daemon, session)["reason"].startswith("malformed")
    session.close()


@pytest.mark.parametrize(("how", "status"), [("exception", "exit 70"), ("kill", "SIGKILL")])
def test_dead_worker_wakes_the_application(shared_daemon: Daemon, how: str, status: str) -> None:
    session = FrontEnd(shared_daemon.socket())
    with pytest.raises(ConnectionError):
        session.ask("crash", how=how)
    line = ended(shared_daemon, session)
    assert line["reason"] == "worker-exited"
    assert line["worker_status"] == status
    session.close()


def test_worker_can_end_its_session(shared_daemon: Daemon) -> None:
    session = FrontEnd(shared_daemon.socket())
    with pytest.raises(ConnectionError):
        session.ask("end", reason="malformed record at 17")
    assert ended(shared_daemon, session)["reason"] == "worker: malformed record at 17"
    session.close()


def test_killed_application_with_a_living_child(shared_daemon: Daemon) -> None:
    """The child keeps the socket open, so only the pidfd tells."""
    reader, writer = os.pipe()
    application = os.fork()
    if application == 0:
        session = FrontEnd(shared_daemon.socket())
        if os.fork() == 0:
            os.close(writer)
            time.sleep(3600)
        os.write(writer, str(session.number).encode())
        os.close(writer)
        signal.pause()
    os.close(writer)
    number = int(os.read(reader, 20))
    child = int(Path(f"/proc/{application}/task/{application}/children").read_text())
    os.kill(application, signal.SIGKILL)
    os.waitpid(application, 0)
    line = shared_daemon.wait_for("session-ended", session=number)
    assert line["reason"] == "application-exited"
    os.kill(child, signal.SIGKILL)


def test_counters_are_reported(shared_daemon: Daemon) -> None:
    session = FrontEnd(shared_daemon.socket())
    session.ask("count", values=[10, 6, 4, 1000, 2000, 3, 1])
    session.close()
    line = ended(shared_daemon, session)
    names = ("calls", "posted", "forwarded", "bytes_in", "bytes_out", "launches", "errors")
    assert [line[name] for name in names] == [10, 6, 4, 1000, 2000, 3, 1]


def test_worker_is_gone_after_the_end(shared_daemon: Daemon) -> None:
    session = FrontEnd(shared_daemon.socket())
    worker = worker_of(shared_daemon, session)
    assert os.path.exists(f"/proc/{worker}")
    session.close()
    ended(shared_daemon, session)
    assert not os.path.exists(f"/proc/{worker}")


def test_pinned_memory_is_shared_and_freed(shared_daemon: Daemon) -> None:
    session = FrontEnd(shared_daemon.socket())
    assert session.ask("memory", size=8192, token=(1 << 63) + 5, text="hello") is True
    token, size, fd = session.memory()
    assert (token, size) == ((1 << 63) + 5, 8192)
    with mmap.mmap(fd, size) as data:
        assert data[:5] == b"hello"
        session.ask("memory_freed", size=8192, token=token)
        deadline = time.monotonic() + 5
        while data[:5] != bytes(5):  # The pages are gone although they are mapped here.
            assert time.monotonic() < deadline
            time.sleep(0.01)
    os.close(fd)
    session.close()


def test_pinned_memory_is_charged_to_the_zone(start: Callable[..., Daemon]) -> None:
    region = shared_memory.SessionMemory.host_bytes()
    daemon = start(f"--zone=a:host_memory={region + 8192}")
    session = FrontEnd(daemon.socket("a"))
    assert session.ask("memory", size=8192, token=1) is True
    _, _, fd = session.memory()
    assert session.ask("memory", size=1, token=2) is False
    assert session.ask("memory", size=1 << 49, token=3) is False
    with pytest.raises(Refusal, match="zone a is full: host"):
        FrontEnd(daemon.socket("a"))
    session.ask("memory_freed", size=8192, token=1)
    assert session.ask("memory", size=4096, token=1, text="again") is True
    os.close(fd)
    _, _, fd = session.memory()
    with mmap.mmap(fd, 4096) as data:
        session.close()
        deadline = time.monotonic() + 5
        while data[:5] != bytes(5):  # Freed with the session, although it is mapped here.
            assert time.monotonic() < deadline
            time.sleep(0.01)
    os.close(fd)


def test_region_is_freed_although_the_zone_keeps_it(shared_daemon: Daemon) -> None:
    session = FrontEnd(shared_daemon.socket())
    session.socket.close()
    ended(shared_daemon, session)
    deadline = time.monotonic() + 5
    while session.region[:4] != bytes(4):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    session.close()


@pytest.mark.parametrize(
    "said",
    [
        "no json",
        '{"op":"release","kind":"device","amount":1}',
        '{"op":"charge","id":1,"kind":"device","amount":-1}',
        '{"op":"charge","id":1,"kind":"gold","amount":1}',
        '{"op":"ready"}',
        '{"op":"memory-freed","token":1,"bytes":1}',
        '{"op":"ready","extra":1}',
        '{"op":"end","reason":"' + "x" * 5000 + '"}',
        "[" * 4000,
    ],
)
def test_hostile_worker_ends_its_session_only(shared_daemon: Daemon, said: str) -> None:
    bystander = FrontEnd(shared_daemon.socket())
    session = FrontEnd(shared_daemon.socket())
    session.post("say", text=said)
    session.wait_for_end()
    assert ended(shared_daemon, session)["reason"].startswith("worker-protocol")
    assert bystander.ask("usage")[0] == 0
    session.close()
    bystander.close()


def test_many_threads_of_a_worker_share_its_channel(shared_daemon: Daemon) -> None:
    session = FrontEnd(shared_daemon.socket())
    assert session.ask("charge_many", threads=8, times=50) == 400
    assert session.ask("usage")[0] == 400
    session.close()


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_decoding_fails_in_known_ways_only(payload: bytes) -> None:
    with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError):
        assert isinstance(worker_messages.decode_from_worker(payload), worker_messages.Message)


def test_a_flooding_worker_is_slowed_and_others_go_on(shared_daemon: Daemon) -> None:
    flood, bystander = FrontEnd(shared_daemon.socket()), FrontEnd(shared_daemon.socket())
    flood.post("flood")
    started = time.monotonic()
    for _ in range(100):
        assert bystander.ask("usage")
    assert time.monotonic() - started < 10
    flood.close()
    bystander.close()


def test_worker_logs_are_bounded_and_harmless(shared_daemon: Daemon) -> None:
    session = FrontEnd(shared_daemon.socket())
    session.ask("log", event="noise", times=100)
    assert session.ask("usage")
    session.close()
    line = ended(shared_daemon, session)
    assert line["logs_dropped"] >= 60
    logged = shared_daemon.wait_for("worker-log", session=session.number)
    assert logged["fields"] == {"detail": "?[31mred"}
