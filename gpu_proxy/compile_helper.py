# SPDX-License-Identifier: Apache-2.0
"""The compile helper of one session: started when the worker first asks for a kernel.

The supervisor keeps the helper's end of the socket until then and watches it without reading.
"""

from __future__ import annotations

import asyncio
import os
import socket
from typing import TYPE_CHECKING

from gpu_proxy import log
from gpu_proxy import spawn_request as requests
from gpu_proxy.errors import ZygoteError
from gpu_proxy.zygote_link import Child

if TYPE_CHECKING:
    from gpu_proxy.zone import Zone


class CompileHelper:
    """Watches for the first request, then starts the helper and forgets the socket."""

    def __init__(self, zone: Zone, session: int) -> None:
        self._zone = zone
        self._log = log.get(zone=zone.name, session=session)
        self._ours, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self._child: Child | None = None
        self._starting: asyncio.Task[None] | None = None
        self._closed = False
        asyncio.get_running_loop().add_reader(self._ours.fileno(), self._wanted)

    @property
    def worker_fd(self) -> int:
        """The end that the worker gets."""
        return self._theirs.fileno()

    def worker_has_its_end(self) -> None:
        """Close our copy, so that the helper sees the worker's end."""
        self._theirs.close()

    def _wanted(self) -> None:
        """Readable: a request has come, or the worker is gone."""
        asyncio.get_running_loop().remove_reader(self._ours.fileno())
        if self._ours.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT):
            self._starting = asyncio.ensure_future(self._start())
        else:
            self._ours.close()

    async def _start(self) -> None:
        plan = self._zone.plan
        cache = os.open(plan.cache, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._child = await self._zone.zygote.fork(
                lambda number: requests.Fork(
                    number, plan.compiler(), compiler_environment=plan.compiler_environment()
                ),
                [self._ours.fileno(), cache],
            )
            self._child.watch(self._ended)
            self._log.info("compiler-started", pid=self._child.pid)
        except ZygoteError as error:
            self._log.error("compiler-failed", text=str(error))
        finally:
            os.close(cache)
            self._ours.close()  # Without a helper the worker's request ends with EOF.
        if self._closed:
            self.close()

    def _ended(self) -> None:
        if not self._closed:
            self._log.warning("compiler-exited")

    def kill(self) -> None:
        """Kill the helper, and with it all that it started."""
        self._closed = True
        if self._child:
            self._child.kill()

    def close(self) -> None:
        """Give up all descriptors."""
        self.kill()
        if self._ours.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._ours.fileno())
            if self._starting is None or self._starting.done():
                self._ours.close()
        self._theirs.close()
        if self._child:
            self._child.close()
