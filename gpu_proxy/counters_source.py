# SPDX-License-Identifier: Apache-2.0
"""What the supervisor writes to the counters' segment: rows from zones and sessions."""

from __future__ import annotations

import time
from collections.abc import Sequence

from gpu_proxy.counters import SessionRow, ZoneRow
from gpu_proxy.zone import EndedSession, Zone
from idm.counters_page import COUNTER_NAMES

ENDED_ROWS = 64


def daemon_rows(zones: Sequence[Zone]) -> tuple[list[ZoneRow], list[SessionRow]]:
    """Return all zones, and the sessions: the live ones first, then those that ended last."""
    live = [row for zone in zones for row in _live_rows(zone)]
    ended = [(zone, session) for zone in zones for session in zone.ended_sessions]
    ended.sort(key=lambda pair: pair[1].number, reverse=True)
    rows = [*live, *(_ended_row(zone, session) for zone, session in ended[:ENDED_ROWS])]
    return [_zone_row(zone) for zone in zones], rows


def _zone_row(zone: Zone) -> ZoneRow:
    ledger = zone.ledger
    totals = dict(zone.ended_totals)
    for session in zone.live.values():
        for name, value in session.counters().items():
            totals[name] = totals.get(name, 0) + value
    return ZoneRow(
        name=zone.name,
        device_used=ledger.used("device"),
        device_limit=ledger.limits["device"],
        host_used=ledger.used("host"),
        host_limit=ledger.limits["host"],
        handles_used=ledger.used("handles"),
        handles_limit=ledger.limits["handles"],
        sessions=ledger.used("sessions"),
        sessions_limit=ledger.limits["sessions"],
        sessions_ended=zone.ended_count,
        counters={name: totals.get(name, 0) for name in COUNTER_NAMES},
    )


def _live_rows(zone: Zone) -> list[SessionRow]:
    now = time.monotonic()
    return [
        SessionRow(
            zone=zone.name,
            session=number,
            pid=session.front.pid,
            live=True,
            device_bytes=zone.ledger.held(number, "device"),
            host_bytes=zone.ledger.held(number, "host"),
            seconds=now - session.started,
            program=session.program,
            counters=session.counters(),
        )
        for number, session in zone.live.items()
        if session.welcomed
    ]


def _ended_row(zone: Zone, session: EndedSession) -> SessionRow:
    return SessionRow(
        zone=zone.name,
        session=session.number,
        pid=session.pid,
        live=False,
        device_bytes=0,
        host_bytes=0,
        seconds=session.seconds,
        program=session.program,
        counters=session.counters,
    )
