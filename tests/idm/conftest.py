# SPDX-License-Identifier: Apache-2.0
"""Vendor headers, wherever some are installed.

They are looked for below every site-packages directory (the wheels put them there), in the toolkits
that `make toolkits` installs, and in the directories that the environment variable CUDA_HEADERS lists,
separated by colons.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from demo import toolkit


def directories() -> list[Path]:
    """Every directory that has a cuda.h."""
    listed = [Path(d) for d in os.environ.get("CUDA_HEADERS", "").split(":") if d]
    roots = [*map(Path, sys.path), *toolkit.FOLDER.glob("*")]
    wheels = [h.parent for d in roots for h in d.glob("nvidia/**/include/cuda.h")]
    return sorted({d for d in listed + wheels if (d / "cuda.h").is_file()})


@pytest.fixture(scope="session")
def all_headers() -> list[Path]:
    """All directories with a vendor header; there may be none."""
    return directories()


# Without a header there is one skipped test, so that its reason is seen.
HEADERS: list[Path | None] = [*directories()] or [None]


@pytest.fixture(params=HEADERS, ids=str)
def headers(request: pytest.FixtureRequest) -> Path:
    """One directory with a vendor header after the other."""
    if request.param is None:
        pytest.skip("no cuda.h: install a CUDA wheel or set CUDA_HEADERS")
    return Path(request.param)
