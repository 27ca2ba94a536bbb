# SPDX-License-Identifier: Apache-2.0
"""Structures with addresses and objects inside: textures, arrays, stream memory operations, IPC."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from gpu_proxy.handlers import find
from gpu_proxy.handlers.arrays import array_3d_create
from gpu_proxy.handlers.ipc import ipc_get_mem_handle
from gpu_proxy.handlers.occupancy import occupancy_clusters
from gpu_proxy.handlers.streams import stream_batch_mem_op
from gpu_proxy.handlers.textures import tex_object_create, tex_object_destroy
from gpu_proxy.request import CallError
from idm.api.types import Kind

INVALID_VALUE, INVALID_HANDLE, NOT_SUPPORTED = 1, 400, 801


def status(handler: Any, worker: Any, request: Any) -> int:
    try:
        handler(worker, request)
    except CallError as error:
        return error.status
    return 0


def texture(worker: Any, kind: int, union: bytes) -> int:
    resource = (struct.pack("=I4x", kind) + union).ljust(144, b"\0")
    request = worker.request(
        "cuTexObjectCreate", texture=8, resource=resource, description=bytes(104), view=b""
    )
    return status(tex_object_create, worker, request)


def test_textures_are_on_own_memory_and_arrays(worker: Any, memory: tuple[int, int]) -> None:
    base, length = memory
    linear = struct.Struct("=QIIQ")
    pitched = struct.Struct("=QIIQQQ")
    assert texture(worker, 0, struct.pack("=Q", worker.give(Kind.ARRAY, 0xA0))) == 0
    assert texture(worker, 0, struct.pack("=Q", 0xA0)) == INVALID_HANDLE
    assert texture(worker, 2, linear.pack(base, 32, 1, length)) == 0
    assert texture(worker, 2, linear.pack(base, 32, 1, length + 1)) == INVALID_VALUE
    assert texture(worker, 3, pitched.pack(base, 32, 1, 8, length // 512, 512)) == 0
    assert texture(worker, 3, pitched.pack(base + 480, 32, 1, 8, length // 512, 512)) == 0
    assert (
        texture(worker, 3, pitched.pack(base + 480, 32, 1, 9, length // 512, 512)) == INVALID_VALUE
    )
    assert texture(worker, 3, pitched.pack(base, 32, 1, 8, 1 << 60, 1 << 60)) == INVALID_VALUE
    assert texture(worker, 4, bytes(8)) == INVALID_VALUE


@pytest.mark.parametrize("symbol", ["cuTexRefSetAddress2D_v2", "cuTexRefSetAddress2D_v3"])
def test_texture_references_are_on_own_memory(
    worker: Any, memory: tuple[int, int], symbol: str
) -> None:
    base, length = memory
    reference = worker.give(Kind.TEXTURE_REFERENCE, 0x7E)

    def set_address(address: int, width: int, height: int, pitch: int) -> int:
        descriptor = struct.pack("=QQII", width, height, 32, 4)  # four floats a texel
        values = {"reference": reference, "descriptor": descriptor, "dptr": address, "pitch": pitch}
        request = worker.request(symbol, **values)
        return status(find(request.row), worker, request)

    rows = length // 512
    assert set_address(base, 32, rows, 512) == 0
    assert set_address(base + 256, 16, rows, 512) == 0
    assert set_address(base + 256, 17, rows, 512) == INVALID_VALUE
    assert set_address(base, 32, rows + 1, 512) == INVALID_VALUE
    assert set_address(base, 1 << 60, 1 << 60, 1 << 60) == INVALID_VALUE
    assert set_address(base - 512, 1, 1, 512) == INVALID_VALUE
    assert len(worker.driver.calls) == 2


def tensor_map(worker: Any, symbol: str, **changes: Any) -> int:
    """Encode a map of rank 3."""
    row = worker.table.by_symbol[symbol]
    arrays = {"dimensions": 8, "strides": 8, "box": 4, "element_strides": 4, "lower": 4, "upper": 4}
    values: dict[str, Any] = {param.name: 1 for param in row.params}
    values |= {name: bytes(3 * size) for name, size in arrays.items() if name in values}
    if "Wide" in symbol:
        values |= {"lower": 0, "upper": 0}
    values |= {"rank": 3, "map": 128} | changes
    return status(find(row), worker, worker.request(symbol, **values))


TENSOR_MAPS = ["cuTensorMapEncodeTiled", "cuTensorMapEncodeIm2col", "cuTensorMapEncodeIm2colWide"]


@pytest.mark.parametrize("symbol", TENSOR_MAPS)
def test_tensor_maps_are_on_own_memory(worker: Any, memory: tuple[int, int], symbol: str) -> None:
    base, length = memory
    huge = struct.pack("=3Q", 0x7FFF0000, 0x7FFF0000, 1 << 30)
    assert tensor_map(worker, symbol, location=base) == 0
    assert tensor_map(worker, symbol, location=base + length - 16) == 0
    assert tensor_map(worker, symbol, location=base, dimensions=huge, strides=huge) == 0
    assert len(worker.driver.calls) == 3
    for foreign in (0, 16, base - 16, base + length, 1 << 63):
        assert tensor_map(worker, symbol, location=foreign) == INVALID_VALUE
    for rank in (0, 6, 1 << 31):
        assert tensor_map(worker, symbol, location=base, rank=rank) == INVALID_VALUE
    assert tensor_map(worker, symbol, location=base, strides=b"") == INVALID_VALUE
    assert len(worker.driver.calls) == 3


def test_a_tensor_map_is_moved_to_own_memory_only(worker: Any, memory: tuple[int, int]) -> None:
    def replace(location: int) -> int:
        request = worker.request("cuTensorMapReplaceAddress", map=bytes(128), location=location)
        return status(find(request.row), worker, request)

    assert replace(memory[0]) == 0
    assert replace(memory[0] + memory[1]) == INVALID_VALUE


def test_only_textures_of_the_session_are_destroyed(worker: Any) -> None:
    request = worker.request("cuTexObjectDestroy", texture=77)
    assert status(tex_object_destroy, worker, request) == INVALID_HANDLE
    worker.resources.textures[77] = 0
    assert status(tex_object_destroy, worker, request) == 0
    assert status(tex_object_destroy, worker, request) == INVALID_HANDLE


def test_arrays_are_charged_and_given_back(worker: Any) -> None:
    def request(index: int) -> Any:
        handle = int(Kind.ARRAY) << 56 | 1 << 32 | index
        descriptor = struct.pack("=QQQIII4x", 64, 32, 4, 32, 2, 0)
        return worker.request("cuArray3DCreate_v2", array=handle, descriptor=descriptor)

    assert status(array_3d_create, worker, request(5)) == 0
    assert worker.channel.charged == 64 * 32 * 4 * 2 * 4
    worker.driver.fails["cuArray3DCreate_v2"] = 2
    assert status(array_3d_create, worker, request(6)) == 2
    assert worker.channel.charged == 64 * 32 * 4 * 2 * 4


def operations(worker: Any, *packed: bytes) -> int:
    data = b"".join(part.ljust(48, b"\0") for part in packed)
    request = worker.request(
        "cuStreamBatchMemOp_v2", stream=0, count=len(packed), operations=data, flags=0
    )
    return status(stream_batch_mem_op, worker, request)


def test_memory_operations_reach_own_memory_only(worker: Any, memory: tuple[int, int]) -> None:
    base, length = memory
    write = struct.Struct("=I4xQQ")
    assert operations(worker, write.pack(2, base, 1), struct.pack("=I", 3)) == 0
    assert operations(worker, write.pack(2, base, 1), write.pack(2, 64, 1)) == INVALID_VALUE
    assert operations(worker, write.pack(4, base + length - 4, 1)) == INVALID_VALUE
    assert operations(worker, write.pack(1, base + length - 4, 1)) == 0
    assert operations(worker, struct.pack("=I12xQ", 8, base)) == 0
    assert operations(worker, struct.pack("=I", 99)) == NOT_SUPPORTED


def test_only_own_allocations_are_given_to_others(worker: Any, memory: tuple[int, int]) -> None:
    request = worker.request("cuIpcGetMemHandle", handle=64, dptr=memory[0] + 512)
    assert status(ipc_get_mem_handle, worker, request) == INVALID_VALUE


@pytest.mark.parametrize("attribute", [7, 12, 13])
def test_attributes_with_pointers_do_not_pass(worker: Any, attribute: int) -> None:
    shape = dict.fromkeys(("grid_x", "grid_y", "grid_z", "block_x", "block_y", "block_z"), 1)
    request = worker.request(
        "vgpuOccupancyClusters",
        function=worker.give(Kind.FUNCTION, 0xF0),
        shared=0,
        stream=0,
        attribute_count=1,
        attributes=struct.pack("=I68x", attribute),
        largest=0,
        answer=4,
        **shape,
    )
    assert status(occupancy_clusters, worker, request) == INVALID_VALUE
