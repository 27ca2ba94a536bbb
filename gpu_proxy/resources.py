# SPDX-License-Identifier: Apache-2.0
"""What a session holds, as its worker knows it: allocations, uploads, host memory, contexts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from gpu_proxy.account.holdings import Key


@dataclass
class Allocation:
    """Memory at an address."""

    bytes: int
    context: int  # handle of the context that it dies with
    kind: str  # "device", "host", "reserved", "global" or "registered"
    token: int = 0  # of host memory: the message that carried its descriptor
    in_window: bool = True
    key: Key | None = None  # of the charge for device memory of its own
    freed: Callable[[], None] | None = None  # of a pool's or a graph's: tells the account


@dataclass
class Upload:
    """Bytes that are sent ahead of a call."""

    data: bytearray
    refused: bool = False  # the quota of host memory has no room for it
    received: int = 0


@dataclass
class Context:
    """A context of this session."""

    object: int
    device: int
    primary: bool
    owner: int = 0  # of a green context's: handle of the primary one, whose memory it uses
    flags: int = 0  # where its flags are (context_memory.py)


@dataclass
class Green:
    """A green context."""

    object: int
    device: int
    context: int = 0  # handle of the context that it is, once that has one


@dataclass
class Physical:
    """Physical memory: how often it is named and mapped."""

    key: Key  # of its charge
    names: int = 1  # references that the zone may still release
    references: int = 1  # those that the driver has not released yet
    mapped: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass
class Mapping:
    """Physical memory at some address."""

    bytes: int
    physical: Physical


@dataclass
class Resources:
    """Everything by its key."""

    allocations: dict[int, Allocation] = field(default_factory=dict)  # by address
    uploads: dict[int, Upload] = field(default_factory=dict)  # by handle
    contexts: dict[int, Context] = field(default_factory=dict)  # by handle
    greens: dict[int, Green] = field(default_factory=dict)  # by handle
    device_resources: dict[bytes, int] = field(default_factory=dict)  # their numbers, from 1
    globals: dict[int, list[int]] = field(default_factory=dict)  # addresses, by module's handle
    physical: dict[int, Physical] = field(default_factory=dict)  # by the driver's handle
    mappings: dict[int, Mapping] = field(default_factory=dict)  # by address
    limits: dict[tuple[int, int], int] = field(default_factory=dict)  # the first, by context
    textures: dict[int, int] = field(default_factory=dict)  # CUtexObject: context's handle
    surfaces: dict[int, int] = field(default_factory=dict)  # CUsurfObject: context's handle
    links: dict[int, Any] = field(default_factory=dict)  # links.Link, by handle
    host_nodes_made: bool = False  # host_nodes.py, and the next three
    unlaunched: dict[int, int] = field(default_factory=dict)  # handshakes, by context object
    executables: dict[int, Any] = field(default_factory=dict)  # host_nodes.Executable, by handle
    handshake_lock: threading.Lock = field(default_factory=threading.Lock)
    region: int = 0  # handle of the context that slots and staging are registered in, or 0
    region_lock: threading.Lock = field(default_factory=threading.Lock)

    def memory_owner(self, context: int) -> int:
        """Handle of the context that memory belongs to which is made in this one."""
        known = self.contexts.get(context)
        return known.owner if known and known.owner else context
