# SPDX-License-Identifier: Apache-2.0
"""Waiting for conditions, never for a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
SECONDS = 240  # a busy machine makes emulation ten times slower
POLL_SECONDS = 0.1


def wait_until(
    condition: Callable[[], T], what: str, seconds: float = SECONDS, every: float = POLL_SECONDS
) -> T:
    """What the condition returns when it is true; the test fails with `what` when that does not come."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"still not so after {seconds} s: {what}")
        time.sleep(every)
