# SPDX-License-Identifier: Apache-2.0
"""Arrays, charged to the zone as the memory that they take."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from gpu_proxy.handlers import handles
from gpu_proxy.handlers.generic import forward
from gpu_proxy.handlers.room import make_charged, with_room
from gpu_proxy.request import Later, Request

if TYPE_CHECKING:
    from gpu_proxy.worker import Worker

# width, height, format, channels; and with a depth and flags
FLAT = struct.Struct("=QQII")
DEEP = struct.Struct("=QQQIII4x")
ELEMENT_BYTES = {1: 1, 2: 2, 3: 4, 8: 1, 9: 2, 10: 4, 16: 2, 32: 4}
OTHER_ELEMENT_BYTES = 4  # packed, compressed and planar formats take at most this much a texel


def texel_bytes(format_: int, channels: int) -> int:
    """Bytes of one texel, at most."""
    return ELEMENT_BYTES.get(format_, OTHER_ELEMENT_BYTES) * channels


def _bytes(width: int, height: int, depth: int, format_: int, channels: int) -> int:
    return width * max(1, height) * max(1, depth) * texel_bytes(format_, channels)


def charged(
    worker: Worker, request: Request, handle: int, amount: int
) -> dict[str, bytes] | Later | None:
    """Create an object that takes device memory."""

    def create() -> dict[str, bytes] | Later:
        return make_charged(worker, handle, amount, lambda: forward(worker, request))

    return with_room(worker, create)


@handles("array_create")
def array_create(worker: Worker, request: Request) -> dict[str, bytes] | Later | None:
    """An array of one or two dimensions."""
    width, height, format_, channels = FLAT.unpack(request["descriptor"])
    amount = _bytes(width, height, 1, format_, channels)
    return charged(worker, request, request["array"], amount)


@handles("array_3d_create")
def array_3d_create(worker: Worker, request: Request) -> dict[str, bytes] | Later | None:
    """An array of up to three dimensions, layers or faces."""
    width, height, depth, format_, channels, _ = DEEP.unpack(request["descriptor"])
    amount = _bytes(width, height, depth, format_, channels)
    return charged(worker, request, request["array"], amount)


@handles("mipmapped_array_create")
def mipmapped_array_create(worker: Worker, request: Request) -> dict[str, bytes] | Later | None:
    """An array with smaller copies of itself, which take at most as much again."""
    width, height, depth, format_, channels, _ = DEEP.unpack(request["descriptor"])
    amount = 2 * _bytes(width, height, depth, format_, channels)
    return charged(worker, request, request["array"], amount)
