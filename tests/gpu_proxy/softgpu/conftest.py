# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the software GPU's tests."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "support"))

from softgpu_harness import Gpu, nvcc


@pytest.fixture(scope="session")
def engine() -> Gpu:
    """The engine, started once."""
    return Gpu()


@pytest.fixture
def gpu(engine: Gpu) -> Iterator[Gpu]:
    """The engine with an empty arena."""
    engine.reset()
    yield engine
    engine.reset()


@pytest.fixture(scope="session")
def cuda() -> None:
    """Skips tests that need the CUDA compiler."""
    if nvcc() is None:
        pytest.skip("needs nvcc from a CUDA toolkit, which is not installed")
