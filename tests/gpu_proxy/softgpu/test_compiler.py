# SPDX-License-Identifier: Apache-2.0

"""The compile helper as a process: its protocol, its limits, its cache."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from softgpu_harness import kernel

from gpu_proxy.softgpu import compiler
from gpu_proxy.softgpu.errors import LimitError
from gpu_proxy.softgpu.limits import run_limited

GOOD = kernel("u64 a", "ld.param.u64 %d1, [a]; st.global.u32 [%d1], 7;").encode()


class Helper:
    def __init__(self, environment: dict[str, str]) -> None:
        self.socket, theirs = socket.socketpair()
        command = [sys.executable, "-m", "gpu_proxy.softgpu.compiler", "--fd", str(theirs.fileno())]
        self.process = subprocess.Popen(
            command, pass_fds=[theirs.fileno()], env={**os.environ, **environment}
        )
        theirs.close()

    def ask(self, image: bytes) -> tuple[int, bytes]:
        self.socket.sendall(struct.pack("<IIQ", 0x53474331, 0, len(image)) + image)
        magic, status, length = struct.unpack("<IiQ", self._receive(16))
        assert magic == 0x53474331
        return status, self._receive(length)

    def _receive(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            chunk = self.socket.recv(count - len(data))
            assert chunk
            data += chunk
        return data

    def close(self) -> int:
        self.socket.close()
        return self.process.wait(20)


@pytest.fixture
def helper(tmp_path: Path) -> Iterator[Helper]:
    started = Helper({"VGPU_SOFTGPU_CACHE": str(tmp_path / "cache")})
    yield started
    assert started.close() == 0


def test_many_requests_on_one_socket(helper: Helper) -> None:
    for _ in range(3):
        status, compiled = helper.ask(GOOD)
        assert (status, compiled[:4]) == (0, b"\x7fELF")
    status, text = helper.ask(b"rubbish")
    assert status == 200
    assert b"neither PTX nor a fatbin" in text
    status, _ = helper.ask(GOOD.replace(b"8.5", b"99.0"))
    assert status == 222
    status, _ = helper.ask(GOOD.replace(b"st.global", b"nonsense"))
    assert status == 218


def test_objects_are_cached(helper: Helper, tmp_path: Path) -> None:
    first = helper.ask(GOOD)
    (path,) = (tmp_path / "cache").iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_bytes(b"from the cache")
    assert first[0] == 0
    assert helper.ask(GOOD) == (0, b"from the cache")


def test_a_wrong_magic_ends_the_helper() -> None:
    helper = Helper({})
    helper.socket.sendall(bytes(16))
    assert helper.socket.recv(1) == b""
    assert helper.close() == 0


def test_one_shot() -> None:
    command = [sys.executable, "-m", "gpu_proxy.softgpu.compiler"]
    done = subprocess.run(command, input=GOOD, capture_output=True, check=True)
    assert done.stdout[:4] == b"\x7fELF"
    failed = subprocess.run(command, input=b"x", capture_output=True, check=False)
    assert failed.returncode == 1
    assert b"neither PTX" in failed.stderr


def _burn() -> tuple[int, bytes]:
    while True:
        pass


def _hoard() -> tuple[int, bytes]:
    return 0, bytes(1 << 40)


def _die() -> tuple[int, bytes]:
    os.kill(os.getpid(), signal.SIGKILL)
    return 0, b""


def test_limits() -> None:
    assert run_limited(lambda: (0, b"x" * 300_000)) == (0, b"x" * 300_000)
    with pytest.raises(LimitError, match="CPU time") as failed:
        run_limited(_burn, cpu_seconds=1)
    assert failed.value.status == 304
    with pytest.raises(LimitError, match="longer than"):
        run_limited(_burn, wall_seconds=0.2)
    with pytest.raises(LimitError):
        run_limited(_hoard, address_space_bytes=1 << 32)
    with pytest.raises(LimitError):
        run_limited(_die)


def test_one_request_too_large_to_announce() -> None:
    assert compiler.MAX_IMAGE_BYTES < 1 << 32
