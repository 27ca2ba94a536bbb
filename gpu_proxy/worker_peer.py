# SPDX-License-Identifier: Apache-2.0
"""The supervisor's end of a worker's channel. All that arrives here is hostile until checked."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import msgspec

from gpu_proxy import worker_messages as messages
from gpu_proxy.errors import QuotaExceeded, WorkerProtocolError
from gpu_proxy.ledger import Ledger
from gpu_proxy.pace import Pace
from idm.transport import Front

MESSAGES_PER_WINDOW = 2000  # a worker that says more has to wait for the next window
WINDOW_SECONDS = 0.1
LOGS_PER_SECOND = 20
EXIT_SECONDS = 0.5
MEMORIES_MAX = 1024  # pinned allocations of one session
MEMORY_BYTES_MIN = 1


class WorkerPeer:
    """Reads a worker's messages, keeps its account, and tells the session what matters."""

    def __init__(
        self,
        channel: socket.socket,
        ledger: Ledger,
        session: int,
        *,
        on_ready: Callable[[], None],
        on_end: Callable[[str], None],
        on_log: Callable[[messages.Log], None],
        front: Front,
    ) -> None:
        """`front` makes the memory that the worker shares with the application."""
        self._channel = channel
        self._ledger = ledger
        self._session = session
        self._on_ready = on_ready
        self._on_end = on_end
        self._on_log = on_log
        self._front = front
        self._memories: dict[int, int] = {}  # token: bytes, of what is there or being made
        self._ready_memories: set[int] = set()
        self._making: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._message_pace = Pace(MESSAGES_PER_WINDOW, WINDOW_SECONDS)
        self._log_pace = Pace(LOGS_PER_SECOND, 1.0)
        self._timer: asyncio.TimerHandle | None = None
        self.logs_dropped = 0
        self.closed = False
        self._loop.add_reader(channel.fileno(), self._readable)

    def close(self) -> None:
        """Stop listening. The front frees what it has shared when it is closed."""
        if self.closed:
            return
        self.closed = True
        self._loop.remove_reader(self._channel.fileno())
        if self._timer:
            self._timer.cancel()
        for task in self._making:
            task.cancel()
        self._channel.close()

    def _readable(self) -> None:
        try:
            payload = self._channel.recv(messages.MESSAGE_MAX + 1, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            payload = b""
        if not payload:
            self._loop.remove_reader(self._channel.fileno())
            # A worker that dies closes this first; its exit tells more, so that is waited for.
            self._timer = self._loop.call_later(EXIT_SECONDS, self._on_end, "worker-closed-channel")
            return
        self._pace()
        try:
            self._handle(self._decode(payload))
        except WorkerProtocolError as error:
            self._on_end(f"worker-protocol: {error}")

    def _pace(self) -> None:
        """Read no more until the window is over when a worker floods the channel."""
        if not self._message_pace.within():
            self._loop.remove_reader(self._channel.fileno())
            self._timer = self._loop.call_later(WINDOW_SECONDS, self._listen_again)

    def _listen_again(self) -> None:
        if not self.closed:
            self._loop.add_reader(self._channel.fileno(), self._readable)

    @staticmethod
    def _decode(payload: bytes) -> messages.FromWorker:
        if len(payload) > messages.MESSAGE_MAX:
            raise WorkerProtocolError("message too long")
        try:
            return messages.decode_from_worker(payload)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise WorkerProtocolError(str(error)) from None

    def _handle(self, message: messages.FromWorker) -> None:
        match message:
            case messages.Ready():
                self._on_ready()
            case messages.Charge():
                self._charge(message)
            case messages.Release():
                self._ledger.release(self._session, message.kind, message.amount)
            case messages.Memory():
                self._memory(message)
            case messages.MemoryFreed():
                self._memory_freed(message)
            case messages.Usage():
                used, limit = self._ledger.used("device"), self._ledger.limits["device"]
                self._reply(messages.UsageReply(message.id, used, limit))
            case messages.End():
                self._on_end(f"worker: {message.reason}")
            case messages.Log():
                self._log(message)

    def _charge(self, request: messages.Charge) -> None:
        try:
            self._ledger.charge(self._session, request.kind, request.amount)
            ok = True
        except QuotaExceeded:
            ok = False
        used, limit = self._ledger.used(request.kind), self._ledger.limits[request.kind]
        self._reply(messages.Verdict(request.id, ok, used, limit))

    def _memory(self, request: messages.Memory) -> None:
        if request.token in self._memories or request.token >= 1 << 64:
            raise WorkerProtocolError(f"memory token {request.token} is in use or impossible")
        try:
            if len(self._memories) >= MEMORIES_MAX or request.bytes < MEMORY_BYTES_MIN:
                raise QuotaExceeded("host", request.bytes, 0, 0)
            self._ledger.charge(self._session, "host", request.bytes)
        except QuotaExceeded:
            self._reply(messages.MemoryVerdict(request.id, ok=False))
            return
        self._memories[request.token] = request.bytes
        task = self._loop.create_task(self._make_memory(request))
        self._making.add(task)
        task.add_done_callback(self._making.discard)

    async def _make_memory(self, request: messages.Memory) -> None:
        """Other sessions go on meanwhile: allocating gigabytes takes a while."""
        try:
            fd = await self._front.share(request.token, request.bytes)
        except BrokenPipeError:
            self._on_end("front-not-reading")
        except OSError:
            del self._memories[request.token]
            self._ledger.release(self._session, "host", request.bytes)
            self._reply(messages.MemoryVerdict(request.id, ok=False))
        else:
            self._ready_memories.add(request.token)
            self._reply(messages.MemoryVerdict(request.id, ok=True), fd)

    def _memory_freed(self, message: messages.MemoryFreed) -> None:
        size = self._memories.get(message.token, -1)
        if size != message.bytes or message.token not in self._ready_memories:
            raise WorkerProtocolError(f"no pinned memory {message.token} of {message.bytes} bytes")
        del self._memories[message.token]
        self._ready_memories.remove(message.token)
        self._front.unshare(message.token)
        self._ledger.release(self._session, "host", size)

    def _log(self, message: messages.Log) -> None:
        if self._log_pace.within():
            self._on_log(message)
        else:
            self.logs_dropped += 1

    def _reply(self, reply: messages.Reply, fd: int | None = None) -> None:
        fds = [] if fd is None else [fd]
        try:
            socket.send_fds(self._channel, [messages.encode(reply)], fds, socket.MSG_DONTWAIT)
        except OSError:
            self._on_end("worker-not-reading")
