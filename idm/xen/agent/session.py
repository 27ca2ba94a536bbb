# SPDX-License-Identifier: Apache-2.0
"""One application of the zone: its socket, and the pages and ports that are granted for it."""

from __future__ import annotations

import os
import socket
import struct

from idm import handshake, memory_fd
from idm.xen import messages
from idm.xen.devices import PAGE, EventFile, GrantedPages

CREDENTIALS = struct.Struct("iII")
WELCOME = struct.Struct("<QQ64s")  # features, number of the session, zone; the snapshot follows


class LimitReached(Exception):
    """The session has as many granted pages as it may have."""


class Session:
    """What one connection holds until the back end has let go of it."""

    def __init__(self, number: int, connection: socket.socket, pages_max: int) -> None:
        connection.setblocking(False)
        self.number = number
        self.socket = connection
        self.pages_max = pages_max
        raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
        self.pid, self.uid, _ = CREDENTIALS.unpack(raw)
        self.opened = self.closing = False
        self._region: GrantedPages | None = None
        self._bells: list[EventFile] = []
        self._ports: list[int] = []
        self._shared: dict[int, GrantedPages] = {}
        self.pages = 0

    def take_hello(self) -> bytes:
        """Return what the application says; nothing when it has closed. Raises BlockingIOError."""
        try:
            return self.socket.recv(handshake.HELLO.size + 1, socket.MSG_DONTWAIT)
        except BlockingIOError:
            raise
        except OSError:
            return b""

    def open(self, back: int, hello: bytes) -> bytes:
        """Grant region and ports to domain `back`; the message that asks it for a session."""
        self._region = self._grant(back, messages.REGION_PAGES)
        for _ in range(1 + messages.DOORBELLS):
            bell = EventFile()
            self._bells.append(bell)
            self._ports.append(bell.allocate(back))
        refs, ports = tuple(self._region.refs), tuple(self._ports)
        self.opened = True
        return messages.Open(self.pid, self.uid, hello, refs, ports).pack()

    def _grant(self, back: int, pages: int) -> GrantedPages:
        if pages > self.pages_max - self.pages:
            raise LimitReached(f"a session may have {self.pages_max} granted pages")
        granted = GrantedPages(back, pages)
        self.pages += pages
        return granted

    def welcome(self, payload: bytes) -> bool:
        """Hand the application its descriptors. False: it does not read, or we were misled."""
        if len(payload) < WELCOME.size or self._region is None:
            return False
        features, number, zone = WELCOME.unpack_from(payload)
        snapshot = payload[WELCOME.size :]
        fd = memory_fd.create("vgpu-snapshot", len(snapshot), snapshot, read_only=True)
        name = handshake.text_of(zone)
        message = handshake.welcome(features, number, len(snapshot), name, self._ports)
        fds = [self._region.fd, fd, *(bell.fd for bell in self._bells)]
        sent = self.send(message, fds)
        os.close(fd)
        self._close_bells()
        return sent

    def share(self, back: int, token: int, size: int) -> list[int]:
        """Grant pages that the application receives too; their references."""
        if token in self._shared or size <= 0 or size % PAGE:
            raise LimitReached("a token is used twice, or a size is impossible")
        granted = self._grant(back, size // PAGE)
        self._shared[token] = granted
        if not self.send(handshake.memory(token, size), [granted.fd]):
            raise LimitReached("the application does not read")
        return granted.refs

    def unshare(self, token: int) -> None:
        """The back end has unmapped them; they go when the application has, too."""
        granted = self._shared.pop(token, None)
        if granted:
            self.pages -= granted.bytes // PAGE
            granted.close()

    def send(self, message: bytes, fds: list[int] | None = None) -> bool:
        """Send at once or not at all."""
        try:
            socket.send_fds(self.socket, [message], fds or [], socket.MSG_DONTWAIT)
        except OSError:
            return False
        return True

    def hang_up(self) -> None:
        """Wake everything in the application that waits for its session."""
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # It has closed already.

    def _close_bells(self) -> None:
        for bell in self._bells:
            bell.close()
        self._bells = []

    def close(self) -> None:
        """Give up everything."""
        self.socket.close()
        self._close_bells()
        if self._region:
            self._region.close()
            self._region = None
        for token in list(self._shared):
            self.unshare(token)
