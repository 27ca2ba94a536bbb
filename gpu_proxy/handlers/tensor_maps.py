# SPDX-License-Identifier: Apache-2.0
"""Tensor maps: descriptions of memory that the driver encodes and a kernel passes to the hardware.

Their extents are not held against the allocation: docs/decisions/0008-tensor-map-extents.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpu_proxy.handlers import handles
from gpu_proxy.handlers.generic import forward
from gpu_proxy.request import CallError, Later, Request

if TYPE_CHECKING:
    from gpu_proxy.worker import Worker

INVALID_VALUE = 1
RANK_MAX = 5
IMAGE_RANK_MIN = 3


@handles("tensor_map_encode")
def tensor_map_encode(worker: Worker, request: Request) -> dict[str, bytes] | Later:
    """The driver reads as many entries as the rank says, of arrays that may be left out."""
    rank, least = request["rank"], 1
    if "Im2col" in request.row.symbol:
        least = IMAGE_RANK_MIN
    if not least <= rank <= RANK_MAX or (rank > 1 and not request["strides"]):
        raise CallError(INVALID_VALUE)
    if not request["location"]:
        raise CallError(INVALID_VALUE)
    return forward(worker, request)
