# SPDX-License-Identifier: Apache-2.0
"""One application's connection. The zone holds the other end: nothing here may ever wait for it."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import struct
from collections.abc import Callable, Sequence

from idm import handshake, memory_fd
from idm.errors import Refused
from idm.shared_memory import SessionMemory
from idm.transport import PackedSnapshot

SO_PEERPIDFD = 77  # Linux 6.5; before it the pid may be another's by the time it is opened
CREDENTIALS = struct.Struct("iII")


class FrontEnd:
    """The socket of one application process, and that process."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self._socket = connection
        self._loop = asyncio.get_running_loop()
        raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
        self.pid, self.uid, self.gid = CREDENTIALS.unpack(raw)
        self._pidfd = self._open_pidfd()
        self._memory: SessionMemory | None = None
        self._shared: dict[int, int] = {}  # token: descriptor

    def _open_pidfd(self) -> int:
        """Return a descriptor of the process, or -1 when it is gone or cannot be seen."""
        try:
            return self._socket.getsockopt(socket.SOL_SOCKET, SO_PEERPIDFD)
        except OSError as error:
            if error.errno != errno.ENOPROTOOPT:
                return -1
        try:
            return os.pidfd_open(self.pid) if self.pid > 0 else -1
        except OSError:
            return -1

    async def hello(self, seconds: float) -> handshake.Hello:
        """Wait for the hello. Raises Refused."""
        arrived: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_reader(self._socket.fileno(), _set_once, arrived)
        try:
            await asyncio.wait_for(arrived, seconds)
            message = self._socket.recv(handshake.HELLO.size + 1, socket.MSG_DONTWAIT)
        except TimeoutError:
            raise Refused(
                handshake.REFUSED_MALFORMED, f"no hello in {seconds:.0f} seconds"
            ) from None
        except OSError as error:
            raise Refused(handshake.REFUSED_MALFORMED, f"no hello: {error.strerror}") from None
        finally:
            self._loop.remove_reader(self._socket.fileno())
        if not message:
            raise Refused(handshake.REFUSED_MALFORMED, "closed before the hello")
        return handshake.parse_hello(message)

    def watch(self, on_end: Callable[[str], None]) -> None:
        """Call `on_end` with a reason when the process ends, closes, or says anything more."""
        if self._pidfd >= 0:
            self._loop.add_reader(self._pidfd, self._exited, on_end)
        self._loop.add_reader(self._socket.fileno(), self._readable, on_end)

    def _exited(self, on_end: Callable[[str], None]) -> None:
        self._loop.remove_reader(self._pidfd)
        on_end("application-exited")

    def _readable(self, on_end: Callable[[str], None]) -> None:
        try:
            said = self._socket.recv(1, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            said = b""
        self._loop.remove_reader(self._socket.fileno())
        on_end("malformed: message after the hello" if said else "closed")

    def host_bytes(self) -> int:
        """Return what a session costs before it does anything: its region and counters."""
        return SessionMemory.host_bytes()

    async def make_memory(self, session: int) -> SessionMemory:
        """Allocate region, doorbells and counters; a thread does it, for it takes a while."""
        self._memory = await asyncio.to_thread(SessionMemory.create, session)
        return self._memory

    def welcome(
        self, hello: handshake.Hello, session: int, zone: str, snapshot: PackedSnapshot
    ) -> bool:
        """Hand the application its session. False: it does not read."""
        assert self._memory is not None
        ports = [0] * (1 + handshake.DOORBELLS)
        message = handshake.welcome(hello.features, session, len(snapshot.packed), zone, ports)
        return self._send(message, self._memory.for_front(snapshot.fd))

    def refuse(self, reason: int, text: str) -> None:
        """Say why there is no session; an application that does not read does without."""
        self._send(handshake.refused(reason, text))

    async def share(self, token: int, size: int) -> int:
        """Make a memfd that the application receives too. Raises OSError.

        Allocating gigabytes takes a while, so a thread does it and other sessions go on.
        """
        name = f"vgpu-pinned-{self.pid}"
        making = self._loop.run_in_executor(None, memory_fd.create, name, size)
        try:
            fd = await asyncio.shield(making)
        except asyncio.CancelledError:
            making.add_done_callback(_discard_result)
            raise
        self._shared[token] = fd
        if not self._send(handshake.memory(token, size), [fd]):
            raise BrokenPipeError(errno.EPIPE, "the application does not read")
        return fd

    def unshare(self, token: int) -> None:
        """Free the pages at once; a thread does it, for it takes a while."""
        self._loop.run_in_executor(None, memory_fd.discard, self._shared.pop(token))

    def _send(self, payload: bytes, fds: Sequence[int] = ()) -> bool:
        """Send at once or not at all. False: the peer does not read, or is gone."""
        try:
            socket.send_fds(self._socket, [payload], fds, socket.MSG_DONTWAIT)
        except OSError:
            return False
        return True

    def hang_up(self) -> None:
        """Wake everything in the application that waits on the socket."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # The peer has closed already.

    def close(self) -> None:
        """Give up all descriptors, and free all shared pages."""
        for token in list(self._shared):
            self.unshare(token)
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()
        if self._pidfd >= 0:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1


def _discard_result(making: asyncio.Future[int]) -> None:
    """The session ended while its memory was made; nobody else closes it."""
    if not making.cancelled() and making.exception() is None:
        memory_fd.discard(making.result())


def _set_once(arrived: asyncio.Future[None]) -> None:
    if not arrived.done():
        arrived.set_result(None)
