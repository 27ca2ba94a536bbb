# SPDX-License-Identifier: Apache-2.0
"""Fixtures for the tests of the supervisor."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "support"))

from daemon import Daemon


@pytest.fixture
def runtime_dir() -> Iterator[Path]:
    """A short path, for a socket's address is short; others may enter, as in /run."""
    base = Path(tempfile.mkdtemp(prefix="vgpu-"))
    base.chmod(0o755)
    yield base / "run"
    shutil.rmtree(base)


@pytest.fixture
def start(runtime_dir: Path) -> Iterator[Callable[..., Daemon]]:
    """Return a function that starts a daemon; all are stopped at the end."""
    started: list[Daemon] = []

    def begin(*arguments: str) -> Daemon:
        started.append(Daemon(runtime_dir, *arguments))
        return started[-1].wait_ready()

    yield begin
    for one in started:
        one.stop()
        one.check_log()


@pytest.fixture(scope="module")
def shared_daemon() -> Iterator[Daemon]:
    """One daemon for all tests of a module that leave it as it was."""
    base = Path(tempfile.mkdtemp(prefix="vgpu-"))
    base.chmod(0o755)
    one = Daemon(base / "run", "--zone=default", "--zone=other:device_memory=1MiB")
    yield one.wait_ready()
    assert one.stop() == 0
    one.check_log()
    shutil.rmtree(base)
