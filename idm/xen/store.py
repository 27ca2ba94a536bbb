# SPDX-License-Identifier: Apache-2.0
"""A connection to xenstore: requests that wait for their answer, and watch events in between.

The wire format is that of xen/include/public/io/xs_wire.h. Requests block: xenstored is as much
trusted as the hypervisor. `pyxs` would start a thread for watches; this connection has a descriptor
to poll.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

from idm.errors import StoreError

HEADER = struct.Struct("=IIII")
PAYLOAD_MAX = 4096
DIRECTORY, READ, WATCH, UNWATCH = 1, 2, 4, 5
START_TRANSACTION, END_TRANSACTION = 6, 7
WRITE, MKDIR, RM, SET_PERMS = 11, 12, 13, 14
EVENT, ERROR, INTRODUCED = 15, 16, 17
DEVICE, SOCKET = "/dev/xen/xenbus", "/run/xenstored/socket"
TRANSACTION_TRIES = 100  # each time something else has changed a node that we had looked at
T = TypeVar("T")


class Event(NamedTuple):
    """Something below a watched path may have changed."""

    path: str
    token: str


class Store:
    """One connection. Paths without a leading slash are below the own domain's directory."""

    def __init__(self) -> None:
        """Connect through the device of a guest, else through xenstored's socket."""
        self._socket: socket.socket | None = None
        try:
            self.fd = os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)
        except OSError as refused:
            self.fd = self._connect(refused)
        self._events: deque[Event] = deque()
        self._number = self._transaction = 0
        self.on_event: Callable[[], None] | None = None  # called when one arrives during a request

    def _connect(self, refused: OSError) -> int:
        self._socket = socket.socket(socket.AF_UNIX)
        try:
            self._socket.connect(SOCKET)
        except OSError as error:
            self._socket.close()
            text = f"no xenstore: {DEVICE}: {refused.strerror}; {SOCKET}: {error.strerror}"
            raise StoreError(error.errno or errno.EIO, text) from None
        return self._socket.fileno()

    def close(self) -> None:
        """Give the connection up, and its watches with it."""
        if self._socket:
            self._socket.close()
        else:
            os.close(self.fd)

    def read(self, path: str) -> str | None:
        """Return a node's value, or None when there is no such node or it may not be read."""
        try:
            return self._ask(READ, path.encode() + b"\0").decode("utf-8", "replace")
        except StoreError as error:
            if error.errno in (errno.ENOENT, errno.EACCES):
                return None
            raise

    def children(self, path: str) -> list[str]:
        """Return the names below a node; none when there is no such node."""
        try:
            names = self._ask(DIRECTORY, path.encode() + b"\0")
        except StoreError as error:
            if error.errno in (errno.ENOENT, errno.EACCES):
                return []
            raise
        return [name.decode("utf-8", "replace") for name in names.split(b"\0") if name]

    def write(self, path: str, value: str | int) -> None:
        """Write a node, making what is above it."""
        self._ask(WRITE, path.encode() + b"\0" + str(value).encode())

    def mkdir(self, path: str) -> None:
        """Make a node if it is not there."""
        self._ask(MKDIR, path.encode() + b"\0")

    def remove(self, path: str) -> None:
        """Remove a node and all below it; it need not be there."""
        try:
            self._ask(RM, path.encode() + b"\0")
        except StoreError as error:
            if error.errno != errno.ENOENT:
                raise

    def set_permissions(self, path: str, permissions: Sequence[str]) -> None:
        """Set who may do what: `n3` owner 3 and nobody else, `r5` domain 5 may read."""
        words = b"".join(text.encode() + b"\0" for text in (path, *permissions))
        self._ask(SET_PERMS, words)

    def is_introduced(self, domain: int) -> bool:
        """Return whether a domain is there and alive."""
        return self._ask(INTRODUCED, f"{domain}\0".encode()).startswith(b"T")

    def transact(self, work: Callable[[], T]) -> T:
        """Let all requests of `work` take effect at once, or none. It may be called repeatedly."""
        for _ in range(TRANSACTION_TRIES):
            self._transaction = int(self._ask(START_TRANSACTION, b"\0").rstrip(b"\0"))
            try:
                result = work()
            except BaseException:
                self._end_transaction(commit=False)
                raise
            if self._end_transaction(commit=True):
                return result
        raise StoreError(errno.EAGAIN, "other domains keep changing the same nodes")

    def _end_transaction(self, *, commit: bool) -> bool:
        """End it; False when others have changed what was looked at."""
        try:
            self._ask(END_TRANSACTION, b"T\0" if commit else b"F\0")
        except StoreError as error:
            if error.errno != errno.EAGAIN:
                raise
            return False
        finally:
            self._transaction = 0
        return True

    def watch(self, path: str, token: str) -> None:
        """Report changes at and below `path`; one event comes at once."""
        self._ask(WATCH, f"{path}\0{token}\0".encode())

    def unwatch(self, path: str, token: str) -> None:
        """Report them no more."""
        self._ask(UNWATCH, f"{path}\0{token}\0".encode())

    def events(self) -> list[Event]:
        """Return what has arrived, without waiting."""
        poll = select.poll()
        poll.register(self.fd, select.POLLIN)
        while poll.poll(0):
            self._take_message()
        found = list(self._events)
        self._events.clear()
        return found

    def _ask(self, kind: int, payload: bytes) -> bytes:
        if len(payload) > PAYLOAD_MAX:
            raise StoreError(errno.E2BIG, f"{len(payload)} bytes are more than xenstore takes")
        self._number += 1
        os.write(
            self.fd, HEADER.pack(kind, self._number, self._transaction, len(payload)) + payload
        )
        while True:
            kind_of, number, body = self._take_message()
            if kind_of == EVENT:
                continue
            if number != self._number:
                raise StoreError(errno.EPROTO, "xenstore answers another request")
            if kind_of == ERROR:
                name = body.rstrip(b"\0").decode()
                where = payload.split(b"\0", 1)[0].decode()
                raise StoreError(getattr(errno, name, errno.EIO), f"{name} for {where}")
            return body

    def _take_message(self) -> tuple[int, int, bytes]:
        kind, number, _, length = HEADER.unpack(self._exactly(HEADER.size))
        body = self._exactly(length)
        if kind == EVENT:
            path, token, *_ = body.decode("utf-8", "replace").split("\0")
            self._events.append(Event(path, token))
            if self.on_event:
                self.on_event()
        return kind, number, body

    def _exactly(self, count: int) -> bytes:
        got = b""
        while len(got) < count:
            more = os.read(self.fd, count - len(got))
            if not more:
                raise StoreError(errno.EPIPE, "xenstored has gone")
            got += more
        return got
