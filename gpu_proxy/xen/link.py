# SPDX-License-Identifier: Apache-2.0
"""One pod domain: its channel, and the sessions that come through it."""

from __future__ import annotations

import asyncio

from gpu_proxy import log
from gpu_proxy.pace import Pace
from gpu_proxy.xen.back_channel import BackChannel
from gpu_proxy.xen.front import XenFront
from gpu_proxy.zone import Zone
from idm import handshake
from idm.errors import ChannelError
from idm.xen import messages
from idm.xen.messages import Open
from idm.xen.nodes import GPU
from idm.xen.store import Store
from idm.xen.stream import Message

FRONTS_MAX = 1024  # connections of one domain, those that are ending included
CONNECTS_PER_SECOND = 4  # an agent that begins again and again has to wait


class DomainLink:
    """Carries messages between a domain's agent and its zone's sessions."""

    def __init__(self, store: Store, domain: int, own: int, zone: Zone) -> None:
        self.domain = domain
        self.zone = zone
        self._fronts: dict[int, XenFront] = {}
        self._log = log.get(zone=zone.name, domain=domain)
        self._channel = BackChannel(store, GPU, domain, own, self._channel_ended)
        self.broker = self._channel.broker
        self._loop = asyncio.get_running_loop()
        self._watched = -1
        self._moving = self._waiting = self._closed = False
        self._connects = Pace(CONNECTS_PER_SECOND, 1.0)
        self._channel.start()

    def look(self) -> None:
        """The front end's nodes have changed."""
        if self._closed:
            return
        was = self._channel.connected
        if not self._channel.look(self._connects.within) and not self._waiting:
            self._waiting = True
            self._loop.call_later(1.0, self._look_again)
        self._watch_events()
        if self._channel.connected and not was:
            self._log.info("domain-connected")

    def _look_again(self) -> None:
        self._waiting = False
        self.look()

    def send(self, kind: int, session: int, payload: bytes = b"") -> None:
        """Send a message; it goes out before anything else of this loop happens."""
        self._channel.send(kind, session, payload)
        if not self._moving:
            self._moving = True
            self._loop.call_soon(self._move)

    def forget(self, number: int) -> None:
        """A session is over: its number may be used again."""
        self._fronts.pop(number, None)

    def close(self, *, domain_is_alive: bool) -> None:
        """End the channel and all sessions."""
        self._move()
        self._closed = True
        self._unwatch_events()
        self._channel.close(domain_is_alive=domain_is_alive)

    def _watch_events(self) -> None:
        events = self._channel.events
        fd = events.fd if events else -1
        if fd != self._watched:
            self._unwatch_events()
            if fd >= 0:
                self._loop.add_reader(fd, self._move)
            self._watched = fd

    def _unwatch_events(self) -> None:
        if self._watched >= 0:
            self._loop.remove_reader(self._watched)
            self._watched = -1

    def _move(self) -> None:
        """Carry messages both ways. A broken channel ends, and every other goes on."""
        self._moving = False
        try:
            self._take(self._channel.transfer())
        except ChannelError as error:
            self._end(f"malformed: {error}")
        if self._channel.front_is_gone():
            self._end("the agent is gone")

    def _take(self, received: list[Message]) -> None:
        for message in received:
            self._received(message)

    def _end(self, reason: str) -> None:
        self._unwatch_events()
        self._channel.end(reason)
        self.look()

    def _channel_ended(self, reason: str) -> None:
        self._log.warning("domain-disconnected", reason=reason)
        self._unwatch_events()
        for front in list(self._fronts.values()):
            front.ended(reason)
        self._fronts.clear()

    def _received(self, message: Message) -> None:
        front = self._fronts.get(message.session)
        match message.kind:
            case messages.OPEN:
                self._open(message)
            case messages.CLOSE if front:
                front.ended("closed")
            case messages.GRANTED | messages.UNGRANTED if front:
                front.granted(message.payload, ok=message.kind == messages.GRANTED)
            case messages.CLOSE | messages.GRANTED | messages.UNGRANTED:
                return  # The session has ended meanwhile.
            case _:
                raise ChannelError(f"message {message.kind} is unknown")

    def _open(self, message: Message) -> None:
        if message.session in self._fronts:
            raise ChannelError(f"session {message.session} is open already")
        if len(self._fronts) >= FRONTS_MAX:
            raise ChannelError(f"more than {FRONTS_MAX} sessions at once")
        front = XenFront(self, message.session, Open.unpack(message.payload))
        if not self.zone.has_room():
            text = f"zone {self.zone.name} has too many sessions that begin"
            front.refuse(handshake.REFUSED_SESSIONS, text)
            front.close()
            return
        self._fronts[message.session] = front
        self.zone.begin(front)
