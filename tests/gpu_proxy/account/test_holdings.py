# SPDX-License-Identifier: Apache-2.0
"""What the ledger has granted is what all entries add up to, less what is owed."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gpu_proxy.account.holdings import Holdings, OverQuota
from gpu_proxy.request import CallError

LIMIT = 100
keys = st.tuples(st.sampled_from(["a", "b"]), st.integers(0, 3))
amounts = st.integers(0, 60)


class Zone:
    """The ledger, of which a neighbour has a part."""

    def __init__(self) -> None:
        self.neighbour = 0
        self.granted = 0

    def charge(self, kind: str, amount: int) -> bool:
        assert kind == "device"
        if amount > LIMIT - self.neighbour - self.granted:
            return False
        self.granted += amount
        return True

    def release(self, kind: str, amount: int) -> None:
        assert kind == "device"
        assert 0 < amount <= self.granted
        self.granted -= amount


class HoldingsMachine(RuleBasedStateMachine):
    """Any order of calls."""

    def __init__(self) -> None:
        super().__init__()
        self.zone = Zone()
        self.counted = 0
        self.expected: dict = {}
        self.holdings = Holdings(self.zone, self.count)

    def count(self, change: int) -> None:
        self.counted += change

    @rule(amount=amounts)
    def neighbour_takes(self, amount: int) -> None:
        self.zone.neighbour = max(0, min(amount, LIMIT - self.zone.granted))

    @rule(key=keys, amount=amounts)
    def take(self, key, amount: int) -> None:
        with contextlib.suppress(CallError):
            self.holdings.take(key, amount)
            assert self.expected.get(key, 0) == 0
            self.expected[key] = amount

    @rule(key=keys, amount=amounts)
    def resize(self, key, amount: int) -> None:
        owed = self.holdings.owed
        try:
            self.holdings.resize(key, amount)
        except OverQuota:
            assert amount > self.expected.get(key, 0)
            assert self.holdings.owed == owed
        else:
            self.expected[key] = amount

    @rule(key=keys, amount=amounts)
    def correct(self, key, amount: int) -> None:
        self.holdings.correct(key, amount)
        self.expected[key] = amount

    @rule(key=keys)
    def drop(self, key) -> None:
        self.holdings.drop(key)
        self.expected[key] = 0

    @invariant()
    def sums_agree(self) -> None:
        total = sum(self.expected.values())
        assert self.counted == total
        assert self.holdings.owed >= 0
        assert self.zone.granted + self.holdings.owed == total
        assert all(self.holdings.held(key) == amount for key, amount in self.expected.items())


TestHoldings = HoldingsMachine.TestCase


def test_what_is_owed_is_asked_for_before_anything_else_is_had(ledger, account) -> None:
    ledger.limit = 10
    account.correct(("memory", 1), 12)
    assert (ledger.used, account.owed) == (0, 12)
    with pytest.raises(OverQuota):
        account.take(("memory", 2), 1)
    ledger.limit = 13
    account.take(("memory", 2), 1)
    assert (ledger.used, account.owed) == (13, 0)
    account.drop(("memory", 1))
    assert ledger.used == 1


def test_nothing_is_held_twice_under_one_name(account) -> None:
    account.take(("object", 7), 5)
    with pytest.raises(CallError) as caught:
        account.take(("object", 7), 1)
    assert caught.value.status == 400
    assert account.held(("object", 7)) == 5


def test_an_absurd_amount_is_no_question(ledger, account) -> None:
    with pytest.raises(OverQuota):
        account.take(("memory", 1), 1 << 60)
    assert ledger.questions == 0
