# SPDX-License-Identifier: Apache-2.0
"""What a session shares on one kernel: region and doorbells with the zone, counters with us."""

from __future__ import annotations

import os
from dataclasses import dataclass

from idm import handshake, memory_fd
from idm.counters_page import CountersPage
from idm.transport import Doorbell, WorkerShare


@dataclass
class SessionMemory:
    """Descriptors of one session; made off the event loop, because pages are allocated."""

    region: int
    counters: CountersPage
    bells: list[int]

    @classmethod
    def create(cls, session: int) -> SessionMemory:
        """Allocate everything. Raises OSError."""
        region = memory_fd.create(f"vgpu-region-{session}", handshake.REGION_BYTES)
        bells = [_doorbell() for _ in range(1 + handshake.DOORBELLS)]
        return cls(region, CountersPage(session), bells)

    def for_worker(self) -> WorkerShare:
        """Return the worker's descriptors."""
        request, *slots = (Doorbell(fd) for fd in self.bells)
        return WorkerShare(self.region, self.counters.fd, request, slots)

    def for_front(self, snapshot: int) -> list[int]:
        """Return the welcome's descriptors, in the order of idm.h."""
        return [self.region, snapshot, *self.bells]

    def read_counters(self) -> dict[str, int]:
        """Return what the worker has counted; numbers of unknown truth."""
        return self.counters.read()

    def close_shared(self) -> None:
        """Close what only the peers need, once they have it."""
        for fd in self.bells:
            os.close(fd)
        self.bells = []
        self.counters.close_shared()

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
