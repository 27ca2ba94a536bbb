# SPDX-License-Identifier: Apache-2.0
"""Running one job in a forked child under limits of CPU time, address space and wall-clock time."""

from __future__ import annotations

import contextlib
import os
import resource
import select
import signal
import struct
import time
from collections.abc import Callable

from gpu_proxy.softgpu.errors import LimitError

CPU_SECONDS = 300
WALL_SECONDS = 600
ADDRESS_SPACE_BYTES = 8 << 30
STATUS_OPERATING_SYSTEM = 304

_HEADER = struct.Struct("<iQ")
Job = Callable[[], tuple[int, bytes]]


def run_limited(
    job: Job,
    *,
    cpu_seconds: int = CPU_SECONDS,
    wall_seconds: float = WALL_SECONDS,
    address_space_bytes: int = ADDRESS_SPACE_BYTES,
) -> tuple[int, bytes]:
    """The job's status and bytes; LimitError if the child did not live to tell them."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        _child(job, reader, writer, cpu_seconds, address_space_bytes)
    os.close(writer)
    try:
        data, timed_out = _read_all(reader, wall_seconds)
        if timed_out:
            os.kill(child, signal.SIGKILL)
    finally:
        os.close(reader)
        _, wait_status = os.waitpid(child, 0)
    if timed_out:
        raise LimitError(
            f"compiling took longer than {wall_seconds} seconds", STATUS_OPERATING_SYSTEM
        )
    if len(data) < _HEADER.size or len(data) != _HEADER.size + _HEADER.unpack_from(data)[1]:
        raise _death(wait_status)
    return int(_HEADER.unpack_from(data)[0]), data[_HEADER.size :]


def _death(wait_status: int) -> LimitError:
    """Why a child ended without an answer."""
    if os.WIFSIGNALED(wait_status):
        number = os.WTERMSIG(wait_status)
        if number == signal.SIGXCPU:
            return LimitError("compiling took more CPU time than allowed", STATUS_OPERATING_SYSTEM)
        if number == signal.SIGKILL:
            return LimitError("the compiler was killed, which usually means that memory ran out")
        if number == signal.SIGABRT:
            return LimitError("compiling needs more memory than allowed")
        return LimitError(f"the compiler died of signal {number}", STATUS_OPERATING_SYSTEM)
    return LimitError("the compiler ended without an answer", STATUS_OPERATING_SYSTEM)


def _child(job: Job, reader: int, writer: int, cpu_seconds: int, address_space_bytes: int) -> None:
    """Never returns."""
    code = 1
    try:
        os.close(reader)
        resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 1))
        resource.setrlimit(resource.RLIMIT_AS, (address_space_bytes, address_space_bytes))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        status, data = job()
        with os.fdopen(writer, "wb") as file:
            file.write(_HEADER.pack(status, len(data)) + data)
        code = 0
    except MemoryError:
        code = 2
    finally:
        with contextlib.suppress(OSError):
            os._exit(code)


def _read_all(reader: int, wall_seconds: float) -> tuple[bytes, bool]:
    """Everything that the child writes, and whether time ran out first."""
    deadline = time.monotonic() + wall_seconds
    chunks: list[bytes] = []
    while True:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([reader], [], [], left)[0]:
            return b"".join(chunks), True
        chunk = os.read(reader, 1 << 20)
        if not chunk:
            return b"".join(chunks), False
        chunks.append(chunk)
