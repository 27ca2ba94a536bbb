# SPDX-License-Identifier: Apache-2.0
"""Bytes that arrive ahead of the call that uses them: module images and other long inputs."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gpu_proxy._executor import lib
from gpu_proxy.handlers import handles
from gpu_proxy.handlers.generic import install
from gpu_proxy.request import CallError, Request
from gpu_proxy.resources import Upload
from idm.api.types import Kind

if TYPE_CHECKING:
    from gpu_proxy.worker import Worker

INVALID_VALUE = 1
OUT_OF_MEMORY = 2
INVALID_HANDLE = 400
UPLOAD_MAX_BYTES = 1 << 31


@handles("upload")
def upload(worker: Worker, request: Request) -> None:
    """Begin: charge the zone's host memory for the whole length.

    Nobody waits for this call, so what is refused is said by the one that wants the bytes.
    """
    total = request["total"]
    install(worker, request["upload"], Kind.UPLOAD, 1)
    fits = 0 < total <= UPLOAD_MAX_BYTES and worker.channel.charge("host", total)
    worker.resources.uploads[request["upload"]] = Upload(bytearray(total if fits else 0), not fits)


@handles("upload_data")
def upload_data(worker: Worker, request: Request) -> None:
    """One piece. Pieces come in order, so what is complete is known by a number."""
    item = worker.resources.uploads.get(request["upload"])
    offset, data = request["offset"], request["data"]
    if item is None:
        raise CallError(INVALID_HANDLE)
    if item.refused:
        return
    if offset != item.received or offset + len(data) > len(item.data):
        raise CallError(INVALID_VALUE)
    item.data[offset : offset + len(data)] = data
    item.received += len(data)


class Taken:
    """A complete upload that a call has taken. It stays charged while the call needs it."""

    def __init__(self, worker: Worker, data: bytearray) -> None:
        self._worker = worker
        self._data = data
        self._kept = False

    def give_back(self) -> None:
        """It is not needed after all."""
        self._worker.channel.release("host", len(self._data))

    def keep(self) -> int:
        """The driver keeps a copy: the bytes stay charged, and are the caller's to give back."""
        self._kept = True
        return len(self._data) - 1

    @contextmanager
    def image(self) -> Iterator[ctypes.Array[ctypes.c_char]]:
        """The bytes, and a zero after them. They are gone at the end of the block."""
        try:
            self._data.append(0)
            yield (ctypes.c_char * len(self._data)).from_buffer(self._data)
        finally:
            if not self._kept:
                self._worker.channel.release("host", len(self._data) - 1)


def take(worker: Worker, handle: int) -> Taken:
    """A complete upload. Its handle is gone with this; one method of `Taken` must follow."""
    item = worker.resources.uploads.pop(handle, None)
    lib.vx_drop(worker.vx, handle)
    if item is None:
        raise CallError(INVALID_HANDLE)
    if item.refused:
        raise CallError(OUT_OF_MEMORY)
    if item.received != len(item.data):
        worker.channel.release("host", len(item.data))
        raise CallError(INVALID_VALUE)
    return Taken(worker, item.data)
