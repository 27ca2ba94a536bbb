# SPDX-License-Identifier: Apache-2.0
"""The compile helper: `python -m gpu_proxy.softgpu.compiler [--fd N]`.

It turns images (PTX or fatbins) into relocatable objects for csrc/loader.c, outside the process
that runs them.
With --fd it serves requests on an inherited stream socket until its end, one at a time; each is
compiled in a forked
child under limits, so that a hostile image costs only its own request. Without, it reads one
image from standard
input and writes the object to standard output.

    request   u32 magic, u32 flags, u64 length, image
    response  u32 magic, i32 status (0 or a CUresult), u64 length, object or error text
"""

from __future__ import annotations

import argparse
import os
import socket
import struct
import sys
from collections.abc import Sequence

from gpu_proxy.softgpu import native
from gpu_proxy.softgpu.cache import Cache
from gpu_proxy.softgpu.codegen import generate
from gpu_proxy.softgpu.errors import LimitError, PtxError, SoftGpuError
from gpu_proxy.softgpu.fatbin import find_ptx
from gpu_proxy.softgpu.limits import run_limited
from gpu_proxy.softgpu.ptx import parse

MAGIC = 0x53474331
REQUEST = struct.Struct("<IIQ")
RESPONSE = struct.Struct("<IiQ")
MAX_IMAGE_BYTES = 512 << 20
FLAG_LENIENT = 1

STATUS_OUT_OF_MEMORY = 2
STATUS_INVALID_PTX = 218


def compile_image(image: bytes) -> bytes:
    """An image to an object; SoftGpuError says why not."""
    text = find_ptx(image)
    try:
        module = generate(parse(text))
    except RecursionError as error:
        raise PtxError("too deeply nested") from error
    return native.compile_text(module)


def answer(image: bytes) -> tuple[int, bytes]:
    """Status and bytes of the response."""
    try:
        return 0, compile_image(image)
    except SoftGpuError as error:
        return error.status, str(error).encode()
    except MemoryError:
        return STATUS_OUT_OF_MEMORY, b"compiling needs more memory than allowed"
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


def serve(connection: socket.socket, cache: Cache) -> None:
    """Answer requests until the other side closes."""
    while True:
        header = _receive(connection, REQUEST.size)
        if header is None:
            return
        magic, flags, length = REQUEST.unpack(header)
        if magic != MAGIC or length > MAX_IMAGE_BYTES:
            return
        image = _receive(connection, length)
        if image is None:
            return
        status, data = _serve_one(image, flags, cache)
        connection.sendall(RESPONSE.pack(MAGIC, status, len(data)))
        connection.sendall(data)


def _serve_one(image: bytes, flags: int, cache: Cache) -> tuple[int, bytes]:
    known = cache.get(image, flags)
    if known is not None:
        return 0, known
    try:
        status, data = run_limited(lambda: answer(image))
    except LimitError as error:
        return error.status, str(error).encode()
    if status == 0:
        cache.put(image, flags, data)
    return status, data


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
            serve(connection, Cache.from_environment())
        return 0
    status, data = answer(sys.stdin.buffer.read())
    if status:
        print(data.decode(errors="replace"), file=sys.stderr)
        return 1
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main())
