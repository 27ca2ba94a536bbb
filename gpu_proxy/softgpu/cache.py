# SPDX-License-Identifier: Apache-2.0
"""A directory of compiled objects, keyed by everything that an object depends on."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import tempfile
from pathlib import Path

from gpu_proxy.softgpu import native

VARIABLE = "VGPU_SOFTGPU_CACHE"


@functools.cache
def _compiler_identity() -> bytes:
    """A hash of this package's own source, so that no object outlives the compiler that made it."""
    digest = hashlib.sha256(native.cpu_identity().encode())
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.digest()


class Cache:
    """Objects by content. Without a directory it finds nothing and keeps nothing."""

    def __init__(self, directory: Path | None) -> None:
        self.directory = directory

    @classmethod
    def from_environment(cls) -> Cache:
        """The directory that VGPU_SOFTGPU_CACHE names."""
        value = os.environ.get(VARIABLE)
        return cls(Path(value) if value else None)

    def key(self, image: bytes) -> bytes:
        """What an image and this compiler are known by."""
        return hashlib.sha256(_compiler_identity() + image).digest()

    def _path(self, key: bytes, kind: int, number: int) -> Path | None:
        if self.directory is None:
            return None
        return self.directory / f"{key.hex()}-{kind}-{number}.o"

    def get(self, key: bytes, kind: int, number: int) -> bytes | None:
        """What was made of an image, if it is known."""
        path = self._path(key, kind, number)
        if path is None:
            return None
        try:
            return path.read_bytes()
        except OSError:
            return None

    def put(self, key: bytes, kind: int, number: int, made: bytes) -> None:
        """Keep an object. A full or read-only disk costs speed, never correctness."""
        path = self._path(key, kind, number)
        if path is None:
            return
        with contextlib.suppress(OSError):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # mkstemp makes files of mode 0600; the rename makes the object appear whole or not
            # at all.
            handle, temporary = tempfile.mkstemp(dir=path.parent)
            with os.fdopen(handle, "wb") as file:
                file.write(made)
            os.replace(temporary, path)
