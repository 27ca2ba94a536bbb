# SPDX-License-Identifier: Apache-2.0
"""A front end for tests: the handshake, and commands to the scripted worker."""

from __future__ import annotations

import array
import json
import mmap
import os
import select
import socket
from pathlib import Path
from typing import Any

import doorbells

from idm import handshake
from idm.transport import Doorbell

FDS_MAX = 80
STAGING_AT = handshake.REGION_BYTES - handshake.CHUNKS * handshake.CHUNK_BYTES
SLOT_AT = handshake.SLOTS_AT + 64
SECONDS = 20.0


class Refusal(Exception):
    """The back end refused."""

    def __init__(self, reason: int, text: str) -> None:
        super().__init__(text)
        self.reason = reason


def hello(**changes: Any) -> bytes:
    """Return a hello; any field can be made wrong."""
    fields: dict[str, Any] = {
        "type": handshake.MSG_HELLO, "magic": handshake.MAGIC, "lowest": 1, "highest": 1,
        "features": 0, "base": 0, "size": 0, "program": b"test",
    } | changes  # fmt: skip
    return handshake.HELLO.pack(*fields.values())


def connect(path: Path) -> socket.socket:
    """Return a connected socket that has said nothing."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.settimeout(SECONDS)
    connection.connect(str(path))
    return connection


def receive(connection: socket.socket) -> tuple[bytes, list[int]]:
    """Return one message and its descriptors."""
    fds = array.array("i")
    size = socket.CMSG_SPACE(FDS_MAX * fds.itemsize)
    message, ancillary, _, _ = connection.recvmsg(4096, size)
    for _, _, data in ancillary:
        fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
    return message, list(fds)


class FrontEnd:
    """One session."""

    def __init__(self, path: Path, **changes: Any) -> None:
        self.socket = connect(path)
        self.socket.send(hello(**changes))
        message, self.fds = receive(self.socket)
        kind = int.from_bytes(message[:4], "little")
        if kind == handshake.MSG_REFUSED:
            _, reason, text = handshake.REFUSED.unpack(message)
            self.socket.close()
            raise Refusal(reason, handshake.text_of(text))
        self.welcome = handshake.WELCOME.unpack(message)
        self.number = self.welcome[5]
        self.region_fd, self.snapshot_fd, *bells = self.fds
        ports = self.welcome[8 : 8 + len(bells)]
        self.request_bell, *self.bells = map(Doorbell, bells, ports)
        self.region = mmap.mmap(self.region_fd, handshake.REGION_BYTES)

    def ring(self) -> None:
        """Wake the worker."""
        doorbells.ring(self.request_bell)

    def post(self, do: str, **arguments: Any) -> None:
        """Write a command and ring."""
        data = json.dumps({"do": do, **arguments}).encode() + b"\0"
        self.region[STAGING_AT : STAGING_AT + len(data)] = data
        self.ring()

    def ask(self, do: str, **arguments: Any) -> Any:
        """Run a command; ConnectionError when the session ends instead of answering."""
        self.post(do, **arguments)
        poll = select.poll()
        poll.register(self.bells[0].fd, select.POLLIN)
        poll.register(self.socket, select.POLLHUP)
        for fd, _ in poll.poll(SECONDS * 1000):
            if fd == self.bells[0].fd:
                doorbells.take(self.bells[0])
                return json.loads(self.region[SLOT_AT : self.region.find(b"\0", SLOT_AT)])
            raise ConnectionError("the session has ended")
        raise TimeoutError(do)

    def memory(self) -> tuple[int, int, int]:
        """Return token, bytes and descriptor of the next pinned memory."""
        message, fds = receive(self.socket)
        _, _, token, size = handshake.MEMORY.unpack(message)
        return token, size, fds[0]

    def wait_for_end(self) -> None:
        """Wait until the back end hangs up."""
        while self.socket.recv(4096):
            pass

    def close(self) -> None:
        """Leave."""
        self.region.close()
        self.socket.close()
        for fd in self.fds:
            os.close(fd)
        self.fds = []
