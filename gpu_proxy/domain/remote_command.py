# SPDX-License-Identifier: Apache-2.0
"""A command that a zone's agent runs, seen from here: its streams, its signals, its end."""

from __future__ import annotations

import selectors

from idm.errors import ChannelError
from idm.xen import exec_messages as said
from idm.xen.byte_streams import Send, Sink, Source
from idm.xen.exec_messages import STDERR, STDIN, STDOUT, Outcome, Request
from idm.xen.stream import Message

# Into a descriptor that is not ours and may block: a pipe that poll calls writable takes as much.
WRITE_MAX = 4096
Descriptors = tuple[int, int, int]


class RemoteCommand:
    """What the agent says is checked here: it belongs to the zone."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        request: Request,
        descriptors: Descriptors,
        send: Send,
    ) -> None:
        self._selector = selector
        self._request = request
        self._descriptors = descriptors
        self._send = send
        self.started = False
        self.outcome: Outcome | None = None
        self._size: tuple[int, int] | None = None  # of the terminal, if it has changed
        self._stdin: Source | None = None
        self._sinks: dict[int, Sink] = {}

    @property
    def finished(self) -> bool:
        """Whether it has ended and all that it wrote is written here."""
        return self.outcome is not None and all(sink.drained for sink in self._sinks.values())

    @property
    def answered(self) -> bool:
        """Whether the agent has said what became of it."""
        return self.started or self.outcome is not None

    def ask(self) -> None:
        """Have the agent start it."""
        self._send(said.START, 0, self._request.pack())

    def signal(self, number: int) -> None:
        """Send a signal to its process group. Precondition: started."""
        self._send(said.SIGNAL, 0, said.NUMBER.pack(number))

    def resize(self, rows: int, columns: int) -> None:
        """Set the size of its terminal, as soon as there is one."""
        self._size = rows, columns
        if self.started:
            self._send(said.RESIZE, 0, said.SIZE.pack(rows, columns))

    def received(self, message: Message) -> None:
        """Take what the agent says. Raises ChannelError."""
        sink = self._sinks.get(message.session)
        match message.kind:
            case said.STARTED if not self.answered:
                self._start()
            case said.FAILED | said.EXITED if self.outcome is None:
                self.outcome = Outcome.unpack(message.kind, message.payload)
            case said.DATA if sink:
                sink.accept(message.payload)
            case said.END if sink:
                sink.end()
            case said.CREDIT if self._stdin and message.session == STDIN:
                self._stdin.credit(message.payload)
            case said.CLOSED if self._stdin and message.session == STDIN:
                self._stdin.close()
            case _:
                raise ChannelError(f"message {message.kind} of stream {message.session}")

    def close(self) -> None:
        """Read and write no more."""
        for stream in (self._stdin, *self._sinks.values()):
            if stream:
                stream.close()

    def _start(self) -> None:
        self.started = True
        if self._size:
            self.resize(*self._size)
        stdin, *out = self._descriptors
        outputs = (STDOUT,) if self._request.terminal else (STDOUT, STDERR)
        self._stdin = Source(self._selector, stdin, STDIN, self._send, owned=False)
        for number, fd in zip(outputs, out, strict=False):
            self._sinks[number] = Sink(
                self._selector, fd, number, self._send, owned=False, write_max=WRITE_MAX
            )
