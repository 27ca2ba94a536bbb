# SPDX-License-Identifier: Apache-2.0
"""One running command of the toolstack: its process, its streams, and how it ends."""

from __future__ import annotations

import os
import selectors
import signal
from collections.abc import Callable, Mapping

from idm.errors import ChannelError
from idm.xen import exec_messages as said
from idm.xen.agent.spawn import set_size, spawn
from idm.xen.byte_streams import Sink, Source, follow
from idm.xen.exec_messages import STDERR, STDIN, STDOUT, Request
from idm.xen.stream import Message

PIPE_WRITE_MAX = 64 << 10  # the descriptors are our own: a write to them never blocks
# More than the kernel keeps of a terminal's output. Nothing is added to it: the terminal has been
# hung up, although those who ignore that may hold it open.
TERMINAL_MAX = 128 << 10
Send = Callable[[int, int, bytes], None]


class Command:
    """Runs from its creation to its end, which it reports; or until it is killed."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        request: Request,
        root: str,
        environment: Mapping[str, str],
        send: Send,
    ) -> None:
        """Start it. Raises SpawnError."""
        self._selector = selector
        self._send = send
        started = spawn(request, root, environment)
        self._pid = started.pid
        self._terminal = started.terminal
        self._status: int | None = None
        self.reported = False
        self._stdin = Sink(
            selector, started.stdin, STDIN, send, owned=True, write_max=PIPE_WRITE_MAX
        )
        self._sources = {STDOUT: Source(selector, started.stdout, STDOUT, self._say, owned=True)}
        if started.stderr >= 0:
            self._sources[STDERR] = Source(selector, started.stderr, STDERR, self._say, owned=True)
        self._pidfd = os.pidfd_open(self._pid)
        selector.register(self._pidfd, selectors.EVENT_READ, self._exited)

    def received(self, message: Message) -> None:
        """Do what the toolstack says. Raises ChannelError."""
        source = self._sources.get(message.session)
        match message.kind:
            case said.DATA if message.session == STDIN:
                self._stdin.accept(message.payload)
            case said.END if message.session == STDIN:
                self._stdin.end()
            case said.CREDIT if source:
                source.credit(message.payload)
            case said.CLOSED if source:
                source.close()
                self._check_end()
            case said.SIGNAL:
                self._signal(said.unpack_number(message.payload))
            case said.RESIZE:
                self._resize(*said.unpack_size(message.payload))
            case _:
                raise ChannelError(f"message {message.kind} of stream {message.session}")

    def kill(self) -> None:
        """Nobody waits for it any more: end it, and report nothing."""
        self.reported = True
        self._signal(signal.SIGKILL)
        self._close_streams()

    def _say(self, kind: int, stream: int, payload: bytes) -> None:
        """A source speaks; after its end all may have been said."""
        self._send(kind, stream, payload)
        if kind == said.END:
            self._sources[stream].close()
            self._check_end()

    def _signal(self, number: int) -> None:
        if not 0 < number <= said.SIGNAL_MAX:
            raise ChannelError(f"signal {number} is none")
        if self._status is None:  # else the number may be another process's by now
            try:
                os.killpg(self._pid, number)
            except ProcessLookupError:
                return

    def _resize(self, rows: int, columns: int) -> None:
        if self._terminal >= 0 and not self._sources[STDOUT].ended:
            set_size(self._terminal, rows, columns)

    def _exited(self) -> None:
        _, self._status = os.waitpid(self._pid, 0)
        follow(self._selector, self._pidfd, 0, self._exited)
        os.close(self._pidfd)
        for source in self._sources.values():
            source.finish(TERMINAL_MAX if self._terminal >= 0 else None)
        self._check_end()

    def _check_end(self) -> None:
        ended = self._status is not None and all(s.ended for s in self._sources.values())
        if not ended or self.reported:
            return
        self.reported = True
        self._close_streams()
        code, number = 0, 0
        if os.WIFSIGNALED(self._status or 0):
            number = os.WTERMSIG(self._status or 0)
        else:
            code = os.WEXITSTATUS(self._status or 0)
        self._send(said.EXITED, 0, said.ENDED.pack(code, number))

    def _close_streams(self) -> None:
        self._stdin.close()
        for source in self._sources.values():
            source.close()
