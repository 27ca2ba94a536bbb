# SPDX-License-Identifier: Apache-2.0
"""A ledger that counts its questions, and a driver that keeps memory as those of GPUs do."""

from __future__ import annotations

import ctypes
from typing import Any

import pytest

from gpu_proxy.account.account import Account
from gpu_proxy.request import CallError

MiB = 1 << 20
PIECE = 32 * MiB  # of a pool's reservation
NOT_READY = 600


class FakeLedger:
    """One zone's device memory."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self.questions = 0

    def charge(self, kind: str, amount: int) -> bool:
        assert kind == "device"
        assert amount > 0
        self.questions += 1
        if amount > self.limit - self.used:
            return False
        self.used += amount
        return True

    def release(self, kind: str, amount: int) -> None:
        assert kind == "device"
        assert 0 < amount <= self.used
        self.used -= amount


class FakeGpu:
    """Reserves in pieces, gives back when it is trimmed, and takes graphs' memory at the launch."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.reserved: dict[int, int] = {}  # by pool
        self.needed: dict[int, int] = {}  # by pool: what cannot be trimmed
        self.graph_reserved = 0
        self.graph_needed = 0
        self.events_over = False
        self.broken = False

    def allocate(self, pool: int, amount: int) -> None:
        self.needed[pool] = self.needed.get(pool, 0) + amount
        pieces = -(-self.needed[pool] // PIECE) * PIECE
        self.reserved[pool] = max(self.reserved.get(pool, 0), pieces)

    def free(self, pool: int, amount: int) -> None:
        self.needed[pool] -= amount

    def call_named(self, symbol: str, *arguments: int) -> None:
        self.calls.append(symbol)
        if self.broken:
            raise CallError(700)
        getattr(self, symbol)(*arguments)

    def cuMemPoolGetAttribute(self, pool: int, attribute: int, where: int) -> None:
        assert attribute == 5
        if pool not in self.reserved:
            raise CallError(1)
        ctypes.c_uint64.from_address(where).value = self.reserved[pool]

    def cuMemPoolTrimTo(self, pool: int, keep: int) -> None:
        least = max(-(-self.needed[pool] // PIECE) * PIECE, keep)
        self.reserved[pool] = min(self.reserved[pool], least)

    def cuDeviceGetGraphMemAttribute(self, device: int, attribute: int, where: int) -> None:
        assert attribute == 2
        assert device == 0
        ctypes.c_uint64.from_address(where).value = self.graph_reserved

    def cuDeviceGraphMemTrim(self, device: int) -> None:
        assert device == 0
        self.graph_reserved = min(self.graph_reserved, self.graph_needed)

    def cuEventCreate(self, where: int, flags: int) -> None:
        assert flags == 2
        ctypes.c_uint64.from_address(where).value = 0xE0

    def cuEventRecord(self, event: int, stream: int) -> None:
        assert (event, stream) == (0xE0, 5)

    def cuEventQuery(self, event: int) -> None:
        assert event == 0xE0
        if not self.events_over:
            raise CallError(NOT_READY)

    def cuEventDestroy_v2(self, event: int) -> None:
        assert event == 0xE0


@pytest.fixture
def ledger() -> FakeLedger:
    return FakeLedger(100 * MiB)


@pytest.fixture
def gpu() -> FakeGpu:
    return FakeGpu()


@pytest.fixture
def changes() -> list[int]:
    return []


@pytest.fixture
def account(ledger: FakeLedger, gpu: Any, changes: list[int]) -> Account:
    return Account(ledger, changes.append, lambda: gpu, 10 * MiB)
