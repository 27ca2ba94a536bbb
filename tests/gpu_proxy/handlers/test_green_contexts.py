# SPDX-License-Identifier: Apache-2.0
"""Green contexts: whose their handles, streams and memory are, and what ends with them."""

from __future__ import annotations

import ctypes
from typing import Any

import pytest
from gpu_proxy._executor import ffi, lib

from gpu_proxy.handlers import find
from gpu_proxy.handlers.generic import install, is_alive
from gpu_proxy.request import CallError, Later
from idm.api.types import Kind

INVALID_VALUE, INVALID_CONTEXT, INVALID_HANDLE, NOT_SUPPORTED = 1, 201, 400, 801
PRIMARY, GREEN, CONTEXT, STREAM, ARRAY, EVENT = range(1, 7)


def handle(kind: Kind, index: int) -> int:
    return int(kind) << 56 | 1 << 32 | index


PRIMARY_HANDLE, CONTEXT_HANDLE = handle(Kind.CONTEXT, PRIMARY), handle(Kind.CONTEXT, CONTEXT)
GREEN_HANDLE, STREAM_HANDLE = handle(Kind.GREEN_CONTEXT, GREEN), handle(Kind.STREAM, STREAM)


class Zone:
    """Calls of one session, whose driver numbers what it makes."""

    def __init__(self, worker: Any) -> None:
        self.worker = worker
        self._made = 0x6000
        makers = ("cuDevicePrimaryCtxRetain", "cuGreenCtxCreate", "cuCtxFromGreenCtx")
        for symbol in (*makers, "cuGreenCtxStreamCreate", "cuMemHostAlloc"):
            worker.driver.effects[symbol] = self._make
        worker.driver.effects["cuMemHostAlloc"] = self._allocate
        self._kept: list[Any] = []
        self._set_current = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_uint64)(lambda _: 0)
        lib.vx_set_driver(worker.vx, 0, ctypes.cast(self._set_current, ctypes.c_void_p).value or 0)

    def _make(self, where: int, *_: int) -> None:
        self._made += 1
        ctypes.c_uint64.from_address(where).value = self._made

    def _allocate(self, where: int, size: int, _: int) -> None:
        self._kept.append(ctypes.create_string_buffer(size))
        ctypes.c_uint64.from_address(where).value = ctypes.addressof(self._kept[-1])

    def call(self, symbol: str, **values: Any) -> int:
        """The status; what a lane has to do is done at once."""
        request = self.worker.request(symbol, **values)
        try:
            outcome = find(request.row)(self.worker, request)
            if isinstance(outcome, Later):
                outcome.finish()
        except CallError as error:
            return error.status
        return 0

    def start(self) -> None:
        assert self.call("vgpuPrimaryRetain", device=0, context=PRIMARY_HANDLE) == 0
        assert self.create() == 0

    def create(self) -> int:
        description = self.worker.give(Kind.DEVICE_RESOURCE, 0xDE)
        values = {"green": GREEN_HANDLE, "description": description, "dev": 0, "flags": 1}
        return self.call("cuGreenCtxCreate", **values)

    def context(self, index: int = CONTEXT) -> int:
        values = {"context": handle(Kind.CONTEXT, index), "green": GREEN_HANDLE}
        return self.call("cuCtxFromGreenCtx", **values)

    def stream(self) -> int:
        values = {"stream": STREAM_HANDLE, "green": GREEN_HANDLE, "flags": 1, "priority": 0}
        return self.call("cuGreenCtxStreamCreate", **values)


@pytest.fixture
def zone(worker: Any) -> Zone:
    return Zone(worker)


def owner(worker: Any, object_: int, kind: Kind) -> int:
    found, context = ffi.new("uint64_t *"), ffi.new("uint64_t *")
    assert lib.vx_lookup_in(worker.vx, object_, int(kind), found, context) == 0
    return int(context[0])


def test_what_the_driver_refuses_is_refused(zone: Zone) -> None:
    zone.start()
    for symbol, attempt in (
        ("cuGreenCtxCreate", zone.create),
        ("cuCtxFromGreenCtx", zone.context),
    ):
        zone.worker.driver.fails[symbol] = NOT_SUPPORTED
        assert attempt() == NOT_SUPPORTED
    assert zone.context() == 0
    zone.worker.driver.fails["cuGreenCtxStreamCreate"] = NOT_SUPPORTED
    assert zone.stream() == NOT_SUPPORTED
    assert not is_alive(zone.worker, STREAM_HANDLE)


def test_a_green_context_has_one_context(zone: Zone) -> None:
    zone.start()
    assert zone.stream() == INVALID_CONTEXT
    assert zone.context() == 0
    assert zone.context(9) == INVALID_VALUE
    assert zone.call("cuCtxDestroy_v2", context=CONTEXT_HANDLE) == INVALID_CONTEXT
    assert is_alive(zone.worker, CONTEXT_HANDLE)


def test_everything_ends_with_it_but_memory(zone: Zone) -> None:
    worker = zone.worker
    zone.start()
    assert (zone.context(), zone.stream()) == (0, 0)
    array, event = handle(Kind.ARRAY, ARRAY), handle(Kind.EVENT, EVENT)
    install(worker, array, Kind.ARRAY, 0xA0, CONTEXT_HANDLE)
    install(worker, event, Kind.EVENT, 0xE0, CONTEXT_HANDLE)
    assert owner(worker, STREAM_HANDLE, Kind.STREAM) == CONTEXT_HANDLE
    assert owner(worker, array, Kind.ARRAY) == PRIMARY_HANDLE
    assert zone.call("cuGreenCtxDestroy", green=GREEN_HANDLE) == 0
    assert worker.driver.symbols[-3:] == ["cuGreenCtxDestroy", "cuCtxSetCurrent", "cuMemFreeHost"]
    for gone in (GREEN_HANDLE, CONTEXT_HANDLE, STREAM_HANDLE, event):
        assert not is_alive(worker, gone)
    assert is_alive(worker, array)
    assert list(worker.resources.contexts) == [PRIMARY_HANDLE]
    assert not worker.resources.greens
    assert zone.call("cuGreenCtxDestroy", green=GREEN_HANDLE) == INVALID_HANDLE


def test_memory_is_the_primary_contexts(zone: Zone) -> None:
    zone.start()
    assert zone.context() == 0
    assert zone.worker.resources.memory_owner(CONTEXT_HANDLE) == PRIMARY_HANDLE
    assert zone.worker.resources.memory_owner(PRIMARY_HANDLE) == PRIMARY_HANDLE


def test_one_that_was_never_a_context_ends_too(zone: Zone) -> None:
    zone.start()
    assert zone.call("cuGreenCtxDestroy", green=GREEN_HANDLE) == 0
    assert zone.worker.driver.symbols[-1] == "cuGreenCtxDestroy"


def test_without_the_primary_context_there_is_none(zone: Zone) -> None:
    assert zone.create() == 0
    assert zone.context() == INVALID_CONTEXT


def test_a_primary_context_that_ends_takes_its_flags_along(zone: Zone) -> None:
    """A front end that lets go of it too early must not make the worker write to freed memory."""
    zone.start()
    assert zone.context() == 0
    assert zone.call("vgpuPrimaryRelease", device=0, context=PRIMARY_HANDLE) == 0
    assert zone.worker.resources.contexts[CONTEXT_HANDLE].flags == 0
    assert zone.call("cuGreenCtxDestroy", green=GREEN_HANDLE) == 0
    assert "cuMemFreeHost" not in zone.worker.driver.symbols


@pytest.mark.parametrize("failing", ["cuMemHostAlloc", "cuMemHostGetDevicePointer_v2"])
def test_a_context_without_flags_is_none(zone: Zone, failing: str) -> None:
    zone.start()
    zone.worker.driver.fails[failing] = 2
    assert zone.context() == 2
    assert not is_alive(zone.worker, CONTEXT_HANDLE)
    assert "cuGreenCtxDestroy" not in zone.worker.driver.symbols
    assert zone.context(9) == 0
