# SPDX-License-Identifier: Apache-2.0
"""The three devices of a Xen guest's user space: gntalloc, gntdev and evtchn.

Numbers and layouts are those of Linux's include/uapi/xen/{gntalloc,gntdev,evtchn}.h. The zone's
side allocates and grants; the driver domain only maps. In the other direction grants of a process
that died in the driver domain would stay pinned until the zone is gone.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import struct
from collections.abc import Sequence

PAGE = 4096
BATCH = 1024  # pages of one request: single ones are slow, more keep the kernel busy for long
WRITABLE = 1
CLEAR_BYTE, SEND_EVENT = 1, 2
PORT_BYTES = 4

GNTALLOC, GNTDEV, EVTCHN = "/dev/xen/gntalloc", "/dev/xen/gntdev", "/dev/xen/evtchn"


def _request(kind: str, number: int, size: int) -> int:
    """Return the number of a request that has no direction, as these devices have them."""
    return size << 16 | ord(kind) << 8 | number


ALLOC = struct.Struct("=HHIQ")  # then one word a page: the references
NOTIFY_AT = struct.Struct("=QII")
MAP = struct.Struct("=IIQ")  # then two words a page: domain and reference
ALLOC_GREF = _request("G", 5, 24)
ALLOC_NOTIFY = _request("G", 7, NOTIFY_AT.size)
MAP_GRANT_REF = _request("G", 0, 24)
MAP_NOTIFY = _request("G", 7, NOTIFY_AT.size)
BIND_INTERDOMAIN = _request("E", 1, 8)
BIND_UNBOUND_PORT = _request("E", 2, 4)
NOTIFY = _request("E", 4, 4)
RESTRICT_DOMID = _request("E", 6, 2)


class GrantedPages:
    """Pages of this domain that another domain may map. Their file can be mapped from offset 0."""

    def __init__(self, domain: int, pages: int) -> None:
        """Allocate and grant. Raises OSError; ENOSPC when the limit of gntalloc is reached."""
        self.refs: list[int] = []
        self.bytes = pages * PAGE
        self.fd = os.open(GNTALLOC, os.O_RDWR | os.O_CLOEXEC)
        try:
            while len(self.refs) < pages:
                self.refs += self._allocate(domain, min(BATCH, pages - len(self.refs)))
        except BaseException:
            os.close(self.fd)
            raise

    def _allocate(self, domain: int, pages: int) -> list[int]:
        request = bytearray(max(ALLOC.size + 4 * pages, 24))
        ALLOC.pack_into(request, 0, domain, WRITABLE, pages, 0)
        fcntl.ioctl(self.fd, ALLOC_GREF, request)
        return list(struct.unpack_from(f"={pages}I", request, ALLOC.size))

    def map(self) -> mmap.mmap:
        """Map all of them here."""
        return mmap.mmap(self.fd, self.bytes)

    def notify(self, offset: int, port: int) -> None:
        """When the last user here is gone: clear the byte at `offset`, send an event on `port`."""
        request = NOTIFY_AT.pack(offset, CLEAR_BYTE | SEND_EVENT, port)
        fcntl.ioctl(self.fd, ALLOC_NOTIFY, bytearray(request))

    def close(self) -> None:
        """Take the pages back, as soon as no process here or there has them mapped."""
        os.close(self.fd)


class MappedGrants:
    """Another domain's pages, on a file of their own that maps them from offset 0, once."""

    def __init__(self, domain: int, refs: Sequence[int]) -> None:
        """Prepare the mapping. Raises OSError; a reference that is none only fails in mmap."""
        self.bytes = len(refs) * PAGE
        self.fd = os.open(GNTDEV, os.O_RDWR | os.O_CLOEXEC)
        try:
            self._prepare(domain, refs)
        except BaseException:
            os.close(self.fd)
            raise

    def _prepare(self, domain: int, refs: Sequence[int]) -> None:
        words = [word for ref in refs for word in (domain, ref)]
        request = bytearray(MAP.pack(len(refs), 0, 0) + struct.pack(f"={len(words)}I", *words))
        fcntl.ioctl(self.fd, MAP_GRANT_REF, request)
        if MAP.unpack_from(request)[2] != 0:
            raise OSError(errno.EIO, "a new file of gntdev does not begin at offset 0")

    def map(self) -> mmap.mmap:
        """Map all of them here. Raises OSError when one is not granted to this domain."""
        return mmap.mmap(self.fd, self.bytes)

    def notify(self, offset: int, port: int) -> None:
        """When the mapping goes: clear the byte at `offset` and send an event on `port`."""
        request = NOTIFY_AT.pack(offset, CLEAR_BYTE | SEND_EVENT, port)
        fcntl.ioctl(self.fd, MAP_NOTIFY, bytearray(request))

    def close(self) -> None:
        """Give up the file; the mapping goes with the last process that has it."""
        os.close(self.fd)


class EventFile:
    """A file of /dev/xen/evtchn: ports bound on it wake whoever polls it."""

    def __init__(self) -> None:
        self.fd = os.open(EVTCHN, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    def allocate(self, domain: int) -> int:
        """Return a new local port that `domain` may bind."""
        return int(fcntl.ioctl(self.fd, BIND_UNBOUND_PORT, bytearray(struct.pack("=I", domain))))

    def bind(self, domain: int, port: int) -> int:
        """Return the local port that is bound to another domain's `port`."""
        request = bytearray(struct.pack("=II", domain, port))
        return int(fcntl.ioctl(self.fd, BIND_INTERDOMAIN, request))

    def restrict(self, domain: int) -> None:
        """From now on only ports to `domain` can be bound on this file."""
        fcntl.ioctl(self.fd, RESTRICT_DOMID, bytearray(struct.pack("=H", domain)))

    def notify(self, port: int) -> None:
        """Send an event."""
        fcntl.ioctl(self.fd, NOTIFY, bytearray(struct.pack("=I", port)))

    def clear(self) -> None:
        """Take in what was sent, and let the ports fire again."""
        try:
            while ports := os.read(self.fd, 64 * PORT_BYTES):
                os.write(self.fd, ports)
        except BlockingIOError:
            return

    def close(self) -> None:
        """Close all ports of the file."""
        os.close(self.fd)
