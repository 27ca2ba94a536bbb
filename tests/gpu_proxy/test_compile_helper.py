# SPDX-License-Identifier: Apache-2.0
"""The compile helper: only when wanted, locked in harder than a worker, gone with its session."""

from __future__ import annotations

import os
import re
import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from daemon import Daemon
from front_end import FrontEnd

from gpu_proxy.softgpu.wire import MAGIC, REQUEST, Kind

others_may_enter = pytest.mark.skipif(
    not Path(sys.base_prefix).is_relative_to("/usr"),
    reason="this Python may lie where other users cannot enter; use Debian's",
)

Start = Callable[..., Daemon]
PTX = b"""
.version 7.0
.target sm_80
.address_size 64
.visible .entry nothing() { ret; }
"""


def children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]


def helper_of(daemon: Daemon, session: FrontEnd) -> int:
    return int(daemon.wait_for("compiler-started", session=session.number)["pid"])


def test_it_is_not_started_before_it_is_wanted(start: Start) -> None:
    daemon = start()
    session = FrontEnd(daemon.socket())
    session.ask("usage")
    session.close()
    daemon.wait_for("session-ended")
    assert not any(line["event"] == "compiler-started" for line in daemon.lines())


def test_it_compiles_and_keeps_objects_in_the_zones_cache(start: Start) -> None:
    daemon = start()
    session = FrontEnd(daemon.socket())
    request = REQUEST.pack(MAGIC, Kind.LOAD, 0, 0, len(PTX)) + PTX
    magic, status, size, text = session.ask("compile", request=request.hex())
    assert (magic, status) == (MAGIC, 0), text
    assert size > 0
    session.close()
    cache = daemon.runtime_dir / ".state" / "zones" / "default" / "kernels"
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    (made,) = cache.glob("*.o")
    assert made.stat().st_uid == cache.stat().st_uid


@others_may_enter
def test_it_is_locked_in_and_dies_with_the_session(start: Start) -> None:
    daemon = start()
    session = FrontEnd(daemon.socket())
    request = REQUEST.pack(
        MAGIC, Kind.LOAD, 0, 0, 1 << 20
    )  # It waits for a megabyte that never comes.
    session.post("compile", request=request.hex())
    keeper = helper_of(daemon, session)
    deadline = time.monotonic() + 5
    while not children(keeper):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    (helper,) = children(keeper)
    fields: dict[str, str] = {}
    while fields.get("Seccomp") != "2":
        assert time.monotonic() < deadline
        status = Path(f"/proc/{helper}/status").read_text()
        fields = dict(re.findall(r"^(\w+):\s*(.*)$", status, re.M))
    assert fields["NSpid"].split()[-1] == "1"  # A process namespace of its own.
    assert int(fields["CapEff"], 16) == 0
    if os.geteuid() == 0:
        assert fields["Uid"].split()[0] != "0"
    session.close()
    daemon.wait_for("session-ended")
    while any(Path(f"/proc/{pid}").exists() for pid in (keeper, helper)):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_garbage_ends_the_helper_not_the_session(start: Start) -> None:
    daemon = start()
    session = FrontEnd(daemon.socket())
    assert session.ask("compile", request="00" * REQUEST.size) is None
    assert session.ask("usage")
    session.close()
