# SPDX-License-Identifier: Apache-2.0
"""What a worker is told when it starts: plain values and descriptors, nothing secret."""

from __future__ import annotations

from dataclasses import dataclass

from idm.transport import Doorbell


@dataclass(frozen=True)
class WorkerSetup:
    """Everything that `gpu_proxy.worker.main` needs. Descriptors belong to the worker."""

    session: int  # number of the session, for logs
    zone: str
    stub: bool  # bind the software GPU instead of the real driver
    executor: str  # "c" or "python"
    driver_library: str  # path of the software GPU's libcuda.so.1, or "" for the system's
    window_base: int  # the pinned window's address in the application
    window_bytes: int
    max_handles: int
    features: int  # of the protocol, as agreed in the handshake
    region_fd: int  # of struct idm_header and what follows it; mapped from offset 0
    counters_fd: int  # memfd of struct idm_counters, shared with the supervisor only
    request_doorbell: Doorbell
    slot_doorbells: tuple[Doorbell, ...]  # at most IDM_DOORBELLS
    supervisor_fd: int  # SOCK_SEQPACKET: JSON messages, see gpu_proxy/worker_channel.py
    compiler_fd: int  # SOCK_STREAM to the compile helper of the software GPU, or -1
    device_memory_limit: int  # bytes the zone may use, 0: the whole device
    stream_queue: int  # works that the driver takes in one stream without blocking
    context_memory: int  # bytes that each context is charged for
    environment: dict[str, str]  # driver settings that the front end may forward (CUDA_*)
