# SPDX-License-Identifier: Apache-2.0
"""The driver domain's end of a channel: maps what the zone publishes, and lets go of it again."""

from __future__ import annotations

from collections.abc import Callable

from gpu_proxy.xen.broker import Broker
from idm.errors import ChannelError
from idm.xen import messages, nodes
from idm.xen.devices import EventFile, MappedGrants
from idm.xen.nodes import State
from idm.xen.store import Store
from idm.xen.stream import ALIVE_AT, BACK_AT, CHANNEL_PAGES, Message, Rings, Stream

REPORT_MAX = 200


class BackChannel:
    """One channel to one domain. `on_end(reason)` is called whenever a connected one ends."""

    def __init__(
        self,
        store: Store,
        device: str,
        domain: int,
        own: int,
        on_end: Callable[[str], None],
        index: int = 0,
    ) -> None:
        self._store = store
        self.broker = Broker(domain)
        self._on_end = on_end
        self._front = nodes.front_path(domain, device, index)
        self._back = nodes.back_path(own, device, domain, index)
        self._generation = nodes.new_generation()
        self._peer = ""  # generation of the front end that is connected
        self._refused = ""  # and of one that was not worth connecting to
        self._pages: MappedGrants | None = None
        self._stream: Stream | None = None
        self.events: EventFile | None = None
        self._port = 0

    @property
    def connected(self) -> bool:
        """Whether there is a front end."""
        return self._stream is not None

    def start(self) -> None:
        """Say that a front end may publish its channel."""
        self._store.watch(self._front, self._front)
        self._write("version", messages.VERSION)
        self._write("generation", self._generation)
        self._write("state", int(State.READY))

    def look(self, may_connect: Callable[[], bool]) -> bool:
        """Look at the front end's nodes and follow them. False: it may not connect yet."""
        state = nodes.state_of(self._store, self._front)
        if state in (None, State.MADE, State.CLOSING, State.CLOSED):
            self.end("the front end has closed")
            return True
        generation = self._store.read(f"{self._front}/generation") or ""
        seen = self._store.read(f"{self._front}/seen") or ""
        if self._peer and generation != self._peer:
            self.end("the front end has begun again")
        if self._peer or seen != self._generation or generation in ("", self._refused):
            return True
        if not may_connect():
            return False
        try:
            self._connect(nodes.read_published(self._store, self._front, CHANNEL_PAGES))
        except (ChannelError, OSError) as error:
            self._refused = generation
            self._let_go()
            self._write("error", str(error)[:REPORT_MAX])
            self._on_end(f"no channel: {error}")
        return True

    def _connect(self, published: nodes.Published) -> None:
        if published.version != messages.VERSION:
            raise ChannelError(
                f"this back end speaks version {messages.VERSION}, the agent {published.version}"
            )
        self._pages = self.broker.map(published.refs)
        self.events, (self._port,) = self.broker.bind([published.port])
        self._pages.notify(BACK_AT + ALIVE_AT, self._port)
        self._stream = Stream(Rings(self._pages.map(), is_front=False))
        self._peer = published.generation
        self._write("seen", self._peer)
        self._write("state", int(State.CONNECTED))

    def _write(self, name: str, value: str | int) -> None:
        path = f"{self._back}/{name}"
        self._store.write(path, value)

    def send(self, kind: int, session: int = 0, payload: bytes = b"") -> None:
        """Send a message, or drop it when nobody is connected. Raises ChannelError."""
        if self._stream is not None:
            self._stream.send(kind, session, payload)

    def transfer(self) -> list[Message]:
        """Take in events and move what goes. Raises ChannelError."""
        if self._stream is None or self.events is None:
            return []
        self.events.clear()
        received, wake = self._stream.transfer()
        if wake:
            self.events.notify(self._port)
        return received

    def front_is_gone(self) -> bool:
        """Return whether the zone's kernel has said that the agent is dead."""
        return self._stream is not None and not self._stream.peer_is_alive()

    def end(self, reason: str) -> None:
        """Unmap, tell, and be ready for the next front end."""
        if not self._peer:
            return
        self._peer = ""
        self._on_end(reason)
        self._let_go()
        self._write("state", int(State.READY))

    def _let_go(self) -> None:
        if self._stream:
            self._stream.close()
        if self._pages:
            self._pages.close()
        if self.events:
            self.events.close()
        self._stream = self._pages = self.events = None

    def close(self, *, domain_is_alive: bool) -> None:
        """End for good."""
        if self._peer:
            self._on_end("the back end stops")
        self._peer = ""
        self._let_go()
        if domain_is_alive:
            self._write("state", int(State.CLOSED))
            self._store.unwatch(self._front, self._front)
