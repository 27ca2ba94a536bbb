# SPDX-License-Identifier: Apache-2.0
"""Streams: creation, properties, capture, host functions and memory operations."""

from __future__ import annotations

from .common import CONTEXT, EVENT, GRAPH, GRAPH_NODE, GREEN_CONTEXT, STREAM
from .structs import CUdevResource, CUgraphEdgeData, CUstreamAttrValue, CUstreamBatchMemOpParams
from .table import LOCAL, POSTED, call, refused
from .types import (
    address,
    array_in,
    c_int,
    c_uint,
    c_ulonglong,
    creates,
    device,
    device_ptr,
    drops,
    enum,
    inout,
    local,
    out,
    size,
    spelled,
    struct_in,
    u32,
    u64,
)

# Rows are read as lines of a table, so the formatter leaves them alone.
# fmt: off

call(0x0600, "cuStreamCreate", 2000, POSTED, fast=True, stream=creates(STREAM), flags=c_uint)
call(0x0601, "cuStreamCreateWithPriority", 5050, POSTED, fast=True, stream=creates(STREAM),
     flags=c_uint, priority=c_int)
call(0x0602, "cuStreamDestroy", 2000, POSTED, fast=True, no_context=True, stream=drops(STREAM))
call(0x0603, "cuStreamDestroy_v2", 4000, POSTED, fast=True, no_context=True, stream=drops(STREAM))
call(0x0604, "cuStreamQuery", 2000, fast=True, per_thread="_ptsz", stream=STREAM)
call(0x0605, "cuStreamSynchronize", 2000, fast=True, lane=True, per_thread="_ptsz",
     stream=STREAM)
call(0x0606, "cuStreamWaitEvent", 3020, POSTED, fast=True, per_thread="_ptsz", stream=STREAM,
     event=EVENT, flags=c_uint)

# Callbacks run in the application: the worker notifies, the stream waits for the acknowledgement.
call(0x0607, "cuStreamAddCallback", 5000, POSTED, elsewhere=True,
     front="stream_add_callback", per_thread="_ptsz", stream=STREAM,
     callback=address("CUstreamCallback"), data=address("void *"), flags=c_uint)
call(0x0608, "cuLaunchHostFunc", 10000, POSTED, elsewhere=True,
     front="launch_host_func", per_thread="_ptsz", stream=STREAM, function=address("CUhostFn"),
     data=address("void *"))
call(0x0609, "cuLaunchHostFunc_v2", 13010, POSTED, elsewhere=True,
     front="launch_host_func_v2", per_thread="_ptsz", stream=STREAM, function=address("CUhostFn"),
     data=address("void *"), sync_mode=c_uint)

# Properties.
call(0x060A, "cuStreamGetCtx", 9020, LOCAL, front="stream_get_ctx", per_thread="_ptsz",
     stream=STREAM, context=out(CONTEXT))
call(0x060B, "cuStreamGetCtx_v2", 12050, LOCAL, front="stream_get_ctx_v2", per_thread="_ptsz",
     stream=STREAM, context=out(CONTEXT), green=out(GREEN_CONTEXT))
call(0x060C, "cuStreamGetGreenCtx", 12040, stream=STREAM, green=out(GREEN_CONTEXT))
call(0x060D, "cuStreamGetDevice", 12080, per_thread="_ptsz", stream=STREAM, dev=out(device))
call(0x060E, "cuStreamGetDevResource", 13010, handler="device_resources", per_thread="_ptsz",
     stream=STREAM, resource=out(CUdevResource), kind=enum("CUdevResourceType"))
call(0x060F, "cuStreamGetPriority", 5050, per_thread="_ptsz", stream=STREAM, priority=out(c_int))
call(0x0610, "cuStreamGetFlags", 5050, per_thread="_ptsz", stream=STREAM, flags=out(c_uint))
call(0x0611, "cuStreamGetId", 12000, per_thread="_ptsz", stream=STREAM, identifier=out(c_ulonglong))
call(0x0612, "cuStreamCopyAttributes", 11000, POSTED, queues=0, per_thread="_ptsz", dst=STREAM,
     src=STREAM)
call(0x0613, "cuStreamGetAttribute", 11000, per_thread="_ptsz", stream=STREAM,
     attribute=enum("CUstreamAttrID"), value=out(CUstreamAttrValue))
call(0x0614, "cuStreamSetAttribute", 11000, per_thread="_ptsz", stream=STREAM,
     attribute=enum("CUstreamAttrID"), value=struct_in(CUstreamAttrValue))
call(0x0615, "cuStreamAttachMemAsync", 6000, POSTED, per_thread="_ptsz", stream=STREAM,
     dptr=device_ptr, length=size, flags=c_uint)

# Capture.
call(0x0616, "cuThreadExchangeStreamCaptureMode", 10010, LOCAL,
     front="thread_exchange_stream_capture_mode", no_context=True,
     mode_=inout(enum("CUstreamCaptureMode")))
call(0x0617, "cuStreamBeginCapture", 10000, per_thread="_ptsz", stream=STREAM)
call(0x0618, "cuStreamBeginCapture_v2", 10010, per_thread="_ptsz", stream=STREAM,
     mode_=enum("CUstreamCaptureMode"))
call(0x0619, "cuStreamBeginCaptureToGraph", 12030, per_thread="_ptsz", stream=STREAM, graph=GRAPH,
     dependencies=array_in(GRAPH_NODE, "count", null=True),
     edges=array_in(CUgraphEdgeData, "count", null=True), count=size,
     mode_=enum("CUstreamCaptureMode"))
call(0x061A, "cuStreamEndCapture", 10000, front="stream_end_capture", per_thread="_ptsz",
     stream=STREAM, graph=out(GRAPH, null=True))
call(0x061B, "cuStreamIsCapturing", 10000, front="stream_is_capturing", fast=True,
     per_thread="_ptsz", stream=STREAM, status=out(enum("CUstreamCaptureStatus")))
call(0x061C, "cuStreamGetCaptureInfo", 10010, front="stream_get_capture_info", per_thread="_ptsz",
     stream=STREAM, status=out(enum("CUstreamCaptureStatus")), identifier=out(u64, null=True))

# The dependencies are the driver's own arrays: the front end keeps a copy until asked again.
call(0x061D, "cuStreamGetCaptureInfo_v2", 11030, elsewhere=True, front="stream_get_capture_info_v2",
     per_thread="_ptsz", stream=STREAM,
     status=out(enum("CUstreamCaptureStatus")), identifier=out(u64, null=True),
     graph=out(GRAPH, null=True), dependencies=local("const CUgraphNode **"),
     count=out(size, null=True))
call(0x061E, "cuStreamGetCaptureInfo_v3", 12030, elsewhere=True, front="stream_get_capture_info_v3",
     per_thread="_ptsz", stream=STREAM,
     status=out(enum("CUstreamCaptureStatus")), identifier=out(u64, null=True),
     graph=out(GRAPH, null=True), dependencies=local("const CUgraphNode **"),
     edges=local("const CUgraphEdgeData **"), count=out(size, null=True))
call(0x061F, "cuStreamUpdateCaptureDependencies", 11030, per_thread="_ptsz", stream=STREAM,
     dependencies=spelled(array_in(GRAPH_NODE, "count", null=True), "CUgraphNode *"), count=size,
     flags=c_uint)
call(0x0620, "cuStreamUpdateCaptureDependencies_v2", 12030, per_thread="_ptsz", stream=STREAM,
     dependencies=spelled(array_in(GRAPH_NODE, "count", null=True), "CUgraphNode *"),
     edges=array_in(CUgraphEdgeData, "count", null=True), count=size, flags=c_uint)
refused(0x0621, "cuStreamBeginCaptureToCig", 13010,
     "capture into a graphics command buffer needs a graphics context in the application",
     per_thread="_ptsz")
refused(0x0622, "cuStreamEndCaptureToCig", 13010,
     "capture into a graphics command buffer needs a graphics context in the application",
     per_thread="_ptsz")
refused(0x0623, "cuStreamBeginRecaptureToGraph", 13030, "recapture into a graph is not offered yet",
     per_thread="_ptsz")

# Memory operations in stream order.
call(0x0624, "cuStreamWaitValue32", 8000, POSTED, per_thread="_ptsz", stream=STREAM,
     dptr=device_ptr, value=u32, flags=c_uint)
call(0x0625, "cuStreamWaitValue32_v2", 11070, POSTED, per_thread="_ptsz", stream=STREAM,
     dptr=device_ptr, value=u32, flags=c_uint)
call(0x0626, "cuStreamWaitValue64", 9000, POSTED, per_thread="_ptsz", stream=STREAM,
     dptr=device_ptr, value=u64, flags=c_uint)
call(0x0627, "cuStreamWaitValue64_v2", 11070, POSTED, per_thread="_ptsz", stream=STREAM,
     dptr=device_ptr, value=u64, flags=c_uint)
call(0x0628, "cuStreamWriteValue32", 8000, POSTED, per_thread="_ptsz", stream=STREAM,
     dptr=device_ptr, value=u32, flags=c_uint)
call(0x0629, "cuStreamWriteValue32_v2", 11070, POSTED, per_thread="_ptsz", stream=STREAM,
     dptr=device_ptr, value=u32, flags=c_uint)
call(0x062A, "cuStreamWriteValue64", 9000, POSTED, per_thread="_ptsz", stream=STREAM,
     dptr=device_ptr, value=u64, flags=c_uint)
call(0x062B, "cuStreamWriteValue64_v2", 11070, POSTED, per_thread="_ptsz", stream=STREAM,
     dptr=device_ptr, value=u64, flags=c_uint)
call(0x062C, "cuStreamBatchMemOp", 8000, POSTED, handler="stream_batch_mem_op", per_thread="_ptsz",
     stream=STREAM, count=c_uint,
     operations=spelled(array_in(CUstreamBatchMemOpParams, "count"), "CUstreamBatchMemOpParams *"),
     flags=c_uint)
call(0x062D, "cuStreamBatchMemOp_v2", 11070, POSTED, handler="stream_batch_mem_op",
     per_thread="_ptsz", stream=STREAM, count=c_uint,
     operations=spelled(array_in(CUstreamBatchMemOpParams, "count"), "CUstreamBatchMemOpParams *"),
     flags=c_uint)
