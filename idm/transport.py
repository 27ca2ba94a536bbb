# SPDX-License-Identifier: Apache-2.0
"""What carries a session, whatever lies below it: shared memory of one kernel, or granted pages.

The supervisor holds one `Front` for each application that connects. Locally that is a unix socket
and memfds (gpu_proxy/front.py); between Xen domains it is a channel to the zone's agent, grants and
event channels (gpu_proxy/xen/front.py). All above this interface is the same for both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from idm.handshake import Hello


class Doorbell(NamedTuple):
    """How a worker wakes and is woken: an eventfd, or a port on a file of /dev/xen/evtchn."""

    fd: int
    port: int = 0  # 0: an eventfd


class WorkerShare(NamedTuple):
    """What a worker gets of a session's memory."""

    region: int  # descriptor; mapped from offset 0
    counters: int
    request: Doorbell
    slots: list[Doorbell]


class PackedSnapshot(NamedTuple):
    """The zone's device snapshot, as bytes and as a sealed descriptor of them."""

    packed: bytes
    fd: int


class Memory(Protocol):
    """The memory of one session: region, doorbells, and the worker's counters."""

    def for_worker(self) -> WorkerShare:
        """Return what the worker maps and rings."""

    def read_counters(self) -> dict[str, int]:
        """Return what the worker has counted; numbers of unknown truth."""

    def close_shared(self) -> None:
        """Close what only the peers need, once they have it."""

    def close(self) -> None:
        """Free everything, also what the zone still has mapped."""


class Front(Protocol):
    """One application's connection. Nothing here may ever wait for the zone without a limit."""

    pid: int  # as the transport sees it, for logs
    uid: int

    async def hello(self, seconds: float) -> Hello:
        """Wait for the hello. Raises Refused."""

    def watch(self, on_end: Callable[[str], None]) -> None:
        """Call `on_end` with a reason when the application ends, closes, or breaks the protocol."""

    def host_bytes(self) -> int:
        """Return what a session costs in the driver domain before it does anything."""

    async def make_memory(self, session: int) -> Memory:
        """Allocate or map what the session shares. Raises OSError and Refused."""

    def welcome(self, hello: Hello, session: int, zone: str, snapshot: PackedSnapshot) -> bool:
        """Hand the application its session. False: it does not read."""

    def refuse(self, reason: int, text: str) -> None:
        """Say why there is no session."""

    async def share(self, token: int, size: int) -> int:
        """Make `size` bytes for application and worker; the worker's descriptor. Raises OSError.

        The application receives its own under `token`, before this returns. BrokenPipeError: it is
        gone or does not read.
        """

    def unshare(self, token: int) -> None:
        """Free shared bytes at once, even where they are still mapped."""

    def hang_up(self) -> None:
        """Wake everything in the application that waits for its session."""

    def close(self) -> None:
        """Give up all that this connection holds."""
