# SPDX-License-Identifier: Apache-2.0
"""Runs one command in a domain: announces an instance of `vgpu-exec`, and carries its streams.

A loop over a selector, for a thread or a process of its own. `signal` and `resize` may be called
from anywhere, signal handlers included.
"""

from __future__ import annotations

import os
import selectors
import time
from collections import deque
from collections.abc import Callable
from functools import partial

from gpu_proxy.domain.instances import announce_instance
from gpu_proxy.domain.remote_command import Descriptors, RemoteCommand
from gpu_proxy.errors import AgentSilent, DomainError, DomainGone, ExecutionCancelled
from gpu_proxy.xen.back_channel import BackChannel
from idm.errors import ChannelError, StoreError
from idm.xen import nodes
from idm.xen.byte_streams import follow
from idm.xen.exec_messages import Outcome, Request
from idm.xen.store import Store

RELEASED = "@releaseDomain"
START_SECONDS = 60.0
WAKE_MAX = 1024


class Execution:
    """One command; `run` returns how it ended."""

    def __init__(
        self,
        store: Store,
        domain: int,
        own: int,
        request: Request,
        descriptors: Descriptors = (0, 1, 2),
    ) -> None:
        """`store` is this execution's alone: its watches end with it. Raises DomainError."""
        try:
            request.pack()
        except ValueError as error:
            raise DomainError(str(error)) from None
        self._store = store
        self._domain = domain
        self._own = own
        self._name = store.read(f"{nodes.domain_path(domain)}/name") or str(domain)
        self._asked = False
        self._lost = ""
        self._watched = -1
        self._index = announce_instance(store, domain, own)
        self._channel = BackChannel(store, nodes.EXEC, domain, own, self._ended, self._index)
        # Poll, not epoll: a regular file may be standard input.
        self._selector = selectors.PollSelector()
        self._command = RemoteCommand(self._selector, request, descriptors, self._channel.send)
        self._actions: deque[Callable[[], None]] = deque()
        self._woken, self._wake = os.pipe()
        os.set_blocking(self._wake, False)

    def run(self, start_seconds: float = START_SECONDS) -> Outcome:
        """Run to the end. Raises DomainError, as `step` does."""
        try:
            self.begin()
            deadline = time.monotonic() + start_seconds
            while not self._command.finished:
                left = None if self._command.answered else deadline - time.monotonic()
                if left is not None and left < 0:
                    raise AgentSilent(
                        f"no agent in domain {self._name} has started the command for"
                        f" {start_seconds:.0f} s: look at xl console {self._name}"
                    )
                self.step(left)
            return self.outcome
        finally:
            self.close()

    @property
    def finished(self) -> bool:
        """Whether the command has ended and all that it wrote is written here."""
        return self._command.finished

    @property
    def outcome(self) -> Outcome:
        """How it ended. Precondition: finished."""
        assert self._command.outcome is not None
        return self._command.outcome

    def signal(self, number: int) -> None:
        """Send a signal to the command's process group; before it has started, cancel it."""
        self._do_soon(partial(self._signal, number))

    def resize(self, rows: int, columns: int) -> None:
        """Tell the command's terminal its new size."""
        self._do_soon(partial(self._command.resize, rows, columns))

    def begin(self) -> None:
        """Say that an agent may connect."""
        self._selector.register(self._woken, selectors.EVENT_READ, self._take_actions)
        self._selector.register(self._store.fd, selectors.EVENT_READ, lambda: None)
        self._store.watch(RELEASED, RELEASED)
        self._channel.start()

    def step(self, seconds: float | None) -> None:
        """Do what there is to do, then wait for more and take it in.

        Raises DomainGone, AgentSilent, ExecutionCancelled; DomainError for a broken protocol.
        """
        try:
            moved = self._move()
            looked = self._look()
            if self._lost and self._command.outcome is None:
                self._raise_lost()
            # Once round, not until nothing moves: a domain that never stops must not keep us here.
            for key, _ in self._selector.select(0 if moved or looked else seconds):
                key.data()
        except ChannelError as error:
            raise DomainError(f"domain {self._name}: its agent misbehaves: {error}") from None
        except StoreError as error:
            raise DomainError(f"domain {self._name}: {error}") from None

    def close(self) -> None:
        """Withdraw: what still runs of the command is killed."""
        if self._woken < 0:
            return
        self._command.close()
        self._unwatch_events()
        nodes.withdraw(self._store, nodes.EXEC, self._domain, self._own, self._index)
        self._channel.close(domain_is_alive=False)  # after the nodes: nothing may be written there
        self._selector.close()
        os.close(self._woken)
        os.close(self._wake)
        self._woken = -1

    def _raise_lost(self) -> None:
        """The toolstack removes a domain's nodes before Xen ends it: those tell what was lost."""
        if nodes.is_there(self._store, self._domain) and self._store.is_introduced(self._domain):
            raise AgentSilent(f"domain {self._name}: {self._lost}")
        raise DomainGone(f"domain {self._name} is gone: it was destroyed, or it has ended")

    def _do_soon(self, action: Callable[[], None]) -> None:
        self._actions.append(action)
        try:
            os.write(self._wake, b"\0")
        except BlockingIOError:
            return  # Enough of them are there to wake the loop.

    def _take_actions(self) -> None:
        os.read(self._woken, WAKE_MAX)
        while self._actions:
            self._actions.popleft()()

    def _signal(self, number: int) -> None:
        if not self._command.started:
            raise ExecutionCancelled(number)
        self._command.signal(number)

    def _look(self) -> bool:
        """Follow changed nodes; whether there is more to do at once."""
        events = self._store.events()
        if any(event.token == RELEASED for event in events) and not self._lost:
            self._lost = "" if self._store.is_introduced(self._domain) else "the domain has ended"
        if events and not self._lost:  # one channel, one command: a new agent does not know of it
            self._channel.look(lambda: True)
        self._watch_events()
        if self._channel.connected and not self._asked:
            self._asked = True
            self._command.ask()
            return True
        return bool(events)

    def _move(self) -> bool:
        """Carry messages both ways; whether any came. Raises ChannelError."""
        received = self._channel.transfer()
        for message in received:
            self._command.received(message)
        if self._channel.front_is_gone():
            self._unwatch_events()
            self._channel.end("its agent is gone")
        return bool(received)

    def _ended(self, reason: str) -> None:
        self._lost = reason

    def _watch_events(self) -> None:
        events = self._channel.events
        fd = events.fd if events else -1
        if fd != self._watched:
            self._unwatch_events()
            if fd >= 0:
                self._selector.register(fd, selectors.EVENT_READ, lambda: None)
            self._watched = fd

    def _unwatch_events(self) -> None:
        if self._watched >= 0:
            follow(self._selector, self._watched, 0, lambda: None)
            self._watched = -1
