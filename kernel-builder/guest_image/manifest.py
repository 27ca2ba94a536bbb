# SPDX-License-Identifier: Apache-2.0
"""`manifest.json`: what the images are and were made from. It holds no time and no path."""

from __future__ import annotations

import importlib.metadata
import json
from dataclasses import asdict
from pathlib import Path

from guest_image.image import UUID
from guest_image.kernel import tools_of_kernel
from guest_image.lock import Package
from guest_image.places import EPOCH, Places, sha256_of, tool


def manifest(
    places: Places, packages: list[Package], changed: list[str], files: dict[str, Path]
) -> str:
    """The text of the file."""
    facts = {
        "files": {
            name: {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
            for name, path in sorted(files.items())
        },
        "packages": [asdict(package) for package in sorted(packages)],
        "not_as_locked": changed,
        "fragment_sha256": sha256_of(places.fragment),
        "tools": {
            **tools_of_kernel(),
            "mkfs.erofs sha256": sha256_of(Path(tool("mkfs.erofs"))),
            "ziglang": importlib.metadata.version("ziglang"),
        },
        "epoch": EPOCH,
        "root_uuid": UUID,
    }
    return json.dumps(facts, indent=1) + "\n"
