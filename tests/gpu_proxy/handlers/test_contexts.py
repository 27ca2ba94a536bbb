# SPDX-License-Identifier: Apache-2.0
"""Contexts that come and go: what each brings along, and what the others keep when one ends."""

from __future__ import annotations

import ctypes
from typing import Any

import pytest
from gpu_proxy._executor import lib

from gpu_proxy.binding import EXECUTOR_FUNCTIONS
from gpu_proxy.handlers.contexts import context_create, ctx_destroy, primary_retain
from gpu_proxy.request import CallError
from idm.api.types import Kind

OUT_OF_MEMORY, ALREADY_REGISTERED = 2, 712
REGISTER, CREATE, DESTROY = "cuMemHostRegister_v2", "cuCtxCreate_v2", "cuCtxDestroy_v2"
STREAM = 0x57
FAR = 3 << 30


def handle(index: int) -> int:
    return int(Kind.CONTEXT) << 56 | 1 << 32 | index


class Contexts:
    """Contexts of one worker, whose driver makes real host memory for their flags."""

    def __init__(self, worker: Any) -> None:
        self.worker = worker
        self.waits: list[tuple[int, int]] = []  # address and number
        self._kept: list[Any] = []
        self._made = 0xC000
        worker.driver.effects = {
            CREATE: self._create,
            "cuDevicePrimaryCtxRetain": self._create,
            "cuMemHostAlloc": self._allocate,
            "cuMemHostGetDevicePointer_v2": self._same_address,
        }
        for index, (base, _) in enumerate(EXECUTOR_FUNCTIONS):
            lib.vx_set_driver(worker.vx, index, self._function(base))

    def _create(self, where: int, *_: int) -> None:
        self._made += 1
        ctypes.c_uint64.from_address(where).value = self._made

    def _allocate(self, where: int, size: int, _: int) -> None:
        self._kept.append(ctypes.create_string_buffer(b"\xaa" * size, size))
        ctypes.c_uint64.from_address(where).value = ctypes.addressof(self._kept[-1])

    def _same_address(self, where: int, address: int, _: int) -> None:
        ctypes.c_uint64.from_address(where).value = address

    def _function(self, base: str) -> int:
        def call(*arguments: int) -> int:
            if base == "cuStreamWaitValue32":
                self.waits.append((arguments[1], arguments[2] & 0xFFFFFFFF))
            return 0

        made = ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.c_uint64] * 4)(call)
        self._kept.append(made)
        return ctypes.cast(made, ctypes.c_void_p).value or 0

    def create(self, index: int) -> None:
        request = self.worker.request("vgpuContextCreate", context=handle(index), flags=0, device=0)
        context_create(self.worker, request)

    def destroy(self, index: int) -> Any:
        """Begin the end of a context; what its lane has to do."""
        request = self.worker.request("cuCtxDestroy_v2", context=handle(index))
        return ctx_destroy(self.worker, request).finish

    def host_function(self, index: int, number: int) -> int:
        """A stream of a context waits for a function; the place of the wait."""
        self.worker.use_context(handle(index))
        assert lib.vx_callback(self.worker.vx, STREAM, number) == 0
        return len(self.waits) - 1

    def may_go_on(self, place: int) -> bool:
        """What the driver finds when it looks at the word of a wait: cyclic, as CUDA has it."""
        address, number = self.waits[place]
        word = ctypes.c_uint32.from_address(address).value
        return ctypes.c_int32(word - number).value >= 0


@pytest.fixture
def contexts(worker: Any) -> Contexts:
    return Contexts(worker)


def test_a_wait_outlives_the_other_contexts(contexts: Contexts) -> None:
    for index in (1, 2, 3):
        contexts.create(index)
    place = contexts.host_function(2, 5)
    for index in (1, 3):
        contexts.destroy(index)()
    assert not contexts.may_go_on(place)
    lib.vx_callback_done(contexts.worker.vx, 5)
    assert contexts.may_go_on(place)


@pytest.mark.parametrize("number", [1, 1 << 31, (1 << 31) + 7, (1 << 32) - 1, FAR, (1 << 32) + 3])
def test_a_context_that_comes_late_waits_too(contexts: Contexts, number: int) -> None:
    """Words hold the low half of a number that only grows, so a fresh word may not be 0."""
    contexts.create(1)
    for before in range(number >> 28, -1, -1):
        last = number - (before << 28)
        for passed in (last - 1023, last - 1022, last):  # the words of the next two, and its own
            if passed > 0:
                contexts.host_function(1, passed)
                lib.vx_callback_done(contexts.worker.vx, passed)
    contexts.create(2)
    for index in (1, 2):
        place = contexts.host_function(index, number + index)
        assert not contexts.may_go_on(place)
        lib.vx_callback_done(contexts.worker.vx, number + index)
        assert contexts.may_go_on(place)


def test_streams_of_a_context_that_ends_wait_no_more(contexts: Contexts) -> None:
    contexts.create(1)
    places = [contexts.host_function(1, number) for number in (1, 2, 1024)]
    contexts.destroy(1)
    assert all(contexts.may_go_on(place) for place in places)


def test_acknowledgements_without_any_context_count(contexts: Contexts) -> None:
    """Else a session could announce fewer and fewer functions at a time."""
    for index in (1, 2, 3):
        contexts.create(index)
        for number in range(1, lib.VX_CALLBACKS + 1):
            contexts.host_function(index, number)
        contexts.destroy(index)()
        for number in range(1, lib.VX_CALLBACKS + 1):
            lib.vx_callback_done(contexts.worker.vx, number)


def test_the_region_is_registered_in_a_context_that_lives(contexts: Contexts) -> None:
    driver = contexts.worker.driver
    for index in (1, 2, 3):
        contexts.create(index)
    assert driver.symbols.count(REGISTER) == 1
    contexts.destroy(3)()
    assert driver.symbols.count(REGISTER) == 1
    contexts.destroy(1)()
    assert driver.symbols.count(REGISTER) == 2
    assert [s for s in driver.symbols if s in (REGISTER, DESTROY)][-2:] == [DESTROY, REGISTER]
    contexts.destroy(2)()
    contexts.create(4)
    assert driver.symbols.count(REGISTER) == 3


def test_the_region_moves_on_from_a_context_that_ends_meanwhile(contexts: Contexts) -> None:
    for index in (1, 2, 3):
        contexts.create(index)
    first, second = contexts.destroy(1), contexts.destroy(2)
    first()
    assert contexts.worker.resources.region == handle(3)
    second()
    assert contexts.worker.resources.region == handle(3)
    contexts.worker.driver.fails[REGISTER] = ALREADY_REGISTERED
    contexts.destroy(3)()
    assert contexts.worker.resources.region == 0


@pytest.mark.parametrize("failing", ["cuMemHostAlloc", "cuMemHostGetDevicePointer_v2", REGISTER])
def test_a_context_that_lacks_something_is_not_left_behind(
    contexts: Contexts, failing: str
) -> None:
    worker = contexts.worker
    worker.driver.fails[failing] = OUT_OF_MEMORY
    with pytest.raises(CallError):
        contexts.create(1)
    assert worker.driver.symbols.count(DESTROY) == 1
    assert not worker.resources.contexts


def test_a_device_has_one_primary_context(contexts: Contexts) -> None:
    worker = contexts.worker
    primary_retain(worker, worker.request("vgpuPrimaryRetain", device=0, context=handle(1)))
    with pytest.raises(CallError):
        primary_retain(worker, worker.request("vgpuPrimaryRetain", device=0, context=handle(2)))
    assert list(worker.resources.contexts) == [handle(1)]
