# SPDX-License-Identifier: Apache-2.0
"""Contexts: charged for what each takes by itself, and for the libraries in it.

A library belongs to no context, but the driver loads it into each one that uses it. Which do, the
driver does not say, so it is charged once for each.
"""

from __future__ import annotations

from collections.abc import Container

from gpu_proxy.account.holdings import INVALID_HANDLE, Holdings, Key
from gpu_proxy.request import CallError


class Contexts:
    """The contexts and libraries of a session, by their handles."""

    def __init__(self, holdings: Holdings, context_bytes: int) -> None:
        self._holdings = holdings
        self.context_bytes = context_bytes
        self._contexts: set[int] = set()
        self._libraries: dict[int, int] = {}  # bytes

    def enter(self, context: int) -> None:
        """Charge for a context that is about to be made. Raises OverQuota."""
        own: dict[Key, int] = {("context", context): self.context_bytes}
        with self._holdings.lock:
            _expect_new(context, self._contexts)
            self._take(own | {_key(n, context): size for n, size in self._libraries.items()})
            self._contexts.add(context)

    def leave(self, context: int) -> None:
        """A context is gone, or was not made."""
        with self._holdings.lock:
            self._contexts.discard(context)
            self._drop([("context", context), *(_key(n, context) for n in self._libraries)])

    def load(self, library: int, size: int) -> None:
        """Charge for a library that is about to be loaded. Raises OverQuota."""
        with self._holdings.lock:
            _expect_new(library, self._libraries)
            self._take({_key(library, context): size for context in self._contexts})
            self._libraries[library] = size

    def unload(self, library: int) -> None:
        """A library is gone, or was not loaded."""
        with self._holdings.lock:
            self._libraries.pop(library, None)
            self._drop([_key(library, context) for context in self._contexts])

    def _take(self, amounts: dict[Key, int]) -> None:
        taken = []
        try:
            for key, amount in amounts.items():
                self._holdings.take(key, amount)
                taken.append(key)
        except CallError:
            self._drop(taken)
            raise

    def _drop(self, keys: list[Key]) -> None:
        for key in keys:
            self._holdings.drop(key)


def _expect_new(handle: int, known: Container[int]) -> None:
    """A front end may name two by one handle; the end of one would free the charge of both."""
    if handle in known:
        raise CallError(INVALID_HANDLE)


def _key(library: int, context: int) -> Key:
    return ("library", library, context)
