# SPDX-License-Identifier: Apache-2.0
"""Arrays, charged to the zone as the memory that they take, and the textures and surfaces on them."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING

from gpu_proxy._executor import lib
from gpu_proxy.handlers import handles
from gpu_proxy.handlers.generic import adopt, generic, install, object_of
from gpu_proxy.handlers.memory import charge
from gpu_proxy.request import CallError, Later, Request
from idm.api.types import Kind

if TYPE_CHECKING:
    from gpu_proxy.worker import Worker

INVALID_VALUE = 1
NOT_SUPPORTED = 801
# width, height, format, channels; and with a depth and flags
FLAT = struct.Struct("=QQII")
DEEP = struct.Struct("=QQQIII4x")
ELEMENT_BYTES = {1: 1, 2: 2, 3: 4, 8: 1, 9: 2, 10: 4, 16: 2, 32: 4}
OTHER_ELEMENT_BYTES = 4  # packed, compressed and planar formats take at most this much a texel
BY_ARRAY, BY_MIPMAPS, LINEAR, PITCHED = range(4)
RESOURCE_BYTES = 144
UNION_AT = 8


def _bytes(width: int, height: int, depth: int, format_: int, channels: int) -> int:
    texel = ELEMENT_BYTES.get(format_, OTHER_ELEMENT_BYTES) * channels
    return width * max(1, height) * max(1, depth) * texel


def _charged(
    worker: Worker, handle: int, amount: int, create: Callable[[], dict[str, bytes] | Later]
) -> dict[str, bytes] | Later:
    """Create something that takes device memory, charged before and given back when it fails."""
    charge(worker, amount)
    try:
        result = create()
    except CallError:
        worker.channel.release("device", amount)
        raise
    worker.resources.charges[handle] = amount
    return result


@handles("array_create")
def array_create(worker: Worker, request: Request) -> dict[str, bytes] | Later:
    """An array of one or two dimensions."""
    width, height, format_, channels = FLAT.unpack(request["descriptor"])
    amount = _bytes(width, height, 1, format_, channels)
    return _charged(worker, request["array"], amount, lambda: generic(worker, request))


@handles("array_3d_create")
def array_3d_create(worker: Worker, request: Request) -> dict[str, bytes] | Later:
    """An array of up to three dimensions, layers or faces."""
    width, height, depth, format_, channels, _ = DEEP.unpack(request["descriptor"])
    amount = _bytes(width, height, depth, format_, channels)
    return _charged(worker, request["array"], amount, lambda: generic(worker, request))


@handles("mipmapped_array_create")
def mipmapped_array_create(worker: Worker, request: Request) -> dict[str, bytes] | Later:
    """An array with smaller copies of itself, which take at most as much again."""
    width, height, depth, format_, channels, _ = DEEP.unpack(request["descriptor"])
    amount = 2 * _bytes(width, height, depth, format_, channels)
    return _charged(worker, request["array"], amount, lambda: generic(worker, request))


def _check_memory(worker: Worker, address: int, amount: int) -> None:
    if amount >> 63 or not lib.vx_range_covers(worker.vx, address, amount):
        raise CallError(INVALID_VALUE)


def _to_driver(worker: Worker, data: bytes) -> bytes:
    """A resource descriptor with objects for handles, whose memory is this session's."""
    (kind,) = struct.unpack_from("=I", data)
    (word,) = struct.unpack_from("=Q", data, UNION_AT)
    if kind == BY_ARRAY:
        word = object_of(worker, word, Kind.ARRAY)
    elif kind == BY_MIPMAPS:
        word = object_of(worker, word, Kind.MIPMAPPED_ARRAY)
    elif kind == LINEAR:
        _check_memory(worker, word, struct.unpack_from("=Q", data, UNION_AT + 16)[0])
    elif kind == PITCHED:
        _, _, _, width, height, pitch = struct.unpack_from("=QIIQQQ", data, UNION_AT)
        _check_memory(worker, word, pitch * height if width and height else 0)
    else:
        raise CallError(INVALID_VALUE)
    return data[:UNION_AT] + struct.pack("=Q", word) + data[UNION_AT + 8 :]


def _to_zone(worker: Worker, data: bytes) -> bytes:
    (kind,) = struct.unpack_from("=I", data)
    (word,) = struct.unpack_from("=Q", data, UNION_AT)
    if kind == BY_ARRAY:
        word = adopt(worker, Kind.ARRAY, word, 0)
    elif kind == BY_MIPMAPS:
        word = adopt(worker, Kind.MIPMAPPED_ARRAY, word, 0)
    return data[:UNION_AT] + struct.pack("=Q", word) + data[UNION_AT + 8 :]


class _Inputs:
    """Structures behind pointers."""

    def __init__(self) -> None:
        self._kept: list[ctypes.Array[ctypes.c_char]] = []

    def add(self, data: bytes) -> int:
        """Address of a copy; 0 for nothing."""
        if not data:
            return 0
        self._kept.append(ctypes.create_string_buffer(data, len(data)))
        return ctypes.addressof(self._kept[-1])


@handles("tex_object_create")
def tex_object_create(worker: Worker, request: Request) -> None:
    """A texture object on an array or on memory."""
    made, inputs = ctypes.c_uint64(), _Inputs()
    worker.driver.call_named(
        "cuTexObjectCreate",
        ctypes.addressof(made),
        inputs.add(_to_driver(worker, request["resource"])),
        inputs.add(request["description"]),
        inputs.add(request["view"]),
    )
    install(worker, request["texture"], Kind.TEXTURE, made.value, request.context)


@handles("surf_object_create")
def surf_object_create(worker: Worker, request: Request) -> None:
    """A surface object on an array."""
    made, inputs = ctypes.c_uint64(), _Inputs()
    resource = inputs.add(_to_driver(worker, request["resource"]))
    worker.driver.call_named("cuSurfObjectCreate", ctypes.addressof(made), resource)
    install(worker, request["surface"], Kind.SURFACE, made.value, request.context)


def _resource(worker: Worker, symbol: str, item: int) -> dict[str, bytes]:
    found = ctypes.create_string_buffer(RESOURCE_BYTES)
    worker.driver.call_named(symbol, ctypes.addressof(found), item)
    return {"resource": _to_zone(worker, found.raw)}


@handles("tex_object_get_resource_desc")
def tex_object_get_resource_desc(worker: Worker, request: Request) -> dict[str, bytes]:
    """What a texture is on."""
    item = object_of(worker, request["texture"], Kind.TEXTURE)
    return _resource(worker, "cuTexObjectGetResourceDesc", item)


@handles("surf_object_get_resource_desc")
def surf_object_get_resource_desc(worker: Worker, request: Request) -> dict[str, bytes]:
    """What a surface is on."""
    item = object_of(worker, request["surface"], Kind.SURFACE)
    return _resource(worker, "cuSurfObjectGetResourceDesc", item)
