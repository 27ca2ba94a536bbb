# SPDX-License-Identifier: Apache-2.0
"""Domains of tests: created, watched and destroyed; and nothing of them is left at the end."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "support"))

from domain import Domain
from images import debian
from leftovers import left_over, snapshot
from pod import Pod
from proxy import Proxy
from waiting import wait_until

NUMBERS = itertools.count(1)
CONSOLE_CHARACTERS = 8000
BOOT_SECONDS = 180


@pytest.fixture
def domain(request, tmp_path):
    """Make domains: `domain("pv", debian("repo"), memory=512).boot()`. They end with the test."""
    made: list[Domain] = []

    def make(kind: str = "pv", image=None, **settings) -> Domain:
        name = f"t{next(NUMBERS)}-{kind}"
        made.append(Domain(name, kind, image or debian(), tmp_path, **settings))
        return made[-1]

    request.node.domains = made
    yield make
    for one in made:
        if one.is_listed():
            one.destroy()
    for one in made:
        one.wait_gone()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed test shows its domains' consoles."""
    report = yield
    if report.failed:
        for one in getattr(item, "domains", ()):
            text = one.console[-CONSOLE_CHARACTERS:]
            report.sections.append((f"console of {one.name}, domain {one.domid}", text))
    return report


@pytest.fixture(scope="session", autouse=True)
def nothing_left():
    """No domain, grant mapping, event channel, xenstore node, loop device or process of ours stays."""
    before = snapshot()
    yield
    wait_until(lambda: not left_over(before, snapshot()), Leftovers(before), every=1)


class Leftovers:
    """Says what is left when it is asked: only after the last attempt."""

    def __init__(self, before):
        self.before = before

    def __str__(self) -> str:
        return "nothing is left over:\n" + "\n".join(left_over(self.before, snapshot()))


@pytest.fixture(scope="session")
def proxy(tmp_path_factory):
    """gpu-proxy in Dom0, for all tests: only one can serve the domains of a machine."""
    one = Proxy(tmp_path_factory.mktemp("proxy"), "--log-level=debug")
    yield one
    one.stop()


@pytest.fixture(scope="session")
def pod_image():
    """A trial guest in which an agent and applications run."""
    return debian("venv", "repo", "programs")


@pytest.fixture(scope="session")
def pods(proxy, pod_image, tmp_path_factory):
    """Two pod domains with zones a (PV) and b (PVH, a small quota)."""
    folder = tmp_path_factory.mktemp("pods")
    made = [
        Domain(f"p{next(NUMBERS)}-{kind}", kind, pod_image, folder, memory=512)
        for kind in ("pv", "pvh")
    ]
    for one in made:
        one.create()
    for one in made:
        one.wait_console(one.image.ready, BOOT_SECONDS)
    small = {"device_memory": "64MiB", "host_memory": "96MiB"}
    yield [Pod(made[0], proxy, "a"), Pod(made[1], proxy, "b", **small)]
    for one in made:
        if one.is_listed():
            one.destroy()
    for one in made:
        one.wait_gone()
