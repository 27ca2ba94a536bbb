# SPDX-License-Identifier: Apache-2.0
"""Copies, as the C executor does them, in Python: the reference for the tests."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

from gpu_proxy._executor import ffi, lib
from gpu_proxy.handlers import handles
from gpu_proxy.handlers.generic import forward
from gpu_proxy.handlers.waits import staged_stream, stream_object
from gpu_proxy.request import PENDING, CallError, Later, Pending, Request

if TYPE_CHECKING:
    from gpu_proxy.worker import Worker

INVALID_VALUE = 1


def _check(worker: Worker, address: int, count: int) -> None:
    if not lib.vx_range_covers(worker.vx, address, count):
        raise CallError(INVALID_VALUE)


@handles("copy_in")
def copy_in(worker: Worker, request: Request) -> None:
    """A short copy to the device; its bytes came in the record."""
    data, stream = request["data"], staged_stream(worker, request)
    if not data:
        return
    _check(worker, request["dst"], len(data))
    source = ctypes.create_string_buffer(data, len(data))
    worker.driver.call_named(
        "cuMemcpyHtoDAsync_v2", request["dst"], ctypes.addressof(source), len(data), stream
    )
    lib.vx_count(worker.vx, len(data), 0, 0)


@handles("copy_in_chunk")
def copy_in_chunk(worker: Worker, request: Request) -> None:
    """A piece of a long copy to the device; the chunk is free again when it has happened."""
    chunk, count = request["chunk"], request["count"]
    if chunk >= lib.IDM_CHUNKS:
        raise CallError(INVALID_VALUE)
    try:
        stream = staged_stream(worker, request)
        if count > lib.IDM_CHUNK_BYTES:
            raise CallError(INVALID_VALUE)
        _check(worker, request["dst"], count)
        source = worker.region_address + lib.IDM_STAGING_AT + chunk * lib.IDM_CHUNK_BYTES
        worker.driver.call_named("cuMemcpyHtoDAsync_v2", request["dst"], source, count, stream)
        lib.vx_count(worker.vx, count, 0, 0)
        status = lib.vx_release_chunk_after(worker.vx, stream, chunk)
        if status:
            raise CallError(status)
    except CallError:
        lib.vx_release_chunk(worker.vx, chunk)
        raise


@handles("copy_out")
def copy_out(worker: Worker, request: Request) -> Pending:
    """A copy to the application, straight into the slot or the reply chunk."""
    count, stream = request["count"], staged_stream(worker, request)
    if request.capacity["data"] != count:
        raise CallError(INVALID_VALUE)
    _check(worker, request["src"], count)
    if request.reply:
        target = lib.IDM_STAGING_AT + (request.reply - 1) * lib.IDM_CHUNK_BYTES
    else:
        target = lib.IDM_SLOTS_AT + request.slot * lib.IDM_SLOT_BYTES + 64
    worker.driver.call_named(
        "cuMemcpyDtoHAsync_v2", worker.region_address + target, request["src"], count, stream
    )
    padded = (count + 7) & ~7
    status = lib.vx_wait_stream(worker.vx, stream, request.slot, request.sequence, padded)
    if status:
        raise CallError(status)
    lib.vx_count(worker.vx, 0, count, 0)
    return PENDING


@handles(*(f"cuMemsetD2D{bits}{end}" for bits in (8, 16, 32) for end in ("_v2", "Async")))
def fill_rows(worker: Worker, request: Request) -> dict[str, bytes] | Later:
    """Rows of a pitched area, all of them the session's own."""
    pitch, height = request["pitch"], request["height"]
    row = request["width"] * request.row.params[2].type.size
    if row and height:
        amount = row + pitch * (height - 1)
        if amount >> 63:
            raise CallError(INVALID_VALUE)
        _check(worker, request["dst"], amount)
    return forward(worker, request)


def _is_host(worker: Worker, address: int) -> bool:
    size, is_host = ffi.new("uint64_t *"), ffi.new("uint32_t *")
    lib.vx_range_find(worker.vx, address, size, is_host)
    return bool(is_host[0])


@handles("copy")
def copy(worker: Worker, request: Request) -> None:
    """Between memories that this process has at the same address as the application."""
    dst, src, count = request["dst"], request["src"], request["count"]
    stream = stream_object(worker, request)
    if count == 0:
        return
    _check(worker, dst, count)
    _check(worker, src, count)
    from_host, to_host = _is_host(worker, src), _is_host(worker, dst)
    lib.vx_count(
        worker.vx,
        count if from_host and not to_host else 0,
        count if to_host and not from_host else 0,
        0,
    )
    worker.driver.call_named("cuMemcpyAsync", dst, src, count, stream)
