# SPDX-License-Identifier: Apache-2.0
"""Allocation: device memory, pinned memory, pools, virtual memory management, pointer facts."""

from __future__ import annotations

from .common import ALLOCATION, MEMORY_POOL, STREAM, optional
from .structs import FLAG, WORD, CUmemAccessDesc, CUmemAllocationProp, CUmemLocation, CUmemPoolProps
from .table import LOCAL, POSTED, call, refused
from .types import (
    address,
    array_in,
    bytes_out,
    c_uint,
    c_ulonglong,
    creates,
    device,
    device_ptr,
    device_range,
    drops,
    enum,
    local,
    out,
    scalar,
    size,
    spelled,
    struct_in,
    u64,
)

# Rows are read as lines of a table, so the formatter leaves them alone.
# fmt: off

# Device memory. The front end reserves the same addresses, so allocations are hand-written there.
call(0x0400, "cuMemAlloc_v2", 3020, unsafe=True, front="mem_alloc", handler="mem_alloc",
     dptr=out(device_ptr), bytes=size)
call(0x0401, "cuMemAllocPitch_v2", 3020, unsafe=True, elsewhere=True, front="mem_alloc_pitch",
     dptr=out(device_ptr), pitch=out(size), width=size, height=size, element=c_uint)
call(0x0402, "cuMemFree_v2", 3020, unsafe=True, front="mem_free", handler="mem_free", lane=True,
     dptr=optional(device_ptr))
call(0x0403, "cuMemAllocManaged", 6000, unsafe=True, elsewhere=True, front="mem_alloc_managed",
     dptr=out(device_ptr), bytes=size, flags=c_uint)
call(0x0404, "cuMemGetInfo_v2", 3020, handler="mem_get_info", free=out(size), total=out(size))
call(0x0405, "cuMemGetAddressRange_v2", 3020, LOCAL, front="mem_get_address_range",
     base=out(device_ptr, null=True), bytes=out(size, null=True), dptr=device_ptr)
refused(0x0406, "cuMemAlloc", 2000, "obsolete 32-bit interface, replaced by the _v2 function")
refused(0x0407, "cuMemAllocPitch", 2000, "obsolete 32-bit interface, replaced by the _v2 function")
refused(0x0408, "cuMemFree", 2000, "obsolete 32-bit interface, replaced by the _v2 function")
refused(0x0409, "cuMemGetInfo", 2000, "obsolete 32-bit interface, replaced by the _v2 function")
refused(0x040A, "cuMemGetAddressRange", 2000,
     "obsolete 32-bit interface, replaced by the _v2 function")
refused(0x040B, "cuMemAllocHost", 2000, "obsolete 32-bit interface, replaced by the _v2 function")
refused(0x040C, "cuMemHostGetDevicePointer", 2020,
     "obsolete 32-bit interface, replaced by the _v2 function")

# Pinned host memory lives in the window that both processes share.
call(0x040D, "cuMemAllocHost_v2", 3020, unsafe=True, elsewhere=True, front="mem_alloc_host",
     host=local("void **"), bytes=size)
call(0x040E, "cuMemHostAlloc", 2020, unsafe=True, elsewhere=True, front="mem_host_alloc",
     host=local("void **"), bytes=size, flags=c_uint)
call(0x040F, "cuMemFreeHost", 2000, unsafe=True, elsewhere=True, front="mem_free_host", lane=True,
     host=local("void *"))
call(0x0410, "cuMemHostRegister", 4000, unsafe=True, elsewhere=True, front="mem_host_register",
     lane=True, host=local("void *"), bytes=size, flags=c_uint)
call(0x0411, "cuMemHostRegister_v2", 6050, unsafe=True, elsewhere=True, front="mem_host_register",
     lane=True, host=local("void *"), bytes=size, flags=c_uint)
call(0x0412, "cuMemHostUnregister", 4000, unsafe=True, elsewhere=True, front="mem_host_unregister",
     lane=True, host=local("void *"))
call(0x0413, "cuMemHostGetDevicePointer_v2", 3020, LOCAL, front="mem_host_get_device_pointer",
     dptr=out(device_ptr), host=local("void *"), flags=c_uint)
call(0x0414, "cuMemHostGetFlags", 2030, LOCAL, front="mem_host_get_flags", flags=out(c_uint),
     host=local("void *"))

# Stream-ordered allocation and its pools.
call(0x0415, "cuMemAllocAsync", 11020, front="mem_alloc_async", handler="mem_alloc_async",
     per_thread="_ptsz", dptr=out(device_ptr), bytes=size, stream=STREAM)
call(0x0416, "cuMemAllocFromPoolAsync", 11020, front="mem_alloc_from_pool_async",
     handler="mem_alloc_from_pool_async", per_thread="_ptsz", dptr=out(device_ptr), bytes=size,
     pool=MEMORY_POOL, stream=STREAM)
# Behind memory of no pool an event is recorded.
call(0x0417, "cuMemFreeAsync", 11020, POSTED, front="mem_free_async", handler="mem_free_async",
     queues=2, per_thread="_ptsz", dptr=optional(device_ptr), stream=STREAM)
call(0x0418, "cuMemPoolCreate", 11020, unsafe=True, no_context=True, pool=creates(MEMORY_POOL),
     properties=struct_in(CUmemPoolProps))
call(0x0419, "cuMemPoolDestroy", 11020, unsafe=True, no_context=True, pool=drops(MEMORY_POOL))
call(0x041A, "cuMemPoolTrimTo", 11020, lane=True, no_context=True, pool=MEMORY_POOL, keep=size)

# An attribute is an int or a 64-bit word: the front end knows which, the wire always has the word.
call(0x041B, "cuMemPoolGetAttribute", 11020, unsafe=True, front="mem_pool_get_attribute",
     no_context=True, pool=MEMORY_POOL, attribute=enum("CUmemPool_attribute"),
     value=spelled(out(u64), "void *"))
call(0x041C, "cuMemPoolSetAttribute", 11020, unsafe=True, front="mem_pool_set_attribute",
     no_context=True, pool=MEMORY_POOL, attribute=enum("CUmemPool_attribute"),
     value=spelled(struct_in(WORD), "void *"))
call(0x041D, "cuMemPoolGetAccess", 11020, no_context=True, flags=out(enum("CUmemAccess_flags")),
     pool=MEMORY_POOL, location=spelled(struct_in(CUmemLocation), "CUmemLocation *"))
call(0x041E, "cuMemPoolSetAccess", 11020, no_context=True, pool=MEMORY_POOL,
     map_=array_in(CUmemAccessDesc, "count"), count=size)
call(0x041F, "cuMemGetDefaultMemPool", 13000, no_context=True, pool=out(MEMORY_POOL),
     location=spelled(struct_in(CUmemLocation), "CUmemLocation *"),
     kind=enum("CUmemAllocationType"))
call(0x0420, "cuMemGetMemPool", 13000, no_context=True, pool=out(MEMORY_POOL),
     location=spelled(struct_in(CUmemLocation), "CUmemLocation *"),
     kind=enum("CUmemAllocationType"))
call(0x0421, "cuMemSetMemPool", 13000, unsafe=True, no_context=True,
     location=spelled(struct_in(CUmemLocation), "CUmemLocation *"),
     kind=enum("CUmemAllocationType"), pool=MEMORY_POOL)
refused(0x0422, "cuMemPoolExportPointer", 11020,
     "a shareable handle would name a file of the driver domain")
refused(0x0423, "cuMemPoolExportToShareableHandle", 11020,
     "a shareable handle would name a file of the driver domain")
refused(0x0424, "cuMemPoolImportFromShareableHandle", 11020,
     "a shareable handle would name a file of the driver domain")
refused(0x0425, "cuMemPoolImportPointer", 11020,
     "a shareable handle would name a file of the driver domain")

# Virtual memory management: address ranges and physical memory apart.
call(0x0426, "cuMemAddressReserve", 10020, front="mem_address_reserve",
     handler="mem_address_reserve", no_context=True, dptr=out(device_ptr), bytes=size,
     alignment=size, wanted=address("CUdeviceptr"), flags=c_ulonglong)
call(0x0427, "cuMemAddressFree", 10020, front="mem_address_free", handler="mem_address_free",
     lane=True, no_context=True, dptr=device_ptr, bytes=size)
call(0x0428, "cuMemCreate", 10020, handler="mem_create", no_context=True,
     allocation=creates(ALLOCATION), bytes=size, properties=struct_in(CUmemAllocationProp),
     flags=c_ulonglong)
call(0x0429, "cuMemRelease", 10020, elsewhere=True, front="mem_release", lane=True,
     no_context=True, allocation=ALLOCATION)
call(0x042A, "cuMemMap", 10020, no_context=True, dptr=device_ptr, bytes=size, offset=size,
     allocation=ALLOCATION, flags=c_ulonglong)
call(0x042B, "cuMemUnmap", 10020, lane=True, no_context=True, dptr=device_ptr, bytes=size)
call(0x042C, "cuMemSetAccess", 10020, lane=True, no_context=True, dptr=device_ptr, bytes=size,
     access=array_in(CUmemAccessDesc, "count"), count=size)
call(0x042D, "cuMemGetAccess", 10020, no_context=True, flags=out(c_ulonglong),
     location=struct_in(CUmemLocation), dptr=device_ptr)
call(0x042E, "cuMemGetAllocationGranularity", 10020, no_context=True, granularity=out(size),
     properties=struct_in(CUmemAllocationProp), option=enum("CUmemAllocationGranularity_flags"))
call(0x042F, "cuMemGetAllocationPropertiesFromHandle", 10020, no_context=True,
     properties=out(CUmemAllocationProp), allocation=ALLOCATION)
call(0x0430, "cuMemRetainAllocationHandle", 11000, handler="mem_retain_allocation_handle",
     no_context=True, allocation=out(ALLOCATION), location=spelled(device_ptr, "void *"))
refused(0x0431, "cuMemExportToShareableHandle", 10020,
     "a shareable handle would name a file of the driver domain")
refused(0x0432, "cuMemImportFromShareableHandle", 10020,
     "a shareable handle would name a file of the driver domain")
refused(0x0433, "cuMemGetHandleForAddressRange", 11070,
     "a shareable handle would name a file of the driver domain")
refused(0x0434, "cuMemMapArrayAsync", 11010, "sparse arrays are not offered yet",
     per_thread="_ptsz")

# Managed memory and hints.
call(0x0435, "cuMemAdvise", 8000, no_context=True, dptr=device_range("bytes", "r"), bytes=size,
     advice=enum("CUmem_advise"), dev=device)
call(0x0436, "cuMemAdvise_v2", 12020, no_context=True, dptr=device_range("bytes", "r"), bytes=size,
     advice=enum("CUmem_advise"), location=scalar("CUmemLocation", 8))
call(0x0437, "cuMemPrefetchAsync", 8000, POSTED, per_thread="_ptsz",
     dptr=device_range("bytes", "r"), bytes=size, dev=device, stream=STREAM)
call(0x0438, "cuMemPrefetchAsync_v2", 12020, POSTED, per_thread="_ptsz",
     dptr=device_range("bytes", "r"), bytes=size, location=scalar("CUmemLocation", 8), flags=c_uint,
     stream=STREAM)
call(0x0439, "cuMemRangeGetAttribute", 8000, no_context=True, data=bytes_out("data_bytes"),
     data_bytes=size, attribute=enum("CUmem_range_attribute"), dptr=device_range("bytes", "r"),
     bytes=size)
refused(0x043A, "cuMemRangeGetAttributes", 8000,
     "several range attributes at once are not offered yet, cuMemRangeGetAttribute is")
refused(0x043B, "cuMemDiscardAndPrefetchBatchAsync", 13000,
     "managed memory in batches is not offered yet", per_thread="_ptsz")
refused(0x043C, "cuMemDiscardBatchAsync", 13000, "managed memory in batches is not offered yet",
     per_thread="_ptsz")
refused(0x043D, "cuMemPrefetchBatchAsync", 13000, "managed memory in batches is not offered yet",
     per_thread="_ptsz")
refused(0x043E, "cuMemGetLocationInfo", 13040, "managed memory in batches is not offered yet")
refused(0x043F, "cuMemBatchDecompressAsync", 12060, "the decompression engine is not offered yet",
     per_thread="_ptsz")

# What a pointer is: known in the zone.
call(0x0440, "cuPointerGetAttribute", 4000, LOCAL, front="pointer_get_attribute", no_context=True,
     data=local("void *"), attribute=enum("CUpointer_attribute"), dptr=address("CUdeviceptr"))
call(0x0441, "cuPointerGetAttributes", 7000, LOCAL, front="pointer_get_attributes", no_context=True,
     count=c_uint, attributes=local("CUpointer_attribute *"), data=local("void **"),
     dptr=address("CUdeviceptr"))
call(0x0442, "cuPointerSetAttribute", 6000, no_context=True,
     value=spelled(struct_in(FLAG), "const void *"), attribute=enum("CUpointer_attribute"),
     dptr=device_ptr)
