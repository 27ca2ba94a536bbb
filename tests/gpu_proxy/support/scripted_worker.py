# SPDX-License-Identifier: Apache-2.0
"""A worker without CUDA: it does what the test writes into the staging area.

The front end writes a JSON object and a zero byte at the start of the staging area and rings; the
worker answers with JSON in slot 0 and rings the slot's doorbell.
"""

from __future__ import annotations

import json
import mmap
import os
import signal
import struct
import threading
from typing import Any

import doorbells
from hostile import ATTEMPTS

from gpu_proxy.worker_channel import WorkerChannel
from gpu_proxy.worker_setup import WorkerSetup
from idm import handshake

STAGING_AT = handshake.REGION_BYTES - handshake.CHUNKS * handshake.CHUNK_BYTES
SLOT_AT = handshake.SLOTS_AT + 64


class Script:
    """Runs one command at a time."""

    def __init__(self, setup: WorkerSetup) -> None:
        self.setup = setup
        self.channel = WorkerChannel(setup.supervisor_fd)
        self.region = mmap.mmap(setup.region_fd, handshake.REGION_BYTES)
        self.region[: handshake.HEADER.size] = handshake.header(setup.features)
        self.counters = mmap.mmap(setup.counters_fd, handshake.PAGE)
        self.memories: dict[int, mmap.mmap] = {}

    def run(self) -> None:
        """Serve until killed."""
        while True:
            doorbells.wait(self.setup.request_doorbell)
            end = self.region.find(b"\0", STAGING_AT)
            if end == STAGING_AT:
                continue  # A port that was only bound.
            command = json.loads(self.region[STAGING_AT:end])
            answer = getattr(self, command.pop("do"))(**command)
            data = json.dumps(answer).encode() + b"\0"
            self.region[SLOT_AT : SLOT_AT + len(data)] = data
            self.region[STAGING_AT] = 0
            doorbells.ring(self.setup.slot_doorbells[0])

    def charge(self, kind: Any, amount: int) -> bool:
        return self.channel.charge(kind, amount)

    def charge_many(self, threads: int, times: int) -> int:
        """Charge one byte at a time from many threads, and count what was granted."""
        granted: list[bool] = []

        def work() -> None:
            granted.extend([self.channel.charge("device", 1) for _ in range(times)])

        workers = [threading.Thread(target=work) for _ in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return sum(granted)

    def release(self, kind: Any, amount: int) -> None:
        self.channel.release(kind, amount)

    def usage(self) -> tuple[int, int]:
        return self.channel.usage()

    def memory(self, size: int, token: int, text: str = "") -> bool:
        fd = self.channel.memory(size, token)
        if fd is None:
            return False
        self.memories[token] = mmap.mmap(fd, size)
        self.memories[token][: len(text)] = text.encode()
        os.close(fd)
        return True

    def memory_freed(self, size: int, token: int) -> None:
        self.channel.memory_freed(size, token)

    def log(self, event: str, times: int = 1) -> None:
        for _ in range(times):
            self.channel.log(event, detail="\x1b[31mred")

    def end(self, reason: str) -> None:
        self.channel.end(reason)
        signal.pause()

    def crash(self, how: str) -> None:
        if how == "exception":
            raise RuntimeError("scripted crash")
        os.kill(os.getpid(), signal.SIGKILL)

    def take_memory(self, size: int) -> None:
        self.taken = b"x" * size

    def flood(self) -> None:
        while True:
            self.channel.release("device", 0)

    def say(self, text: str) -> None:
        os.write(self.setup.supervisor_fd, text.encode())

    def attempt(self, name: str) -> Any:
        return ATTEMPTS[name]()

    def count(self, values: list[int]) -> None:
        struct.pack_into(f"<{len(values)}Q", self.counters, 0, *values)

    def whoami(self) -> dict[str, Any]:
        return {
            "uid": os.getresuid(),
            "gid": os.getresgid(),
            "groups": os.getgroups(),
            "fds": sorted(int(n) for n in os.listdir("/proc/self/fd")),
            "environment": dict(os.environ),
            "limits_cores": __import__("resource").getrlimit(4),
            "setup": {k: v for k, v in vars(self.setup).items() if k != "environment"},
        }

    def compile(self, request: str) -> tuple[int, int, int, str] | None:
        """Send a request to the compile helper; return header and text, or None at its end."""
        os.write(self.setup.compiler_fd, bytes.fromhex(request))
        header = b""
        while len(header) < 16:
            data = os.read(self.setup.compiler_fd, 16 - len(header))
            if not data:
                return None
            header += data
        magic, status, size = struct.unpack("<IiQ", header)
        text = os.read(self.setup.compiler_fd, 4096) if status and size else b""
        return magic, status, size, text.decode("utf-8", "replace")


def main(setup: WorkerSetup) -> None:
    """Start as the real worker does."""
    script = Script(setup)
    if setup.window_base == 0x7000_0000_0000:
        script.end("window is taken")
    script.channel.ready()
    script.run()
