# SPDX-License-Identifier: Apache-2.0
"""Where `vgpu` finds the library, the runtime directory and a zone's socket."""

from __future__ import annotations

import importlib.resources
from pathlib import Path

from gpu_proxy.errors import GpuProxyError
from gpu_proxy.settings import default_runtime_dir
from idm.handshake import SOCKET_NAME


class NotFound(GpuProxyError):
    """The library or a zone is not there."""


def library() -> Path:
    """Return the path of libvgpu.so."""
    found = importlib.resources.files("libvgpu") / "_lib" / "libvgpu.so"
    if not found.is_file():
        raise NotFound(f"libvgpu is not built: no {found}; run make")
    return Path(str(found))


def runtime_dir(chosen: str | None) -> Path:
    """Return the directory that was asked for, or the default."""
    return Path(chosen).absolute() if chosen else default_runtime_dir()


def zone_socket(directory: Path, zone: str | None) -> Path:
    """Return a zone's socket; without a name the only one there is."""
    if zone is not None:
        path = directory / zone / SOCKET_NAME
        if not path.exists():
            raise NotFound(f"no zone {zone!r}: {path} does not exist; is gpu-proxy running?")
        return path
    found = sorted(directory.glob(f"*/{SOCKET_NAME}"))
    if not found:
        raise NotFound(f"no zone in {directory}; is gpu-proxy running?")
    if len(found) > 1:
        names = ", ".join(path.parent.name for path in found)
        raise NotFound(f"several zones in {directory}: choose one with --zone: {names}")
    return found[0]
