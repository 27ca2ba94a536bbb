# SPDX-License-Identifier: Apache-2.0
"""The call table against itself: numbers, groups, golden list, and what must not be refused."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from idm.api.table import GROUPS, Call, Mode, Table, TableError, load
from idm.api.types import Kind, Param, c_uint, creates, handle, local, out, size

DATA = Path(__file__).parent / "data"
IDM_H = Path(__file__).parents[2] / "idm" / "csrc" / "idm.h"
BASES = {group: index << 8 for index, group in enumerate(GROUPS[:-1])} | {"internal": 0x0F00}


@pytest.fixture(scope="module")
def table() -> Table:
    return load()


def words(name: str) -> list[str]:
    return (DATA / name).read_text().split()


def golden() -> dict[int, str]:
    pairs = (line.split() for line in (DATA / "call_numbers.txt").read_text().splitlines())
    return {int(number, 16): symbol for number, symbol in pairs}


def test_every_group_keeps_to_its_numbers(table: Table) -> None:
    ranges = sorted(BASES.values())
    assert {row.number & 0xFF00 for row in table.calls} == set(ranges)


def test_numbers_are_append_only(table: Table) -> None:
    changed = {
        f"{number:#06x}": (symbol, table.by_number[number].symbol)
        for number, symbol in golden().items()
        if table.by_number[number].symbol != symbol
    }
    assert not changed, "a number of the wire protocol has another meaning"


def test_golden_list_is_complete(table: Table) -> None:
    public = {row.number for row in table.calls if row.symbol.startswith("cu")}
    missing = sorted(public - set(golden()))
    lines = "".join(f"{n:#06x} {table.by_number[n].symbol}\n" for n in missing)
    assert not missing, f"append to tests/idm/data/call_numbers.txt:\n{lines}"


@pytest.mark.parametrize("names", ["cudart_calls.txt", "framework_calls.txt"])
def test_calls_of_applications_are_offered(table: Table, names: str) -> None:
    refused = [s for s in words(names) if table.by_symbol[s].mode is Mode.REFUSED]
    assert not refused


def test_most_calls_are_offered(table: Table) -> None:
    offered = [row for row in table.calls if row.mode is not Mode.REFUSED]
    assert len(offered) >= 400


def test_versions_of_a_call_are_ordered_by_their_suffix(table: Table) -> None:
    by_base: dict[str, list[Call]] = {}
    for row in table.calls:
        by_base.setdefault(row.base, []).append(row)
    for rows in by_base.values():
        ordered = sorted(rows, key=lambda row: row.symbol)
        since = [row.since for row in ordered]
        assert since == sorted(set(since)) or rows[0].symbol.startswith("vgpu"), ordered


def test_reasons_are_for_people(table: Table) -> None:
    for row in table.calls:
        if row.mode is Mode.REFUSED:
            assert re.fullmatch(r"[A-Za-z].{14,99}[^.]", row.reason), row


def test_posted_and_refused_rows_have_no_lane_to_wait_on(table: Table) -> None:
    for row in table.calls:
        if row.mode is not Mode.SYNC:
            assert not row.lane, row.symbol


def test_rows_with_one_front_have_the_same_kinds_of_parameters(table: Table) -> None:
    seen: dict[str, Call] = {}
    for row in table.calls:
        if row.front:
            first = seen.setdefault(row.front, row)
            assert [p.wire for p in first.params] == [p.wire for p in row.params], row.symbol


def test_no_call_has_more_parameters_than_a_record_holds(table: Table) -> None:
    match = re.search(r"IDM_PARAMS_MAX = (\d+)", IDM_H.read_text())
    assert match
    assert max(len(row.params) for row in table.calls) <= int(match[1])


ROW = Call(0x0001, "cuThing", 2000, Mode.SYNC, ())


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (Call(1, "cuA", 1, Mode.REFUSED, ()), "cuA: a refused row needs a reason"),
        (Call(1, "cuA", 1, Mode.LOCAL, ()), "cuA: a local row needs its front-end function"),
        (ROW, "cuThing: number 0x1 is cuThing's"),
        (Call(2, "cuThing", 1, Mode.SYNC, ()), "cuThing: has two rows"),
        (
            Call(3, "vgpuA", 1, Mode.SYNC, (), unsafe=True),
            "vgpuA: only what an application calls can be unsafe",
        ),
    ],
)
def test_a_bad_row_is_named(row: Call, message: str) -> None:
    table = Table()
    table.add(ROW)
    with pytest.raises(TableError, match=f"^{re.escape(message)}$"):
        table.add(row)


@pytest.mark.parametrize(
    ("param", "mode", "message"),
    [
        (out(size), Mode.POSTED, "cuA: a posted call has no results"),
        (local("void *"), Mode.SYNC, "cuA: a local parameter needs a front-end function"),
        (
            creates(handle(Kind.EVENT), parent="b"),
            Mode.SYNC,
            "cuA: a refers to no parameter b",
        ),
    ],
)
def test_a_bad_parameter_is_named(param: Param, mode: Mode, message: str) -> None:
    row = Call(1, "cuA", 1, mode, (replace(param, name="a"),))
    with pytest.raises(TableError, match=f"^{re.escape(message)}$"):
        Table().add(row)


def test_a_parameter_name_appears_once() -> None:
    twice = (replace(c_uint, name="a"), replace(size, name="a"))
    with pytest.raises(TableError, match="^cuA: a parameter name appears twice$"):
        Table().add(Call(1, "cuA", 1, Mode.SYNC, twice))
