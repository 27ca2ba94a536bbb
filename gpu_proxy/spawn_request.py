# SPDX-License-Identifier: Apache-2.0
"""What supervisor and zygote say to each other: JSON with descriptors beside it."""

from __future__ import annotations

import msgspec

MESSAGE_MAX = 64 << 10
FDS_MAX = 128


class Identity(msgspec.Struct, frozen=True):
    """As whom a process of a zone runs. None: as the daemon, in a user namespace of its own."""

    uid: int
    gid: int


class Limits(msgspec.Struct, frozen=True):
    """Resource limits of the process; 0 leaves one as it is."""

    open_files: int = 4096
    file_bytes: int = 0
    cpu_seconds: int = 0
    address_bytes: int = 0
    processes: int = 0


class SandboxPlan(msgspec.Struct, frozen=True):
    """How a process is locked in. Paths are for Landlock: all else cannot be opened."""

    profile: str  # a name in gpu_proxy.seccomp.PROFILES
    identity: Identity | None
    limits: Limits
    read_paths: tuple[str, ...]
    write_paths: tuple[str, ...] = ()
    device_paths: tuple[str, ...] = ()
    keep_stderr: bool = False


class WorkerValues(msgspec.Struct, frozen=True):
    """The values of a WorkerSetup; its descriptors come with the message."""

    session: int
    zone: str
    features: int
    doorbell_ports: tuple[int, ...]  # of the request doorbell and of each slot's; 0: an eventfd
    stub: bool
    executor: str
    driver_library: str
    window_base: int
    window_bytes: int
    max_handles: int
    device_memory_limit: int
    stream_queue: int
    context_memory: int
    environment: dict[str, str]
    compiler: bool  # whether a compiler descriptor is the last one


class Fork(msgspec.Struct, frozen=True, tag_field="op"):
    """Fork a process. Exactly one of `worker` and `compiler_environment` is set."""

    id: int
    sandbox: SandboxPlan
    worker: WorkerValues | None = None
    compiler_environment: dict[str, str] | None = None


class Hello(msgspec.Struct, frozen=True, tag_field="op"):
    """The zygote has loaded all that it needs."""


class Forked(msgspec.Struct, frozen=True, tag_field="op"):
    """The process runs; its pidfd comes with the message."""

    id: int
    pid: int


class Failed(msgspec.Struct, frozen=True, tag_field="op"):
    """There is no such process."""

    id: int
    text: str


class Exited(msgspec.Struct, frozen=True, tag_field="op"):
    """A process has ended; `status` as from waitpid."""

    id: int
    status: int


encode = msgspec.json.encode
decode_fork = msgspec.json.Decoder(Fork).decode
decode_answer = msgspec.json.Decoder(Hello | Forked | Failed | Exited).decode
