# SPDX-License-Identifier: Apache-2.0
"""What a zone may try: records that no libvgpu would write."""

import struct

import pytest
from raw import Raw, SessionEnded, handle

from idm.api.types import Kind

INVALID_VALUE, OUT_OF_MEMORY, INVALID_HANDLE, NOT_SUPPORTED = 1, 2, 400, 801
FLOATS = struct.pack("=QQII", 1 << 10, 1 << 10, 0x20, 1)  # 4 MiB


def test_a_result_shorter_than_its_type_is_malformed(raw, proxy):
    session = raw()
    array = handle(Kind.ARRAY, 2)
    assert session.call("cuArrayCreate_v2", array=array, descriptor=FLOATS)[0] == 0
    with pytest.raises(SessionEnded):
        session.call("cuArray3DGetDescriptor_v2", descriptor=1, array=array)
    assert "contradicts" in proxy.ended(session.number)["reason"]


def test_a_count_without_its_array_is_malformed(raw, proxy):
    session = raw()
    with pytest.raises(SessionEnded):
        session.call("cuMemRangeGetAttribute", data_bytes=8, attribute=1, dptr=0, bytes=0)
    assert "contradicts" in proxy.ended(session.number)["reason"]


def test_a_slot_has_one_call_at_a_time(raw, proxy):
    session = raw()
    session.send("vgpuCallbackWait", slot=5)
    session.send("vgpuCallbackWait", slot=5)
    with pytest.raises(SessionEnded):
        session.answer(5)
    assert "slot" in proxy.ended(session.number)["reason"]


@pytest.mark.parametrize("word", [0, 1, 2])
def test_a_stream_of_cuda_is_never_destroyed(raw, word):
    session = raw()
    event = handle(Kind.EVENT, 2)
    session.send("cuEventCreate", event=event, flags=2)
    session.send("cuStreamDestroy_v2", stream=word)
    assert session.call("vgpuLateError") == (0, struct.pack("=q", INVALID_HANDLE))
    assert session.call("cuEventQuery", event=event)[0] == 0
    assert session.call("cuStreamQuery", stream=2)[0] == 0


def test_memory_that_is_released_but_mapped_stays_charged(raw):
    session = raw("small")
    size, status = 8 << 20, 0
    properties = struct.pack("=IIII", 1, 0, 1, 0).ljust(32, b"\0")
    for index in range(2, 12):
        status, data = session.call("cuMemAddressReserve", bytes=size)
        (address,) = struct.unpack("=Q", data)
        allocation = handle(Kind.ALLOCATION, index)
        create = {"allocation": allocation, "bytes": size, "properties": properties}
        status, _ = session.call("cuMemCreate", **create)
        if status:
            break
        assert session.call("cuMemMap", dptr=address, bytes=size, allocation=allocation)[0] == 0
        assert session.call("vgpuMemRelease", allocation=allocation)[0] == 0
    assert (index, status) == (10, OUT_OF_MEMORY)
    assert session.call("cuMemUnmap", dptr=address - size, bytes=size)[0] in (0, INVALID_VALUE)


def test_unmapping_gives_the_memory_back(raw):
    session = raw("small")
    size = 40 << 20
    properties = struct.pack("=IIII", 1, 0, 1, 0).ljust(32, b"\0")
    _, data = session.call("cuMemAddressReserve", bytes=size)
    (address,) = struct.unpack("=Q", data)
    for index in range(2, 6):
        allocation = handle(Kind.ALLOCATION, index)
        create = {"allocation": allocation, "bytes": size, "properties": properties}
        assert session.call("cuMemCreate", **create)[0] == 0
        assert session.call("cuMemMap", dptr=address, bytes=size, allocation=allocation)[0] == 0
        if index % 2:
            assert session.call("vgpuMemRelease", allocation=allocation)[0] == 0
            assert session.alloc(40 << 20) == 0
            assert session.call("cuMemUnmap", dptr=address, bytes=size)[0] == 0
        else:
            assert session.call("cuMemUnmap", dptr=address, bytes=size)[0] == 0
            assert session.alloc(40 << 20) == 0
            assert session.call("vgpuMemRelease", allocation=allocation)[0] == 0
    assert session.alloc(40 << 20)


def test_host_memory_of_the_driver_domain_is_no_device_memory(raw):
    session = raw()
    properties = struct.pack("=IIII", 1, 0, 3, 0).ljust(32, b"\0")
    create = {"allocation": handle(Kind.ALLOCATION, 2), "bytes": 2 << 20}
    status, _ = session.call("cuMemCreate", **create, properties=properties)
    assert status == NOT_SUPPORTED
    pool = struct.pack("=IIII", 1, 0, 2, 0).ljust(88, b"\0")
    status, _ = session.call("cuMemPoolCreate", pool=handle(Kind.MEMORY_POOL, 3), properties=pool)
    assert status == NOT_SUPPORTED


def test_the_heap_of_kernels_is_charged(raw):
    session = raw("small")
    heap, whole = 2, 60 << 20
    assert session.call("cuCtxSetLimit", limit=heap, value=1 << 30)[0] == OUT_OF_MEMORY
    assert session.call("cuCtxSetLimit", limit=heap, value=whole)[0] == 0
    assert session.alloc(32 << 20) == 0
    assert session.call("cuCtxSetLimit", limit=heap, value=1 << 20)[0] == 0
    assert session.alloc(32 << 20)


def test_the_end_of_a_context_returns_what_its_arrays_took(raw):
    session = raw("small")
    for turn in range(5):
        session.context = handle(Kind.CONTEXT, 10 + turn)
        create = {"context": session.context, "flags": 0, "device": 0}
        assert session.call("vgpuContextCreate", **create)[0] == 0
        for index in range(5):
            array = handle(Kind.ARRAY, 100 + 10 * turn + index)
            assert session.call("cuArrayCreate_v2", array=array, descriptor=FLOATS)[0] == 0
        assert session.call("cuCtxDestroy_v2", context=session.context)[0] == 0


def test_a_pool_that_keeps_its_memory_stays_charged(raw):
    session = raw("small")
    size, kept = 24 << 20, struct.pack("=Q", 2**64 - 1)
    properties = struct.pack("=IIII", 1, 0, 1, 0).ljust(88, b"\0")
    for index in range(2, 6):
        pool = handle(Kind.MEMORY_POOL, index)
        status, _ = session.call("cuMemPoolCreate", pool=pool, properties=properties)
        assert status == 0
        setting = {"pool": pool, "attribute": 4, "value": kept}
        assert session.call("cuMemPoolSetAttribute", **setting)[0] == 0
        status, data = session.call("cuMemAllocFromPoolAsync", bytes=size, pool=pool, stream=0)
        if status:
            break
        session.send("cuMemFreeAsync", dptr=struct.unpack("=Q", data)[0], stream=0)
        assert session.call("cuStreamSynchronize", stream=0)[0] == 0
    reserved = 0
    for one in range(2, index + 1):
        pool = handle(Kind.MEMORY_POOL, one)
        _, data = session.call("cuMemPoolGetAttribute", pool=pool, attribute=5)
        reserved += struct.unpack("=Q", data)[0]
    assert reserved <= 64 << 20


def test_pinned_memory_is_freed_once(raw):
    session = raw()
    at = 0x2F0000000000
    assert session.call("vgpuHostAlloc", address=at, count=1 << 20, flags=0, token=1)[0] == 0
    for slot in (1, 2, 3):
        session.send("vgpuHostFree", slot=slot, address=at)
    statuses = sorted(session.answer(slot)[0] for slot in (1, 2, 3))
    assert statuses == [0, INVALID_VALUE, INVALID_VALUE]
    assert session.call("vgpuHostAlloc", address=at, count=1 << 20, flags=0, token=2)[0] == 0


def test_pinned_memory_cannot_cover_what_the_worker_has(raw):
    session = raw()
    for address in (0x2F0000000000 - 4096, 0x2F0000000000 + (1 << 40) - 4096):
        request = {"address": address, "count": 8192, "flags": 0, "token": address}
        assert session.call("vgpuHostAlloc", **request)[0] == INVALID_VALUE
    at = 0x2F0000000000
    assert session.call("vgpuHostAlloc", address=at, count=8192, flags=0, token=1)[0] == 0
    status, _ = session.call("vgpuHostAlloc", address=at + 4096, count=4096, flags=0, token=2)
    assert status not in (0, 999)
    assert session.alive()


def test_a_launch_with_the_drivers_own_pointers_is_refused(raw):
    session = raw()
    for number in (7, 12, 13):
        attribute = struct.pack("=I4xQ", number, 0x4141414141414141).ljust(72, b"\0")
        launch = {f"{what}_{axis}": 1 for what in ("grid", "block") for axis in "xyz"}
        session.send(
            "vgpuLaunch", function=handle(Kind.FUNCTION, 9), attribute_count=1,
            attributes=attribute, **launch,
        )  # fmt: skip
        status = struct.unpack("=q", session.call("vgpuLateError")[1])[0]
        assert status in (INVALID_HANDLE, NOT_SUPPORTED)
    assert session.alive()


def test_an_event_may_be_destroyed_while_it_is_waited_for(raw):
    session = raw()
    event, stream = handle(Kind.EVENT, 2), handle(Kind.STREAM, 3)
    flag = session.alloc(4096)
    session.send("cuStreamCreate", stream=stream, flags=1)
    session.send("cuEventCreate", event=event, flags=2)
    session.send("cuMemsetD32_v2", dst=flag, value=0, count=8)
    session.send("cuStreamWaitValue32_v2", stream=stream, dptr=flag, value=1, flags=0)
    session.send("cuEventRecord", event=event, stream=stream)
    session.send("cuEventSynchronize", slot=7, event=event)
    session.send("cuEventDestroy_v2", event=event)
    assert session.alive()
    session.send("cuMemsetD32Async", dst=flag, value=1, count=1, stream=1)
    assert session.answer(7)[0] == 0


def test_a_context_may_end_while_calls_wait_in_it(raw):
    session = raw()
    for turn in range(3):
        session.context = handle(Kind.CONTEXT, 20 + turn)
        create = {"context": session.context, "flags": 0, "device": 0}
        assert session.call("vgpuContextCreate", **create)[0] == 0
        memory = session.alloc(32 << 20)
        for chunk in range(8):
            copy = {"dst": memory, "chunk": chunk, "count": 512 << 10, "stream": 0}
            session.send("vgpuCopyInChunk", **copy)
        session.send("cuMemsetD8_v2", dst=memory, value=1, count=32 << 20)
        session.send("cuStreamSynchronize", slot=9, stream=0)
        session.send("cuCtxDestroy_v2", slot=8, context=session.context)
        assert session.answer(8)[0] == 0
        session.answer(9)
    session.context = handle(Kind.CONTEXT, 1)
    assert session.call("cuCtxSynchronize")[0] == 0
    memory = session.alloc(1 << 20)
    assert session.call("cuStreamSynchronize", stream=0)[0] == 0
    assert memory


def test_a_fill_of_two_dimensions_stays_inside(raw):
    session = raw()
    small = session.alloc(4096)
    others = [session.alloc(4096) for _ in range(16)]
    assert all(others)
    session.send("cuMemsetD2D8_v2", dst=small, pitch=4096, value=0x41, width=4096, height=64)
    status = struct.unpack("=q", session.call("vgpuLateError")[1])[0]
    assert status == INVALID_VALUE


def test_objects_of_objects_end_with_the_first(raw):
    session = raw()
    module = b".version 7.0\n.target sm_75\n.address_size 64\n.visible .entry k() { ret; }\0"
    library, inner, function = (
        handle(Kind.LIBRARY, 2),
        handle(Kind.MODULE, 3),
        handle(Kind.FUNCTION, 4),
    )
    upload = handle(Kind.UPLOAD, 5)
    session.send("vgpuUpload", upload=upload, total=len(module))
    session.send("vgpuUploadData", upload=upload, offset=0, count=len(module), data=module)
    assert session.call("vgpuLibraryLoad", library=library, upload=upload)[0] == 0
    assert session.call("cuLibraryGetModule", module=inner, library=library)[0] == 0
    status, _ = session.call(
        "vgpuModuleGetFunction", function=function, module=inner, name=b"k\0", capacity=0
    )
    assert status == 0
    session.send("cuLibraryUnload", library=library)
    status, _ = session.call("cuFuncGetAttribute", attribute=0, function=function)
    assert status == INVALID_HANDLE


def test_no_object_is_made_that_cannot_be_named(own_proxy):
    proxy = own_proxy("--zone=a:device_memory=64MiB,context_memory=0,handles=64")
    session = Raw(proxy.socket("a"))
    session.start()
    statuses = [
        session.call("cuArrayCreate_v2", array=handle(Kind.ARRAY, index), descriptor=FLOATS)[0]
        for index in range(2, 12)
    ]
    assert statuses == [0] * 10
    for index in range(20, 200):
        session.send("cuEventCreate", event=handle(Kind.EVENT, index), flags=2)
    tiny = struct.pack("=QQII", 64, 64, 0x20, 1)
    status, _ = session.call("cuArrayCreate_v2", array=handle(Kind.ARRAY, 300), descriptor=tiny)
    assert status == OUT_OF_MEMORY
    assert session.alive()
    session.close()
