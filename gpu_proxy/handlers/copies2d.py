# SPDX-License-Identifier: Apache-2.0
"""Copies of boxes: addresses are checked for their whole extent, handles are translated."""

from __future__ import annotations

import ctypes
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpu_proxy._executor import lib
from gpu_proxy.handlers import handles
from gpu_proxy.handlers.generic import object_of
from gpu_proxy.handlers.waits import staged_stream, stream_object
from gpu_proxy.request import PENDING, CallError, Pending, Request
from idm.api.types import Kind

if TYPE_CHECKING:
    from gpu_proxy.worker import Worker

INVALID_VALUE = 1
HOST, DEVICE, ARRAY, UNIFIED = 1, 2, 3, 4
SLOT_HEADER_BYTES = 64
# x, y, z, level, type, host, device, array, context, pitch, height
SIDE = struct.Struct("=4QI4x6Q")
EXTENT = struct.Struct("=3Q")


@dataclass
class Side:
    """One side of CUDA_MEMCPY3D_PEER, in its order."""

    x: int
    y: int
    z: int
    level: int
    type: int
    host: int
    device: int
    array: int
    context: int
    pitch: int
    height: int

    def pack(self) -> bytes:
        """The side as the driver takes it."""
        return SIDE.pack(
            self.x, self.y, self.z, self.level, self.type, self.host, self.device, self.array,
            self.context, self.pitch, self.height,
        )  # fmt: skip


class Box:
    """A copy whose handles and addresses belong to this session."""

    def __init__(self, worker: Worker, data: bytes, *, staged: int = 0, room: int = 0) -> None:
        """`staged` is the address of the host side, which has `room` bytes; 0: there is none."""
        self._worker = worker
        self._staged, self._room = staged, room
        self.width, self.rows, self.slices = EXTENT.unpack_from(data, 2 * SIDE.size)
        self.src = self._side(data, 0)
        self.dst = self._side(data, SIDE.size)
        hosts = (self.src.type == HOST) + (self.dst.type == HOST)
        if hosts != bool(staged) or 0 in (self.width, self.rows, self.slices):
            raise CallError(INVALID_VALUE)

    @property
    def peer(self) -> bool:
        """A context was given for some side."""
        return bool(self.src.context or self.dst.context)

    def pack(self) -> ctypes.Array[ctypes.c_char]:
        """The copy as the driver takes it."""
        extent = EXTENT.pack(self.width, self.rows, self.slices)
        return ctypes.create_string_buffer(self.src.pack() + self.dst.pack() + extent)

    def _side(self, data: bytes, offset: int) -> Side:
        side = Side(*SIDE.unpack_from(data, offset))
        if side.context:
            side.context = object_of(self._worker, side.context, Kind.CONTEXT)
        if side.type == ARRAY:
            side.host = side.device = 0
            side.array = object_of(self._worker, side.array, Kind.ARRAY)
        elif side.type in (DEVICE, UNIFIED):
            side.host = side.array = 0
            start, amount = self._extent(side, side.device)
            if not lib.vx_range_covers(self._worker.vx, start, amount):
                raise CallError(INVALID_VALUE)
        elif side.type == HOST:
            self._stage(side)
        else:
            raise CallError(INVALID_VALUE)
        return side

    def _extent(self, side: Side, base: int) -> tuple[int, int]:
        """First byte and length of the box on this side."""
        if side.pitch < side.x + self.width or side.height < side.y + self.rows:
            raise CallError(INVALID_VALUE)
        slice_bytes = side.pitch * side.height
        start = base + side.z * slice_bytes + side.y * side.pitch + side.x
        amount = (self.slices - 1) * slice_bytes + (self.rows - 1) * side.pitch + self.width
        if start >> 64 or amount >> 63 or amount < 0:
            raise CallError(INVALID_VALUE)
        return start, amount

    def _stage(self, side: Side) -> None:
        side.host, side.device, side.array = self._staged, 0, 0
        start, amount = self._extent(side, self._staged)
        if start != self._staged or amount > self._room:
            raise CallError(INVALID_VALUE)


def perform(worker: Worker, box: Box, stream: int, current: int) -> None:
    """Start a copy. A side without a context means the current one."""
    symbol = "cuMemcpy3DAsync_v2"
    if box.peer:
        symbol = "cuMemcpy3DPeerAsync"
        box.src.context = box.src.context or current
        box.dst.context = box.dst.context or current
    data = box.pack()
    worker.driver.call_named(symbol, ctypes.addressof(data), stream)


@handles("memcpy_3d_async", "memcpy_3d_peer_async")
def memcpy_3d_async(worker: Worker, request: Request) -> None:
    """Both sides are memory that this process has, or arrays."""
    box = Box(worker, request["copy"])
    perform(worker, box, stream_object(worker, request), worker.current())


@handles("copy_3d_in")
def copy_3d_in(worker: Worker, request: Request) -> None:
    """A piece from the application's memory; its chunk is free again when it has happened."""
    chunk, count = request["chunk"], request["count"]
    if chunk >= lib.IDM_CHUNKS:
        raise CallError(INVALID_VALUE)
    try:
        if count > lib.IDM_CHUNK_BYTES:
            raise CallError(INVALID_VALUE)
        stream = staged_stream(worker, request)
        source = worker.region_address + lib.IDM_STAGING_AT + chunk * lib.IDM_CHUNK_BYTES
        box = Box(worker, request["copy"], staged=source, room=count)
        perform(worker, box, stream, worker.current())
        lib.vx_count(worker.vx, count, 0, 0)
        status = lib.vx_release_chunk_after(worker.vx, stream, chunk)
        if status:
            raise CallError(status)
    except CallError:
        lib.vx_release_chunk(worker.vx, chunk)
        raise


@handles("copy_3d_out")
def copy_3d_out(worker: Worker, request: Request) -> Pending:
    """A piece to the application, straight into the slot or the reply chunk."""
    count, stream = request["count"], staged_stream(worker, request)
    if request.capacity["data"] != count:
        raise CallError(INVALID_VALUE)
    if request.reply:
        target = lib.IDM_STAGING_AT + (request.reply - 1) * lib.IDM_CHUNK_BYTES
    else:
        target = lib.IDM_SLOTS_AT + request.slot * lib.IDM_SLOT_BYTES + SLOT_HEADER_BYTES
    box = Box(worker, request["copy"], staged=worker.region_address + target, room=count)
    perform(worker, box, stream, worker.current())
    padded = (count + 7) & ~7
    status = lib.vx_wait_stream(worker.vx, stream, request.slot, request.sequence, padded)
    if status:
        raise CallError(status)
    lib.vx_count(worker.vx, 0, count, 0)
    return PENDING
