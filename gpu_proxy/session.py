# SPDX-License-Identifier: Apache-2.0
"""One session: an application's connection, its worker, and everything that ends with them.

Whatever ends first ends all: the worker is killed, the application's waiters are woken, and what
the session held goes back to the zone once the worker is gone: only then is its memory free.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from typing import TYPE_CHECKING, Any

from gpu_proxy import log
from gpu_proxy import spawn_request as requests
from gpu_proxy import worker_messages as messages
from gpu_proxy.cgroups import Cgroups, WorkerGroup
from gpu_proxy.compile_helper import CompileHelper
from gpu_proxy.errors import QuotaExceeded, ZygoteError
from gpu_proxy.sizes import format_size
from gpu_proxy.worker_peer import WorkerPeer
from gpu_proxy.zygote_link import Child
from idm import handshake
from idm.errors import Refused
from idm.transport import Front, Memory

if TYPE_CHECKING:
    from gpu_proxy.zone import Zone

REPORTED = ("calls", "posted", "forwarded", "bytes_in", "bytes_out", "launches", "errors")
STATUS_SECONDS = 1.0  # how long the zygote may take to report a status that is only logged


class Session:
    """From the accepted connection to the line `session-ended`."""

    def __init__(self, zone: Zone, number: int, front: Front) -> None:
        self.zone = zone
        self.number = number
        self.front = front
        self.program = ""
        self.welcomed = False
        self.started = time.monotonic()
        self.memory: Memory | None = None
        self._worker: Child | None = None
        self._peer: WorkerPeer | None = None
        self._helper: CompileHelper | None = None
        self._group: WorkerGroup | None = None
        loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[None] = loop.create_future()
        self._ended: asyncio.Future[str] = loop.create_future()
        self._log = log.get(zone=zone.name, session=number)

    def end(self, reason: str) -> None:
        """End the session; the first reason counts."""
        if not self._ended.done():
            self._ended.set_result(reason)

    def counters(self) -> dict[str, int]:
        """Return what the worker has counted so far."""
        return self.memory.read_counters() if self.memory else {}

    async def run(self) -> None:
        """Live through the whole session. Never raises."""
        try:
            await self._attach()
        except Refused as refusal:
            self._refuse(refusal)
            await self._tear_down(None)
            return
        except Exception:  # noqa: BLE001 - our own bug must not end the other sessions
            self._log.exception("session-failed")
            self._refuse(Refused(handshake.REFUSED_INTERNAL, "gpu-proxy has failed; see its log"))
            await self._tear_down(None)
            return
        finally:
            self.zone.handshake_over()
        await self._tear_down(await self._ended)

    def _refuse(self, refusal: Refused) -> None:
        self.end(str(refusal))
        self.front.refuse(refusal.reason, str(refusal))
        if self.zone.refusals.within():
            self._log.info(
                "session-refused", reason=refusal.reason, text=str(refusal), pid=self.front.pid
            )

    async def _attach(self) -> None:
        """Do the handshake. Raises Refused."""
        hello = await self.front.hello(self.zone.workers.hello_seconds)
        self.program = hello.program
        self.front.watch(self.end)
        self._open_account()
        try:
            self.memory = await self.front.make_memory(self.number)
            await self._start_worker(hello)
        except (OSError, ZygoteError) as error:
            self._log.error("worker-failed", text=str(error))
            raise Refused(handshake.REFUSED_INTERNAL, f"no worker: {error}") from None
        await self._until_ready()
        self._welcome(hello)

    def _open_account(self) -> None:
        try:
            self.zone.ledger.open(self.number)
            self.zone.ledger.charge(self.number, "host", self.front.host_bytes())
        except QuotaExceeded as error:
            text = f"zone {self.zone.name} is full: {error}"
            raise Refused(handshake.REFUSED_SESSIONS, text) from None

    async def _start_worker(self, hello: handshake.Hello) -> None:
        assert self.memory is not None
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        self._peer = WorkerPeer(
            ours,
            self.zone.ledger,
            self.number,
            on_ready=self._worker_ready,
            on_end=self._worker_said_end,
            on_log=self._worker_log,
            front=self.front,
        )
        compiler = self.zone.plan.stub
        if compiler:
            self._helper = CompileHelper(self.zone, self.number)
        with theirs:
            share = self.memory.for_worker()
            bells = [share.request, *share.slots]
            fds = [share.region, share.counters, theirs.fileno(), *(bell.fd for bell in bells)]
            if self._helper:
                fds.append(self._helper.worker_fd)
            ports = tuple(bell.port for bell in bells)
            values = self.zone.worker_values(self.number, hello, ports, compiler=compiler)
            plan = self.zone.plan.worker()
            self._worker = await self.zone.zygote.fork(
                lambda number: requests.Fork(number, plan, worker=values), fds
            )
        if self._helper:
            self._helper.worker_has_its_end()
        if self.zone.groups:
            await self._limit_memory(self.zone.groups, self._worker.pid)
        self._worker.watch(lambda: self.end("worker-exited"))

    async def _limit_memory(self, groups: Cgroups, pid: int) -> None:
        """Put the worker into a cgroup of its own, before it reads anything from the zone."""
        make = groups.make
        self._group = await asyncio.to_thread(make, self.number, self.zone.settings.worker_memory)
        await asyncio.to_thread(self._group.add, pid)

    async def _until_ready(self) -> None:
        waited: set[asyncio.Future[Any]] = {self._ready, self._ended}
        seconds = self.zone.workers.ready_seconds
        await asyncio.wait(waited, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if self._ended.done():
            reason = self._ended.result()
            code = handshake.REFUSED_INTERNAL
            if reason.startswith("worker: window"):
                code = handshake.REFUSED_WINDOW
            if reason in ("worker-exited", "worker-closed-channel"):
                reason = "the worker ended before it was ready; see the log of gpu-proxy"
            raise Refused(code, reason)
        if not self._ready.done():
            raise Refused(handshake.REFUSED_INTERNAL, "the worker was not ready in time")

    def _welcome(self, hello: handshake.Hello) -> None:
        assert self.memory is not None
        if not self.front.welcome(hello, self.number, self.zone.name, self.zone.snapshot):
            self.end("front-not-reading")
        self.welcomed = True
        self.memory.close_shared()
        assert self._worker is not None
        self._log.info(
            "session-started",
            pid=self.front.pid,
            uid=self.front.uid,
            program=self.program,
            worker=self._worker.pid,
            seconds=round(time.monotonic() - self.started, 3),
        )

    def _worker_ready(self) -> None:
        if self._ready.done():
            self.end("worker-protocol: ready twice")
        else:
            self._ready.set_result(None)

    def _worker_said_end(self, reason: str) -> None:
        self.end(log.printable(reason))

    def _worker_log(self, message: messages.Log) -> None:
        if not self.zone.worker_logs.within():
            return
        fields = {
            key: log.printable(value, messages.TEXT_MAX) if isinstance(value, str) else value
            for key, value in message.fields.items()
        }
        self._log.warning("worker-log", said=log.printable(message.event), fields=fields)

    async def _tear_down(self, reason: str | None) -> None:
        """Kill, wake, wait for the worker's death, then return what was held."""
        self.end("refused")
        if self._worker:
            self._worker.kill()
        if self._helper:
            self._helper.kill()
        self.front.hang_up()
        status = await self._worker_status()
        counted = self.counters()
        if reason is not None:
            if self._group and self._group.was_exhausted():
                reason = f"worker-memory: over {format_size(self._group.limit)}"
            self._report(reason, status, counted)
        self.zone.ended(self, counted)
        await self._release()

    async def _worker_status(self) -> int | None:
        if self._worker is None:
            return None
        await self._worker.ended.wait()
        try:
            return await asyncio.wait_for(asyncio.shield(self._worker.status), STATUS_SECONDS)
        except TimeoutError:
            return None

    def _report(self, reason: str, status: int | None, counted: dict[str, int]) -> None:
        assert self._peer is not None
        self._log.info(
            "session-ended",
            reason=reason,
            pid=self.front.pid,
            uid=self.front.uid,
            program=self.program,
            worker_status=describe_status(status),
            logs_dropped=self._peer.logs_dropped,
            seconds=round(time.monotonic() - self.started, 3),
            **{name: counted.get(name, 0) for name in REPORTED},
        )

    async def _release(self) -> None:
        if self._peer:
            self._peer.close()
        self.front.close()
        if self._worker:
            self._worker.close()
        if self._group and not await self._group.remove():
            self._log.error("cgroup-not-removed", path=str(self._group.path))
        if self._helper:
            self._helper.close()
        if self.memory:
            memory, self.memory = self.memory, None
            await asyncio.to_thread(memory.close)
        self.zone.ledger.close(self.number)


def describe_status(status: int | None) -> str:
    """Return how a process ended, in a word or two."""
    if status is None:
        return "unknown"
    if os.WIFSIGNALED(status):
        return signal.Signals(os.WTERMSIG(status)).name
    return f"exit {os.waitstatus_to_exitcode(status)}"
