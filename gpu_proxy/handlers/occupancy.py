# SPDX-License-Identifier: Apache-2.0
"""Occupancy of clusters, which takes a launch configuration with attributes."""

from __future__ import annotations

import ctypes
import struct
from typing import TYPE_CHECKING

from gpu_proxy.handlers import handles
from gpu_proxy.handlers.generic import object_of
from gpu_proxy.handlers.waits import stream_object
from gpu_proxy.request import CallError, Request
from idm.api.types import Kind

if TYPE_CHECKING:
    from gpu_proxy.worker import Worker

INVALID_VALUE = 1
ATTRIBUTE_BYTES, ATTRIBUTES_MAX = 72, 32
# Attributes of a launch that hold events or the driver's own pointers.
FOREIGN_ATTRIBUTES = frozenset({7, 12, 13})
SHAPE = ("grid_x", "grid_y", "grid_z", "block_x", "block_y", "block_z", "shared")


@handles("occupancy_clusters")
def occupancy_clusters(worker: Worker, request: Request) -> dict[str, bytes]:
    """How many clusters are active at once, or how large one may be."""
    function = object_of(worker, request["function"], Kind.FUNCTION)
    attributes = request["attributes"]
    count = len(attributes) // ATTRIBUTE_BYTES
    numbers = {struct.unpack_from("=I", attributes, ATTRIBUTE_BYTES * i)[0] for i in range(count)}
    if count > ATTRIBUTES_MAX or numbers & FOREIGN_ATTRIBUTES:
        raise CallError(INVALID_VALUE)
    kept = ctypes.create_string_buffer(attributes, max(1, len(attributes)))
    where = ctypes.addressof(kept) if count else 0
    shape = [request[name] for name in SHAPE]
    packed = struct.pack("=7I4xQQI4x", *shape, stream_object(worker, request), where, count)
    config = ctypes.create_string_buffer(packed, len(packed))
    answer = ctypes.c_int32()
    largest = request["largest"]
    symbol = "cuOccupancyMaxPotentialClusterSize" if largest else "cuOccupancyMaxActiveClusters"
    worker.driver.call_named(symbol, ctypes.addressof(answer), function, ctypes.addressof(config))
    return {"answer": struct.pack("=i", answer.value)}
