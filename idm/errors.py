# SPDX-License-Identifier: Apache-2.0
"""Every error of the contract.

IdmError
├── Refused         a front end gets no session; carries the reason that it is told
├── ChannelError    the peer in another domain broke the protocol of its channel
└── StoreError      xenstore refused a request, or has gone; an OSError too, with its errno
"""

from __future__ import annotations


class IdmError(Exception):
    """Base of all errors of this package; its text is one line for a person."""


class Refused(IdmError):
    """A front end gets no session."""

    def __init__(self, reason: int, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class ChannelError(IdmError):
    """The peer in another domain broke the protocol of its channel."""


class StoreError(IdmError, OSError):
    """Xenstore refused a request, or has gone."""

    def __init__(self, number: int, text: str) -> None:
        OSError.__init__(self, number, text)

    def __str__(self) -> str:
        return f"xenstore: {self.strerror}"
