# SPDX-License-Identifier: Apache-2.0
"""Room in the quota: what pools and graphs keep unused is given back before a call fails."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from gpu_proxy._executor import lib
from gpu_proxy.account.holdings import INVALID_HANDLE, OverQuota
from gpu_proxy.request import CallError, Later

if TYPE_CHECKING:
    from gpu_proxy.worker import Worker

T = TypeVar("T")
Results = dict[str, bytes] | None


def with_room(worker: Worker, action: Callable[[], Results | Later]) -> Results | Later:
    """Run `action`. Where the quota refuses it, once more on a lane, when there may be room."""
    try:
        return action()
    except OverQuota:
        if not worker.account.reclaimable:
            raise
    return Later(lambda: _finished(_again(worker, action)))


def on_lane(worker: Worker, action: Callable[[], T]) -> T:
    """The same on a lane, which may wait for room."""
    try:
        return action()
    except OverQuota:
        return _again(worker, action)


def _again(worker: Worker, action: Callable[[], T]) -> T:
    make_room(worker)
    try:
        return action()
    except OverQuota:
        worker.account.reclaim()  # What it has tried may have left something behind.
        raise


def make_charged(worker: Worker, handle: int, amount: int, make: Callable[[], T]) -> T:
    """Make an object that takes device memory: charged before, and for as long as it lives."""
    if worker.account.held(("object", handle)):
        raise CallError(INVALID_HANDLE)  # The end of one would free the charge of both.
    key = worker.account.new_key("making")
    worker.account.take(key, amount)
    try:
        made = make()
    except CallError:
        worker.account.drop(key)
        raise
    worker.account.move(key, ("object", handle))
    return made


def make_room(worker: Worker) -> None:
    """Wait for frees behind other work, as a driver does that is out of memory. On a lane only."""
    if not lib.vx_capture_count(worker.vx):  # A wait for the whole context would spoil a capture.
        with contextlib.suppress(CallError):
            worker.driver.call_named("cuCtxSynchronize")
    worker.account.reclaim()


def _finished(result: Results | Later) -> Results:
    return result.finish() if isinstance(result, Later) else result
