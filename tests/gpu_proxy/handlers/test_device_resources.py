# SPDX-License-Identifier: Apache-2.0
"""Parts of a device: what only the driver understands never comes from the application."""

from __future__ import annotations

import ctypes
import struct
from typing import Any

import pytest

from gpu_proxy.handlers import device_resources, find
from gpu_proxy.request import CallError
from idm.api.structs import CUdevResource
from idm.api.table import Mode, load
from idm.api.types import Kind

INVALID_CONFIGURATION, NOT_SUPPORTED, OUT_OF_MEMORY = 915, 801, 2
MULTIPROCESSORS, WORK_QUEUE = 1, 1000
SECRET = bytes(range(1, 93))
POINTER = 0x7F00DEADBEEF
DRIVERS = struct.pack("=I92s40sQ", MULTIPROCESSORS, SECRET, struct.pack("=3I", 8, 2, 2), POINTER)


def answer(worker: Any, *resources: bytes) -> list[bytes]:
    """What the zone gets when the driver answers with these."""
    found = []
    for resource in resources:
        worker.driver.effects["cuDeviceGetDevResource"] = lambda _, where, __, data=resource: (
            ctypes.memmove(where, data, len(data))
        )
        request = worker.request("cuDeviceGetDevResource", dev=0, resource=144, kind=1)
        found.append(find(request.row)(worker, request)["resource"])
    return found


def describe(worker: Any, *resources: bytes) -> tuple[int, bytes]:
    """The status of cuDevResourceGenerateDesc, and what the driver saw."""
    seen = b""

    def look(_: int, where: int, count: int) -> None:
        nonlocal seen
        seen = ctypes.string_at(where, 144 * count)

    worker.driver.effects["cuDevResourceGenerateDesc"] = look
    handle = int(Kind.DEVICE_RESOURCE) << 56 | 1 << 32 | len(worker.driver.calls) + 1
    data = b"".join(resources)
    values = {"description": handle, "resources": data, "count": len(resources)}
    request = worker.request("cuDevResourceGenerateDesc", **values)
    try:
        find(request.row)(worker, request)
    except CallError as error:
        return error.status, seen
    return 0, seen


def test_the_drivers_own_bytes_stay_with_the_worker(worker: Any) -> None:
    (zones,) = answer(worker, DRIVERS)
    assert zones[:4] == DRIVERS[:4]
    assert zones[96:136] == DRIVERS[96:136]
    assert SECRET[:8] not in zones
    assert zones[136:] == bytes(8)
    status, seen = describe(worker, zones, zones)
    assert status == 0
    assert seen == 2 * (DRIVERS[:136] + bytes(8))


@pytest.mark.parametrize(
    ("at", "value"),
    [(0, b"\2"), (8, b"\7"), (8, b"\xff" * 8), (8, bytes(8)), (96, b"\xff" * 4)],
    ids=["type", "another number", "an impossible number", "no number", "more processors"],
)
def test_made_up_resources_do_not_pass(worker: Any, at: int, value: bytes) -> None:
    (zones,) = answer(worker, DRIVERS)
    made_up = zones[:at] + value + zones[at + len(value) :]
    assert describe(worker, zones, made_up) == (INVALID_CONFIGURATION, b"")


def test_pointers_of_the_application_do_not_pass(worker: Any) -> None:
    (zones,) = answer(worker, DRIVERS)
    status, seen = describe(worker, zones[:16] + b"\xee" * 80 + zones[96:136] + b"\xee" * 8)
    assert status == 0
    assert b"\xee" not in seen


def test_the_configuration_of_a_work_queue_is_the_applications(worker: Any) -> None:
    drivers = struct.pack("=I92s40sQ", WORK_QUEUE, SECRET, struct.pack("=3I", 0, 4, 0), 0)
    (zones,) = answer(worker, drivers)
    chosen = struct.pack("=3I", 0, 2, 1).ljust(40, b"\0")
    status, seen = describe(worker, zones[:96] + chosen + zones[136:])
    assert (status, seen) == (0, drivers[:96] + chosen + bytes(8))


def test_there_are_only_so_many(worker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_resources, "RESOURCES_MAX", 2)
    other = [DRIVERS[:96] + struct.pack("=I", count) + DRIVERS[100:] for count in (4, 6)]
    answer(worker, DRIVERS, DRIVERS, other[0], DRIVERS, bytes(144), other[0])
    with pytest.raises(CallError) as caught:
        answer(worker, other[1])
    assert caught.value.status == OUT_OF_MEMORY


def test_what_the_driver_refuses_is_refused(worker: Any) -> None:
    (zones,) = answer(worker, DRIVERS)
    worker.driver.fails["cuDevResourceGenerateDesc"] = NOT_SUPPORTED
    assert describe(worker, zones)[0] == NOT_SUPPORTED


def test_every_row_with_resources_is_handled() -> None:
    rows = [r for r in load().calls if any(p.type is CUdevResource for p in r.params)]
    assert len(rows) >= 6
    sent = [row for row in rows if row.mode in (Mode.SYNC, Mode.POSTED) and not row.elsewhere]
    assert {row.handler for row in sent} == {"device_resources"}
