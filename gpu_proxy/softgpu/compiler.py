# SPDX-License-Identifier: Apache-2.0
"""The compile helper: `python -m gpu_proxy.softgpu.compiler [--fd N]`.

It turns images (PTX or fatbins) into relocatable objects for csrc/loader.c, outside the process
that runs them. With --fd it serves requests (wire.py) on an inherited stream socket until its end,
one at a time; each is worked on in a forked child under limits, so that a hostile image costs only
its own request. Without, it reads one image from standard input and writes one object with all of
it to standard output.
"""

from __future__ import annotations

import argparse
import functools
import os
import socket
import sys
from collections.abc import Callable, Sequence

from gpu_proxy.softgpu import jobs, native
from gpu_proxy.softgpu.cache import Cache
from gpu_proxy.softgpu.errors import LimitError, SoftGpuError
from gpu_proxy.softgpu.limits import run_limited
from gpu_proxy.softgpu.wire import MAGIC, MAX_IMAGE_BYTES, REQUEST, RESPONSE, Kind

STATUS_OUT_OF_MEMORY = 2
STATUS_INVALID_PTX = 218


def answer(job: Callable[[], bytes]) -> tuple[int, bytes]:
    """Status and bytes of the response."""
    try:
        return 0, job()
    except SoftGpuError as error:
        return error.status, str(error).encode()
    except MemoryError:
        return STATUS_OUT_OF_MEMORY, b"compiling needs more memory than allowed"
    except RecursionError:
        return STATUS_INVALID_PTX, b"too deeply nested"
    except (
        RuntimeError,
        ValueError,
        KeyError,
        IndexError,
        TypeError,
        AttributeError,
        AssertionError,
    ) as error:
        # Our own checks should have caught it, LLVM's verifier did: still only this image's error.
        return (
            STATUS_INVALID_PTX,
            f"internal compiler error: {type(error).__name__}: {error}".encode()[:4096],
        )


class Server:
    """Answers requests, with what it has made before if it can."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._outlines = Outlines()

    def serve(self, connection: socket.socket) -> None:
        """Answer until the other side closes."""
        while True:
            header = _receive(connection, REQUEST.size)
            if header is None:
                return
            magic, kind, number, _, length = REQUEST.unpack(header)
            if magic != MAGIC or kind not in iter(Kind) or length > MAX_IMAGE_BYTES:
                return
            image = _receive(connection, length)
            if image is None:
                return
            status, data = self._answer(Kind(kind), number, image)
            connection.sendall(RESPONSE.pack(MAGIC, status, len(data)))
            connection.sendall(data)

    def _answer(self, kind: Kind, number: int, image: bytes) -> tuple[int, bytes]:
        key = self._cache.key(image)
        if kind is not Kind.LOAD:
            return self._made(key, kind, number, lambda: self._code(kind, number, key, image))
        status, data = self._made(key, kind, 0, lambda: jobs.load(image))
        if status:
            return status, data
        kept, index = jobs.split_loaded(data)
        self._outlines.keep(key, kept)
        return 0, index

    def _code(self, kind: Kind, number: int, key: bytes, image: bytes) -> bytes:
        kept = self._outlines.find(key)
        if kept is None:
            kept = jobs.split_loaded(self._cache.get(key, Kind.LOAD, 0) or b"")[0]
        if kind is Kind.FUNCTIONS:
            return jobs.compile_functions(image, kept)
        return jobs.compile_kernel(image, kept, number)

    def _made(
        self, key: bytes, kind: Kind, number: int, job: Callable[[], bytes]
    ) -> tuple[int, bytes]:
        """From the cache, or made now by a child."""
        known = self._cache.get(key, kind, number)
        if known is not None:
            return 0, known
        try:
            status, data = run_limited(functools.partial(answer, job))
        except LimitError as error:
            return error.status, str(error).encode()
        if status == 0:
            self._cache.put(key, kind, number, data)
        return status, data


class Outlines:
    """The outlines of the images loaded last. Only bytes here: a child wrote them."""

    MAX_BYTES = 64 << 20

    def __init__(self) -> None:
        self._kept: dict[bytes, bytes] = {}  # the one used last is the last
        self._bytes = 0

    def keep(self, key: bytes, outline: bytes) -> None:
        """Keep one, at the cost of older ones."""
        self._bytes += len(outline) - len(self._kept.pop(key, b""))
        self._kept[key] = outline
        while self._bytes > self.MAX_BYTES:
            self._bytes -= len(self._kept.pop(next(iter(self._kept))))

    def find(self, key: bytes) -> bytes | None:
        """An outline that is still kept."""
        if key in self._kept:
            self._kept[key] = self._kept.pop(key)
        return self._kept.get(key)


def _receive(connection: socket.socket, count: int) -> bytes | None:
    """Exactly `count` bytes, or None at the end of the stream."""
    data = bytearray(count)
    view = memoryview(data)
    while view:
        got = connection.recv_into(view)
        if got == 0:
            return None
        view = view[got:]
    return bytes(data)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="gpu_proxy.softgpu.compiler", description=__doc__)
    parser.add_argument("--fd", type=int, help="serve requests on this inherited stream socket")
    options = parser.parse_args(arguments)
    native.warm_up()
    if options.fd is not None:
        with socket.socket(fileno=options.fd) as connection:
            Server(Cache.from_environment()).serve(connection)
        return 0
    image = sys.stdin.buffer.read()
    status, data = answer(lambda: jobs.compile_whole(image))
    if status:
        print(data.decode(errors="replace"), file=sys.stderr)
        return 1
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main())
