# SPDX-License-Identifier: Apache-2.0
"""A real daemon with the software GPU, and applications as processes of their own."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE / "support"), str(HERE.parent / "gpu_proxy" / "support")]

from applications import Proxy
from raw import Raw
from remote import RemoteProxy

EXECUTORS = os.environ.get("VGPU_TEST_EXECUTORS", "c python").split()


def short_directory() -> Path:
    base = Path(tempfile.mkdtemp(prefix="vgpu-"))
    base.chmod(0o755)
    return base


@pytest.fixture(scope="module", params=["remote"] if RemoteProxy.is_wanted() else EXECUTORS)
def proxy(request):
    """One daemon for a module's tests, once with each executor: zones default, a and b.

    In a pod domain it is the one that runs in the driver domain, and there is one zone.
    """
    if request.param == "remote":
        yield RemoteProxy()
        return
    base = short_directory()
    zones = [
        "--zone=default",
        "--zone=a",
        "--zone=b",
        "--zone=small:device_memory=64MiB,context_memory=0,host_memory=96MiB",
        "--zone=quota:device_memory=64MiB,context_memory=0",
        "--zone=contexts:device_memory=64MiB,context_memory=16MiB",
    ]
    one = Proxy(base / "run", f"--executor={request.param}", *zones)
    yield one
    assert one.stop() == 0
    shutil.rmtree(base)


@pytest.fixture(scope="module", params=EXECUTORS)
def small_queue_proxy(request):
    """A daemon whose streams are soon full."""
    base = short_directory()
    config = base / "config.toml"
    config.write_text("[workers]\nstream_queue = 128\n")
    one = Proxy(base / "run", f"--executor={request.param}", f"--config={config}")
    yield one
    assert one.stop() == 0
    shutil.rmtree(base)


@pytest.fixture
def raw(proxy):
    """Open sessions of the zone `a`, or of another one."""
    opened = []

    def begin(zone: str = "a", *, context: bool = True) -> Raw:
        opened.append(Raw(proxy.socket(zone)))
        if context:
            opened[-1].start()
        return opened[-1]

    yield begin
    for one in opened:
        one.close()


@pytest.fixture
def own_proxy():
    """Start daemons that a test may kill; all end with the test."""
    if RemoteProxy.is_wanted():
        pytest.skip("the daemon is in another domain")
    base = short_directory()
    started = []

    def begin(*arguments: str) -> Proxy:
        started.append(Proxy(base / "run", *arguments))
        return started[-1]

    yield begin
    for one in started:
        if one.process.poll() is None:
            one.stop()
    shutil.rmtree(base)
