# SPDX-License-Identifier: Apache-2.0
"""The worker's end of its channel to the supervisor.

Blocking, and safe for several threads: a lock is held for each round trip, so that a reply always
belongs to the request of the thread that reads it. Messages: gpu_proxy/worker_messages.py.
"""

from __future__ import annotations

import os
import socket
import threading
from typing import TypeVar

import msgspec

from gpu_proxy import worker_messages as messages
from gpu_proxy.errors import WorkerProtocolError
from gpu_proxy.worker_messages import ChargeKind

FIELD_MAX = 1000
R = TypeVar("R", messages.Verdict, messages.MemoryVerdict, messages.UsageReply)


class WorkerChannel:
    """Asks the supervisor for quota and memory, and tells it how the worker fares."""

    def __init__(self, fd: int) -> None:
        self._socket = socket.socket(fileno=fd)
        self._lock = threading.Lock()
        self._next_id = 0

    def ready(self) -> None:
        """Say that the worker reads its ring; the application is welcomed after this."""
        self._send(messages.Ready())

    def charge(self, kind: ChargeKind, amount: int) -> bool:
        """Take `amount` from the zone's quota. False: there is not enough."""
        with self._lock:
            request = messages.Charge(id=self._id(), kind=kind, amount=amount)
            return self._round_trip(request, messages.Verdict)[0].ok

    def release(self, kind: ChargeKind, amount: int) -> None:
        """Give back what was charged."""
        self._send(messages.Release(kind=kind, amount=amount))

    def memory(self, size: int, token: int) -> int | None:
        """Return a memfd of `size` bytes that the application receives too, or None over quota."""
        with self._lock:
            request = messages.Memory(id=self._id(), bytes=size, token=token)
            reply, fd = self._round_trip(request, messages.MemoryVerdict)
        if reply.ok != (fd is not None):
            raise WorkerProtocolError("memory reply and descriptor disagree")
        return fd

    def memory_freed(self, size: int, token: int) -> None:
        """Give back pinned memory. Its pages are freed at once, even where still mapped."""
        self._send(messages.MemoryFreed(bytes=size, token=token))

    def usage(self) -> tuple[int, int]:
        """Return the device bytes that the zone uses and may use."""
        with self._lock:
            reply, _ = self._round_trip(messages.Usage(id=self._id()), messages.UsageReply)
        return reply.used, reply.limit

    def end(self, reason: str) -> None:
        """End the session. Before `ready` a reason that begins with "window" refuses the window."""
        self._send(messages.End(reason=reason[:FIELD_MAX]))

    def log(self, event: str, **fields: str | int | float | bool | None) -> None:
        """Write a line to the log; long texts are cut."""
        short = {k: v[:FIELD_MAX] if isinstance(v, str) else v for k, v in fields.items()}
        self._send(messages.Log(event=event[:64], fields=short))

    def _id(self) -> int:
        self._next_id += 1
        return self._next_id

    def _send(self, message: messages.FromWorker) -> None:
        payload = messages.encode(message)
        if len(payload) > messages.MESSAGE_MAX:
            raise WorkerProtocolError(f"message of {len(payload)} bytes")
        self._socket.send(payload)

    def _round_trip(self, request: messages.FromWorker, kind: type[R]) -> tuple[R, int | None]:
        self._send(request)
        payload, fds, _, _ = socket.recv_fds(self._socket, messages.MESSAGE_MAX, 1)
        if not payload:
            raise WorkerProtocolError("the supervisor has closed the channel")
        reply = msgspec.json.decode(payload, type=kind)
        if reply.id != getattr(request, "id", None):
            for fd in fds:
                os.close(fd)
            raise WorkerProtocolError(f"reply {reply.id} does not belong to this request")
        return reply, fds[0] if fds else None
