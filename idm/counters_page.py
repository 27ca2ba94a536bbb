# SPDX-License-Identifier: Apache-2.0
"""The page in which a worker counts and the supervisor reads; the zone has no part in it."""

from __future__ import annotations

import mmap
import os
import struct

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


class CountersPage:
    """A sealed memfd of struct idm_counters."""

    def __init__(self, session: int) -> None:
        """Allocate it. Raises OSError."""
        self.fd = memory_fd.create(f"vgpu-counters-{session}", handshake.PAGE)
        self._mapped = mmap.mmap(self.fd, handshake.PAGE, prot=mmap.PROT_READ)

    def read(self) -> dict[str, int]:
        """Return what the worker has counted; numbers of unknown truth."""
        return dict(zip(COUNTER_NAMES, COUNTERS.unpack_from(self._mapped), strict=True))

    def close_shared(self) -> None:
        """Close the descriptor, once the worker has its own."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def close(self) -> None:
        """Free the page."""
        self.close_shared()
        self._mapped.close()
