# SPDX-License-Identifier: Apache-2.0
"""HMM and ATS: what the driver says of its devices, and what its module's parameters add."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gpu_proxy import supervisor
from gpu_proxy.host_memory_risk import risks
from gpu_proxy.snapshot import Device, Snapshot

PAGEABLE_ACCESS, HOST_PAGE_TABLES = 88, 100


def device(name: str, **attributes: int) -> Device:
    numbers = {"pageable": PAGEABLE_ACCESS, "tables": HOST_PAGE_TABLES}
    known = {numbers[key]: value for key, value in attributes.items()}
    return Device(name, bytes(16), (0, 1, 0), (9, 0), 1 << 30, known)


def parameters(folder: Path, **values: str) -> Path:
    for name, value in values.items():
        (folder / name).write_text(f"{value}\n")
    return folder


def test_a_driver_that_forbids_both_is_safe(tmp_path: Path) -> None:
    snapshot = Snapshot(13000, (device("A", pageable=0, tables=0),))
    assert risks(snapshot, tmp_path) == []
    assert risks(snapshot, parameters(tmp_path, uvm_disable_hmm="N", uvm_ats_mode="1")) == []


def test_hmm_is_told_from_ats(tmp_path: Path) -> None:
    parameters(tmp_path, uvm_disable_hmm="N", uvm_ats_mode="1")
    both = (device("A", pageable=1, tables=0), device("B", pageable=1, tables=1))
    hmm, ats = risks(Snapshot(13000, both), tmp_path)
    assert hmm.startswith("HMM is on for A: ")
    assert "uvm_disable_hmm=1 (uvm_disable_hmm is 'N')" in hmm
    assert ats.startswith("ATS is on for B: ")
    assert "uvm_ats_mode=0 (uvm_ats_mode is '1')" in ats


def test_what_the_driver_does_counts_more_than_what_it_was_told(tmp_path: Path) -> None:
    parameters(tmp_path, uvm_disable_hmm="Y", uvm_ats_mode="0")
    (found,) = risks(Snapshot(13000, (device("A", pageable=1, tables=0),)), tmp_path)
    assert "uvm_disable_hmm is 'Y'" in found


def test_devices_of_one_name_are_said_once(tmp_path: Path) -> None:
    snapshot = Snapshot(13000, (device("A", pageable=1, tables=1),) * 8)
    (found,) = risks(snapshot, tmp_path)
    assert f"no {tmp_path / 'uvm_ats_mode'}" in found


@pytest.mark.parametrize(
    ("hmm_off", "ats", "safe"),
    [("Y", "0", True), ("1", None, True), ("Y", "1", False), ("N", "0", False), (None, "0", False)],
)
def test_a_driver_that_says_nothing(
    tmp_path: Path, hmm_off: str | None, ats: str | None, safe: bool
) -> None:
    given = {"uvm_disable_hmm": hmm_off, "uvm_ats_mode": ats}
    parameters(tmp_path, **{name: value for name, value in given.items() if value is not None})
    found = risks(Snapshot(11080, (device("A", pageable=0),)), tmp_path)
    assert bool(found) is not safe


def test_the_daemon_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[tuple[str, str]] = []

    class Log:
        def warning(self, event: str, text: str) -> None:
            said.append((event, text))

        info = warning

    daemon: Any = supervisor.Supervisor.__new__(supervisor.Supervisor)
    daemon._log = Log()
    for found in (["HMM is on", "ATS is on"], []):
        monkeypatch.setattr(supervisor.host_memory_risk, "risks", lambda _, found=found: found)
        daemon._check_host_memory(Snapshot(13000, ()))
    events = ["host-memory-risk", "host-memory-risk", "host-memory-safe"]
    assert [event for event, _ in said] == events
    assert said[1][1] == "ATS is on"
