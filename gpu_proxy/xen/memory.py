# SPDX-License-Identifier: Apache-2.0
"""The memory of a session in a pod domain: pages that the zone granted, ports that it offered."""

from __future__ import annotations

from gpu_proxy.xen.broker import Broker
from idm.counters_page import CountersPage
from idm.transport import Doorbell, WorkerShare
from idm.xen.devices import EventFile, MappedGrants
from idm.xen.messages import Open


class GrantedMemory:
    """One file of grants and one of event channels, for the worker."""

    def __init__(self, broker: Broker, opened: Open, session: int) -> None:
        """Map and bind. Raises OSError."""
        self._region: MappedGrants | None = broker.map(opened.refs)
        self._events: EventFile | None = None
        try:
            self._events, self._ports = broker.bind(opened.ports)
            self._counters = CountersPage(session)
        except BaseException:
            self.close_shared()
            raise

    def for_worker(self) -> WorkerShare:
        """Return the worker's descriptors: all doorbells are ports of one file."""
        assert self._region is not None
        assert self._events is not None
        fd = self._events.fd
        request, *slots = (Doorbell(fd, port) for port in self._ports)
        return WorkerShare(self._region.fd, self._counters.fd, request, slots)

    def read_counters(self) -> dict[str, int]:
        """Return what the worker has counted; numbers of unknown truth."""
        return self._counters.read()

    def close_shared(self) -> None:
        """Close our own files: the mapping then ends with the worker."""
        if self._region:
            self._region.close()
        if self._events:
            self._events.close()
        self._region = self._events = None

    def close(self) -> None:
        """Free everything."""
        self.close_shared()
        self._counters.close_shared()
        self._counters.close()
