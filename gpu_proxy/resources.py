# SPDX-License-Identifier: Apache-2.0
"""What a session holds, as its worker knows it: allocations, uploads, host memory, contexts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Allocation:
    """Memory that was charged to the zone."""

    bytes: int
    context: int  # handle of the context that it dies with
    kind: str  # "device", "host", "reserved", "global" or "registered"
    token: int = 0  # of host memory: the message that carried its descriptor
    in_window: bool = True
    pooled: bool = False


@dataclass
class Upload:
    """Bytes that are sent ahead of a call."""

    data: bytearray
    received: int = 0


@dataclass
class Context:
    """A context of this session."""

    object: int
    device: int
    primary: bool


@dataclass
class Resources:
    """Everything by its key."""

    allocations: dict[int, Allocation] = field(default_factory=dict)  # by address
    uploads: dict[int, Upload] = field(default_factory=dict)  # by handle
    contexts: dict[int, Context] = field(default_factory=dict)  # by handle
    charges: dict[int, int] = field(default_factory=dict)  # device bytes of objects, by handle
    globals: dict[int, list[int]] = field(default_factory=dict)  # addresses, by module's handle
    textures: set[int] = field(default_factory=set)  # CUtexObject
    surfaces: set[int] = field(default_factory=set)  # CUsurfObject
    links: dict[int, Any] = field(default_factory=dict)  # links.Link, by handle
    prepared: bool = False  # shared memory is registered, callbacks can be used
