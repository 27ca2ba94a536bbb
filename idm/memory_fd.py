# SPDX-License-Identifier: Apache-2.0
"""Shared memory as sealed memfds.

The seals keep either side from truncating what the other has mapped. The pages are allocated here,
so that the driver domain pays for them and touching them does not hit the zone's own memory limit.
"""

from __future__ import annotations

import ctypes
import fcntl
import os

F_ADD_SEALS = 1033
F_GET_SEALS = 1034
SEAL_SEAL, SEAL_SHRINK, SEAL_GROW, SEAL_WRITE = 1, 2, 4, 8
SEALS = SEAL_SEAL | SEAL_SHRINK | SEAL_GROW
FALLOC_KEEP_SIZE, FALLOC_PUNCH_HOLE = 1, 2
MFD_NOEXEC_SEAL = 8

_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]


def create(name: str, size: int, content: bytes = b"", *, read_only: bool = False) -> int:
    """Return a sealed memfd of `size` bytes that begins with `content`. Raises OSError."""
    fd = _memfd(name)
    try:
        os.posix_fallocate(fd, 0, size)
        if content:
            os.pwrite(fd, content, 0)
        fcntl.fcntl(fd, F_ADD_SEALS, SEALS | (SEAL_WRITE if read_only else 0))
    except BaseException:
        os.close(fd)
        raise
    return fd


def _memfd(name: str) -> int:
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        return os.memfd_create(name, flags | MFD_NOEXEC_SEAL)
    except OSError:  # Linux before 6.3 does not know the flag.
        return os.memfd_create(name, flags)


def discard(fd: int) -> None:
    """Free the pages at once, whoever else still has the memory mapped, and close the descriptor.

    A zone may keep a mapping for ever; after this its pages read zero, and what it touches again is
    its own memory, not the driver domain's.
    """
    try:
        size = os.fstat(fd).st_size
        if size:
            _libc.fallocate(fd, FALLOC_PUNCH_HOLE | FALLOC_KEEP_SIZE, 0, size)
    finally:
        os.close(fd)
