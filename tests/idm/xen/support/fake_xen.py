# SPDX-License-Identifier: Apache-2.0
"""Grants and event channels without Xen: memfds and eventfds, by the same numbers everywhere.

Both ends of a channel live in one process here, each with a store of its own domain.
"""

from __future__ import annotations

import errno
import mmap
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import gpu_proxy.xen.broker
import idm.xen.front_channel
import idm.xen.store
from idm.xen.devices import PAGE
from idm.xen.store import Store

HERE = Path(__file__).resolve().parent
SECONDS = 30
STEP_SECONDS = 0.01
FRONT, BACK = 7, 0


class Hypervisor:
    """Who has granted what, and which ports belong together."""

    def __init__(self) -> None:
        self.grants: dict[int, Granted] = {}
        self.ports: dict[tuple[int, int], Events] = {}
        self.peers: dict[tuple[int, int], tuple[int, int]] = {}
        self.last = 100

    def number(self) -> int:
        self.last += 1
        return self.last

    def send(self, domain: int, port: int) -> None:
        peer = self.peers.get((domain, port))
        if peer in self.ports:
            os.eventfd_write(self.ports[peer].fd, 1)


class Notifying:
    """A file of granted pages that clears a byte and sends an event when it goes."""

    def __init__(self, xen: Hypervisor, domain: int, fd: int, size: int) -> None:
        self.xen, self.domain, self.fd, self.bytes = xen, domain, fd, size
        self.notification: tuple[int, int] | None = None

    def map(self) -> mmap.mmap:
        return mmap.mmap(self.fd, self.bytes)

    def notify(self, offset: int, port: int) -> None:
        self.notification = offset, port

    def close(self) -> None:
        if self.notification:
            offset, port = self.notification
            os.pwrite(self.fd, b"\0", offset)
            self.xen.send(self.domain, port)
        os.close(self.fd)


class Granted(Notifying):
    def __init__(self, xen: Hypervisor, front: int, pages: int) -> None:
        fd = os.memfd_create("granted")
        os.ftruncate(fd, pages * PAGE)
        super().__init__(xen, front, fd, pages * PAGE)
        self.refs = [xen.number() for _ in range(pages)]
        xen.grants.update(dict.fromkeys(self.refs, self))

    def close(self) -> None:
        for ref in self.refs:
            del self.xen.grants[ref]
        super().close()


class Mapped(Notifying):
    def __init__(self, xen: Hypervisor, back: int, refs: list[int]) -> None:
        self.granted = xen.grants.get(refs[0])
        good = self.granted is not None and list(refs) == self.granted.refs
        fd = os.dup(self.granted.fd) if good else os.open("/dev/null", os.O_RDWR)
        super().__init__(xen, back, fd, len(refs) * PAGE)
        self.good = good

    def map(self) -> mmap.mmap:
        if not self.good:
            raise OSError(errno.EINVAL, "a reference is none")
        return super().map()


class Events:
    def __init__(self, xen: Hypervisor, domain: int) -> None:
        self.xen, self.domain = xen, domain
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.own: list[int] = []

    def _add(self) -> int:
        port = self.xen.number()
        self.xen.ports[self.domain, port] = self
        self.own.append(port)
        return port

    def allocate(self, _: int) -> int:
        return self._add()

    def bind(self, domain: int, port: int) -> int:
        if (domain, port) not in self.xen.ports or (domain, port) in self.xen.peers:
            raise OSError(errno.EINVAL, "no such port")
        local = self._add()
        self.xen.peers[self.domain, local] = domain, port
        self.xen.peers[domain, port] = self.domain, local
        return local

    def restrict(self, domain: int) -> None:
        self.restricted = domain

    def notify(self, port: int) -> None:
        self.xen.send(self.domain, port)

    def clear(self) -> None:
        try:
            os.eventfd_read(self.fd)
        except BlockingIOError:
            return

    def close(self) -> None:
        for port in self.own:
            del self.xen.ports[self.domain, port]
        os.close(self.fd)


class FakeXen:
    """Two domains: FRONT, a pod domain, and BACK, with the toolstack."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        self._monkeypatch = monkeypatch
        self.hypervisor = Hypervisor()
        xen, front, back = self.hypervisor, idm.xen.front_channel, gpu_proxy.xen.broker
        monkeypatch.setattr(idm.xen.store, "DEVICE", "/nonexistent/xenbus")
        monkeypatch.setattr(front, "GrantedPages", lambda _, pages: Granted(xen, FRONT, pages))
        monkeypatch.setattr(front, "EventFile", lambda: Events(xen, FRONT))
        monkeypatch.setattr(back, "MappedGrants", lambda _, refs: Mapped(xen, BACK, refs))
        monkeypatch.setattr(back, "EventFile", lambda: Events(xen, BACK))
        self._stores: list[Store] = []

    def store(self, domain: int) -> Store:
        """A connection of a domain."""
        path = self._folder / f"{domain}.socket"
        self._monkeypatch.setattr(idm.xen.store, "SOCKET", str(path))
        one = Store()
        self._stores.append(one)
        return one

    def close(self) -> None:
        for store in self._stores:
            store.close()

    def paths(self) -> set[str]:
        """Every node."""
        store = self.store(BACK)

        def below(path: str) -> Iterator[str]:
            for name in store.children(path or "/"):
                yield f"{path}/{name}"
                yield from below(f"{path}/{name}")

        return set(below(""))


@contextmanager
def running(folder: Path, monkeypatch: pytest.MonkeyPatch, *domains: int) -> Iterator[FakeXen]:
    """A xenstored for these domains, and the devices."""
    command = [sys.executable, str(HERE / "fake_xenstored.py"), str(folder), *map(str, domains)]
    with subprocess.Popen(command) as process:
        try:
            last = folder / f"{domains[-1]}.socket"
            wait_until(last.exists, lambda: time.sleep(STEP_SECONDS))
            one = FakeXen(folder, monkeypatch)
            yield one
            one.close()
        finally:
            process.kill()


def wait_until(condition: Callable[[], object], *steps: Callable[[], object]) -> None:
    """Take these steps, again and again, until the condition holds."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"not so after {SECONDS} s"
        for step in steps:
            step()
