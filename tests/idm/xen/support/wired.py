# SPDX-License-Identifier: Apache-2.0
"""Two ends of a channel in one process, without xenstore: what one sends, the other receives."""

from __future__ import annotations

import mmap
import selectors
from collections.abc import Callable

from fake_xen import STEP_SECONDS, wait_until

from idm.xen import stream
from idm.xen.stream import Message, Rings, Stream

Receiver = Callable[[Message], None]


class Wire:
    """A loop that carries messages both ways and calls what its selector says."""

    def __init__(self) -> None:
        pages = mmap.mmap(-1, stream.CHANNEL_PAGES * 4096)
        self.front = Stream(Rings(pages, is_front=True))
        self.back = Stream(Rings(pages, is_front=False))
        self.selector = selectors.PollSelector()
        self.at_front: Receiver = lambda message: None
        self.at_back: Receiver = lambda message: None
        self.log: list[Message] = []  # all that the front end has said

    def from_front(self, kind: int, number: int, payload: bytes) -> None:
        self.front.send(kind, number, payload)

    def from_back(self, kind: int, number: int, payload: bytes) -> None:
        self.back.send(kind, number, payload)

    def step(self) -> bool:
        """One round; whether anything moved."""
        to_back, moved = self.back.transfer()
        self.log += to_back
        for message in to_back:
            self.at_back(message)
        to_front, moved_too = self.front.transfer()
        for message in to_front:
            self.at_front(message)
        ready = self.selector.select(0 if moved or moved_too else STEP_SECONDS)
        for key, _ in ready:
            key.data()
        return moved or moved_too or bool(ready)

    def until(self, condition: Callable[[], object]) -> None:
        wait_until(condition, self.step)

    def until_quiet(self) -> None:
        """Until nothing can move any more."""
        wait_until(lambda: not self.step())
