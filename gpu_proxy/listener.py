# SPDX-License-Identifier: Apache-2.0
"""A zone's unix socket: made safely, accepted from with a limit."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from pathlib import Path

from gpu_proxy import log
from gpu_proxy.errors import SocketError
from gpu_proxy.front import FrontEnd
from gpu_proxy.settings import ZoneSettings
from idm.handshake import SOCKET_NAME
from idm.transport import Front

BACKLOG = 128
PATH_MAX = 107  # of a unix socket's address
PRIVATE = ".sockets"  # where sockets are made before they are moved into the zones' directories
RETRY_SECONDS = 1.0


class UnixListener:
    """Accepts connections; all that comes through it is this zone's."""

    def __init__(
        self, runtime_dir: Path, zone: ZoneSettings, begin: Callable[[Front], bool]
    ) -> None:
        """Make directory and socket, replacing one that a killed daemon left. Raises SocketError.

        `begin` takes a connection, and says whether there is room for another handshake.
        """
        self._path = runtime_dir / zone.name / SOCKET_NAME
        self._zone = zone.name
        self._begin = begin
        self._accepting = self._closed = False
        self._socket = _listen(runtime_dir, self._path, zone)
        self.room_again()
        log.get(zone=zone.name).info("zone-listening", socket=str(self._path))

    def room_again(self) -> None:
        """Accept, if that was stopped."""
        if not self._accepting and not self._closed:
            asyncio.get_running_loop().add_reader(self._socket.fileno(), self._accept)
            self._accepting = True

    def close(self) -> None:
        """Accept no more."""
        self._pause()
        self._closed = True
        self._socket.close()
        self._path.unlink(missing_ok=True)

    def _pause(self) -> None:
        asyncio.get_running_loop().remove_reader(self._socket.fileno())
        self._accepting = False

    def _accept(self) -> None:
        try:
            connection, _ = self._socket.accept()
        except BlockingIOError:
            return
        except OSError as error:  # Out of descriptors or memory: not better at once.
            log.get(zone=self._zone).error("accept-failed", text=str(error))
            self._pause()
            asyncio.get_running_loop().call_later(RETRY_SECONDS, self.room_again)
            return
        if not self._begin(FrontEnd(connection)):
            self._pause()


def _listen(runtime_dir: Path, path: Path, zone: ZoneSettings) -> socket.socket:
    """Make a listening socket at `path`.

    The zone's owner can write its directory, so nothing there is followed or trusted: the socket is
    made in a private place and moved in; a rename replaces whatever had the name.
    """
    made = runtime_dir / PRIVATE / zone.name[:32]
    for candidate in (path, made):
        if len(os.fsencode(candidate)) > PATH_MAX:
            raise SocketError(f"{candidate} is longer than the {PATH_MAX} bytes of a socket's path")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        _make_directory(path.parent, zone)
        made.unlink(missing_ok=True)
        listener.bind(str(made))
        os.chown(made, zone.uid, zone.gid)
        made.chmod(0o660)
        listener.listen(BACKLOG)
        made.rename(path)
    except OSError as error:
        listener.close()
        raise SocketError(f"zone {zone.name}: {error}") from None
    listener.setblocking(False)
    return listener


def _make_directory(directory: Path, zone: ZoneSettings) -> None:
    directory.mkdir(exist_ok=True, mode=0o750)
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        os.fchown(fd, zone.uid, zone.gid)
        os.fchmod(fd, 0o750)
    finally:
        os.close(fd)
