# SPDX-License-Identifier: Apache-2.0
"""Sessions of the zone's applications over the GPU's channel.

An application connects to the agent's socket as it would to gpu-proxy's. The agent grants pages and
ports, asks gpu-proxy for a session, and hands both to the application; calls do not pass here.
"""

from __future__ import annotations

import errno
import os
import selectors
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path

from idm import handshake
from idm.errors import ChannelError
from idm.xen import messages
from idm.xen.agent.session import LimitReached, Session
from idm.xen.front_channel import FrontChannel
from idm.xen.stream import Message

LIMIT_PATH = Path("/sys/module/xen_gntalloc/parameters/limit")
BACKLOG = 128
SESSIONS_MAX = 256


class GpuSessions:
    """Listens for applications and keeps what each of them holds."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        channel: FrontChannel,
        listener: socket.socket,
        pages_max: int,
        log: Callable[[str], None],
    ) -> None:
        self._selector = selector
        self._channel = channel
        self._listener = listener
        self._pages_max = pages_max
        self._log = log
        self._sessions: dict[int, Session] = {}
        self._last = 0
        listener.setblocking(False)
        selector.register(listener, selectors.EVENT_READ, self._accept)

    def lost(self) -> None:
        """The channel has ended: every session of it is over."""
        for session in list(self._sessions.values()):
            self._drop(session)

    def received(self, message: Message) -> None:
        """Do what gpu-proxy says."""
        session = self._sessions.get(message.session)
        if session is None:
            return
        match message.kind:
            case messages.WELCOME:
                if not session.welcome(message.payload):
                    self._close(session)
            case messages.REFUSED:
                session.send(message.payload)
            case messages.MEMORY:
                self._share(session, message.payload)
            case messages.MEMORY_FREED:
                session.unshare(messages.unpack_grant(message.payload)[0])
            case messages.HUNG_UP:
                session.hang_up()
            case messages.ENDED:
                self._drop(session)
            case _:
                raise ChannelError(f"message {message.kind} is unknown")

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return
        self._last += 1
        session = Session(self._last, connection, self._pages_max)
        if len(self._sessions) >= SESSIONS_MAX:
            self._refuse(session, f"the zone's agent has {SESSIONS_MAX} sessions already")
            session.close()
            return
        self._sessions[session.number] = session
        self._selector.register(connection, selectors.EVENT_READ, partial(self._readable, session))

    def _readable(self, session: Session) -> None:
        """A hello, or the end: an application says nothing else."""
        try:
            said = session.take_hello()
        except BlockingIOError:
            return
        if session.opened or not said:
            self._close(session)
        else:
            self._open(session, said)

    def _open(self, session: Session, hello: bytes) -> None:
        if len(hello) != handshake.HELLO.size:
            self._refuse(session, f"a hello has {len(hello)} bytes, not {handshake.HELLO.size}")
        elif not self._channel.connected:
            self._refuse(session, "gpu-proxy is not connected to this domain")
        else:
            try:
                payload = session.open(self._channel.back, hello)
                self._channel.send(messages.OPEN, session.number, payload)
                return
            except OSError as error:
                self._refuse(session, describe(error))
            except (LimitReached, ChannelError) as error:
                self._refuse(session, str(error))
        self._drop(session)

    def _refuse(self, session: Session, text: str) -> None:
        self._log(f"session of pid {session.pid} refused: {text}")
        session.send(handshake.refused(handshake.REFUSED_INTERNAL, text))

    def _share(self, session: Session, payload: bytes) -> None:
        token, size, _ = messages.unpack_grant(payload)
        try:
            refs = session.share(self._channel.back, token, size)
        except (OSError, LimitReached) as error:
            text = describe(error) if isinstance(error, OSError) else str(error)
            self._log(f"session of pid {session.pid} gets no {size} bytes: {text}")
            session.unshare(token)
            answer = messages.pack_grant(token, size, ())
            self._channel.send(messages.UNGRANTED, session.number, answer)
            return
        answer = messages.pack_grant(token, size, refs)
        self._channel.send(messages.GRANTED, session.number, answer)

    def _close(self, session: Session) -> None:
        """The application is gone; its pages stay until gpu-proxy has let go of them."""
        if session.closing:
            return
        session.closing = True
        self._selector.unregister(session.socket)
        if session.opened:
            self._channel.send(messages.CLOSE, session.number)
        else:
            self._drop(session)

    def _drop(self, session: Session) -> None:
        self._sessions.pop(session.number, None)
        if not session.closing:
            session.closing = True
            self._selector.unregister(session.socket)
        session.hang_up()
        session.close()


def describe(error: OSError) -> str:
    """Return what a failed grant means, and the knob that helps."""
    if error.errno != errno.ENOSPC:
        return f"no grant: {os.strerror(error.errno or 0)}"
    limit = LIMIT_PATH.read_text().strip() if LIMIT_PATH.exists() else "unknown"
    return (
        f"no more grants: gntalloc's limit is {limit} pages ({LIMIT_PATH});"
        " raise it, and max_grant_frames in the domain's configuration"
    )
