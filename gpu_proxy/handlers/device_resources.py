# SPDX-License-Identifier: Apache-2.0
"""Parts of a device (CUdevResource), most of whose bytes only the driver understands.

The application gets the public members and a number in place of the rest. What comes back is found
by that number, so the driver sees only bytes that it has written itself.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from gpu_proxy.handlers import handles
from gpu_proxy.handlers.generic import forward
from gpu_proxy.request import CallError, Later, Request
from idm.api.structs import CUdevResource
from idm.api.types import Wire

if TYPE_CHECKING:
    from gpu_proxy.worker import Worker

OUT_OF_MEMORY = 2
INVALID_CONFIGURATION = 915
RESOURCE_BYTES = CUdevResource.size
# Type, the driver's own bytes, the public union, and a pointer to a next resource.
LAYOUT = struct.Struct("=I92s40sQ")
OWN = struct.Struct("=4xQ")  # in the application's copy of the driver's own bytes: the number
NOTHING = bytes(RESOURCE_BYTES)
# An application fills in how its work queues are to be configured; the rest is only handed on.
WORK_QUEUE_CONFIGURATION = 1000
RESOURCES_MAX = 4096  # different ones in a session


def to_zone(worker: Worker, data: bytes) -> bytes:
    """The application's copy of a resource."""
    kind, own, public, _ = LAYOUT.unpack(data)
    kept = LAYOUT.pack(kind, own, public, 0)
    if kept == NOTHING:
        return NOTHING
    known = worker.resources.device_resources
    if kept not in known and len(known) >= RESOURCES_MAX:
        raise CallError(OUT_OF_MEMORY)
    number = known.setdefault(kept, len(known) + 1)
    return LAYOUT.pack(kind, OWN.pack(number), public, 0)


def to_driver(worker: Worker, data: bytes) -> bytes:
    """The driver's own bytes of a resource that it has given out."""
    kind, own, public, _ = LAYOUT.unpack(data)
    (number,) = OWN.unpack_from(own)
    found = list(worker.resources.device_resources)
    if not 0 < number <= len(found):
        raise CallError(INVALID_CONFIGURATION)
    kept_kind, kept_own, kept_public, _ = LAYOUT.unpack(found[number - 1])
    if kind != kept_kind or (public != kept_public and kind != WORK_QUEUE_CONFIGURATION):
        raise CallError(INVALID_CONFIGURATION)
    return LAYOUT.pack(kind, kept_own, public, 0)


def _each(data: bytes) -> list[bytes]:
    return [data[at : at + RESOURCE_BYTES] for at in range(0, len(data), RESOURCE_BYTES)]


@handles("device_resources")
def device_resources(worker: Worker, request: Request) -> dict[str, bytes]:
    """A call that takes or brings resources."""
    ours = [param for param in request.row.params if param.type is CUdevResource]
    for param in ours:
        if param.wire in (Wire.STRUCT_IN, Wire.ARRAY_IN):
            data = request.values[param.name]
            request.values[param.name] = b"".join(to_driver(worker, x) for x in _each(data))
    results = forward(worker, request)
    assert not isinstance(results, Later)
    for param in ours:
        if param.name in results and param.wire in (Wire.OUT, Wire.ARRAY_OUT):
            data = results[param.name]
            results[param.name] = b"".join(to_zone(worker, x) for x in _each(data))
    return results
