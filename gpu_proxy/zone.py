# SPDX-License-Identifier: Apache-2.0
"""One zone: its ledger and its sessions, whatever transport they come through."""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from gpu_proxy import spawn_request as requests
from gpu_proxy.cgroups import Cgroups
from gpu_proxy.config import WorkersConfig
from gpu_proxy.ledger import Ledger
from gpu_proxy.listener import UnixListener
from gpu_proxy.pace import Pace
from gpu_proxy.plans import ZonePlan
from gpu_proxy.session import Session
from gpu_proxy.settings import Settings, ZoneSettings
from gpu_proxy.snapshot import Snapshot
from gpu_proxy.zygote_link import ZygoteLink
from idm import memory_fd
from idm.handshake import HANDLE_MAX, Hello
from idm.transport import Front, PackedSnapshot

ENDED_KEPT = 64
GPU_STREAM_QUEUE = 1024  # launches after which one blocks, as applications have measured
SOFTGPU_STREAM_QUEUE = 65536
REFUSALS_LOGGED = 20  # a second; a zone cannot fill the log by trying
WORKER_LINES_LOGGED = 100  # a second, of all its workers together


@dataclass(frozen=True)
class EndedSession:
    """What is remembered of a session."""

    number: int
    pid: int
    program: str
    seconds: float
    counters: dict[str, int]


class Zone:
    """What a tenant has; who connects to it is found out by a listener, or by Xen."""

    def __init__(
        self,
        settings: Settings,
        zone: ZoneSettings,
        plan: ZonePlan,
        *,
        zygote: ZygoteLink,
        snapshot: Snapshot,
        driver_library: str,
        numbers: Iterator[int],
        groups: Cgroups | None = None,
    ) -> None:
        self.settings = zone
        self.name = zone.name
        self.workers: WorkersConfig = settings.workers
        self.plan = plan
        self.zygote = zygote
        self.groups = groups
        self._daemon = settings
        self._driver_library = driver_library
        self._numbers = numbers
        self.device_limit = zone.device_memory or snapshot.total_memory()
        self.ledger = Ledger(
            {
                "device": self.device_limit,
                "host": zone.host_memory,
                "handles": zone.handles,
                "sessions": zone.sessions,
            }
        )
        packed = snapshot.for_zone(zone.device_memory).pack()
        fd = memory_fd.create(f"vgpu-snapshot-{zone.name}", len(packed), packed, read_only=True)
        self.snapshot = PackedSnapshot(packed, fd)
        self.live: dict[int, Session] = {}
        self.ended_sessions: deque[EndedSession] = deque(maxlen=ENDED_KEPT)
        self.ended_totals: dict[str, int] = {}
        self.ended_count = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._pending = 0
        self.refusals = Pace(REFUSALS_LOGGED, 1.0)
        self.worker_logs = Pace(WORKER_LINES_LOGGED, 1.0)
        self._listener: UnixListener | None = None

    def listen(self) -> None:
        """Serve applications of this kernel, at the zone's socket. Raises SocketError."""
        self._listener = UnixListener(self._daemon.runtime_dir, self.settings, self.begin)

    def begin(self, front: Front) -> bool:
        """Take a connection; whether there is room for another handshake after it."""
        self._pending += 1
        session = Session(self, next(self._numbers), front)
        self.live[session.number] = session
        task = asyncio.ensure_future(session.run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return self.has_room()

    def has_room(self) -> bool:
        """Return whether another handshake may begin."""
        return self._pending < self.settings.pending

    async def stop(self, seconds: float) -> None:
        """Accept no more, end all sessions, and wait for them."""
        if self._listener:
            self._listener.close()
            self._listener = None
        for session in tuple(self.live.values()):
            session.end("stopped")
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        os.close(self.snapshot.fd)

    def handshake_over(self) -> None:
        """One pending connection less: there is room to accept again."""
        self._pending -= 1
        if self._listener:
            self._listener.room_again()

    def ended(self, session: Session, counted: dict[str, int]) -> None:
        """Remember what a session has done."""
        if self.live.pop(session.number, None) is None or not session.welcomed:
            return
        for name, value in counted.items():
            self.ended_totals[name] = self.ended_totals.get(name, 0) + value
        self.ended_count += 1
        self.ended_sessions.append(
            EndedSession(
                session.number,
                session.front.pid,
                session.program,
                time.monotonic() - session.started,
                counted,
            )
        )

    def worker_values(
        self, session: int, hello: Hello, ports: tuple[int, ...], *, compiler: bool
    ) -> requests.WorkerValues:
        """Return what a worker of this zone is told."""
        return requests.WorkerValues(
            session=session,
            zone=self.name,
            features=hello.features,
            doorbell_ports=ports,
            stub=self._daemon.stub,
            executor=self._daemon.executor,
            driver_library=self._driver_library,
            window_base=hello.window_base,
            window_bytes=hello.window_bytes,
            max_handles=min(self.settings.handles, HANDLE_MAX),
            device_memory_limit=self.settings.device_memory,
            stream_queue=self.workers.stream_queue
            or (SOFTGPU_STREAM_QUEUE if self._daemon.stub else GPU_STREAM_QUEUE),
            context_memory=self.settings.context_memory,
            environment=self.plan.environment,
            compiler=compiler,
        )


def session_numbers() -> Iterator[int]:
    """Return the numbers of the sessions of one daemon."""
    return itertools.count(1)
