# SPDX-License-Identifier: Apache-2.0
"""Memory that graphs allocate: charged when it is captured, instantiated and launched.

Drivers take it at different times (one at the capture, another at the first launch) and keep it
beyond the graph, so a device is charged for the larger of what its executable graphs will take and
what the driver says that graphs have.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections import Counter
from collections.abc import Callable

from gpu_proxy.account.holdings import INVALID_HANDLE, Holdings, Key
from gpu_proxy.account.pools import TRIES, Driver
from gpu_proxy.request import CallError

RESERVED_CURRENT = 2  # CU_GRAPH_MEM_ATTR_RESERVED_MEM_CURRENT


class Graphs:
    """The graphs of a session that allocate."""

    def __init__(self, holdings: Holdings, driver: Callable[[], Driver]) -> None:
        self._holdings = holdings
        self._driver = driver
        self._captured: dict[int, tuple[int, int]] = {}  # by the driver's graph: device, bytes
        self._claims: dict[int, tuple[int, int]] = {}  # by an executable's handle: device, bytes
        self._capturing: Counter[int] = Counter()  # bytes by device, of captures under way
        self._tries = 0  # trims to come

    def begin_capture(self, device: int, amount: int) -> None:
        """Charge an allocation that is about to be captured. Raises OverQuota."""
        with self._holdings.lock:
            self._capturing[device] += amount
            try:
                self._holdings.resize(_key(device), self._needed(device))
            except CallError:
                self._capturing[device] -= amount
                raise

    def end_capture(self, device: int, amount: int, graph: int = 0) -> None:
        """The allocation is part of `graph`, or was not captured."""
        with self._holdings.lock:
            self._capturing[device] -= amount
            if graph:
                _, before = self._captured.get(graph, (device, 0))
                self._captured[graph] = (device, before + amount)
            self.settle(device)

    def claim(self, executable: int, graph: int) -> bool:
        """Charge what an executable graph will take; false: nothing. Raises OverQuota."""
        with self._holdings.lock:
            if graph not in self._captured:
                return False
            if executable in self._claims:
                raise CallError(INVALID_HANDLE)  # A front end names two by one handle.
            device, _ = self._claims[executable] = self._captured[graph]
            try:
                self._holdings.resize(_key(device), self._needed(device))
            except CallError:
                del self._claims[executable]
                raise
            return True

    def launched(self, executable: int) -> None:
        """A launch may have taken memory."""
        if executable in self._claims:
            self.settle(self._claims[executable][0])

    def executable_gone(self, executable: int) -> None:
        """An executable graph was destroyed, or never came to be."""
        device, _ = self._claims.pop(executable, (None, 0))
        if device is not None:
            self.freed(device)

    def graph_gone(self, graph: int) -> None:
        """A graph was destroyed."""
        device, _ = self._captured.pop(graph, (None, 0))
        if device is not None:
            self.freed(device)

    def freed(self, device: int) -> None:
        """Something of a graph was freed; the driver may keep it until it is trimmed."""
        self._tries = TRIES
        self.settle(device)

    def settle(self, device: int) -> None:
        """Charge what the driver reports."""
        with self._holdings.lock:
            self._holdings.correct(_key(device), self._needed(device))

    @property
    def surplus(self) -> bool:
        """Whether the driver should be asked to trim after the next wait."""
        return self._tries > 0 and self.reclaimable

    @property
    def reclaimable(self) -> bool:
        """Whether a device holds more than its executable graphs claim."""
        return any(self._holdings.held(_key(d)) > self._claimed(d) for d in self._devices())

    def trim(self) -> None:
        """Have the driver give back what no graph needs."""
        self._tries = max(0, self._tries - 1)
        for device in self._devices():
            with contextlib.suppress(CallError):
                self._driver().call_named("cuDeviceGraphMemTrim", device)
            self.settle(device)

    def _devices(self) -> list[int]:
        return [int(key[1]) for key in self._holdings.keys("graphs")]

    def _claimed(self, device: int) -> int:
        claims = list(self._claims.values())
        return sum(amount for where, amount in claims if where == device)

    def _needed(self, device: int) -> int:
        most = max(self._claimed(device), self._reserved(device))
        return most + self._capturing[device]

    def _reserved(self, device: int) -> int:
        """What the driver reports; where it fails, what it reported last."""
        value = ctypes.c_uint64()
        where = ctypes.addressof(value)
        symbol = "cuDeviceGetGraphMemAttribute"
        try:
            self._driver().call_named(symbol, device, RESERVED_CURRENT, where)
        except CallError:
            return self._holdings.held(_key(device))
        return value.value


def _key(device: int) -> Key:
    return ("graphs", device)
