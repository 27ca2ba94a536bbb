# SPDX-License-Identifier: Apache-2.0
"""Fixtures for programs: where they run."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [
    str(TESTS / "programs" / "support"),
    str(TESTS / "end_to_end" / "support"),
    str(TESTS / "gpu_proxy" / "support"),
]

from daemon import REAL_GPU
from program_building import DRIVER, Chroot, Native, make_chroot


@pytest.fixture(scope="session")
def native() -> Native:
    """Skips where the software GPU is not built."""
    if REAL_GPU:
        return Native("")
    if not (DRIVER / "libcuda.so.1").exists():
        pytest.skip("the software GPU's libcuda.so.1 is not built: make build")
    return Native(str(DRIVER))


@pytest.fixture
def own_chroot() -> Iterator[Chroot]:
    """One whose daemon the test may stop."""
    yield from make_chroot()


@pytest.fixture(params=["native", "proxy-c", "proxy-python"])
def side(request: pytest.FixtureRequest) -> Native | Chroot:
    """Both sides: the same program must find the same numbers."""
    if request.param == "native":
        return request.getfixturevalue("native")
    place = request.getfixturevalue("places")
    return place(request.param.removeprefix("proxy-"))


@pytest.fixture(scope="session")
def places():
    """One chroot for each executor, made when it is asked for."""
    made: dict[str, tuple[Iterator[Chroot], Chroot]] = {}

    def get(executor: str) -> Chroot:
        if executor not in made:
            maker = make_chroot(f"--executor={executor}")
            made[executor] = (maker, next(maker))
        return made[executor][1]

    yield get
    for maker, _ in made.values():
        next(maker, None)
