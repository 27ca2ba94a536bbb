# SPDX-License-Identifier: Apache-2.0
"""A channel between two domains: two byte rings in granted pages, and messages on them.

The zone's side owns the pages. Each control page has one writer; both sides keep their own indexes
in private memory and check the peer's. After every change of an index the peer gets an event, so
nobody has to say that he sleeps. Control messages are few; calls do not travel here.
"""

from __future__ import annotations

import mmap
import struct
from collections import deque
from typing import NamedTuple

from idm.errors import ChannelError
from idm.xen.devices import PAGE

RING_PAGES = 8
RING_BYTES = RING_PAGES * PAGE
FRONT_AT, BACK_AT = 0, PAGE  # control pages, each written by one side only
TO_BACK_AT, TO_FRONT_AT = 2 * PAGE, 2 * PAGE + RING_BYTES
CHANNEL_PAGES = 2 + 2 * RING_PAGES
ALIVE_AT = 64  # in a control page: the byte that the kernel clears when its writer is gone
MASK = 0xFFFFFFFF

MESSAGE = struct.Struct("<IHHI")  # bytes of the payload, kind, reserved, session
PAYLOAD_MAX = 512 << 10
UNSENT_MAX = 4 << 20  # what may wait for a peer that does not read


class Message(NamedTuple):
    """One message; `session` is 0 where it belongs to none."""

    kind: int
    session: int
    payload: bytes


class Rings:
    """One side's view of the channel's pages."""

    def __init__(self, mapped: mmap.mmap, *, is_front: bool) -> None:
        self._mapped = mapped
        self._words = memoryview(mapped).cast("I")  # one store or load a word, never a part of one
        ours, theirs = (FRONT_AT, BACK_AT) if is_front else (BACK_AT, FRONT_AT)
        self._ours, self._theirs = ours // 4, theirs // 4
        self._out, self._in = (TO_BACK_AT, TO_FRONT_AT) if is_front else (TO_FRONT_AT, TO_BACK_AT)
        self._peer_alive_at = theirs + ALIVE_AT
        self._produced = self._consumed = 0
        self._words[self._ours] = self._words[self._ours + 1] = 0
        mapped[ours + ALIVE_AT] = 1

    def peer_is_alive(self) -> bool:
        """Return whether the peer has attached and its kernel has not said that it is gone."""
        return self._mapped[self._peer_alive_at] == 1

    def write(self, data: memoryview) -> int:
        """Write as much as fits; the number of bytes. Raises ChannelError."""
        used = (self._produced - self._words[self._theirs + 1]) & MASK
        if used > RING_BYTES:
            raise ChannelError("the peer has read what was never written")
        count = min(len(data), RING_BYTES - used)
        at = self._produced % RING_BYTES
        first = min(count, RING_BYTES - at)
        self._mapped[self._out + at : self._out + at + first] = data[:first]
        self._mapped[self._out : self._out + count - first] = data[first:count]
        self._produced = (self._produced + count) & MASK
        self._words[self._ours] = self._produced  # after the bytes: the peer reads it first
        return count

    def read(self) -> bytes:
        """Return all that has arrived. Raises ChannelError."""
        available = (self._words[self._theirs] - self._consumed) & MASK
        if available > RING_BYTES:
            raise ChannelError("the peer has written more than the ring holds")
        at = self._consumed % RING_BYTES
        first = min(available, RING_BYTES - at)
        data = self._mapped[self._in + at : self._in + at + first]
        data += self._mapped[self._in : self._in + available - first]
        self._consumed = (self._consumed + available) & MASK
        self._words[self._ours + 1] = self._consumed
        return data

    def close(self) -> None:
        """Let go of the pages."""
        self._words.release()
        self._mapped.close()


class Stream:
    """Messages over the rings. `ring` wakes the peer."""

    def __init__(self, rings: Rings) -> None:
        self._rings = rings
        self._unsent: deque[memoryview] = deque()
        self._unsent_bytes = 0
        self._partial = bytearray()

    def send(self, kind: int, session: int = 0, payload: bytes = b"") -> None:
        """Queue a message. Raises ChannelError when the peer has not read for long."""
        if len(payload) > PAYLOAD_MAX:
            raise ChannelError(f"a message of {len(payload)} bytes is too long")
        whole = MESSAGE.pack(len(payload), kind, 0, session) + payload
        if self._unsent_bytes + len(whole) > UNSENT_MAX:
            raise ChannelError("the peer does not read")
        self._unsent.append(memoryview(whole))
        self._unsent_bytes += len(whole)

    def transfer(self) -> tuple[list[Message], bool]:
        """Write and read what goes; the messages, and whether the peer must be woken."""
        moved = self._write()
        data = self._rings.read()
        self._partial += data
        return self._split(), moved or bool(data)

    def peer_is_alive(self) -> bool:
        """Return whether the peer is attached."""
        return self._rings.peer_is_alive()

    def close(self) -> None:
        """Let go of the pages."""
        self._rings.close()

    def _write(self) -> bool:
        moved = False
        while self._unsent:
            piece = self._unsent[0]
            count = self._rings.write(piece)
            self._unsent_bytes -= count
            moved = moved or count > 0
            if count < len(piece):
                self._unsent[0] = piece[count:]
                break
            self._unsent.popleft()
        return moved

    def _split(self) -> list[Message]:
        messages = []
        while len(self._partial) >= MESSAGE.size:
            length, kind, _, session = MESSAGE.unpack_from(self._partial)
            if length > PAYLOAD_MAX:
                raise ChannelError(f"a message of {length} bytes is too long")
            end = MESSAGE.size + length
            if len(self._partial) < end:
                break
            messages.append(Message(kind, session, bytes(self._partial[MESSAGE.size : end])))
            del self._partial[:end]
        return messages
