# SPDX-License-Identifier: Apache-2.0
"""Other processes, peers, profilers, partitions, graphics and everything else at the edges."""

from __future__ import annotations

from .common import CONTEXT, DEVICE_RESOURCE, EVENT, GREEN_CONTEXT, STREAM
from .structs import CUdevResource, CUipcEventHandle, CUipcMemHandle
from .table import POSTED, call, refused
from .types import (
    array_in,
    array_out,
    c_int,
    c_uint,
    c_ulonglong,
    creates,
    device,
    device_ptr,
    drops,
    enum,
    inout,
    out,
    spelled,
    struct_in,
)

# Rows are read as lines of a table, so the formatter leaves them alone.
# fmt: off

# Other processes of the same zone.
call(0x0B00, "cuIpcGetMemHandle", 4010, handler="ipc_get_mem_handle",
     handle_=out(CUipcMemHandle), dptr=device_ptr)
refused(0x0B01, "cuIpcOpenMemHandle", 4010,
     "another process of the zone would first have to be proven the owner")
refused(0x0B02, "cuIpcOpenMemHandle_v2", 11000,
     "another process of the zone would first have to be proven the owner")
refused(0x0B03, "cuIpcCloseMemHandle", 4010,
     "another process of the zone would first have to be proven the owner")
call(0x0B04, "cuIpcGetEventHandle", 4010, handler="ipc_get_event_handle",
     handle_=out(CUipcEventHandle), event=EVENT)
refused(0x0B05, "cuIpcOpenEventHandle", 4010,
     "another process of the zone would first have to be proven the owner")

# Other devices of the same zone.
call(0x0B06, "cuDeviceCanAccessPeer", 4000, no_context=True, possible=out(c_int), dev=device,
     peer=device)
call(0x0B07, "cuDeviceGetP2PAttribute", 8000, no_context=True, value=out(c_int),
     attribute=enum("CUdevice_P2PAttribute"), source=device, target=device)
call(0x0B08, "cuDeviceGetP2PAtomicCapabilities", 13000, no_context=True,
     capabilities=array_out(c_uint, "count"),
     operations=array_in(enum("CUatomicOperation"), "count"), count=c_uint, source=device,
     target=device)
call(0x0B09, "cuCtxEnablePeerAccess", 4000, peer=CONTEXT, flags=c_uint)
call(0x0B0A, "cuCtxDisablePeerAccess", 4000, peer=CONTEXT)

# Parts of a device.
call(0x0B0B, "cuDevSmResourceSplitByCount", 12040, handler="device_resources", no_context=True,
     groups=array_out(CUdevResource, "count", null=True), count=inout(c_uint),
     resource=struct_in(CUdevResource), remainder=out(CUdevResource, null=True), flags=c_uint,
     least=c_uint)
call(0x0B0C, "cuDevResourceGenerateDesc", 12040, handler="device_resources", no_context=True,
     description=creates(DEVICE_RESOURCE),
     resources=spelled(array_in(CUdevResource, "count"), "CUdevResource *"), count=c_uint)
call(0x0B0D, "cuGreenCtxCreate", 12040, front="green_ctx_create", handler="green_ctx_create",
     no_context=True, green=creates(GREEN_CONTEXT), description=DEVICE_RESOURCE, dev=device,
     flags=c_uint)
call(0x0B0E, "cuGreenCtxDestroy", 12040, front="green_ctx_destroy", handler="green_ctx_destroy",
     lane=True, no_context=True, green=drops(GREEN_CONTEXT))
call(0x0B0F, "cuCtxFromGreenCtx", 12040, front="ctx_from_green_ctx", handler="ctx_from_green_ctx",
     no_context=True, context=creates(CONTEXT, parent="green"), green=GREEN_CONTEXT)
call(0x0B10, "cuGreenCtxGetDevResource", 12040, handler="device_resources", no_context=True,
     green=GREEN_CONTEXT, resource=out(CUdevResource), kind=enum("CUdevResourceType"))
call(0x0B11, "cuGreenCtxGetId", 12090, no_context=True, green=GREEN_CONTEXT,
     identifier=out(c_ulonglong))
call(0x0B12, "cuGreenCtxRecordEvent", 12040, POSTED, no_context=True, green=GREEN_CONTEXT,
     event=EVENT)
call(0x0B13, "cuGreenCtxWaitEvent", 12040, POSTED, no_context=True, green=GREEN_CONTEXT,
     event=EVENT)
call(0x0B14, "cuGreenCtxStreamCreate", 12050, front="green_ctx_stream_create",
     handler="green_ctx_stream_create", no_context=True,
     stream=creates(STREAM, parent="green"), green=GREEN_CONTEXT, flags=c_uint, priority=c_int)
refused(0x0B15, "cuDevSmResourceSplit", 13010,
     "groups with their own parameters are not offered yet, cuDevSmResourceSplitByCount is")

# Profilers.
call(0x0B16, "cuProfilerStart", 4000)
call(0x0B17, "cuProfilerStop", 4000)
refused(0x0B18, "cuProfilerInitialize", 4000,
     "the profiler of CUDA 4 to 10 with its own files is gone from the driver")

# What a zone has no part in.
refused(0x0B19, "cuMulticastCreate", 12010, "multicast objects are not offered yet")
refused(0x0B1A, "cuMulticastAddDevice", 12010, "multicast objects are not offered yet")
refused(0x0B1B, "cuMulticastBindMem", 12010, "multicast objects are not offered yet")
refused(0x0B1C, "cuMulticastBindMem_v2", 13010, "multicast objects are not offered yet")
refused(0x0B1D, "cuMulticastBindAddr", 12010, "multicast objects are not offered yet")
refused(0x0B1E, "cuMulticastBindAddr_v2", 13010, "multicast objects are not offered yet")
refused(0x0B1F, "cuMulticastUnbind", 12010, "multicast objects are not offered yet")
refused(0x0B20, "cuMulticastGetGranularity", 12010, "multicast objects are not offered yet")
refused(0x0B21, "cuImportExternalMemory", 10000,
     "an external object is a file of the driver domain or of another API")
refused(0x0B22, "cuExternalMemoryGetMappedBuffer", 10000,
     "an external object is a file of the driver domain or of another API")
refused(0x0B23, "cuExternalMemoryGetMappedMipmappedArray", 10000,
     "an external object is a file of the driver domain or of another API")
refused(0x0B24, "cuDestroyExternalMemory", 10000,
     "an external object is a file of the driver domain or of another API")
refused(0x0B25, "cuImportExternalSemaphore", 10000,
     "an external object is a file of the driver domain or of another API")
refused(0x0B26, "cuSignalExternalSemaphoresAsync", 10000,
     "an external object is a file of the driver domain or of another API", per_thread="_ptsz")
refused(0x0B27, "cuWaitExternalSemaphoresAsync", 10000,
     "an external object is a file of the driver domain or of another API", per_thread="_ptsz")
refused(0x0B28, "cuDestroyExternalSemaphore", 10000,
     "an external object is a file of the driver domain or of another API")
refused(0x0B29, "cuCheckpointProcessLock", 12080,
     "checkpointing a process that holds no GPU driver")
refused(0x0B2A, "cuCheckpointProcessCheckpoint", 12080,
     "checkpointing a process that holds no GPU driver")
refused(0x0B2B, "cuCheckpointProcessRestore", 12080,
     "checkpointing a process that holds no GPU driver")
refused(0x0B2C, "cuCheckpointProcessUnlock", 12080,
     "checkpointing a process that holds no GPU driver")
refused(0x0B2D, "cuCheckpointProcessGetState", 12080,
     "checkpointing a process that holds no GPU driver")
refused(0x0B2E, "cuCheckpointProcessGetRestoreThreadId", 12080,
     "checkpointing a process that holds no GPU driver")
refused(0x0B2F, "cuCheckpointOperationComplete", 13040,
     "checkpointing a process that holds no GPU driver")
refused(0x0B30, "cuCoredumpGetAttribute", 12010,
     "a GPU core dump would be written where the driver runs, not in the zone")
refused(0x0B31, "cuCoredumpGetAttributeGlobal", 12010,
     "a GPU core dump would be written where the driver runs, not in the zone")
refused(0x0B32, "cuCoredumpSetAttribute", 12010,
     "a GPU core dump would be written where the driver runs, not in the zone")
refused(0x0B33, "cuCoredumpSetAttributeGlobal", 12010,
     "a GPU core dump would be written where the driver runs, not in the zone")
refused(0x0B34, "cuCoredumpRegisterStartCallback", 13020,
     "a GPU core dump would be written where the driver runs, not in the zone")
refused(0x0B35, "cuCoredumpRegisterCompleteCallback", 13020,
     "a GPU core dump would be written where the driver runs, not in the zone")
refused(0x0B36, "cuCoredumpDeregisterStartCallback", 13020,
     "a GPU core dump would be written where the driver runs, not in the zone")
refused(0x0B37, "cuCoredumpDeregisterCompleteCallback", 13020,
     "a GPU core dump would be written where the driver runs, not in the zone")
refused(0x0B38, "cuLogicalEndpointIdReserve", 13030,
     "logical endpoints of the NVLink fabric are not offered yet")
refused(0x0B39, "cuLogicalEndpointIdRelease", 13030,
     "logical endpoints of the NVLink fabric are not offered yet")
refused(0x0B3A, "cuLogicalEndpointCreate", 13030,
     "logical endpoints of the NVLink fabric are not offered yet")
refused(0x0B3B, "cuLogicalEndpointDestroy", 13030,
     "logical endpoints of the NVLink fabric are not offered yet")
refused(0x0B3C, "cuLogicalEndpointAddDevice", 13030,
     "logical endpoints of the NVLink fabric are not offered yet")
refused(0x0B3D, "cuLogicalEndpointBindMem", 13030,
     "logical endpoints of the NVLink fabric are not offered yet")
refused(0x0B3E, "cuLogicalEndpointBindAddr", 13030,
     "logical endpoints of the NVLink fabric are not offered yet")
refused(0x0B3F, "cuLogicalEndpointUnbind", 13030,
     "logical endpoints of the NVLink fabric are not offered yet")
refused(0x0B40, "cuLogicalEndpointExport", 13030,
     "logical endpoints of the NVLink fabric are not offered yet")
refused(0x0B41, "cuLogicalEndpointImport", 13030,
     "logical endpoints of the NVLink fabric are not offered yet")
refused(0x0B42, "cuLogicalEndpointQuery", 13030,
     "logical endpoints of the NVLink fabric are not offered yet")
refused(0x0B43, "cuLogicalEndpointGetLimits", 13030,
     "logical endpoints of the NVLink fabric are not offered yet")

# Graphics.
refused(0x0B44, "cuGraphicsMapResources", 3000, "needs a graphics context in the application",
     per_thread="_ptsz")
refused(0x0B45, "cuGraphicsUnmapResources", 3000, "needs a graphics context in the application",
     per_thread="_ptsz")
refused(0x0B46, "cuGraphicsUnregisterResource", 3000, "needs a graphics context in the application")
refused(0x0B47, "cuGraphicsResourceGetMappedPointer", 3000,
     "needs a graphics context in the application")
refused(0x0B48, "cuGraphicsResourceGetMappedPointer_v2", 3020,
     "needs a graphics context in the application")
refused(0x0B49, "cuGraphicsResourceSetMapFlags", 3000,
     "needs a graphics context in the application")
refused(0x0B4A, "cuGraphicsResourceSetMapFlags_v2", 6050,
     "needs a graphics context in the application")
refused(0x0B4B, "cuGraphicsResourceGetMappedMipmappedArray", 5000,
     "needs a graphics context in the application")
refused(0x0B4C, "cuGraphicsSubResourceGetMappedArray", 3000,
     "needs a graphics context in the application")
refused(0x0B4D, "cuGLCtxCreate", 2000, "needs an OpenGL context in the application")
refused(0x0B4E, "cuGLCtxCreate_v2", 3020, "needs an OpenGL context in the application")
refused(0x0B4F, "cuGLInit", 2000, "needs an OpenGL context in the application")
refused(0x0B50, "cuGLGetDevices", 4010, "needs an OpenGL context in the application")
refused(0x0B51, "cuGLGetDevices_v2", 6050, "needs an OpenGL context in the application")
refused(0x0B52, "cuGraphicsGLRegisterBuffer", 3000, "needs an OpenGL context in the application")
refused(0x0B53, "cuGraphicsGLRegisterImage", 3000, "needs an OpenGL context in the application")
refused(0x0B54, "cuGLRegisterBufferObject", 2000, "needs an OpenGL context in the application")
refused(0x0B55, "cuGLUnregisterBufferObject", 2000, "needs an OpenGL context in the application")
refused(0x0B56, "cuGLMapBufferObject", 2000, "needs an OpenGL context in the application")
refused(0x0B57, "cuGLMapBufferObject_v2", 3020, "needs an OpenGL context in the application",
     per_thread="_ptds")
refused(0x0B58, "cuGLMapBufferObjectAsync", 2030, "needs an OpenGL context in the application")
refused(0x0B59, "cuGLMapBufferObjectAsync_v2", 3020, "needs an OpenGL context in the application",
     per_thread="_ptsz")
refused(0x0B5A, "cuGLUnmapBufferObject", 2000, "needs an OpenGL context in the application")
refused(0x0B5B, "cuGLUnmapBufferObjectAsync", 2030, "needs an OpenGL context in the application")
refused(0x0B5C, "cuGLSetBufferObjectMapFlags", 2030, "needs an OpenGL context in the application")
refused(0x0B5D, "cuGraphicsEGLRegisterImage", 7000, "needs an EGL display in the application")
refused(0x0B5E, "cuGraphicsResourceGetMappedEglFrame", 7000,
     "needs an EGL display in the application")
refused(0x0B5F, "cuEventCreateFromEGLSync", 9000, "needs an EGL display in the application")
refused(0x0B60, "cuEGLStreamConsumerConnect", 7000, "needs an EGL display in the application")
refused(0x0B61, "cuEGLStreamConsumerConnectWithFlags", 8000,
     "needs an EGL display in the application")
refused(0x0B62, "cuEGLStreamConsumerDisconnect", 7000, "needs an EGL display in the application")
refused(0x0B63, "cuEGLStreamConsumerAcquireFrame", 7000, "needs an EGL display in the application")
refused(0x0B64, "cuEGLStreamConsumerReleaseFrame", 7000, "needs an EGL display in the application")
refused(0x0B65, "cuEGLStreamProducerConnect", 7000, "needs an EGL display in the application")
refused(0x0B66, "cuEGLStreamProducerDisconnect", 7000, "needs an EGL display in the application")
refused(0x0B67, "cuEGLStreamProducerPresentFrame", 7000, "needs an EGL display in the application")
refused(0x0B68, "cuEGLStreamProducerReturnFrame", 7000, "needs an EGL display in the application")
refused(0x0B69, "cuVDPAUGetDevice", 3010, "needs a VDPAU device in the application")
refused(0x0B6A, "cuVDPAUCtxCreate", 3010, "needs a VDPAU device in the application")
refused(0x0B6B, "cuVDPAUCtxCreate_v2", 3020, "needs a VDPAU device in the application")
refused(0x0B6C, "cuGraphicsVDPAURegisterVideoSurface", 3010,
     "needs a VDPAU device in the application")
refused(0x0B6D, "cuGraphicsVDPAURegisterOutputSurface", 3010,
     "needs a VDPAU device in the application")
