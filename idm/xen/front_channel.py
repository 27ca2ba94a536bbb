# SPDX-License-Identifier: Apache-2.0
"""The zone's end of a channel: grants it, publishes it, and begins again when it must."""

from __future__ import annotations

from collections.abc import Callable

from idm.xen import messages, nodes
from idm.xen.devices import EventFile, GrantedPages
from idm.xen.nodes import State
from idm.xen.store import Store
from idm.xen.stream import ALIVE_AT, CHANNEL_PAGES, FRONT_AT, Message, Rings, Stream


class FrontChannel:
    """One channel; `directory` is its front directory below the own domain's."""

    def __init__(self, store: Store, directory: str, log: Callable[[str], None]) -> None:
        self._store = store
        self._log = log
        self.directory = directory
        self.back = -1  # domain id of the back end, once known
        self._backend = ""
        self._seen = self._generation = ""
        self._pages: GrantedPages | None = None
        self.events: EventFile | None = None
        self._port = 0
        self._stream: Stream | None = None
        self.connected = False

    def look(self) -> bool:
        """Look at the back end's nodes and follow them. True: the old channel has ended."""
        if not self._backend and not self._find_back():
            return False
        state = nodes.state_of(self._store, self._backend)
        generation = self._store.read(f"{self._backend}/generation") or ""
        ended = False
        if self._generation and (generation != self._seen or state in (None, State.CLOSED)):
            self.end("the back end has begun again" if generation else "the back end has gone")
            ended = True
        if not self._generation and generation and state == State.READY:
            self._publish(generation)
        elif self._generation and state == State.CONNECTED and not self.connected:
            self.connected = self._store.read(f"{self._backend}/seen") == self._generation
            if self.connected:
                self._write("state", int(State.CONNECTED))
        return ended

    def _find_back(self) -> bool:
        backend = self._store.read(f"{self.directory}/backend")
        domain = self._store.read(f"{self.directory}/backend-id")
        if not backend or not domain or not domain.isdecimal():
            return False
        self._backend, self.back = backend, int(domain)
        self._store.watch(self._backend, self._backend)
        return True

    def _publish(self, seen: str) -> None:
        self._pages = GrantedPages(self.back, CHANNEL_PAGES)
        self.events = EventFile()
        self._port = self.events.allocate(self.back)
        self._stream = Stream(Rings(self._pages.map(), is_front=True))
        self._pages.notify(FRONT_AT + ALIVE_AT, self._port)
        self._generation, self._seen = nodes.new_generation(), seen
        self._write("version", messages.VERSION)
        self._write("generation", self._generation)
        self._write("seen", seen)
        self._write("ring-refs", " ".join(map(str, self._pages.refs)))
        self._write("event-channel", self._port)
        self._write("state", int(State.PUBLISHED))

    def _write(self, name: str, value: str | int) -> None:
        self._store.write(f"{self.directory}/{name}", value)

    def send(self, kind: int, session: int = 0, payload: bytes = b"") -> None:
        """Send a message, or drop it when there is no channel. Raises ChannelError."""
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

    def back_is_gone(self) -> bool:
        """Return whether the back end's kernel has said that it unmapped the channel."""
        return self.connected and self._stream is not None and not self._stream.peer_is_alive()

    def end(self, why: str) -> None:
        """Let go of the channel; the next look may publish a new one."""
        if not self._generation:
            return
        self._log(f"channel {self.directory} ends: {why}")
        self._let_go()

    def close(self) -> None:
        """Let go of the channel for good: its nodes are gone."""
        if self._backend:
            self._store.unwatch(self._backend, self._backend)
            self._backend = ""
        self._let_go()

    def _let_go(self) -> None:
        self._generation, self.connected = "", False
        if self._stream:
            self._stream.close()
        if self._pages:
            self._pages.close()
        if self.events:
            self.events.close()
        self._stream = self._pages = self.events = None
