# SPDX-License-Identifier: Apache-2.0
"""What the zone's agent and gpu-proxy say to each other on their channel.

The agent is the zone's and its words are hostile input to gpu-proxy. Session numbers are the
agent's own. References and ports in a message belong to the domain that the channel came from,
whatever they say.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from idm import handshake
from idm.errors import ChannelError

VERSION = 1
# From the agent.
OPEN, CLOSE, GRANTED, UNGRANTED = range(1, 5)
# From gpu-proxy.
WELCOME, REFUSED, MEMORY, MEMORY_FREED, HUNG_UP, ENDED = range(11, 17)

DOORBELLS = 16  # slots with an event channel; a domain has some thousand ports in all
REGION_PAGES = handshake.REGION_BYTES // handshake.PAGE

OPENED = struct.Struct("<IIII")  # pid, uid, number of references, number of ports; hello, then both
TOKEN = struct.Struct("<QQ")  # token, bytes
REFS_MAX = 1 << 16


@dataclass(frozen=True)
class Open:
    """An application has connected to the agent; its hello, and the pages and ports for it."""

    pid: int
    uid: int
    hello: bytes
    refs: tuple[int, ...]
    ports: tuple[int, ...]

    def pack(self) -> bytes:
        """Return the payload."""
        head = OPENED.pack(self.pid, self.uid, len(self.refs), len(self.ports))
        return head + self.hello + _words(self.refs) + _words(self.ports)

    @classmethod
    def unpack(cls, payload: bytes) -> Open:
        """Check a payload of unknown origin. Raises ChannelError."""
        if len(payload) < OPENED.size + handshake.HELLO.size:
            raise ChannelError("an open message is too short")
        pid, uid, refs, ports = OPENED.unpack_from(payload)
        hello_end = OPENED.size + handshake.HELLO.size
        words = _split_words(payload[hello_end:])
        if refs != REGION_PAGES or not 1 <= ports <= 1 + DOORBELLS or len(words) != refs + ports:
            raise ChannelError(f"an open message has {refs} references and {ports} ports")
        hello = payload[OPENED.size : hello_end]
        return cls(pid, uid, hello, words[:refs], words[refs:])


def pack_grant(token: int, size: int, refs: Sequence[int]) -> bytes:
    """Return the payload of GRANTED; without references, of UNGRANTED, MEMORY and MEMORY_FREED."""
    return TOKEN.pack(token, size) + _words(refs)


def unpack_grant(payload: bytes) -> tuple[int, int, tuple[int, ...]]:
    """Return token, bytes and references. Raises ChannelError."""
    if len(payload) < TOKEN.size:
        raise ChannelError("a memory message is too short")
    token, size = TOKEN.unpack_from(payload)
    refs = _split_words(payload[TOKEN.size :])
    if len(refs) > REFS_MAX:
        raise ChannelError(f"{len(refs)} references in one message")
    return token, size, refs


def _words(values: Sequence[int]) -> bytes:
    return struct.pack(f"<{len(values)}I", *values)


def _split_words(data: bytes) -> tuple[int, ...]:
    if len(data) % 4:
        raise ChannelError("a list of words is cut short")
    return struct.unpack(f"<{len(data) // 4}I", data)
