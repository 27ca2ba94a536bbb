# SPDX-License-Identifier: Apache-2.0
"""What a handler gets, and what it may give back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from idm.codec import Request, decode, encode_results

__all__ = ["PENDING", "CallError", "Later", "Pending", "Request", "decode", "encode_results"]


@dataclass(frozen=True)
class Later:
    """What a handler returns when the rest may block: it runs on the thread's helper lane."""

    finish: Callable[[], dict[str, bytes] | None]


class Pending:
    """What a handler returns when the executor will answer, once an event has happened."""


PENDING = Pending()


class CallError(Exception):
    """A CUresult other than success; becomes the call's status. Results may come with it: a log."""

    def __init__(self, status: int, results: dict[str, bytes] | None = None) -> None:
        super().__init__(f"CUresult {status}")
        self.status = int(status)
        self.results = results
