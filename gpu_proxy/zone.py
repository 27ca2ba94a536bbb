# SPDX-License-Identifier: Apache-2.0
"""One zone: its socket, its ledger, its sessions."""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gpu_proxy import log
from gpu_proxy import spawn_request as requests
from gpu_proxy.config import WorkersConfig
from gpu_proxy.errors import SocketError
from gpu_proxy.front import FrontEnd
from gpu_proxy.ledger import Ledger
from gpu_proxy.pace import Pace
from gpu_proxy.plans import ZonePlan
from gpu_proxy.session import Session
from gpu_proxy.settings import Settings, ZoneSettings
from gpu_proxy.snapshot import Snapshot
from gpu_proxy.zygote_link import ZygoteLink
from idm import memory_fd
from idm.handshake import HANDLE_MAX, SOCKET_NAME, Hello
from idm.transport import PackedSnapshot

BACKLOG = 128
PATH_MAX = 107  # of a unix socket's address
PRIVATE = ".sockets"  # where sockets are made before they are moved into the zones' directories
ENDED_KEPT = 64
RETRY_SECONDS = 1.0
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
    """Accepts connections on one socket; all that comes through it is this zone's."""

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
    ) -> None:
        self.settings = zone
        self.name = zone.name
        self.workers: WorkersConfig = settings.workers
        self.plan = plan
        self.zygote = zygote
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
        self._accepting = False
        self._listener: socket.socket | None = None
        self._path = settings.runtime_dir / zone.name / SOCKET_NAME

    def listen(self) -> None:
        """Make the directory and the socket, replacing one that a killed daemon left."""
        self._listener = _listen(self._daemon.runtime_dir, self._path, self.settings)
        self._accept_again()
        log.get(zone=self.name).info("zone-listening", socket=str(self._path))

    async def stop(self, seconds: float) -> None:
        """Accept no more, end all sessions, and wait for them."""
        if self._listener:
            self._accept_no_more()
            self._listener.close()
            self._listener = None
            self._path.unlink(missing_ok=True)
        for session in tuple(self.live.values()):
            session.end("stopped")
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        os.close(self.snapshot.fd)

    def handshake_over(self) -> None:
        """One pending connection less: there is room to accept again."""
        self._pending -= 1
        self._accept_later()

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
            environment=self.plan.environment,
            compiler=compiler,
        )

    def _accept_again(self) -> None:
        assert self._listener is not None
        asyncio.get_running_loop().add_reader(self._listener.fileno(), self._accept)
        self._accepting = True

    def _accept_later(self) -> None:
        if self._listener and not self._accepting:
            self._accept_again()

    def _accept_no_more(self) -> None:
        assert self._listener is not None
        asyncio.get_running_loop().remove_reader(self._listener.fileno())
        self._accepting = False

    def _accept(self) -> None:
        assert self._listener is not None
        try:
            connection, _ = self._listener.accept()
        except BlockingIOError:
            return
        except OSError as error:  # Out of descriptors or memory: not better at once.
            log.get(zone=self.name).error("accept-failed", text=str(error))
            self._accept_no_more()
            asyncio.get_running_loop().call_later(RETRY_SECONDS, self._accept_later)
            return
        self._pending += 1
        if self._pending >= self.settings.pending:
            self._accept_no_more()
        session = Session(self, next(self._numbers), FrontEnd(connection))
        self.live[session.number] = session
        task = asyncio.ensure_future(session.run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _listen(runtime_dir: Path, path: Path, zone: ZoneSettings) -> socket.socket:
    """Make a listening socket at `path`.

    The zone's owner can write its directory, so nothing there is followed or trusted: the socket is
    made in a private place and moved in; a rename replaces whatever had the name.
    """
    made = runtime_dir / PRIVATE / zone.name[:32]
    for candidate in (path, made):
        if len(os.fsencode(candidate)) > PATH_MAX:
            raise SocketError(f"{candidate} is longer than the {PATH_MAX} bytes of a socket's path")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        _make_directory(path.parent, zone)
        made.unlink(missing_ok=True)
        listener.bind(str(made))
        os.chown(made, zone.uid, zone.gid)
        made.chmod(0o660)
        listener.listen(BACKLOG)
        made.rename(path)
    except OSError as error:
        listener.close()
        raise SocketError(f"zone {zone.name}: {error}") from None
    listener.setblocking(False)
    return listener


def _make_directory(directory: Path, zone: ZoneSettings) -> None:
    directory.mkdir(exist_ok=True, mode=0o750)
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        os.fchown(fd, zone.uid, zone.gid)
        os.fchmod(fd, 0o750)
    finally:
        os.close(fd)


def session_numbers() -> Iterator[int]:
    """Return the numbers of the sessions of one daemon."""
    return itertools.count(1)
