# SPDX-License-Identifier: Apache-2.0
"""Texture and surface objects: kernels use their numbers, so they are the driver's own."""

from __future__ import annotations

import ctypes
import struct
from typing import TYPE_CHECKING

from gpu_proxy._executor import lib
from gpu_proxy.handlers import handles
from gpu_proxy.handlers.arrays import FLAT, texel_bytes
from gpu_proxy.handlers.generic import adopt, forward, object_of
from gpu_proxy.request import CallError, Later, Request
from idm.api.types import Kind

if TYPE_CHECKING:
    from gpu_proxy.worker import Worker

INVALID_VALUE = 1
INVALID_HANDLE = 400
BY_ARRAY, BY_MIPMAPS, LINEAR, PITCHED = range(4)
RESOURCE_BYTES = 144
UNION_AT = 8


def _check_memory(worker: Worker, address: int, amount: int) -> None:
    if amount >> 63 or not lib.vx_range_covers(worker.vx, address, amount):
        raise CallError(INVALID_VALUE)


def check_rows(
    worker: Worker, address: int, format_: int, channels: int, width: int, height: int, pitch: int
) -> None:
    """Rows of texels, `pitch` bytes apart: the last one need not be followed by anything."""
    last = texel_bytes(format_, channels) * width
    _check_memory(worker, address, pitch * (height - 1) + last if width and height else 0)


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
        check_rows(worker, *struct.unpack_from("=QIIQQQ", data, UNION_AT))
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
def tex_object_create(worker: Worker, request: Request) -> dict[str, bytes]:
    """A texture object on an array or on memory."""
    made, inputs = ctypes.c_uint64(), _Inputs()
    worker.driver.call_named(
        "cuTexObjectCreate",
        ctypes.addressof(made),
        inputs.add(_to_driver(worker, request["resource"])),
        inputs.add(request["description"]),
        inputs.add(request["view"]),
    )
    worker.resources.textures[made.value] = request.context
    return {"texture": struct.pack("=Q", made.value)}


@handles("surf_object_create")
def surf_object_create(worker: Worker, request: Request) -> dict[str, bytes]:
    """A surface object on an array."""
    made, inputs = ctypes.c_uint64(), _Inputs()
    resource = inputs.add(_to_driver(worker, request["resource"]))
    worker.driver.call_named("cuSurfObjectCreate", ctypes.addressof(made), resource)
    worker.resources.surfaces[made.value] = request.context
    return {"surface": struct.pack("=Q", made.value)}


def _own(known: dict[int, int], item: int) -> int:
    """A number that this session's driver gave out and has not taken back."""
    if item not in known:
        raise CallError(INVALID_HANDLE)
    return item


@handles("tex_object_destroy")
def tex_object_destroy(worker: Worker, request: Request) -> None:
    """Destroy a texture object."""
    item = _own(worker.resources.textures, request["texture"])
    del worker.resources.textures[item]
    worker.driver.call_named("cuTexObjectDestroy", item)


@handles("surf_object_destroy")
def surf_object_destroy(worker: Worker, request: Request) -> None:
    """Destroy a surface object."""
    item = _own(worker.resources.surfaces, request["surface"])
    del worker.resources.surfaces[item]
    worker.driver.call_named("cuSurfObjectDestroy", item)


@handles("tex_object_describe")
def tex_object_describe(worker: Worker, request: Request) -> dict[str, bytes] | Later:
    """How a texture is read."""
    _own(worker.resources.textures, request["texture"])
    return forward(worker, request)


def _resource(worker: Worker, symbol: str, item: int) -> dict[str, bytes]:
    found = ctypes.create_string_buffer(RESOURCE_BYTES)
    worker.driver.call_named(symbol, ctypes.addressof(found), item)
    return {"resource": _to_zone(worker, found.raw)}


@handles("tex_object_get_resource_desc")
def tex_object_get_resource_desc(worker: Worker, request: Request) -> dict[str, bytes]:
    """What a texture is on."""
    item = _own(worker.resources.textures, request["texture"])
    return _resource(worker, "cuTexObjectGetResourceDesc", item)


@handles("surf_object_get_resource_desc")
def surf_object_get_resource_desc(worker: Worker, request: Request) -> dict[str, bytes]:
    """What a surface is on."""
    item = _own(worker.resources.surfaces, request["surface"])
    return _resource(worker, "cuSurfObjectGetResourceDesc", item)


@handles("tex_ref_set_address_2d")
def tex_ref_set_address_2d(worker: Worker, request: Request) -> dict[str, bytes] | Later:
    """A texture reference on rows of memory."""
    width, height, format_, channels = FLAT.unpack(request["descriptor"])
    check_rows(worker, request["dptr"], format_, channels, width, height, request["pitch"])
    return forward(worker, request)
