# SPDX-License-Identifier: Apache-2.0
"""A channel in the agent's loop: its events wake the loop, its messages reach whom they are for."""

from __future__ import annotations

import selectors
from collections.abc import Callable

from idm.errors import ChannelError
from idm.xen.byte_streams import follow
from idm.xen.front_channel import FrontChannel
from idm.xen.stream import Message

Received = Callable[[Message], None]


def _nothing() -> None:
    """An event only has to wake the loop: every round moves all messages."""


class Served:
    """Carries one channel. `received` may raise ChannelError, which ends it, and then `lost`."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        channel: FrontChannel,
        received: Received,
        lost: Callable[[], None],
    ) -> None:
        self._selector = selector
        self.channel = channel
        self._received = received
        self._lost = lost
        self._watched = -1

    def look(self) -> None:
        """Follow changed nodes."""
        if self.channel.look():
            self._unwatch_events()  # a new channel's file may have the number of the old one
            self._lost()
        self._watch_events()

    def move(self) -> None:
        """Carry messages both ways until nothing moves."""
        try:
            while received := self.channel.transfer():
                for message in received:
                    self._received(message)
        except ChannelError as error:
            self._end(str(error))
        if self.channel.back_is_gone():
            self._end("the back end has unmapped it")

    def close(self) -> None:
        """Give the channel up for good."""
        self._unwatch_events()
        self.channel.close()

    def _end(self, why: str) -> None:
        self._unwatch_events()
        self.channel.end(why)
        self._lost()
        self.look()  # The back end may have begun again before this.

    def _watch_events(self) -> None:
        events = self.channel.events
        wanted = events.fd if events else -1
        if wanted != self._watched:
            self._unwatch_events()
            if wanted >= 0:
                self._selector.register(wanted, selectors.EVENT_READ, _nothing)
            self._watched = wanted

    def _unwatch_events(self) -> None:
        if self._watched >= 0:
            follow(self._selector, self._watched, 0, _nothing)
            self._watched = -1
