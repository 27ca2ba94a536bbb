# SPDX-License-Identifier: Apache-2.0
"""Memory that is freed when a stream gets there: charged until it does."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Callable
from dataclasses import dataclass, replace

from gpu_proxy.account.holdings import Holdings, Key
from gpu_proxy.account.pools import Driver
from gpu_proxy.request import CallError

DISABLE_TIMING = 2


@dataclass(frozen=True)
class _Free:
    key: Key
    context: int  # that the memory belongs to
    event: int  # 0: nothing will tell, but for the end of that context
    event_context: int


class Leaving:
    """Frees that are queued. A free is over when the event behind it has happened."""

    def __init__(self, holdings: Holdings, driver: Callable[[], Driver]) -> None:
        self._holdings = holdings
        self._driver = driver
        self._frees: list[_Free] = []

    def __bool__(self) -> bool:
        return any(free.event for free in self._frees)

    def add(self, key: Key, context: int, stream: int | None, current: int) -> None:
        """Call after the free. `context` is the memory's, by its handle, as is the current one.

        Without a stream the free is a node of a graph, which frees nothing now.
        """
        event = 0 if stream is None else self._record(stream)
        with self._holdings.lock:
            self._frees.append(_Free(key, context, event, current))

    def _record(self, stream: int) -> int:
        event = ctypes.c_uint64()
        try:
            driver = self._driver()
            driver.call_named("cuEventCreate", ctypes.addressof(event), DISABLE_TIMING)
            driver.call_named("cuEventRecord", event.value, stream)
        except CallError:
            return 0
        return event.value

    def look(self) -> None:
        """Give back what has been freed by now."""
        with self._holdings.lock:
            self._frees = [free for free in self._frees if not self._is_over(free)]

    def context_gone(self, context: int) -> None:
        """A context is gone: so are its events, which must not be named, and its memory."""
        with self._holdings.lock:
            for free in self._frees:
                if free.context == context:
                    self._holdings.drop(free.key)
            left = [free for free in self._frees if free.context != context]
            self._frees = [
                replace(free, event=0) if free.event_context == context else free for free in left
            ]

    def _is_over(self, free: _Free) -> bool:
        try:
            if not free.event:
                return False
            self._driver().call_named("cuEventQuery", free.event)
        except CallError:
            return False  # Not yet, or never: then the context's end is what frees it.
        self._holdings.drop(free.key)
        with contextlib.suppress(CallError):
            self._driver().call_named("cuEventDestroy_v2", free.event)
        return True
