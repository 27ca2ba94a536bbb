# SPDX-License-Identifier: Apache-2.0
"""How often something may happen: at most so many times in a window of time."""

from __future__ import annotations

import time


class Pace:
    """Counts events; each window starts afresh."""

    def __init__(self, most: int, seconds: float) -> None:
        self._most = most
        self._seconds = seconds
        self._start = 0.0
        self._count = 0

    def within(self) -> bool:
        """Count one event; false when there were more than allowed in this window."""
        now = time.monotonic()
        if now - self._start >= self._seconds:
            self._start, self._count = now, 0
        self._count += 1
        return self._count <= self._most
