# SPDX-License-Identifier: Apache-2.0
"""What a session shares: region and doorbells with the zone, counters with the worker."""

from __future__ import annotations

import mmap
import os
import struct
from dataclasses import dataclass

from idm import handshake, memory_fd

COUNTER_NAMES = (
    "calls",
    "posted",
    "forwarded",
    "bytes_in",
    "bytes_out",
    "launches",
    "errors",
    "handles",
    "device_bytes",
    "host_bytes",
    "busy_ns",
)
COUNTERS = struct.Struct(f"<{len(COUNTER_NAMES)}Q")


@dataclass
class SessionMemory:
    """Descriptors of one session; made off the event loop, because pages are allocated."""

    region: int
    counters_fd: int
    counters: mmap.mmap
    request_doorbell: int
    doorbells: list[int]

    @classmethod
    def create(cls, session: int, features: int) -> SessionMemory:
        """Allocate everything. Raises OSError."""
        region = memory_fd.create(
            f"vgpu-region-{session}", handshake.REGION_BYTES, handshake.header(features)
        )
        counters_fd = memory_fd.create(f"vgpu-counters-{session}", handshake.PAGE)
        counters = mmap.mmap(counters_fd, handshake.PAGE, prot=mmap.PROT_READ)
        bells = [_doorbell() for _ in range(1 + handshake.DOORBELLS)]
        return cls(region, counters_fd, counters, bells[0], bells[1:])

    def for_worker(self) -> list[int]:
        """Return the worker's descriptors; its channel goes after the first two."""
        return [self.region, self.counters_fd, self.request_doorbell, *self.doorbells]

    def for_front(self, snapshot: int) -> list[int]:
        """Return the welcome's descriptors, in the order of idm.h."""
        return [self.region, snapshot, self.request_doorbell, *self.doorbells]

    def read_counters(self) -> dict[str, int]:
        """Return what the worker has counted; numbers of unknown truth."""
        values = COUNTERS.unpack_from(self.counters)
        return dict(zip(COUNTER_NAMES, values, strict=True))

    def close_shared(self) -> None:
        """Close what only the peers need, once they have it."""
        for fd in (self.counters_fd, self.request_doorbell, *self.doorbells):
            if fd >= 0:
                os.close(fd)
        self.counters_fd = self.request_doorbell = -1
        self.doorbells = []

    def close(self) -> None:
        """Free everything, also what the zone still has mapped."""
        self.close_shared()
        self.counters.close()
        memory_fd.discard(self.region)

    @staticmethod
    def host_bytes() -> int:
        """Return what a session costs in the driver domain before it does anything."""
        return handshake.REGION_BYTES + handshake.PAGE


def _doorbell() -> int:
    return os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
