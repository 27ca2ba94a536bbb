# SPDX-License-Identifier: Apache-2.0
"""Both sides of a domain in one process: the toolstack's commands, and the zone's agent."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests" / "idm" / "xen" / "support"))
sys.path.insert(0, str(Path(__file__).parent / "support"))

from fake_xen import BACK, FRONT, FakeXen, running
from zone import Zone

from gpu_proxy.domain import domains


@pytest.fixture
def xen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeXen]:
    with running(tmp_path, monkeypatch, FRONT, BACK) as one:
        yield one


@pytest.fixture
def zone(xen: FakeXen, tmp_path: Path) -> Iterator[Zone]:
    one = Zone(xen, tmp_path)
    yield one
    one.close()


@pytest.fixture
def connect(xen: FakeXen, monkeypatch: pytest.MonkeyPatch) -> Callable[[], object]:
    """`domains.connect` as root of the toolstack's domain."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(domains, "Store", lambda: xen.store(BACK))
    return domains.connect
