# SPDX-License-Identifier: Apache-2.0
"""The counters' segment: POSIX shared memory that the back end writes and operators' tools read.

    page 0   header: magic, layout version, daemon, number of rows
    rows     zones, then sessions; each under a sequence number that is odd while it is written

A reader copies a row and takes it if the sequence was even and the same before and after.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import posix_ipc

from gpu_proxy.errors import CountersError
from idm.counters_page import COUNTER_NAMES

MAGIC = 0x56475043  # "VGPC"
LAYOUT = 1
MODE = 0o640
ZONES_MAX = 256
SESSIONS_MAX = 1024
READ_TRIES = 100

HEADER = struct.Struct("<IIIIQd8s512s")  # magic, layout, zones, sessions, pid, start, mode, devices
SEQUENCE = struct.Struct("<Q")
COUNT = len(COUNTER_NAMES)
ZONE_FIELDS = (
    "device_used",
    "device_limit",
    "host_used",
    "host_limit",
    "handles_used",
    "handles_limit",
    "sessions",
    "sessions_limit",
    "sessions_ended",
)
ZONE = struct.Struct(f"<64s{len(ZONE_FIELDS)}Q{COUNT}Q")
# zone, session, pid, live, device held, host held, seconds, program
SESSION = struct.Struct(f"<64sQQQQQd64s{COUNT}Q")
ROWS_AT = 4096
ZONE_BYTES = SEQUENCE.size + ZONE.size
SESSION_BYTES = SEQUENCE.size + SESSION.size
SESSIONS_AT = ROWS_AT + ZONES_MAX * ZONE_BYTES
SEGMENT_BYTES = SESSIONS_AT + SESSIONS_MAX * SESSION_BYTES


@dataclass(frozen=True)
class ZoneRow:
    """What one zone uses and has done, its ended sessions included."""

    name: str
    device_used: int
    device_limit: int
    host_used: int
    host_limit: int
    handles_used: int
    handles_limit: int
    sessions: int
    sessions_limit: int
    sessions_ended: int
    counters: dict[str, int]


@dataclass(frozen=True)
class SessionRow:
    """What one session holds and has done."""

    zone: str
    session: int
    pid: int
    live: bool
    device_bytes: int
    host_bytes: int
    seconds: float
    program: str
    counters: dict[str, int]


@dataclass(frozen=True)
class Report:
    """One reading of the whole segment."""

    pid: int
    started: float
    mode: str
    devices: list[str]
    zones: list[ZoneRow]
    sessions: list[SessionRow]


def segment_name(runtime_dir: Path) -> str:
    """Return the segment's name; it follows from the runtime directory alone."""
    digest = hashlib.sha256(os.fsencode(runtime_dir.absolute())).hexdigest()
    return f"/vgpu-{digest[:16]}"


class CountersWriter:
    """The back end's side. Replaces a segment that a killed daemon left."""

    def __init__(self, name: str) -> None:
        self._name = name
        _unlink(name)
        shared = posix_ipc.SharedMemory(
            name, posix_ipc.O_CREX, mode=MODE, size=SEGMENT_BYTES, read_only=False
        )
        try:
            os.fchmod(shared.fd, MODE)
            self._map = mmap.mmap(shared.fd, SEGMENT_BYTES)
        finally:
            shared.close_fd()
        self._header = (b"", b"", time.time())

    def describe(self, mode: str, devices: Sequence[str]) -> None:
        """Say what this daemon is."""
        self._header = (mode.encode(), "\n".join(devices).encode()[:511], self._header[2])

    def update(self, zones: Sequence[ZoneRow], sessions: Sequence[SessionRow]) -> None:
        """Write all rows; what does not fit the segment is left out, the oldest ended first."""
        zones, sessions = zones[:ZONES_MAX], sessions[:SESSIONS_MAX]
        for index, zone in enumerate(zones):
            self._row(ROWS_AT + index * ZONE_BYTES, _pack_zone(zone))
        for index, session in enumerate(sessions):
            self._row(SESSIONS_AT + index * SESSION_BYTES, _pack_session(session))
        mode, devices, started = self._header
        HEADER.pack_into(
            self._map, 0, MAGIC, LAYOUT, len(zones), len(sessions), os.getpid(), started,
            mode, devices,
        )  # fmt: skip

    def close(self) -> None:
        """Remove the segment."""
        self._map.close()
        _unlink(self._name)

    def _row(self, at: int, data: bytes) -> None:
        (sequence,) = SEQUENCE.unpack_from(self._map, at)
        start = at + SEQUENCE.size
        if self._map[start : start + len(data)] == data:
            return
        SEQUENCE.pack_into(self._map, at, sequence | 1)
        self._map[start : start + len(data)] = data
        SEQUENCE.pack_into(self._map, at, (sequence | 1) + 1)


class CountersReader:
    """An operator's side."""

    def __init__(self, name: str) -> None:
        try:
            shared = posix_ipc.SharedMemory(name, read_only=True)
        except posix_ipc.ExistentialError:
            raise CountersError("no gpu-proxy runs on this runtime directory") from None
        except (posix_ipc.PermissionsError, PermissionError):
            raise CountersError(f"{name}: only the daemon's user and group may read it") from None
        try:
            if shared.size < SEGMENT_BYTES:
                raise CountersError(f"{name} is of another version of gpu-proxy")
            self._map = mmap.mmap(shared.fd, SEGMENT_BYTES, prot=mmap.PROT_READ)
        finally:
            shared.close_fd()

    def close(self) -> None:
        """Unmap the segment."""
        self._map.close()

    def read(self) -> Report:
        """Return everything. Raises CountersError when the segment is not ours."""
        magic, layout, zones, sessions, pid, started, mode, names = HEADER.unpack_from(self._map)
        if magic != MAGIC or layout != LAYOUT or zones > ZONES_MAX or sessions > SESSIONS_MAX:
            raise CountersError("the counters are of another version of gpu-proxy")
        return Report(
            pid=pid,
            started=started,
            mode=_text(mode),
            devices=_text(names).splitlines(),
            zones=[
                _unpack_zone(self._row(ROWS_AT + i * ZONE_BYTES, ZONE.size)) for i in range(zones)
            ],
            sessions=[
                _unpack_session(self._row(SESSIONS_AT + i * SESSION_BYTES, SESSION.size))
                for i in range(sessions)
            ],
        )

    def _row(self, at: int, size: int) -> bytes:
        for _ in range(READ_TRIES):
            (before,) = SEQUENCE.unpack_from(self._map, at)
            data = self._map[at + SEQUENCE.size : at + SEQUENCE.size + size]
            (after,) = SEQUENCE.unpack_from(self._map, at)
            if before == after and not before & 1:
                return data
            time.sleep(0.001)
        raise CountersError("the daemon was stopped while it wrote its counters")


def _pack_zone(row: ZoneRow) -> bytes:
    return ZONE.pack(
        row.name.encode(),
        *(getattr(row, field) for field in ZONE_FIELDS),
        *(_word(row.counters.get(name, 0)) for name in COUNTER_NAMES),
    )


def _pack_session(row: SessionRow) -> bytes:
    return SESSION.pack(
        row.zone.encode(), row.session, row.pid, row.live, row.device_bytes, row.host_bytes,
        row.seconds, row.program.encode()[:63],
        *(_word(row.counters.get(name, 0)) for name in COUNTER_NAMES),
    )  # fmt: skip


def _word(value: int) -> int:
    """Sums of numbers that workers wrote may be anything."""
    return value & 0xFFFFFFFFFFFFFFFF


def _unpack_zone(data: bytes) -> ZoneRow:
    name, *values = ZONE.unpack(data)
    fields = dict(zip(ZONE_FIELDS, values[: len(ZONE_FIELDS)], strict=True))
    counters = dict(zip(COUNTER_NAMES, values[len(ZONE_FIELDS) :], strict=True))
    return ZoneRow(name=_text(name), counters=counters, **fields)


def _unpack_session(data: bytes) -> SessionRow:
    zone, session, pid, live, device, host, seconds, program, *values = SESSION.unpack(data)
    counters = dict(zip(COUNTER_NAMES, values, strict=True))
    return SessionRow(
        _text(zone), session, pid, bool(live), device, host, seconds, _text(program), counters
    )


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "replace")


def _unlink(name: str) -> None:
    try:
        posix_ipc.unlink_shared_memory(name)
    except posix_ipc.ExistentialError:
        return
