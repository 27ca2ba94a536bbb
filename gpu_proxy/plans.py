# SPDX-License-Identifier: Apache-2.0
"""How the processes of a zone are locked in: who they are, which files they open, their limits."""

from __future__ import annotations

import glob
import importlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from gpu_proxy import identity
from gpu_proxy.settings import Settings, ZoneSettings
from gpu_proxy.spawn_request import Identity, Limits, SandboxPlan

SYSTEM_PATHS = (
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/lib",
    "/lib64",
    "/etc/ld.so.cache",
    "/sys/devices/system",
    "/dev/null",
    "/dev/zero",
    "/dev/urandom",
)
REAL_PATHS = ("/etc", "/usr/share/nvidia", "/usr/bin", "/sys", "/proc/driver", "/proc/devices")
REAL_DEVICES = ("/dev/nvidia*", "/dev/nvidia-caps/*")
CACHE_DESCRIPTOR = "/proc/self/fd/4"  # the compile helper's second descriptor: its cache directory

WORKER_LIMITS = Limits(open_files=4096, processes=4096)
# The helper as a whole; each compilation is a child of it with its own, lower limits.
COMPILER_LIMITS = Limits(
    open_files=256, file_bytes=256 << 20, cpu_seconds=3600, address_bytes=16 << 30, processes=4096
)
PACKAGES = ("idm", "gpu_proxy")
PASSED_ON = ("CUDA_", "VGPU_SOFTGPU_")  # variables of the daemon that its workers see


def module_paths() -> list[str]:
    """Return the directories from which Python imports; an editable install is not on sys.path."""
    packages = [place for name in PACKAGES for place in importlib.import_module(name).__path__]
    own = [str(Path(path).resolve()) for path in (*sys.path, sys.prefix, *packages) if path]
    base = str(Path(sys.base_prefix).resolve())
    return sorted({*own, *([] if base == "/usr" else [base])})


@dataclass(frozen=True)
class ZonePlan:
    """All that the processes of one zone have in common."""

    identity: Identity | None
    read_paths: tuple[str, ...]
    stub: bool
    keep_stderr: bool
    cache: Path
    environment: dict[str, str]

    def worker(self) -> SandboxPlan:
        """Return the plan for a worker."""
        devices = [] if self.stub else [d for p in REAL_DEVICES for d in glob.glob(p)]
        return SandboxPlan(
            profile="worker-stub" if self.stub else "worker-real",
            identity=self.identity,
            limits=self._limits(WORKER_LIMITS),
            read_paths=self.read_paths if self.stub else (*self.read_paths, *REAL_PATHS),
            device_paths=tuple(devices),
            keep_stderr=self.keep_stderr,
        )

    def compiler(self) -> SandboxPlan:
        """Return the plan for a compile helper."""
        return SandboxPlan(
            profile="compiler",
            identity=self.identity,
            limits=self._limits(COMPILER_LIMITS),
            read_paths=self.read_paths,
            write_paths=(CACHE_DESCRIPTOR,),
            device_paths=("/dev/null",),
            keep_stderr=self.keep_stderr,
        )

    def compiler_environment(self) -> dict[str, str]:
        """Return the variables of a compile helper."""
        return {**self.environment, "VGPU_SOFTGPU_CACHE": CACHE_DESCRIPTOR}

    def _limits(self, limits: Limits) -> Limits:
        """Processes are counted by uid, so they are only limited where that is the zone's own."""
        if self.identity is not None:
            return limits
        return Limits(
            limits.open_files, limits.file_bytes, limits.cpu_seconds, limits.address_bytes
        )


def plan_zone(settings: Settings, zone: ZoneSettings, driver_library: str) -> ZonePlan:
    """Decide how the zone's processes run, and make its cache directory."""
    imports = module_paths()
    library = [str(Path(driver_library).parent)] if driver_library else []
    own = identity.choose(settings, zone, [*imports, *library])
    cache = settings.state_dir / "zones" / zone.name / "kernels"
    _make_private(cache, own)
    inherited = {k: v for k, v in os.environ.items() if k.startswith(PASSED_ON)}
    return ZonePlan(
        identity=own,
        read_paths=(*SYSTEM_PATHS, *imports, *library),
        stub=settings.stub,
        keep_stderr=settings.workers.stderr,
        cache=cache,
        environment={
            "PATH": "/usr/bin:/bin",
            "LANG": "C.UTF-8",
            **inherited,
            "CUDA_CACHE_DISABLE": "1",  # The driver's own cache would need a writable home.
            "CUDA_MPS_PIPE_DIRECTORY": str(cache.parent / "mps"),
            **zone.environment,
        },
    )


def _make_private(path: Path, owner: Identity | None) -> None:
    """Make the zone's cache directory, mode 0700, owned by the zone's processes."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    path.mkdir(exist_ok=True, mode=0o700)
    path.chmod(0o700)
    if owner is not None:
        os.chown(path, owner.uid, owner.gid)
