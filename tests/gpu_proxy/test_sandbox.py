# SPDX-License-Identifier: Apache-2.0
"""What a worker that its tenant owns can do: nothing that reaches beyond its session."""

from __future__ import annotations

import errno
import os
import re
import sys
from pathlib import Path

import pytest
from daemon import Daemon
from front_end import FrontEnd

from gpu_proxy import bpf, seccomp
from gpu_proxy.syscalls import NUMBERS

others_may_enter = pytest.mark.skipif(
    not Path(sys.base_prefix).is_relative_to("/usr"),
    reason="this Python may lie where other users cannot enter; use Debian's",
)

HEADER = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a zone its own uid")


@pytest.mark.parametrize(
    "attempt",
    [
        "socket", "kill-parent", "kill-everyone", "open-write", "fork", "unlink",
        "prctl-dumpable", "tiocsti", "map-grant", "grant-notify", "bind-port", "allocate-port",
        "unrestrict",
    ],
)  # fmt: skip
def test_refused_and_the_session_goes_on(shared_daemon: Daemon, attempt: str) -> None:
    session = FrontEnd(shared_daemon.socket())
    assert session.ask("attempt", name=attempt) == "EPERM"
    assert session.ask("usage")
    session.close()


@pytest.mark.parametrize("attempt", ["open-passwd", "open-parent"])
def test_files_outside_are_closed(shared_daemon: Daemon, attempt: str) -> None:
    session = FrontEnd(shared_daemon.socket())
    assert session.ask("attempt", name=attempt) == "EACCES"
    session.close()


def test_calls_that_are_newer_than_the_table_do_not_exist(shared_daemon: Daemon) -> None:
    session = FrontEnd(shared_daemon.socket())
    assert session.ask("attempt", name="future-call") == "ENOSYS"
    session.close()


@pytest.mark.parametrize("attempt", ["thread", "executable-memory"])
def test_what_the_software_gpu_needs_works(shared_daemon: Daemon, attempt: str) -> None:
    session = FrontEnd(shared_daemon.socket())
    assert session.ask("attempt", name=attempt) == "done"
    session.close()


@pytest.mark.parametrize(
    "attempt",
    ["execve", "ptrace", "unshare", "setuid", "mount", "read-parent-memory", "unlisted-call"],
)
def test_deadly(shared_daemon: Daemon, attempt: str) -> None:
    session = FrontEnd(shared_daemon.socket())
    with pytest.raises(ConnectionError):
        session.ask("attempt", name=attempt)
    line = shared_daemon.wait_for("session-ended", session=session.number)
    assert line["worker_status"] == "SIGSYS"
    session.close()


def test_nothing_is_inherited(shared_daemon: Daemon) -> None:
    session = FrontEnd(shared_daemon.socket())
    seen = session.ask("whoami")
    setup = seen["setup"]
    given = {
        setup["region_fd"], setup["counters_fd"], setup["request_doorbell"][0],
        *(bell[0] for bell in setup["slot_doorbells"]), setup["supervisor_fd"], setup["compiler_fd"],
    }  # fmt: skip
    # The only others: the channel's spare copy, two mappings of this worker, the listing.
    assert len(set(seen["fds"]) - given - {0, 1, 2}) <= 4
    assert seen["limits_cores"] == [0, 0]
    assert "HOME" not in seen["environment"]
    session.close()


def test_status_of_the_process(shared_daemon: Daemon) -> None:
    session = FrontEnd(shared_daemon.socket())
    started = shared_daemon.wait_for("session-started", session=session.number)
    status = Path(f"/proc/{started['worker']}/status").read_text()
    fields = dict(re.findall(r"^(\w+):\s*(.*)$", status, re.M))
    assert fields["NoNewPrivs"] == "1"
    assert fields["Seccomp"] == "2"
    for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert int(fields[name], 16) == 0
    session.close()


@as_root
@others_may_enter
def test_each_zone_has_its_own_uid(shared_daemon: Daemon) -> None:
    sessions = [FrontEnd(shared_daemon.socket(zone)) for zone in ("default", "other")]
    seen = [session.ask("whoami") for session in sessions]
    uids = [who["uid"][0] for who in seen]
    assert uids[0] != uids[1]
    assert all(who["uid"] == [uid] * 3 and uid >= 1000 for who, uid in zip(seen, uids, strict=True))
    assert all(who["groups"] == [] for who in seen)
    for session in sessions:
        session.close()


@as_root
def test_namespaces_differ(shared_daemon: Daemon) -> None:
    session = FrontEnd(shared_daemon.socket())
    worker = shared_daemon.wait_for("session-started", session=session.number)["worker"]
    for kind in ("net", "ipc", "uts"):
        assert os.readlink(f"/proc/{worker}/ns/{kind}") != os.readlink(f"/proc/self/ns/{kind}")
    session.close()


def test_numbers_are_the_kernels() -> None:
    if not HEADER.exists():
        pytest.skip("no kernel headers (linux-libc-dev) on this machine")
    known = dict(re.findall(r"#define __NR_(\w+) (\d+)", HEADER.read_text()))
    assert {name: int(known[name]) for name in NUMBERS if name in known} == {
        name: number for name, number in NUMBERS.items() if name in known
    }


def test_every_profile_names_known_calls_once() -> None:
    for profile in seccomp.PROFILES:
        assert set(seccomp.rules(profile, 1)) <= set(NUMBERS)
        assert len(seccomp.build(profile, 1)) // 8 < bpf.INSTRUCTIONS_MAX
    assert not set(seccomp.COMMON) & (set(seccomp.DENIED) | set(seccomp.DEADLY))
    assert not set(seccomp.DENIED) & set(seccomp.DEADLY)


def interpret(program: bytes, number: int, arguments: tuple[int, ...] = ()) -> int:
    """Run a filter as the kernel would."""
    words = {bpf.AT_NUMBER: number, bpf.AT_ARCH: bpf.ARCH_X86_64}
    words |= {bpf.AT_ARGUMENTS + 8 * i: a & 0xFFFFFFFF for i, a in enumerate(arguments)}
    at = accumulator = 0
    while True:
        code = int.from_bytes(program[8 * at : 8 * at + 2], "little")
        true, false = program[8 * at + 2], program[8 * at + 3]
        constant = int.from_bytes(program[8 * at + 4 : 8 * at + 8], "little")
        at += 1
        if code == bpf.LOAD:
            accumulator = words[constant]
        elif code == bpf.AND:
            accumulator &= constant
        elif code == bpf.JUMP_AT_LEAST:
            at += true if accumulator >= constant else false
        elif code == bpf.JUMP_EQUAL:
            at += true if accumulator == constant else false
        else:
            return constant


def test_filter_decides_as_its_rules_say() -> None:
    for profile in seccomp.PROFILES:
        program = seccomp.build(profile, 77)
        for name, rule in seccomp.rules(profile, 77).items():
            if isinstance(rule, bpf.Always):
                assert interpret(program, NUMBERS[name]) == rule.action, name
                continue
            for value in (*rule.values, 0, 1, 77, 0x100, 0xFFFFFFFF, os.O_CREAT):
                hit = value & rule.mask in {v & 0xFFFFFFFF for v in rule.values}
                arguments = (0,) * rule.argument + (value,)
                want = rule.then if hit else rule.otherwise
                assert interpret(program, NUMBERS[name], arguments) == want, (name, value)
        for number in (0x40000000 | NUMBERS["read"], seccomp.UNKNOWN_FROM, 1 << 31):
            assert interpret(program, number) == bpf.errno_action(errno.ENOSYS)
