# SPDX-License-Identifier: Apache-2.0
"""A zone's agent, and executions in it, driven in turns by one thread."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fake_xen import BACK, FRONT, STEP_SECONDS, FakeXen, wait_until

from gpu_proxy.domain.execution import Execution
from idm.xen.agent.__main__ import Agent
from idm.xen.agent.image_root import ImageRoot
from idm.xen.exec_messages import Outcome, Request


class Run:
    """One execution, with pipes for its streams."""

    def __init__(self, zone: Zone, *argv: str, **how: Any) -> None:
        self.zone = zone
        stdin, self.feed = os.pipe()
        self.out, stdout = os.pipe()
        self.err, stderr = os.pipe()
        self._theirs = stdin, stdout, stderr
        for fd in (self.feed, self.out, self.err):
            os.set_blocking(fd, False)
        request = Request(argv, **{"uid": os.getuid(), "gid": os.getgid(), **how})
        store = zone.xen.store(BACK)
        self.execution = Execution(store, FRONT, BACK, request, self._theirs)
        self.execution.begin()
        zone.runs.append(self)
        self.output = bytearray()
        self.errors = bytearray()

    def step(self) -> None:
        self.execution.step(STEP_SECONDS)
        self.output += take(self.out)
        self.errors += take(self.err)

    def until(self, condition: Callable[[], object]) -> None:
        wait_until(condition, self.zone.step, self.step)

    def until_output(self, text: bytes) -> None:
        self.until(lambda: text in self.output)

    def end(self) -> Outcome:
        """Run to the end, and withdraw."""
        self.until(lambda: self.execution.finished)
        outcome = self.execution.outcome
        self.close()
        return outcome

    def close(self) -> None:
        self.execution.close()
        if self.feed >= 0:
            self.output += take(self.out)
            self.errors += take(self.err)
            for fd in (*self._theirs, self.feed, self.out, self.err):
                os.close(fd)
            self.feed = -1


class Zone:
    """The agent of domain FRONT."""

    def __init__(self, xen: FakeXen, folder: Path) -> None:
        self.xen = xen
        self.runs: list[Run] = []
        self.agent = Agent(xen.store(FRONT), folder / "proxy.sock", 1000, ImageRoot(""))
        self._selector = self.agent._selector
        self._always = len(self._selector.get_map())

    @property
    def idle(self) -> bool:
        """Whether nothing of any command is left, its process included."""
        return len(self._selector.get_map()) == self._always

    def step(self) -> None:
        self.agent.step(STEP_SECONDS)

    def run(self, *argv: str, **how: Any) -> Run:
        return Run(self, *argv, **how)

    def until(self, condition: Callable[[], object]) -> None:
        wait_until(condition, self.step)

    def close(self) -> None:
        """Withdraw what a test has left, and let the agent end what runs of it."""
        for one in self.runs:
            one.close()
        self.until(lambda: self.idle)
        self.agent._gpu.close()
        listeners = [k.fileobj for k in self._selector.get_map().values() if k.fd != k.fileobj]
        for one in listeners:
            one.close()
        self._selector.close()


def take(fd: int) -> bytes:
    """What is in a pipe."""
    try:
        return os.read(fd, 1 << 20)
    except BlockingIOError:
        return b""
