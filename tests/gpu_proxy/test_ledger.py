# SPDX-License-Identifier: Apache-2.0
"""The ledger's invariants, whatever sessions do."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gpu_proxy.errors import QuotaExceeded, WorkerProtocolError
from gpu_proxy.ledger import AMOUNT_MAX, KINDS, Kind, Ledger

LIMITS: dict[Kind, int] = {"device": 100, "host": 50, "handles": 10, "sessions": 3}
sessions = st.integers(0, 5)
amounts = st.integers(-1, 60)
charged = st.sampled_from([kind for kind in KINDS if kind != "sessions"])


class LedgerMachine(RuleBasedStateMachine):
    """Any order of calls, valid or not."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger(LIMITS)

    @rule(session=sessions)
    def open(self, session: int) -> None:
        with contextlib.suppress(QuotaExceeded, ValueError):
            self.ledger.open(session)

    @rule(session=sessions)
    def close(self, session: int) -> None:
        self.ledger.close(session)
        assert all(self.ledger.held(session, kind) == 0 for kind in KINDS)

    @rule(session=sessions, kind=charged, amount=amounts)
    def charge(self, session: int, kind: Kind, amount: int) -> None:
        before = self.ledger.used(kind)
        try:
            self.ledger.charge(session, kind, amount)
        except (QuotaExceeded, WorkerProtocolError):
            assert self.ledger.used(kind) == before

    @rule(session=sessions, kind=charged, amount=amounts)
    def release(self, session: int, kind: Kind, amount: int) -> None:
        held = self.ledger.held(session, kind)
        try:
            self.ledger.release(session, kind, amount)
        except WorkerProtocolError:
            assert self.ledger.held(session, kind) == held

    @invariant()
    def sums_agree_and_stay_within_limits(self) -> None:
        for kind in KINDS:
            held = [self.ledger.held(session, kind) for session in self.ledger.sessions()]
            assert all(amount >= 0 for amount in held)
            assert sum(held) == self.ledger.used(kind) <= LIMITS[kind]


TestLedger = LedgerMachine.TestCase


@given(st.integers())
def test_absurd_amounts_change_nothing(amount: int) -> None:
    ledger = Ledger(dict.fromkeys(KINDS, AMOUNT_MAX))
    ledger.open(1)
    if not 0 <= amount <= AMOUNT_MAX:
        with pytest.raises(WorkerProtocolError):
            ledger.charge(1, "device", amount)
        assert ledger.used("device") == 0


def test_the_error_says_how_much_there_is() -> None:
    ledger = Ledger(LIMITS)
    ledger.open(1)
    ledger.charge(1, "device", 90)
    with pytest.raises(QuotaExceeded, match="device: 11 asked, 90 of 100 used"):
        ledger.charge(1, "device", 11)
