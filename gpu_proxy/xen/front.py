# SPDX-License-Identifier: Apache-2.0
"""One application in a pod domain, as its agent presents it. Identity is the domain's channel."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from typing import Protocol

from gpu_proxy.xen.broker import Broker
from gpu_proxy.xen.memory import GrantedMemory
from idm import handshake
from idm.errors import ChannelError
from idm.transport import PackedSnapshot
from idm.xen import messages
from idm.xen.agent.session import WELCOME
from idm.xen.devices import PAGE, MappedGrants
from idm.xen.messages import Open

SHARE_SECONDS = 30.0  # how long the zone may take to grant pages that it has asked for


class Link(Protocol):
    """What a front needs of its domain's channel."""

    broker: Broker

    def send(self, kind: int, session: int, payload: bytes = b"") -> None:
        """Send a message. Raises ChannelError when the agent does not read."""

    def forget(self, number: int) -> None:
        """The session of this number is over on our side."""


class XenFront:
    """The application, over the agent."""

    def __init__(self, link: Link, number: int, opened: Open) -> None:
        self._link = link
        self._number = number
        self._opened = opened
        self.pid, self.uid = opened.pid, opened.uid
        self._on_end: Callable[[str], None] | None = None
        self._ended = ""
        self._asked: dict[int, tuple[int, asyncio.Future[tuple[int, ...]]]] = {}
        self._shared: dict[int, MappedGrants] = {}

    async def hello(self, seconds: float) -> handshake.Hello:
        """Return the hello, which came with the message that opened this. Raises Refused."""
        del seconds
        return handshake.parse_hello(self._opened.hello)

    def watch(self, on_end: Callable[[str], None]) -> None:
        """Call `on_end` when the application or its domain ends."""
        self._on_end = on_end
        if self._ended:
            on_end(self._ended)

    def ended(self, reason: str) -> None:
        """The application, the agent or the domain is gone."""
        self._ended = self._ended or reason
        for _, answer in self._asked.values():
            if not answer.done():
                answer.set_exception(BrokenPipeError(errno.EPIPE, reason))
        if self._on_end:
            self._on_end(reason)

    def host_bytes(self) -> int:
        """Return what a session costs here: the counters; the other pages are the zone's."""
        return handshake.PAGE

    async def make_memory(self, session: int) -> GrantedMemory:
        """Map what the agent has granted. Raises OSError."""
        return GrantedMemory(self._link.broker, self._opened, session)

    def welcome(
        self, hello: handshake.Hello, session: int, zone: str, snapshot: PackedSnapshot
    ) -> bool:
        """Have the agent hand the application its session."""
        name = zone.encode()[:63]
        head = WELCOME.pack(hello.features, session, name)
        return self._send(messages.WELCOME, head + snapshot.packed)

    def refuse(self, reason: int, text: str) -> None:
        """Say why there is no session."""
        self._send(messages.REFUSED, handshake.refused(reason, text))

    async def share(self, token: int, size: int) -> int:
        """Have the zone grant pages, and map them. Raises OSError."""
        if size % PAGE or token in self._asked:
            raise OSError(errno.EINVAL, "no whole number of pages, or a token twice")
        answer: asyncio.Future[tuple[int, ...]] = asyncio.get_running_loop().create_future()
        self._asked[token] = (size, answer)
        try:
            if not self._send(messages.MEMORY, messages.pack_grant(token, size, ())):
                raise BrokenPipeError(errno.EPIPE, "the agent does not read")
            refs = await asyncio.wait_for(answer, SHARE_SECONDS)
            mapped = self._link.broker.map(refs)
        except TimeoutError:
            raise BrokenPipeError(errno.EPIPE, "the agent does not answer") from None
        finally:
            del self._asked[token]
        self._shared[token] = mapped
        return mapped.fd

    def granted(self, payload: bytes, *, ok: bool) -> None:
        """The agent answers `share`. Raises ChannelError."""
        token, size, refs = messages.unpack_grant(payload)
        wanted, answer = self._asked.get(token, (0, None))
        if answer is None or answer.done():
            return  # Nobody waits any more.
        if not ok:
            answer.set_exception(OSError(errno.ENOMEM, "the zone has no more pages to grant"))
            return
        if size != wanted or len(refs) * PAGE != wanted:
            raise ChannelError(f"{len(refs)} references for {wanted} bytes")
        answer.set_result(refs)

    def unshare(self, token: int) -> None:
        """The worker has unmapped the pages: the zone may have them back."""
        self._shared.pop(token).close()
        self._send(messages.MEMORY_FREED, messages.pack_grant(token, 0, ()))

    def hang_up(self) -> None:
        """Wake everything in the application that waits for its session."""
        self._send(messages.HUNG_UP)

    def close(self) -> None:
        """Nothing of the session is mapped here any more."""
        for mapped in self._shared.values():
            mapped.close()
        self._shared.clear()
        self._send(messages.ENDED)
        self._link.forget(self._number)

    def _send(self, kind: int, payload: bytes = b"") -> bool:
        try:
            self._link.send(kind, self._number, payload)
        except ChannelError:
            return False
        return True
