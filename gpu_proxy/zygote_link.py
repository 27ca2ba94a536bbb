# SPDX-License-Identifier: Apache-2.0
"""The supervisor's view of the zygote: start it, ask for processes, start it again when it dies."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field

from gpu_proxy import log
from gpu_proxy import spawn_request as requests
from gpu_proxy.errors import ZygoteError

START_SECONDS = 60.0
FORK_SECONDS = 10.0
RESTART_SECONDS = 1.0  # a zygote that cannot live is not started more often than this


@dataclass(eq=False)
class Child:
    """A process that the zygote forked. `ended` is set when its pidfd says so."""

    pid: int
    pidfd: int
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    status: asyncio.Future[int] = field(default_factory=asyncio.Future)

    def watch(self, on_end: Callable[[], None]) -> None:
        """Call `on_end` once when the process ends."""
        loop = asyncio.get_running_loop()

        def ended() -> None:
            loop.remove_reader(self.pidfd)
            self.ended.set()
            on_end()

        loop.add_reader(self.pidfd, ended)

    def kill(self) -> None:
        """Kill it, if it still runs."""
        try:
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        except ProcessLookupError:
            return

    def close(self) -> None:
        """Forget it."""
        if self.pidfd >= 0:
            asyncio.get_running_loop().remove_reader(self.pidfd)
            os.close(self.pidfd)
            self.pidfd = -1


class ZygoteLink:
    """Owns the zygote's process and socket."""

    def __init__(self, arguments: list[str]) -> None:
        self._arguments = arguments
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._started: asyncio.Future[None] | None = None
        self._pending: dict[int, asyncio.Future[Child]] = {}
        self._children: dict[int, Child] = {}
        self._next_id = 0
        self._stopping = False
        self._log = log.get(part="zygote")

    async def start(self) -> None:
        """Spawn the zygote and wait until it has imported everything."""
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        self._socket, self._started = ours, loop.create_future()
        with theirs:
            self._process = _spawn(theirs.fileno(), self._arguments)
        loop.add_reader(ours.fileno(), self._readable)
        try:
            await asyncio.wait_for(asyncio.shield(self._started), START_SECONDS)
        except TimeoutError:
            self._end_process()
            raise ZygoteError(f"the zygote was not ready in {START_SECONDS:.0f} s") from None
        self._log.info("zygote-ready", pid=self._process.pid)

    async def fork(self, make: Callable[[int], requests.Fork], fds: list[int]) -> Child:
        """Ask for a process; `make` gets the number that the request must carry."""
        if self._socket is None:
            raise ZygoteError("the zygote is being started again")
        self._next_id += 1
        number = self._next_id
        answer: asyncio.Future[Child] = asyncio.get_running_loop().create_future()
        self._pending[number] = answer
        try:
            socket.send_fds(self._socket, [requests.encode(make(number))], fds)
            return await asyncio.wait_for(asyncio.shield(answer), FORK_SECONDS)
        except TimeoutError:
            answer.add_done_callback(_kill_late)
            raise ZygoteError(f"the zygote did not answer in {FORK_SECONDS:.0f} s") from None
        except asyncio.CancelledError:
            answer.add_done_callback(_kill_late)
            raise
        except OSError as error:
            self._pending.pop(number, None)
            raise ZygoteError(f"the zygote does not listen: {error.strerror}") from None

    def stop(self) -> None:
        """End the zygote; what it forked ends with it."""
        self._stopping = True
        self._end_process()

    def _readable(self) -> None:
        assert self._socket is not None
        try:
            payload, fds, _, _ = socket.recv_fds(self._socket, requests.MESSAGE_MAX, 1)
        except BlockingIOError:
            return
        except OSError:
            payload, fds = b"", []
        if not payload:
            self._died()
            return
        match requests.decode_answer(payload):
            case requests.Hello():
                if self._started and not self._started.done():
                    self._started.set_result(None)
            case requests.Forked(id=number, pid=pid):
                self._forked(number, Child(pid, fds.pop()))
            case requests.Failed(id=number, text=text):
                self._pending.pop(number).set_exception(ZygoteError(text))
            case requests.Exited(id=number, status=status):
                self._children.pop(number).status.set_result(status)

    def _forked(self, number: int, child: Child) -> None:
        self._children[number] = child
        self._pending.pop(number).set_result(child)

    def _died(self) -> None:
        """Its children die with it, as their pidfds report; only requests are answered here."""
        code = self._end_process()
        error = ZygoteError(f"the zygote has ended with status {code}")
        if self._started and not self._started.done():
            self._started.set_exception(error)
            return
        for answer in self._pending.values():
            answer.set_exception(error)
        self._pending.clear()
        self._children.clear()
        if not self._stopping:
            self._log.error("zygote-died", status=code)
            asyncio.get_running_loop().call_later(RESTART_SECONDS, self._restart)

    def _restart(self) -> None:
        if not self._stopping:
            self._restarting = asyncio.ensure_future(self._start_again())

    async def _start_again(self) -> None:
        try:
            await self.start()
        except ZygoteError as error:
            self._log.error("zygote-failed", text=str(error))
            asyncio.get_running_loop().call_later(RESTART_SECONDS, self._restart)

    def _end_process(self) -> int | None:
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = None
        if self._process is None:
            return None
        process, self._process = self._process, None
        try:
            return process.wait(0.2)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()


def _kill_late(answer: asyncio.Future[Child]) -> None:
    """Nobody waits for this process any more."""
    if not answer.cancelled() and answer.exception() is None:
        answer.result().kill()
        answer.result().close()


def _spawn(fd: int, arguments: list[str]) -> subprocess.Popen[bytes]:
    """Start python again, with our own module path and nothing of the current directory."""
    command = [sys.executable, "-P", "-m", "gpu_proxy.zygote", f"--fd={fd}"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    return subprocess.Popen(
        [*command, f"--parent={os.getpid()}", *arguments],
        pass_fds=(fd,),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        env=environment,
    )
