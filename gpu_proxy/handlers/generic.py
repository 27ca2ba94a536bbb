# SPDX-License-Identifier: Apache-2.0
"""The handler of every row that its descriptor describes completely."""

from __future__ import annotations

import ctypes
import errno
import struct
from typing import TYPE_CHECKING

from gpu_proxy._executor import ffi, lib
from gpu_proxy.account.holdings import Key
from gpu_proxy.handlers import handles
from gpu_proxy.request import CallError, Later, Request
from idm.api.types import Kind, Param, Wire

if TYPE_CHECKING:
    from gpu_proxy.worker import Worker

STREAMS_OF_CUDA = 3
ALIGNMENT = 64  # of every buffer: a tensor map needs as much
WITH_PARENT = frozenset({Kind.FUNCTION, Kind.GRAPH, Kind.GRAPH_NODE})
OF_STREAMS = frozenset({Kind.STREAM, Kind.EVENT})  # what a green context has for itself
INVALID_VALUE = 1
OUT_OF_MEMORY = 2
INVALID_CONTEXT = 201
INVALID_HANDLE = 400
# What CUDA says about a handle of this kind that names nothing.
NAMES_NOTHING = {Kind.CONTEXT: INVALID_CONTEXT, Kind.ALLOCATION: INVALID_VALUE}


def handle_object(worker: Worker, request: Request, param: Param, word: int) -> int:
    """The driver's object behind a handle; streams 0 to 2 are CUDA's own."""
    found = ffi.new("uint64_t *")
    if param.drops and word < STREAMS_OF_CUDA:
        raise CallError(INVALID_HANDLE)  # CUDA's own streams do not end.
    if param.type.kind is Kind.STREAM:
        status = lib.vx_stream(worker.vx, word, request.thread, request.flags, found)
        if status:
            raise CallError(status)
        return int(found[0])
    if word == 0 and param.null:
        return 0
    if lib.vx_lookup(worker.vx, word, int(param.type.kind), found):
        raise CallError(NAMES_NOTHING.get(param.type.kind, INVALID_HANDLE))
    return int(found[0])


def object_of(worker: Worker, handle: int, kind: Kind) -> int:
    """The driver's object behind a handle of a known kind."""
    found = ffi.new("uint64_t *")
    if lib.vx_lookup(worker.vx, handle, int(kind), found):
        raise CallError(NAMES_NOTHING.get(kind, INVALID_HANDLE))
    return int(found[0])


def check_pointer(worker: Worker, request: Request, param: Param, word: int) -> int:
    """A device pointer in the session's own memory, with the extent that the row states."""
    extent = 0
    if param.access:
        extent = request[param.count] * param.scale if param.count else param.scale
        if extent == 0:
            return word
    elif word == 0:
        return word
    if extent >> 64 or not lib.vx_range_covers(worker.vx, word, extent):
        raise CallError(INVALID_VALUE)
    return word


def parent_of_found(worker: Worker, request: Request, kind: Kind) -> int:
    """What an object that the driver named dies with: its graph, its module or its library."""
    if kind not in WITH_PARENT:
        return 0
    for param in request.row.params:
        if param.wire is Wire.HANDLE and param.type.kind is not Kind.STREAM:
            owner = int(request[param.name])
            nodes = param.type.kind is Kind.GRAPH_NODE and kind is Kind.GRAPH_NODE
            return int(lib.vx_parent(worker.vx, owner)) if nodes else owner
    return 0


class Arguments:
    """Arguments for the driver, and the buffers behind them."""

    def __init__(self, worker: Worker, request: Request) -> None:
        self.worker = worker
        self.request = request
        self.buffers: dict[str, ctypes.Array[ctypes.c_char]] = {}
        self.words = [self._argument(param) for param in request.row.params]

    def _argument(self, param: Param) -> int:
        value = self.request.values[param.name]
        if param.wire is Wire.HANDLE:
            return handle_object(self.worker, self.request, param, value)
        if param.wire is Wire.DEVICE_PTR:
            return check_pointer(self.worker, self.request, param, value)
        if param.wire in (Wire.SCALAR, Wire.ADDRESS):
            return int(value) & (2**64 - 1)
        if param.wire is Wire.CREATES:
            return self._buffer(param, bytes(8))
        if param.wire in (Wire.OUT, Wire.OUT_HANDLE, Wire.ARRAY_OUT, Wire.BYTES_OUT):
            wanted = self.request.capacity[param.name]
            return self._buffer(param, bytes(wanted)) if wanted else 0
        if param.wire is Wire.ARRAY_IN and param.type.kind is not Kind.NONE:
            value = self._translate(param, value)
        return self._buffer(param, value) if value else 0

    def _translate(self, param: Param, data: bytes) -> bytes:
        handles_in = struct.unpack(f"={len(data) // 8}Q", data)
        objects = [handle_object(self.worker, self.request, param, word) for word in handles_in]
        return struct.pack(f"={len(objects)}Q", *objects)

    def _buffer(self, param: Param, data: bytes) -> int:
        room = ctypes.create_string_buffer(len(data) + ALIGNMENT)
        buffer = (ctypes.c_char * len(data)).from_buffer(room, -ctypes.addressof(room) % ALIGNMENT)
        ctypes.memmove(buffer, data, len(data))
        self.buffers[param.name] = buffer
        return ctypes.addressof(buffer)

    def results(self) -> dict[str, bytes]:
        """What the call wrote, handles translated."""
        found = {}
        for param in self.request.row.params:
            if param.name not in self.buffers or param.wire is Wire.CREATES:
                continue
            data = self.buffers[param.name].raw
            if param.type.kind is not Kind.NONE and param.wire is not Wire.ARRAY_IN:
                data = self._to_handles(param, data)
            found[param.name] = data
        return found

    def _to_handles(self, param: Param, data: bytes) -> bytes:
        objects = struct.unpack(f"={len(data) // 8}Q", data)
        kind, context = param.type.kind, self.request.context
        parent = parent_of_found(self.worker, self.request, kind)
        made = [adopt(self.worker, kind, item, context, parent) for item in objects]
        return struct.pack(f"={len(made)}Q", *made)

    def settle(self, *, succeeded: bool) -> None:
        """Created objects enter the table; dropped ones leave it, whatever the driver said."""
        request, worker = self.request, self.worker
        for param in request.row.params:
            if param.wire is Wire.CREATES and succeeded:
                (made,) = struct.unpack("=Q", self.buffers[param.name].raw)
                parent = request[param.parent] if param.parent else 0
                install(worker, request[param.name], param.type.kind, made, request.context, parent)
            if param.drops:
                drop(worker, request[param.name])


def install(
    worker: Worker, handle: int, kind: Kind, item: int, context: int = 0, parent: int = 0
) -> None:
    """Give a new object its handle. A handle that the front end may not choose ends the session."""
    if kind not in OF_STREAMS:
        context = worker.resources.memory_owner(context)
    result = lib.vx_install(worker.vx, handle, int(kind), item, context, parent)
    if result == -errno.ENOSPC and worker.more_handles():
        result = lib.vx_install(worker.vx, handle, int(kind), item, context, parent)
    if result == -errno.ENOSPC:
        raise CallError(OUT_OF_MEMORY)
    if result:
        worker.channel.end("a handle that the front end may not choose")
        raise CallError(INVALID_HANDLE)


def adopt(worker: Worker, kind: Kind, item: int, context: int, parent: int = 0) -> int:
    """The handle of an object that the driver named; 0 stays 0."""
    handle = lib.vx_handle_of(worker.vx, int(kind), item, context, parent)
    if item and not handle and worker.more_handles():
        handle = lib.vx_handle_of(worker.vx, int(kind), item, context, parent)
    if item and not handle:
        raise CallError(OUT_OF_MEMORY)
    return int(handle)


def drop(worker: Worker, handle: int) -> None:
    """Forget an object and what dies with it, and give back what was charged for it."""
    for key in forget_object(worker, handle):
        worker.account.drop(key)
    if handle >> 56 == Kind.LIBRARY:
        worker.account.contexts.unload(handle)


def forget_object(worker: Worker, handle: int) -> list[Key]:
    """Nobody can name an object any more, nor what dies with it; what was charged for them."""
    dependents = lib.vx_drop_dependents(worker.vx, handle)
    lib.vx_drop(worker.vx, handle)
    keys: list[Key] = [("object", handle)]
    if dependents:
        objects = worker.account.keys("object")
        keys += [key for key in objects if not is_alive(worker, int(key[1]))]
    for address in worker.resources.globals.pop(handle, ()):
        if address in worker.resources.allocations:
            del worker.resources.allocations[address]
            lib.vx_range_remove(worker.vx, address, ffi.new("uint64_t *"))
    return keys


def is_alive(worker: Worker, handle: int) -> bool:
    """Whether a handle of any kind names an object."""
    return not lib.vx_lookup(worker.vx, handle, handle >> 56, ffi.new("uint64_t *"))


def forward(worker: Worker, request: Request) -> dict[str, bytes] | Later:
    """Translate, call, translate back."""
    arguments = Arguments(worker, request)

    def perform() -> dict[str, bytes]:
        try:
            worker.driver.call(request.row, *arguments.words)
        except CallError:
            arguments.settle(succeeded=False)
            raise
        arguments.settle(succeeded=True)
        return arguments.results()

    return Later(perform) if request.row.lane and not request.posted else perform()


handles("generic")(forward)
