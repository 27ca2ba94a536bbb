# SPDX-License-Identifier: Apache-2.0
"""Memory pools: charged for what they reserve, which is more than what is live after a free.

The driver gives reserved memory back when the application synchronizes; but a synchronize is an
event that is polled here, so the driver never sees one, and the worker trims pools instead.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from gpu_proxy.account.holdings import Holdings, Key
from gpu_proxy.request import CallError

RESERVED_CURRENT = 5  # CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT
UNKNOWN_POOL = frozenset({1, 400})  # CUDA_ERROR_INVALID_VALUE, CUDA_ERROR_INVALID_HANDLE
# Waits after a free that the driver is asked to trim: the free may be behind other work, and some
# memory stays whatever one asks, since drivers reserve in large pieces.
TRIES = 8


class Driver(Protocol):
    """The driver, as accounts use it."""

    def call_named(self, symbol: str, *arguments: int) -> None:
        """Call the function behind a row's symbol."""


@dataclass
class Pool:
    """One pool. Its allocations name this object, since the driver's may come to mean another."""

    item: int  # the driver's object
    key: Key
    live: int = 0  # bytes that the application holds, or is being given
    threshold: int = 0  # what it keeps over a synchronize
    tries: int = 0  # trims to come
    alive: bool = True


class Pools:
    """The pools of a session."""

    def __init__(self, holdings: Holdings, driver: Callable[[], Driver]) -> None:
        self._holdings = holdings
        self._driver = driver
        self._pools: dict[int, Pool] = {}  # by the driver's object

    def of(self, item: int) -> Pool:
        """Return what is known about a pool of the driver."""
        if item not in self._pools:
            self._pools[item] = Pool(item, self._holdings.new_key("pool"))
        return self._pools[item]

    def begin(self, pool: Pool, amount: int) -> None:
        """Charge what an allocation may take. A pool that has as much asks nobody."""
        with self._holdings.lock:
            pool.live += amount
            try:
                held = self._holdings.held(pool.key)
                self._holdings.resize(pool.key, max(held, pool.live))
            except CallError:
                pool.live -= amount
                raise

    def took(self, pool: Pool) -> None:
        """Charge what it took: drivers reserve more than they are asked for. Raises OverQuota."""
        with self._holdings.lock:
            self._holdings.resize(pool.key, max(pool.live, self._reserved(pool)))

    def freed(self, pool: Pool, amount: int) -> None:
        """The application has an allocation no more; the pool may keep its memory."""
        with self._holdings.lock:
            pool.live -= amount
            pool.tries = TRIES
            self.settle(pool)

    def set_threshold(self, item: int, threshold: int) -> None:
        """The application says how much a pool keeps over a synchronize."""
        pool = self.of(item)
        pool.threshold, pool.tries = threshold, TRIES

    def settle(self, pool: Pool) -> None:
        """Charge what the driver reports."""
        with self._holdings.lock:
            self._holdings.correct(pool.key, max(pool.live, self._reserved(pool)))

    def destroyed(self, item: int) -> None:
        """A pool has no name any more. It goes when its last allocation does."""
        pool = self._pools.pop(item, None)
        if pool:
            pool.alive = False
            self.settle(pool)

    @property
    def surplus(self) -> bool:
        """Whether a pool should be trimmed after the next wait."""
        pools = list(self._pools.values())
        return any(pool.tries and self._surplus(pool, pool.threshold) for pool in pools)

    @property
    def reclaimable(self) -> bool:
        """Whether a pool keeps anything that it does not need."""
        return any(self._surplus(pool, 0) for pool in list(self._pools.values()))

    def trim(self, *, to_threshold: bool) -> None:
        """Have the driver give back what pools need not keep. It may take its time."""
        for pool in list(self._pools.values()):
            pool.tries = max(0, pool.tries - 1)
            keep = pool.threshold if to_threshold else 0
            if self._surplus(pool, keep):
                with contextlib.suppress(CallError):
                    self._driver().call_named("cuMemPoolTrimTo", pool.item, keep)
                self.settle(pool)

    def _surplus(self, pool: Pool, keep: int) -> bool:
        return self._holdings.held(pool.key) > max(pool.live, keep)

    def _reserved(self, pool: Pool) -> int:
        """What the driver reports; where it fails, what it reported last.

        A pool that it does not know has gone with a context.
        """
        if not pool.alive:
            return 0
        value = ctypes.c_uint64()
        where = ctypes.addressof(value)
        try:
            self._driver().call_named("cuMemPoolGetAttribute", pool.item, RESERVED_CURRENT, where)
        except CallError as error:
            return 0 if error.status in UNKNOWN_POOL else self._holdings.held(pool.key)
        return value.value
