# SPDX-License-Identifier: Apache-2.0
"""The zygote: a warm, single-threaded, CUDA-free process from which workers are forked.

It is spawned, not forked, so nothing of the supervisor's memory is in it; it imports what workers
need and never initialises CUDA. It ends with the supervisor, and its children end with it.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import importlib
import os
import select
import signal
import socket

from gpu_proxy import prctl, spawn
from gpu_proxy import spawn_request as requests
from gpu_proxy.errors import ZygoteError

PRELOAD = ("cuda.bindings.driver",)
COMPILER_MODULE = "gpu_proxy.softgpu.compiler"


class Zygote:
    """Forks on request and reports what became of the children."""

    def __init__(self, control: socket.socket, entries: spawn.Entries) -> None:
        self._control = control
        self._entries = entries
        self._children: dict[int, int] = {}  # pid: id of the request
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def run(self) -> None:
        """Serve until the supervisor closes the socket."""
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(self._wake_read, select.POLLIN)
        self._send(requests.Hello())
        while True:
            ready = {fd for fd, _ in poll.poll()}
            if self._wake_read in ready:
                self._reap()
            if self._control.fileno() in ready and not self._serve_one():
                return

    def _serve_one(self) -> bool:
        payload, fds, flags, _ = socket.recv_fds(
            self._control, requests.MESSAGE_MAX, requests.FDS_MAX
        )
        if not payload:
            return False
        if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
            raise ZygoteError("request or descriptors cut short")
        request = requests.decode_fork(payload)
        try:
            self._fork(request, fds)
        except (OSError, ZygoteError) as error:
            self._send(requests.Failed(request.id, str(error)))
        finally:
            for fd in fds:
                os.close(fd)
        return True

    def _fork(self, request: requests.Fork, fds: list[int]) -> None:
        threads = len(os.listdir("/proc/self/task"))
        if threads != 1:
            raise ZygoteError(f"the zygote has {threads} threads and may have one")
        zygote = os.getpid()
        pid = os.fork()
        if pid == 0:
            spawn.run_child(request, fds, self._entries, zygote)
        self._children[pid] = request.id
        pidfd = os.pidfd_open(pid)  # Not reaped yet, so the number cannot be another's.
        try:
            self._send(requests.Forked(request.id, pid), pidfd)
        finally:
            os.close(pidfd)

    def _reap(self) -> None:
        os.read(self._wake_read, 4096)
        while self._children:
            info = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if info is None:
                return
            self._end_group(info.si_pid)
            _, status = os.waitpid(info.si_pid, 0)
            self._send(requests.Exited(self._children.pop(info.si_pid), status))

    @staticmethod
    def _end_group(pid: int) -> None:
        """Kill what the child left behind, while its number still holds the group's."""
        try:
            os.killpg(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            return

    def _send(self, answer: object, *fds: int) -> None:
        socket.send_fds(self._control, [requests.encode(answer)], fds)


def _load_entries(worker_module: str, compiler: bool, driver_library: str) -> spawn.Entries:
    """Import now what every child would otherwise import again."""
    for name in PRELOAD:
        importlib.import_module(name)
    if driver_library:
        # Only mapped, so that a child finds it by name even where it may not open the file.
        ctypes.CDLL(driver_library, mode=ctypes.RTLD_GLOBAL)
    worker = importlib.import_module(worker_module)
    helper = importlib.import_module(COMPILER_MODULE) if compiler else None
    return spawn.Entries(worker.main, helper.main if helper else None)


def main() -> None:
    """Entry point of `python -m gpu_proxy.zygote`."""
    parser = argparse.ArgumentParser(prog="gpu_proxy.zygote")
    parser.add_argument("--fd", type=int, required=True, help="socket to the supervisor")
    parser.add_argument("--parent", type=int, required=True, help="pid of the supervisor")
    parser.add_argument("--worker-module", default="gpu_proxy.worker")
    parser.add_argument("--driver-library", default="", help="the software GPU, or nothing")
    parser.add_argument("--compiler", action="store_true", help="serve compile helpers as well")
    options = parser.parse_args()
    prctl.die_with_parent(options.parent)
    for number in (signal.SIGINT, signal.SIGTERM):  # To a whole group: the supervisor decides.
        signal.signal(number, signal.SIG_IGN)
    control = socket.socket(fileno=options.fd)
    control.set_inheritable(False)
    entries = _load_entries(options.worker_module, options.compiler, options.driver_library)
    gc.collect()
    gc.freeze()
    Zygote(control, entries).run()


if __name__ == "__main__":
    main()
