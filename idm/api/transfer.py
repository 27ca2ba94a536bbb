# SPDX-License-Identifier: Apache-2.0
"""Copies and fills."""

from __future__ import annotations

from .common import ARRAY, CONTEXT, STREAM, optional
from .structs import CUDA_MEMCPY2D, CUDA_MEMCPY3D, CUDA_MEMCPY3D_PEER
from .table import POSTED, call, refused
from .types import (
    bytes_in,
    bytes_out,
    c_uchar,
    c_uint,
    c_ushort,
    device_ptr,
    device_range,
    size,
    struct_in,
)

# Rows are read as lines of a table, so the formatter leaves them alone.
# fmt: off

# One side is the application's memory: chunked through the staging area, or straight if pinned.
call(0x0500, "cuMemcpyHtoD_v2", 3020, elsewhere=True, front="memcpy_htod", fast=True, lane=True,
     per_thread="_ptds", dst=device_range("count", "w"), src=bytes_in("count"), count=size)
call(0x0501, "cuMemcpyDtoH_v2", 3020, elsewhere=True, front="memcpy_dtoh", fast=True, lane=True,
     per_thread="_ptds", dst=bytes_out("count"), src=device_range("count", "r"), count=size)
call(0x0502, "cuMemcpyHtoDAsync_v2", 3020, POSTED, elsewhere=True, front="memcpy_htod_async",
     fast=True, per_thread="_ptsz", dst=device_range("count", "w"), src=bytes_in("count"),
     count=size, stream=STREAM)
call(0x0503, "cuMemcpyDtoHAsync_v2", 3020, elsewhere=True, front="memcpy_dtoh_async", fast=True,
     lane=True, per_thread="_ptsz", dst=bytes_out("count"), src=device_range("count", "r"),
     count=size, stream=STREAM)

# Either side may be either: the front end looks at the addresses. Only device memory gets this far.
call(0x0504, "cuMemcpy", 4000, elsewhere=True, front="memcpy", fast=True, lane=True,
     per_thread="_ptds", dst=device_range("count", "w"), src=device_range("count", "r"), count=size)
call(0x0505, "cuMemcpyAsync", 4000, POSTED, elsewhere=True, front="memcpy_async", fast=True,
     per_thread="_ptsz", dst=device_range("count", "w"), src=device_range("count", "r"), count=size,
     stream=STREAM)

# Between device memories: asynchronous with respect to the host even without a stream.
call(0x0506, "cuMemcpyDtoD_v2", 3020, POSTED, fast=True, per_thread="_ptds",
     dst=device_range("count", "w"), src=device_range("count", "r"), count=size)
call(0x0507, "cuMemcpyDtoDAsync_v2", 3020, POSTED, fast=True, per_thread="_ptsz",
     dst=device_range("count", "w"), src=device_range("count", "r"), count=size, stream=STREAM)
call(0x0508, "cuMemcpyPeer", 4000, POSTED, per_thread="_ptds", no_context=True,
     dst=device_range("count", "w"), dst_context=optional(CONTEXT), src=device_range("count", "r"),
     src_context=optional(CONTEXT), count=size)
call(0x0509, "cuMemcpyPeerAsync", 4000, POSTED, per_thread="_ptsz", no_context=True,
     dst=device_range("count", "w"), dst_context=optional(CONTEXT), src=device_range("count", "r"),
     src_context=optional(CONTEXT), count=size, stream=STREAM)

# Two and three dimensions: the structure says which side is what.
call(0x050A, "cuMemcpy2D_v2", 3020, elsewhere=True, front="memcpy_2d", lane=True,
     per_thread="_ptds", copy=struct_in(CUDA_MEMCPY2D))
call(0x050B, "cuMemcpy2DUnaligned_v2", 3020, elsewhere=True, front="memcpy_2d_unaligned", lane=True,
     per_thread="_ptds", copy=struct_in(CUDA_MEMCPY2D))
call(0x050C, "cuMemcpy2DAsync_v2", 3020, POSTED, elsewhere=True, front="memcpy_2d_async",
     per_thread="_ptsz", copy=struct_in(CUDA_MEMCPY2D), stream=STREAM)
call(0x050D, "cuMemcpy3D_v2", 3020, elsewhere=True, front="memcpy_3d", lane=True,
     per_thread="_ptds", copy=struct_in(CUDA_MEMCPY3D))
call(0x050E, "cuMemcpy3DAsync_v2", 3020, POSTED, front="memcpy_3d_async", handler="memcpy_3d_async",
     per_thread="_ptsz", copy=struct_in(CUDA_MEMCPY3D), stream=STREAM)
call(0x050F, "cuMemcpy3DPeer", 4000, elsewhere=True, front="memcpy_3d_peer", lane=True,
     per_thread="_ptds", copy=struct_in(CUDA_MEMCPY3D_PEER))
call(0x0510, "cuMemcpy3DPeerAsync", 4000, POSTED, front="memcpy_3d_peer_async",
     handler="memcpy_3d_peer_async", per_thread="_ptsz", copy=struct_in(CUDA_MEMCPY3D_PEER),
     stream=STREAM)

# Arrays.
call(0x0511, "cuMemcpyHtoA_v2", 3020, elsewhere=True, front="memcpy_htoa", lane=True,
     per_thread="_ptds", dst=ARRAY, offset=size, src=bytes_in("count"), count=size)
call(0x0512, "cuMemcpyAtoH_v2", 3020, elsewhere=True, front="memcpy_atoh", lane=True,
     per_thread="_ptds", dst=bytes_out("count"), src=ARRAY, offset=size, count=size)
call(0x0513, "cuMemcpyHtoAAsync_v2", 3020, POSTED, elsewhere=True, front="memcpy_htoa_async",
     per_thread="_ptsz", dst=ARRAY, offset=size, src=bytes_in("count"), count=size, stream=STREAM)
call(0x0514, "cuMemcpyAtoHAsync_v2", 3020, elsewhere=True, front="memcpy_atoh_async", lane=True,
     per_thread="_ptsz", dst=bytes_out("count"), src=ARRAY, offset=size, count=size, stream=STREAM)
call(0x0515, "cuMemcpyDtoA_v2", 3020, POSTED, per_thread="_ptds", dst=ARRAY, offset=size,
     src=device_range("count", "r"), count=size)
call(0x0516, "cuMemcpyAtoD_v2", 3020, POSTED, per_thread="_ptds", dst=device_range("count", "w"),
     src=ARRAY, offset=size, count=size)
call(0x0517, "cuMemcpyAtoA_v2", 3020, POSTED, per_thread="_ptds", dst=ARRAY, dst_offset=size,
     src=ARRAY, src_offset=size, count=size)

# Filling.
call(0x0518, "cuMemsetD8_v2", 3020, POSTED, front="memset_d8", fast=True, per_thread="_ptds",
     dst=device_range("count", "w"), value=c_uchar, count=size)
call(0x0519, "cuMemsetD16_v2", 3020, POSTED, front="memset_d16", fast=True, per_thread="_ptds",
     dst=device_range("count", "w", 2), value=c_ushort, count=size)
call(0x051A, "cuMemsetD32_v2", 3020, POSTED, front="memset_d32", fast=True, per_thread="_ptds",
     dst=device_range("count", "w", 4), value=c_uint, count=size)
call(0x051B, "cuMemsetD8Async", 3020, POSTED, fast=True, per_thread="_ptsz",
     dst=device_range("count", "w"), value=c_uchar, count=size, stream=STREAM)
call(0x051C, "cuMemsetD16Async", 3020, POSTED, fast=True, per_thread="_ptsz",
     dst=device_range("count", "w", 2), value=c_ushort, count=size, stream=STREAM)
call(0x051D, "cuMemsetD32Async", 3020, POSTED, fast=True, per_thread="_ptsz",
     dst=device_range("count", "w", 4), value=c_uint, count=size, stream=STREAM)
call(0x051E, "cuMemsetD2D8_v2", 3020, POSTED, per_thread="_ptds", dst=device_ptr, pitch=size,
     value=c_uchar, width=size, height=size)
call(0x051F, "cuMemsetD2D16_v2", 3020, POSTED, per_thread="_ptds", dst=device_ptr, pitch=size,
     value=c_ushort, width=size, height=size)
call(0x0520, "cuMemsetD2D32_v2", 3020, POSTED, per_thread="_ptds", dst=device_ptr, pitch=size,
     value=c_uint, width=size, height=size)
call(0x0521, "cuMemsetD2D8Async", 3020, POSTED, per_thread="_ptsz", dst=device_ptr, pitch=size,
     value=c_uchar, width=size, height=size, stream=STREAM)
call(0x0522, "cuMemsetD2D16Async", 3020, POSTED, per_thread="_ptsz", dst=device_ptr, pitch=size,
     value=c_ushort, width=size, height=size, stream=STREAM)
call(0x0523, "cuMemsetD2D32Async", 3020, POSTED, per_thread="_ptsz", dst=device_ptr, pitch=size,
     value=c_uint, width=size, height=size, stream=STREAM)
refused(0x0524, "cuMemcpyBatchAsync", 12080, "copies in batches are not offered yet",
     per_thread="_ptsz")
refused(0x0525, "cuMemcpyBatchAsync_v2", 13000, "copies in batches are not offered yet",
     per_thread="_ptsz")
refused(0x0526, "cuMemcpy3DBatchAsync", 12080, "copies in batches are not offered yet",
     per_thread="_ptsz")
refused(0x0527, "cuMemcpy3DBatchAsync_v2", 13000, "copies in batches are not offered yet",
     per_thread="_ptsz")
refused(0x0528, "cuMemcpyWithAttributesAsync", 13020, "copies with attributes are not offered yet",
     per_thread="_ptsz")
refused(0x0529, "cuMemcpy3DWithAttributesAsync", 13020,
     "copies with attributes are not offered yet", per_thread="_ptsz")
refused(0x052A, "cuFabricCpyBatchAsync", 13050, "copies over the NVLink fabric are not offered yet",
     per_thread="_ptsz")
refused(0x052B, "cuMemcpyHtoD", 2000, "obsolete 32-bit interface, replaced by the _v2 function")
refused(0x052C, "cuMemcpyDtoH", 2000, "obsolete 32-bit interface, replaced by the _v2 function")
refused(0x052D, "cuMemcpyDtoD", 2000, "obsolete 32-bit interface, replaced by the _v2 function")
refused(0x052E, "cuMemcpyDtoA", 2000, "obsolete 32-bit interface, replaced by the _v2 function")
refused(0x052F, "cuMemcpyAtoD", 2000, "obsolete 32-bit interface, replaced by the _v2 function")
refused(0x0530, "cuMemcpyHtoA", 2000, "obsolete 32-bit interface, replaced by the _v2 function")
refused(0x0531, "cuMemcpyAtoH", 2000, "obsolete 32-bit interface, replaced by the _v2 function")
refused(0x0532, "cuMemcpyAtoA", 2000, "obsolete 32-bit interface, replaced by the _v2 function")
refused(0x0533, "cuMemcpyHtoAAsync", 2000,
     "obsolete 32-bit interface, replaced by the _v2 function")
refused(0x0534, "cuMemcpyAtoHAsync", 2000,
     "obsolete 32-bit interface, replaced by the _v2 function")
refused(0x0535, "cuMemcpyHtoDAsync", 2000,
     "obsolete 32-bit interface, replaced by the _v2 function")
refused(0x0536, "cuMemcpyDtoHAsync", 2000,
     "obsolete 32-bit interface, replaced by the _v2 function")
refused(0x0537, "cuMemcpyDtoDAsync", 3000,
     "obsolete 32-bit interface, replaced by the _v2 function")
refused(0x0538, "cuMemcpy2D", 2000, "obsolete 32-bit interface, replaced by the _v2 function")
refused(0x0539, "cuMemcpy2DUnaligned", 2000,
     "obsolete 32-bit interface, replaced by the _v2 function")
refused(0x053A, "cuMemcpy2DAsync", 2000, "obsolete 32-bit interface, replaced by the _v2 function")
refused(0x053B, "cuMemcpy3D", 2000, "obsolete 32-bit interface, replaced by the _v2 function")
refused(0x053C, "cuMemcpy3DAsync", 2000, "obsolete 32-bit interface, replaced by the _v2 function")
refused(0x053D, "cuMemsetD8", 2000, "obsolete 32-bit interface, replaced by the _v2 function")
refused(0x053E, "cuMemsetD16", 2000, "obsolete 32-bit interface, replaced by the _v2 function")
refused(0x053F, "cuMemsetD32", 2000, "obsolete 32-bit interface, replaced by the _v2 function")
refused(0x0540, "cuMemsetD2D8", 2000, "obsolete 32-bit interface, replaced by the _v2 function")
refused(0x0541, "cuMemsetD2D16", 2000, "obsolete 32-bit interface, replaced by the _v2 function")
refused(0x0542, "cuMemsetD2D32", 2000, "obsolete 32-bit interface, replaced by the _v2 function")
