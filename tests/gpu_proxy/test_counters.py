# SPDX-License-Identifier: Apache-2.0
"""The counters' segment: what is written is read, and nothing else is taken for it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import posix_ipc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_proxy import counters
from gpu_proxy.counters import CountersReader, CountersWriter, SessionRow, ZoneRow
from gpu_proxy.errors import CountersError
from idm.counters_page import COUNTER_NAMES

words = st.integers(0, 2**64 - 1)
counted = st.fixed_dictionaries(dict.fromkeys(COUNTER_NAMES, words))
names = st.from_regex(r"[a-z0-9]{1,63}", fullmatch=True)
zones = st.builds(ZoneRow, names, *[words] * 9, counted)
sessions = st.builds(
    SessionRow, names, words, words, st.booleans(), words, words, st.floats(0, 1e9), names, counted
)


@pytest.fixture
def name() -> Iterator[str]:
    chosen = counters.segment_name(Path(f"/test/{os.getpid()}"))
    yield chosen
    with pytest.raises(posix_ipc.ExistentialError):
        posix_ipc.unlink_shared_memory(chosen)


@given(st.lists(zones, max_size=3), st.lists(sessions, max_size=3))
def test_rows_survive(zone_rows: list[ZoneRow], session_rows: list[SessionRow]) -> None:
    name = counters.segment_name(Path(f"/test/hypothesis/{os.getpid()}"))
    writer = CountersWriter(name)
    writer.describe("stub", ["GPU one", "GPU two"])
    writer.update(zone_rows, session_rows)
    reader = CountersReader(name)
    report = reader.read()
    assert (report.zones, report.sessions) == (zone_rows, session_rows)
    assert (report.pid, report.mode, report.devices) == (
        os.getpid(),
        "stub",
        ["GPU one", "GPU two"],
    )
    reader.close()
    writer.close()


def example(number: int) -> SessionRow:
    return SessionRow("a", number, 1, True, 0, 0, 0.0, "p", dict.fromkeys(COUNTER_NAMES, number))


def test_too_many_rows_are_cut(name: str) -> None:
    writer, reader = CountersWriter(name), CountersReader(name)
    writer.update([], [example(n) for n in range(counters.SESSIONS_MAX + 5)])
    assert len(reader.read().sessions) == counters.SESSIONS_MAX
    reader.close()
    writer.close()


def test_a_row_that_is_being_written_is_not_read(name: str) -> None:
    writer, reader = CountersWriter(name), CountersReader(name)
    writer.update([], [example(1)])
    counters.SEQUENCE.pack_into(writer._map, counters.SESSIONS_AT, 3)
    with pytest.raises(CountersError, match="while it wrote"):
        reader.read()
    writer.update([], [example(2)])
    assert reader.read().sessions == [example(2)]
    reader.close()
    writer.close()


def test_a_foreign_segment_is_named(name: str) -> None:
    writer, reader = CountersWriter(name), CountersReader(name)
    with pytest.raises(CountersError, match="another version"):
        reader.read()
    reader.close()
    writer.close()


def test_no_daemon_is_named() -> None:
    with pytest.raises(CountersError, match="no gpu-proxy runs"):
        CountersReader("/vgpu-nobody")
