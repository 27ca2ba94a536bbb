# SPDX-License-Identifier: Apache-2.0
"""A worker with a real executor and object table, and a driver that only writes down its calls."""

from __future__ import annotations

import mmap
from collections.abc import Callable
from typing import Any

import pytest
from gpu_proxy._executor import ffi, lib

from gpu_proxy.account.account import Account
from gpu_proxy.request import CallError, Request
from gpu_proxy.resources import Resources
from idm.api.table import Table, load
from idm.api.types import Kind

COUNTERS_BYTES = 4096
DEVICE_BASE, DEVICE_BYTES = 0x7000_0000_0000, 1 << 20


class FakeDriver:
    """Accepts everything; `fails` maps a symbol to the status of its next call, `effects` to what
    its calls do."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.fails: dict[str, int] = {}
        self.effects: dict[str, Callable[..., None]] = {}

    def call_named(self, symbol: str, *arguments: int) -> None:
        self.calls.append((symbol, *arguments))
        if symbol in self.fails:
            raise CallError(self.fails.pop(symbol))
        if symbol in self.effects:
            self.effects[symbol](*arguments)

    def call(self, row: Any, *arguments: int) -> None:
        self.call_named(row.symbol, *arguments)

    @property
    def symbols(self) -> list[str]:
        return [call[0] for call in self.calls]


class FakeChannel:
    """Says yes to every charge and keeps the balance."""

    def __init__(self) -> None:
        self.charged = 0
        self.ended = ""

    def charge(self, kind: str, amount: int) -> bool:
        assert kind == "device"
        self.charged += amount
        return True

    def release(self, kind: str, amount: int) -> None:
        assert kind == "device"
        self.charged -= amount

    def end(self, reason: str) -> None:
        self.ended = reason


class FakeWorker:
    """What handlers use of a worker."""

    def __init__(self) -> None:
        self.table: Table = load()
        self.changed: list[int] = []
        self.driver = FakeDriver()
        self.channel = FakeChannel()
        self.resources = Resources()
        self.account = Account(self.channel, self.changed.append, lambda: self.driver, 0)
        self._region = mmap.mmap(-1, lib.IDM_REGION_BYTES)
        self._counters = mmap.mmap(-1, COUNTERS_BYTES)
        self._doorbells = ffi.new("struct idm_bell[65]", [(-1, 0)] * 65)
        self.region_address = int(ffi.cast("uintptr_t", ffi.from_buffer(self._region)))
        counters = ffi.cast("struct idm_counters *", ffi.from_buffer(self._counters))
        region = ffi.from_buffer(self._region)
        self.vx = lib.vx_open(region, counters, self._doorbells, 64, 1)
        lib.vx_set_object_limit(self.vx, 1000)
        assert lib.vx_range_add(self.vx, DEVICE_BASE, DEVICE_BYTES, 0) == 0

    def current(self) -> int:
        return 0xC0

    def use_context(self, handle: int) -> None:
        assert lib.vx_set_context(self.vx, handle) == 0

    def give(self, kind: Kind, item: int, parent: int = 0) -> int:
        """A handle for an object."""
        handle = int(lib.vx_handle_of(self.vx, int(kind), item, 0, parent))
        assert handle
        return handle

    def request(self, symbol: str, **values: Any) -> Request:
        """A request for a row, with what the test gives."""
        row = self.table.by_symbol[symbol]
        capacity = {name: value for name, value in values.items() if isinstance(value, int)}
        return Request(row, 3, 1, 1, 0, 0, 0, values, capacity)


@pytest.fixture
def worker() -> FakeWorker:
    return FakeWorker()


@pytest.fixture
def memory() -> tuple[int, int]:
    """An allocation of the session: address and length."""
    return DEVICE_BASE, DEVICE_BYTES
