# SPDX-License-Identifier: Apache-2.0
"""The byte streams of a command: from a descriptor into messages, and from messages into one.

A source reads only what the peer has room for, and a sink holds no more than it has given room
for: nothing is lost, and nothing grows, however long either end does not read. Both run in a loop
over a selector whose keys carry what is to be called.
"""

from __future__ import annotations

import array
import errno
import fcntl
import os
import selectors
import termios
from collections.abc import Callable

from idm.errors import ChannelError
from idm.xen.exec_messages import CHUNK, CLOSED, CREDIT, DATA, END, NUMBER, WINDOW, unpack_number

Send = Callable[[int, int, bytes], None]  # kind, number of the stream, payload
GIVE_BACK = WINDOW // 4  # room is given back in pieces of at least this


def follow(selector: selectors.BaseSelector, fd: int, events: int, act: Callable[[], None]) -> None:
    """Have `act` called on these events; on none, forget the descriptor."""
    known = selector.get_map().get(fd)
    if not events:
        if known:
            selector.unregister(fd)
    elif not known:
        selector.register(fd, events, act)
    elif known.events != events:
        selector.modify(fd, events, act)


class Source:
    """Sends what a descriptor has to say, until its end or until nobody reads it any more."""

    def __init__(
        self, selector: selectors.BaseSelector, fd: int, number: int, send: Send, *, owned: bool
    ) -> None:
        self._selector = selector
        self._fd = fd
        self._number = number
        self._send = send
        self._owned = owned
        self._room = WINDOW
        self._left: int | None = None  # bytes to send before the end, when the writer is gone
        self.ended = False
        self._follow()

    def credit(self, payload: bytes) -> None:
        """The peer has room for more. Raises ChannelError."""
        self._room += unpack_number(payload)
        if self._room > WINDOW:
            raise ChannelError(f"stream {self._number} has room for {self._room} bytes")
        self._follow()
        self._drain()

    def finish(self, most: int | None = None) -> None:
        """Send what is there now, and no more: its writer has ended, others may hold it open.

        `most` is for a terminal, which does not say how much is there: until nothing is.
        """
        if self.ended:
            return
        if most is None:
            waiting = array.array("i", [0])
            fcntl.ioctl(self._fd, termios.FIONREAD, waiting)
            most = waiting[0]
        self._left = most
        self._check_end()
        self._drain()

    def close(self) -> None:
        """Stop reading, and say no more."""
        if self.ended:
            return
        self.ended = True
        follow(self._selector, self._fd, 0, self._readable)
        if self._owned:
            os.close(self._fd)

    def _follow(self) -> None:
        if not self.ended:
            events = selectors.EVENT_READ if self._room else 0
            follow(self._selector, self._fd, events, self._readable)

    def _drain(self) -> None:
        """Finish as far as there is room: no event may come that would say that nothing is left."""
        while self._left is not None and self._room and not self.ended:
            self._readable()

    def _readable(self) -> None:
        count = min(CHUNK, self._room, CHUNK if self._left is None else self._left)
        try:
            data = os.read(self._fd, count)
        except BlockingIOError:
            if self._left is not None:
                self._end()
            return
        except OSError as error:
            if error.errno != errno.EIO:  # a terminal says so when all have left it
                raise
            data = b""
        if not data:
            self._end()
            return
        self._room -= len(data)
        self._send(DATA, self._number, data)
        if self._left is not None:
            self._left -= len(data)
        self._check_end()
        self._follow()

    def _check_end(self) -> None:
        if self._left == 0:
            self._end()

    def _end(self) -> None:
        self._send(END, self._number, b"")
        self.close()


class Sink:
    """Writes what comes, and gives the peer room as it goes."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        fd: int,
        number: int,
        send: Send,
        *,
        owned: bool,
        write_max: int,
    ) -> None:
        """`write_max`: with this many bytes, a write to a writable descriptor does not block."""
        self._selector = selector
        self._fd = fd
        self._number = number
        self._send = send
        self._owned = owned
        self._write_max = write_max
        self._waiting = bytearray()
        self._room = WINDOW  # that the peer has
        self._written = 0  # and what it could be given back
        self._ending = False
        self.closed = False

    @property
    def drained(self) -> bool:
        """Whether all that came is written."""
        return not self._waiting

    def accept(self, data: bytes) -> None:
        """Take bytes of the peer. Raises ChannelError when there are more than it has room for."""
        if len(data) > self._room or self._ending:
            raise ChannelError(f"stream {self._number}: {len(data)} bytes, room for {self._room}")
        self._room -= len(data)
        if not self.closed:
            self._waiting += data
            self._follow()

    def end(self) -> None:
        """No more will come: close when all is written."""
        self._ending = True
        if self.drained:
            self.close()

    def close(self) -> None:
        """Write no more."""
        if self.closed:
            return
        self.closed = True
        self._waiting.clear()
        self._follow()
        if self._owned:
            os.close(self._fd)

    def _follow(self) -> None:
        events = selectors.EVENT_WRITE if self._waiting else 0
        follow(self._selector, self._fd, events, self._writable)

    def _writable(self) -> None:
        try:
            count = os.write(self._fd, self._waiting[: self._write_max])
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.EIO):
                raise
            self._send(CLOSED, self._number, b"")
            self.close()
            return
        del self._waiting[:count]
        self._give_back(count)
        self._follow()
        if self._ending and self.drained:
            self.close()

    def _give_back(self, count: int) -> None:
        self._written += count
        if self._written >= GIVE_BACK:
            self._send(CREDIT, self._number, NUMBER.pack(self._written))
            self._room += self._written
            self._written = 0
