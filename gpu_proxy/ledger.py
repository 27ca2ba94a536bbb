# SPDX-License-Identifier: Apache-2.0
"""The ledger of one zone: who holds how much, and whether more may be had.

What holds at any time, for every kind: used equals the sum over the sessions, it never exceeds the
limit, and no session's share is negative. The end of a session returns all that it held.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from gpu_proxy.errors import QuotaExceeded, WorkerProtocolError

Kind = Literal["device", "host", "handles", "sessions"]
KINDS: tuple[Kind, ...] = ("device", "host", "handles", "sessions")
AMOUNT_MAX = 1 << 50


class Ledger:
    """Amounts by kind and session, under the zone's limits."""

    def __init__(self, limits: Mapping[Kind, int]) -> None:
        self.limits: dict[Kind, int] = {kind: limits[kind] for kind in KINDS}
        self._used: dict[Kind, int] = dict.fromkeys(KINDS, 0)
        self._held: dict[int, dict[Kind, int]] = {}

    def used(self, kind: Kind) -> int:
        """Return what all sessions hold together."""
        return self._used[kind]

    def held(self, session: int, kind: Kind) -> int:
        """Return what one session holds."""
        return self._held.get(session, {}).get(kind, 0)

    def sessions(self) -> tuple[int, ...]:
        """Return the sessions that are open."""
        return tuple(self._held)

    def open(self, session: int) -> None:
        """Begin a session; it counts as one of the zone's sessions."""
        if session in self._held:
            raise ValueError(f"session {session} is open already")
        self._admit("sessions", 1)
        self._held[session] = dict.fromkeys(KINDS, 0)
        self._add(session, "sessions", 1)

    def charge(self, session: int, kind: Kind, amount: int) -> None:
        """Take `amount`, or raise QuotaExceeded and take nothing."""
        self._check(session, amount)
        self._admit(kind, amount)
        self._add(session, kind, amount)

    def release(self, session: int, kind: Kind, amount: int) -> None:
        """Give back `amount`, which the session must hold."""
        self._check(session, amount)
        held = self._held[session][kind]
        if amount > held:
            raise WorkerProtocolError(f"release of {amount} {kind}, but {held} are charged")
        self._add(session, kind, -amount)

    def close(self, session: int) -> None:
        """End a session and return all that it held. A second close does nothing."""
        for kind, amount in self._held.pop(session, {}).items():
            self._used[kind] -= amount

    def _check(self, session: int, amount: int) -> None:
        if session not in self._held:
            raise WorkerProtocolError(f"session {session} is not open")
        if not 0 <= amount <= AMOUNT_MAX:
            raise WorkerProtocolError(f"amount {amount} is out of range")

    def _admit(self, kind: Kind, amount: int) -> None:
        if amount > self.limits[kind] - self._used[kind]:
            raise QuotaExceeded(kind, amount, self._used[kind], self.limits[kind])

    def _add(self, session: int, kind: Kind, amount: int) -> None:
        self._used[kind] += amount
        self._held[session][kind] += amount
