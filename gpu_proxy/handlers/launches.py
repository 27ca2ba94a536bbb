# SPDX-License-Identifier: Apache-2.0
"""Launches, as the C executor does them, in Python: the reference for the tests."""

from __future__ import annotations

import ctypes
import struct
from typing import TYPE_CHECKING

from gpu_proxy._executor import lib
from gpu_proxy.handlers import handles
from gpu_proxy.handlers.generic import object_of
from gpu_proxy.handlers.waits import stream_object
from gpu_proxy.request import CallError, Request
from idm.api.types import Kind

if TYPE_CHECKING:
    from gpu_proxy.worker import Worker

ATTRIBUTE_BYTES = 72
ATTRIBUTES_MAX = 32
COOPERATIVE = struct.pack("=IIi60x", 2, 0, 1)
EXTRA_POINTER, EXTRA_BYTES = 1, 2
INVALID_VALUE = 1
NOT_SUPPORTED = 801
# Attributes of a launch that hold events or the driver's own pointers.
FOREIGN_ATTRIBUTES = frozenset({7, 12, 13})


@handles("launch")
def launch(worker: Worker, request: Request) -> None:
    """Launch a kernel with its parameters in one buffer."""
    function = object_of(worker, request["function"], Kind.FUNCTION)
    attributes = request["attributes"] + (COOPERATIVE if request["cooperative"] else b"")
    count = len(attributes) // ATTRIBUTE_BYTES
    if count > ATTRIBUTES_MAX + 1:
        raise CallError(INVALID_VALUE)
    numbers = {struct.unpack_from("=I", attributes, ATTRIBUTE_BYTES * i)[0] for i in range(count)}
    if numbers & FOREIGN_ATTRIBUTES:
        raise CallError(NOT_SUPPORTED)
    kept = ctypes.create_string_buffer(attributes, max(1, len(attributes)))
    grid = [request[f"grid_{axis}"] for axis in "xyz"]
    block = [request[f"block_{axis}"] for axis in "xyz"]
    config = ctypes.create_string_buffer(
        struct.pack(
            "=7I4xQQI4x",
            *grid,
            *block,
            request["shared"],
            stream_object(worker, request),
            ctypes.addressof(kept) if count else 0,
            count,
        )
    )
    params = ctypes.create_string_buffer(request["params"], max(1, len(request["params"])))
    size = ctypes.c_uint64(len(request["params"]))
    extra = (ctypes.c_uint64 * 5)(
        EXTRA_POINTER, ctypes.addressof(params), EXTRA_BYTES, ctypes.addressof(size), 0
    )
    lib.vx_count(worker.vx, 0, 0, 1)
    worker.driver.call_named(
        "cuLaunchKernelEx",
        ctypes.addressof(config),
        function,
        0,
        ctypes.addressof(extra) if size.value else 0,
    )
