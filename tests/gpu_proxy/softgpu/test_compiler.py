# SPDX-License-Identifier: Apache-2.0

"""The compile helper as a process: its protocol, its limits, its cache."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from softgpu_harness import kernel

from gpu_proxy.softgpu import compiler, jobs, wire
from gpu_proxy.softgpu.errors import LimitError
from gpu_proxy.softgpu.limits import run_limited
from gpu_proxy.softgpu.ptx import outline
from gpu_proxy.softgpu.wire import Kind

GOOD = kernel("u64 a", "ld.param.u64 %d1, [a]; st.global.u32 [%d1], 7;").encode()


class Helper:
    def __init__(self, environment: dict[str, str]) -> None:
        self.socket, theirs = socket.socketpair()
        command = [sys.executable, "-m", "gpu_proxy.softgpu.compiler", "--fd", str(theirs.fileno())]
        self.process = subprocess.Popen(
            command, pass_fds=[theirs.fileno()], env={**os.environ, **environment}
        )
        theirs.close()

    def ask(self, image: bytes, kind: int = Kind.LOAD, number: int = 0) -> tuple[int, bytes]:
        request = wire.REQUEST.pack(wire.MAGIC, kind, number, 0, len(image))
        self.socket.sendall(request + image)
        magic, status, length = wire.RESPONSE.unpack(self._receive(wire.RESPONSE.size))
        assert magic == wire.MAGIC
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


# Two kernels too long to be compiled when they are loaded; the second cannot be compiled at all.
PADDING = "add.u32 %r1, %r1, 1;\n" * (jobs.COMPILED_BYTES // 20)
LARGE = (
    kernel("u64 a", PADDING, name="good")
    + kernel("u64 a", "vadd.s32.s32.s32 %r1, %r2, %r3;", name="bad").partition("64\n")[2]
).encode()


def test_a_kernel_of_a_large_image_is_compiled_when_it_is_wanted(helper: Helper) -> None:
    status, index = helper.ask(LARGE)
    assert (status, index[:4]) == (0, b"\x7fELF")
    status, good = helper.ask(LARGE, Kind.KERNEL, 0)
    assert (status, good[:4]) == (0, b"\x7fELF")
    status, text = helper.ask(LARGE, Kind.KERNEL, 1)
    line = 1 + LARGE[: LARGE.index(b"vadd")].count(b"\n")
    assert (status, text.decode()) == (
        218,
        f"instruction 'vadd.s32.s32.s32' in kernel 'bad' line {line} is not supported by the "
        "software GPU",
    )
    status, text = helper.ask(LARGE, Kind.KERNEL, 2)
    assert (status, text) == (200, b"the image has no kernel of number 2")
    status, functions = helper.ask(LARGE, Kind.FUNCTIONS)
    assert (status, functions[:4]) == (0, b"\x7fELF")


def test_a_kernel_needs_no_load_before(helper: Helper) -> None:
    """A helper that was started again knows nothing of what the one before it was asked."""
    before, again = Helper({}), Helper({})
    assert before.ask(LARGE)[0] == 0
    assert before.ask(LARGE, Kind.KERNEL, 0) == again.ask(LARGE, Kind.KERNEL, 0)
    assert (before.close(), again.close()) == (0, 0)


def test_objects_are_cached(helper: Helper, tmp_path: Path) -> None:
    assert helper.ask(LARGE)[0] == 0
    assert helper.ask(LARGE, Kind.KERNEL, 0)[0] == 0
    assert helper.ask(LARGE, Kind.KERNEL, 1)[0] == 218
    paths = sorted((tmp_path / "cache").iterdir())
    assert [path.name.partition("-")[2] for path in paths] == ["0-0.o", "1-0.o"]
    assert {path.stat().st_mode & 0o777 for path in paths} == {0o600}
    paths[0].write_bytes((5).to_bytes(8, "little") + b"kept:" + b"an index from the cache")
    paths[1].write_bytes(b"a kernel from the cache")
    assert helper.ask(LARGE) == (0, b"an index from the cache")
    assert helper.ask(LARGE, Kind.KERNEL, 0) == (0, b"a kernel from the cache")


def test_a_damaged_cache_costs_only_time(helper: Helper, tmp_path: Path) -> None:
    _, good = helper.ask(LARGE, Kind.KERNEL, 0)
    for path in (tmp_path / "cache").iterdir():
        path.unlink()
    assert helper.ask(LARGE)[0] == 0
    (index,) = (tmp_path / "cache").iterdir()
    other = Helper({"VGPU_SOFTGPU_CACHE": str(tmp_path / "cache")})
    for damage in (b"", b"\xff" * 100, (3).to_bytes(8, "little") + b"\x80xx"):
        index.write_bytes(damage)
        assert other.ask(LARGE, Kind.KERNEL, 0) == (0, good)
        (tmp_path / "cache" / index.name.replace("-0-0", "-1-0")).unlink()
    assert other.close() == 0


def test_outlines_are_kept_up_to_a_limit() -> None:
    outlines = compiler.Outlines()
    third = compiler.Outlines.MAX_BYTES // 3
    for name in (b"a", b"b", b"c"):
        outlines.keep(name, bytes(third))
    assert outlines.find(b"a") is not None
    outlines.keep(b"d", bytes(third))
    assert [outlines.find(name) is not None for name in (b"a", b"b", b"c", b"d")] == [1, 0, 1, 1]
    outlines.keep(b"e", bytes(compiler.Outlines.MAX_BYTES + 1))
    assert outlines.find(b"e") is None


def test_a_wrong_request_ends_the_helper() -> None:
    for request in (
        bytes(24),
        wire.REQUEST.pack(wire.MAGIC, len(Kind), 0, 0, 0),
        wire.REQUEST.pack(wire.MAGIC, 0, 0, 0, wire.MAX_IMAGE_BYTES + 1),
    ):
        helper = Helper({})
        helper.socket.sendall(request)
        assert helper.socket.recv(1) == b""
        assert helper.close() == 0


def test_small_images_are_compiled_when_they_are_loaded() -> None:
    """As far as they can be: what the software GPU lacks is the affair of the kernel that wants it."""
    good, bad = (kernel("u64 a", "", name=name) for name in ("good", "bad"))
    bad = bad.replace("ret;", "vadd.s32.s32.s32 %r1, %r2, %r3; ret;").partition("64\n")[2]
    compiled = jobs.split_loaded(jobs.load((good + bad).encode()))[1]
    assert b"k.good" in compiled
    assert b"k.bad" not in compiled
    assert b"k.good" not in jobs.split_loaded(jobs.load(LARGE))[1]
    one = kernel("u64 a", PADDING, name="good")
    assert b"k.good" in jobs.split_loaded(jobs.load(one.encode()))[1]


def test_an_outline_can_be_kept() -> None:
    text = LARGE.decode()
    module = outline.make_outline(text)
    again = outline.decode(outline.encode(module))
    assert again.functions.keys() == module.functions.keys()
    assert again.functions["bad"].facts == module.functions["bad"].facts
    assert outline.encode(again) == outline.encode(module)


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
