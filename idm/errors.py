# SPDX-License-Identifier: Apache-2.0
"""Every error of the contract.

IdmError
└── Refused    a front end gets no session; carries the reason that it is told
"""

from __future__ import annotations


class IdmError(Exception):
    """Base of all errors of this package; its text is one line for a person."""


class Refused(IdmError):
    """A front end gets no session."""

    def __init__(self, reason: int, text: str) -> None:
        super().__init__(text)
        self.reason = reason
