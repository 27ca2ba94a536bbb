# SPDX-License-Identifier: Apache-2.0
"""Xen without Xen: a xenstored of our own, and grants and event channels in memory."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "support"))

from fake_xen import BACK, FRONT, FakeXen, running


@pytest.fixture
def xen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeXen]:
    with running(tmp_path, monkeypatch, FRONT, BACK) as one:
        yield one
