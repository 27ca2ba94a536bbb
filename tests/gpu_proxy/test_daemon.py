# SPDX-License-Identifier: Apache-2.0
"""The daemon as a whole: sockets, stop, restart, what a kill leaves behind."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from daemon import Daemon
from front_end import FrontEnd, Refusal, connect

from gpu_proxy.counters import segment_name

others_may_enter = pytest.mark.skipif(
    not Path(sys.base_prefix).is_relative_to("/usr"),
    reason="this Python may lie where other users cannot enter; use Debian's",
)

Start = Callable[..., Daemon]
SECONDS = 30.0
NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


def worker_of(daemon: Daemon, session: FrontEnd) -> int:
    return int(daemon.wait_for("session-started", session=session.number)["worker"])


def segment(daemon: Daemon) -> Path:
    return Path("/dev/shm") / segment_name(daemon.runtime_dir).removeprefix("/")


def test_orderly_stop_leaves_nothing(start: Start) -> None:
    daemon = start("--zone=a", "--zone=b")
    session = FrontEnd(daemon.socket("a"))
    worker = worker_of(daemon, session)
    assert stat.S_IMODE(segment(daemon).stat().st_mode) == 0o640
    assert daemon.stop() == 0
    session.wait_for_end()
    session.close()
    assert daemon.wait_for("session-ended")["reason"] == "stopped"
    assert gone(worker)
    assert not segment(daemon).exists()
    assert not daemon.socket("a").exists()
    assert not daemon.socket("b").exists()


def test_second_daemon_is_refused(start: Start) -> None:
    first = start()
    second = Daemon(first.runtime_dir)
    assert second.process.wait(SECONDS) == 1
    text = f"is in use by gpu-proxy with pid {first.process.pid}"
    assert any(text in str(line.get("text")) for line in second.lines())
    with connect(first.socket()):
        pass


def test_killed_daemon_takes_its_workers_along_and_a_new_one_serves(start: Start) -> None:
    daemon = start()
    session = FrontEnd(daemon.socket())
    worker = worker_of(daemon, session)
    daemon.process.kill()
    daemon.process.wait()
    session.wait_for_end()
    session.close()
    until(lambda: gone(worker))
    assert segment(daemon).exists()
    assert daemon.socket().exists()
    daemon.log_path.write_text("")
    again = start()
    session = FrontEnd(again.socket())
    assert session.ask("usage")[0] == 0
    session.close()


def test_dead_zygote_is_replaced(start: Start) -> None:
    daemon = start()
    session = FrontEnd(daemon.socket())
    worker = worker_of(daemon, session)
    zygote = int(daemon.wait_for("zygote-ready")["pid"])
    os.kill(zygote, signal.SIGKILL)
    session.wait_for_end()
    session.close()
    until(lambda: gone(worker))
    until(lambda: len([x for x in daemon.lines() if x["event"] == "zygote-ready"]) == 2)
    session = FrontEnd(daemon.socket())
    assert session.ask("usage")
    session.close()


def test_a_signal_to_the_whole_group_is_an_orderly_stop(start: Start) -> None:
    daemon = start()
    session = FrontEnd(daemon.socket())
    others = [int(daemon.wait_for("zygote-ready")["pid"]), worker_of(daemon, session)]
    for pid in others:
        os.kill(pid, signal.SIGTERM)
    assert session.ask("usage")
    assert daemon.stop() == 0
    session.close()
    assert daemon.wait_for("session-ended")["reason"] == "stopped"
    assert not any(line["event"] == "zygote-died" for line in daemon.lines())


def test_modes_and_owner(start: Start) -> None:
    zone = "--zone=a:owner=4711,group=4712" if os.geteuid() == 0 else "--zone=a"
    daemon = start(zone)
    directory, path = daemon.socket("a").parent.stat(), daemon.socket("a").stat()
    assert stat.S_IMODE(directory.st_mode) == 0o750
    assert stat.S_IMODE(path.st_mode) == 0o660
    if os.geteuid() == 0:
        assert (directory.st_uid, directory.st_gid, path.st_uid, path.st_gid) == (
            4711, 4712, 4711, 4712,
        )  # fmt: skip


def connects_as(uid: int, path: Path) -> bool:
    """Try in a child, which gives up every right of root."""
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            connect(path)
        except PermissionError:
            os._exit(1)
        except BaseException:  # noqa: BLE001 - any other end of the child is a failure too
            os._exit(2)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) in (0, 1)
    return status == 0


@as_root
def test_users_of_one_zone_cannot_open_another(start: Start) -> None:
    daemon = start("--zone=a:owner=4711", "--zone=b:owner=4712")
    assert connects_as(4711, daemon.socket("a"))
    assert not connects_as(4711, daemon.socket("b"))
    assert connects_as(4712, daemon.socket("b"))


@as_root
def test_a_tenant_cannot_divert_its_socket(start: Start, tmp_path: Path) -> None:
    """The zone's owner writes the directory; a link there must not make root change its target."""
    victim = tmp_path / "victim"
    victim.write_text("x")
    victim.chmod(0o600)
    daemon = start("--zone=a:owner=4711")
    assert daemon.stop() == 0
    daemon.socket("a").symlink_to(victim)
    daemon.log_path.write_text("")
    again = start("--zone=a:owner=4711")
    assert (victim.stat().st_uid, stat.S_IMODE(victim.stat().st_mode)) == (os.geteuid(), 0o600)
    assert stat.S_ISSOCK(again.socket("a").lstat().st_mode)


@as_root
@others_may_enter
def test_without_root_it_works_too(runtime_dir: Path) -> None:
    runtime_dir.parent.chmod(0o777)
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        os.environ["HOME"] = "/nonexistent"
        status = 1
        try:
            daemon = Daemon(runtime_dir).wait_ready()
            session = FrontEnd(daemon.socket())
            assert session.ask("attempt", name="socket") == "EPERM"
            assert session.ask("attempt", name="open-passwd") == "EACCES"
            session.close()
            daemon.wait_for("workers-share-uid")
            status = daemon.stop()
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    assert status == 0


def can_unshare() -> bool:
    done = subprocess.run(["unshare", "-Ur", "true"], capture_output=True, check=False)
    return done.returncode == 0


@pytest.mark.skipif(not can_unshare(), reason="no user namespaces (unshare -Ur) on this machine")
def test_as_root_of_a_rootless_container(runtime_dir: Path) -> None:
    daemon = Daemon(runtime_dir, wrapper=("unshare", "-Ur")).wait_ready()
    line = daemon.wait_for("workers-share-uid")
    assert "this user namespace has no number" in line["reason"]
    session = FrontEnd(daemon.socket())
    assert session.ask("attempt", name="socket") == "EPERM"
    assert session.ask("attempt", name="open-passwd") == "EACCES"
    session.close()
    assert daemon.stop() == 0


@as_root
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="no setpriv (util-linux) here")
def test_as_root_without_capabilities(runtime_dir: Path) -> None:
    drop = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")
    daemon = Daemon(runtime_dir, wrapper=drop).wait_ready()
    assert "the daemon lacks CAP_CHOWN" in daemon.wait_for("workers-share-uid")["reason"]
    session = FrontEnd(daemon.socket())
    assert session.ask("attempt", name="socket") == "EPERM"
    session.close()
    assert daemon.stop() == 0


@others_may_enter
def test_own_uids_can_be_demanded(runtime_dir: Path, tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text("[workers]\nown_uid = 'always'\n")
    daemon = Daemon(runtime_dir, f"--config={config}")
    if os.geteuid() == 0:
        daemon.wait_ready()
        daemon.stop()
    else:
        assert daemon.process.wait(SECONDS) == 1
        assert "cannot have their own uid" in daemon.log_path.read_text()


def test_too_long_a_path_is_named(runtime_dir: Path) -> None:
    daemon = Daemon(runtime_dir.parent / ("x" * 90))
    assert daemon.process.wait(SECONDS) == 1
    assert "longer than the 107 bytes of a socket's path" in daemon.log_path.read_text()


def test_sessions_are_limited(start: Start) -> None:
    daemon = start("--zone=a:sessions=2")
    sessions = [FrontEnd(daemon.socket("a")) for _ in range(2)]
    with pytest.raises(Refusal, match="zone a is full") as refusal:
        FrontEnd(daemon.socket("a"))
    assert refusal.value.reason == 3
    sessions[0].close()
    daemon.wait_for("session-ended", session=sessions[0].number)
    until(lambda: is_accepted(daemon.socket("a")))
    sessions[1].close()


def is_accepted(path: Path) -> bool:
    try:
        FrontEnd(path).close()
    except Refusal:
        return False
    return True


def test_silent_connections_cost_little_and_time_out(start: Start, tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text("[workers]\nhello_seconds = 0.3\n[zone.a]\npending = 4\n[zone.b]\n")
    daemon = start(f"--config={config}")
    silent = [connect(daemon.socket("a")) for _ in range(8)]
    session = FrontEnd(daemon.socket("b"))  # Another zone is not held up.
    session.close()
    for connection in silent:
        assert b"no hello in" in connection.recv(4096)
        connection.close()
    FrontEnd(daemon.socket("a")).close()


def test_a_front_end_that_does_not_read_loses_its_session(start: Start) -> None:
    daemon = start()
    session = FrontEnd(daemon.socket())
    session.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)

    def ask_and_never_read() -> None:
        for token in range(2000):
            assert session.ask("memory", size=4096, token=token)

    with pytest.raises(ConnectionError):
        ask_and_never_read()
    session.close()
    line = daemon.wait_for("session-ended", session=session.number)
    assert line["reason"] in ("front-not-reading", "closed")


def test_configuration_errors_are_one_line(runtime_dir: Path) -> None:
    daemon = Daemon(runtime_dir, "--zone=Not_A_Zone!")
    assert daemon.process.wait(SECONDS) == 1
    assert len(daemon.log_path.read_text().splitlines()) == 1


def test_real_mode_without_a_driver_says_so(runtime_dir: Path) -> None:
    if Path("/proc/driver/nvidia/version").exists():
        pytest.skip("this machine has an NVIDIA driver")
    command = [sys.executable, "-m", "gpu_proxy.cli.gpu_proxy", f"--runtime-dir={runtime_dir}"]
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": root}
    )
    assert done.returncode == 1
    assert "gpu-proxy: no NVIDIA driver on this machine" in done.stderr
