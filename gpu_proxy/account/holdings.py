# SPDX-License-Identifier: Apache-2.0
"""The worker's own copy of what its session is charged for, by what it is charged for.

What holds at any time: the ledger has granted what all entries add up to, less what is owed. The
supervisor is asked only when the sum changes. What the driver has taken already and the quota
refuses is owed: nothing more is granted until that is given back or granted too.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import Literal, Protocol

from gpu_proxy.request import CallError

OUT_OF_MEMORY = 2
INVALID_HANDLE = 400
AMOUNT_BITS = 50  # no device has more, and the ledger takes no larger number

Key = tuple[str | int, ...]  # the kind of thing first, then which one


class OverQuota(CallError):
    """The zone's quota has not as much left."""

    def __init__(self) -> None:
        super().__init__(OUT_OF_MEMORY)


class Ledger(Protocol):
    """The zone's ledger, behind the channel to the supervisor."""

    def charge(self, kind: Literal["device"], amount: int) -> bool:
        """Take; false when there is not as much left."""

    def release(self, kind: Literal["device"], amount: int) -> None:
        """Give back."""


class Holdings:
    """Amounts by key. Any thread may call."""

    def __init__(self, ledger: Ledger, changed: Callable[[int], None]) -> None:
        """`changed` is told by how much the sum of all entries has changed."""
        self.lock = threading.RLock()
        self._ledger = ledger
        self._changed = changed
        self._amounts: dict[Key, int] = {}
        self._sum = 0
        self._granted = 0
        self._numbers = itertools.count(1)

    @property
    def owed(self) -> int:
        """What the driver has taken beyond the quota."""
        return self._sum - self._granted

    def held(self, key: Key) -> int:
        """Return one entry."""
        return self._amounts.get(key, 0)

    def keys(self, kind: str) -> list[Key]:
        """Return the keys of one kind."""
        with self.lock:
            return [key for key in self._amounts if key[0] == kind]

    def new_key(self, kind: str) -> Key:
        """Return a key for something that has no lasting name of its own."""
        return (kind, next(self._numbers))

    def take(self, key: Key, amount: int) -> None:
        """Hold something new. Raises OverQuota and holds nothing."""
        with self.lock:
            if key in self._amounts:
                raise CallError(INVALID_HANDLE)  # A front end names the same thing twice.
            self.resize(key, amount)

    def resize(self, key: Key, amount: int) -> None:
        """Hold another amount under a key. Raises OverQuota and changes nothing."""
        with self.lock:
            grows = amount > self.held(key)
            missing = self._sum - self.held(key) + amount - self._granted
            if grows and missing > 0:
                self._ask(missing)
            self._set(key, amount)

    def correct(self, key: Key, amount: int) -> None:
        """The driver has taken this much, whether the quota has it or not."""
        try:
            self.resize(key, amount)
        except OverQuota:
            with self.lock:
                self._set(key, amount)

    def move(self, old: Key, new: Key) -> None:
        """Hold the same amount under another key."""
        with self.lock:
            self._amounts[new] = self.held(new) + self._amounts.pop(old, 0)

    def drop(self, key: Key) -> None:
        """Hold it no more."""
        self.resize(key, 0)

    def _ask(self, amount: int) -> None:
        if amount >> AMOUNT_BITS or not self._ledger.charge("device", amount):
            raise OverQuota
        self._granted += amount

    def _set(self, key: Key, amount: int) -> None:
        change = amount - self.held(key)
        if amount:
            self._amounts[key] = amount
        else:
            self._amounts.pop(key, None)
        self._sum += change
        if self._granted > self._sum:
            self._ledger.release("device", self._granted - self._sum)
            self._granted = self._sum
        if change:
            self._changed(change)
