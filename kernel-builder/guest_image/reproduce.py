# SPDX-License-Identifier: Apache-2.0
"""Two builds from the same packages, in two folders, must give the same bytes."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from guest_image.build import build
from guest_image.places import Places, say, sha256_of
from guest_image.pod_config import FOLDER


def reproduce(places: Places, *, kernel: bool) -> int:
    """The exit code: 0 when nothing differs."""
    places.cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=places.cache, prefix="twice-") as name:
        sums = [sums_of(build_in(places, Path(name) / one, kernel)) for one in ("a", "other")]
    differing = sorted(file for file in sums[0] if sums[0][file] != sums[1].get(file))
    for file, checksum in sorted(sums[0].items()):
        say(f"{'DIFFERS' if file in differing else 'the same'}: {file} {checksum}")
    return 1 if differing else 0


def build_in(places: Places, folder: Path, kernel: bool) -> dict[str, Path]:
    """A build with empty folders; only the packages are those of the others."""
    (folder / "cache").mkdir(parents=True)
    places.packages.mkdir(parents=True, exist_ok=True)
    (folder / "cache" / "packages").symlink_to(places.packages)
    own = replace(places, out=folder / "out", cache=folder / "cache")
    return build(own, strict=False, folder=FOLDER, kernel=kernel)


def sums_of(files: dict[str, Path]) -> dict[str, str]:
    """Checksums by name."""
    return {name: sha256_of(path) for name, path in files.items()}
