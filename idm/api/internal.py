# SPDX-License-Identifier: Apache-2.0
"""Calls that only libvgpu and the worker know: what hand-written front-end functions send."""

from .common import (
    DEPENDENCIES,
    EVENT,
    FUNCTION,
    GRAPH,
    GRAPH_EXEC,
    GRAPH_NODE,
    LINK,
    USER_OBJECT,
    optional,
)
from .structs import (
    CUDA_MEMCPY3D_PEER,
    CUgraphEdgeData,
    CUgraphExecUpdateResultInfo,
    CUgraphNodeParams,
)
from .table import POSTED, call
from .types import (
    Kind,
    array_in,
    array_out,
    bytes_in,
    bytes_out,
    c_int,
    c_uint,
    creates,
    device_range,
    drops,
    handle,
    out,
    size,
    string_in,
    struct,
    struct_in,
    u64,
)

# Rows are read as lines of a table, so the formatter leaves them alone.
# fmt: off

_stream = handle(Kind.STREAM)
FUNCTION_INFO = struct("struct vgpu_function_info", 160)
PARAM_INFO = struct("struct vgpu_param_info", 8)
LAUNCH_ATTRIBUTE = struct("CUlaunchAttribute", 72)

# Answers when every record before it has been executed: an orderly exit waits for it.
call(0x0F00, "vgpuFlush", 0, no_context=True, fast=True)
# The oldest error of a posted call of this thread that was not reported yet; 0 if there is none.
call(0x0F01, "vgpuLateError", 0, no_context=True, handler="late_error", fast=True,
     status=out(c_int))

# Copies. A short payload travels in the record, a longer one in a staging chunk that the back end
# frees when the copy has happened. vgpuCopy is for memory that both sides have at one address.
call(0x0F02, "vgpuCopyIn", 0, POSTED, handler="copy_in", fast=True,
     dst=device_range("count", "w"), data=bytes_in("count"), count=size, stream=_stream)
call(0x0F03, "vgpuCopyInChunk", 0, POSTED, handler="copy_in_chunk", fast=True, queues=2,
     dst=device_range("count", "w"), chunk=c_uint, count=size, stream=_stream)
call(0x0F04, "vgpuCopyOut", 0, handler="copy_out", fast=True,
     src=device_range("count", "r"), count=size, stream=_stream, data=bytes_out("count"))
call(0x0F05, "vgpuCopy", 0, POSTED, handler="copy", fast=True,
     dst=device_range("count", "w"), src=device_range("count", "r"), count=size, stream=_stream)

call(0x0F06, "vgpuLaunch", 0, POSTED, handler="launch", fast=True,
     function=handle(Kind.FUNCTION),
     grid_x=c_uint, grid_y=c_uint, grid_z=c_uint, block_x=c_uint, block_y=c_uint, block_z=c_uint,
     shared=c_uint, stream=_stream, param_bytes=c_uint, params=bytes_in("param_bytes"),
     attribute_count=c_uint, attributes=array_in(LAUNCH_ATTRIBUTE, "attribute_count"),
     cooperative=c_uint)

# Images and other long inputs, sent ahead in pieces.
call(0x0F07, "vgpuUpload", 0, POSTED, handler="upload", no_context=True,
     upload=creates(handle(Kind.UPLOAD)), total=size)
call(0x0F08, "vgpuUploadData", 0, POSTED, handler="upload_data", no_context=True,
     upload=handle(Kind.UPLOAD), offset=size, count=size, data=bytes_in("count"))
call(0x0F09, "vgpuModuleLoad", 0, handler="module_load", lane=True,
     module=creates(handle(Kind.MODULE)), upload=drops(handle(Kind.UPLOAD)),
     option_count=c_uint, options=array_in(c_uint, "option_count"),
     values=array_in(u64, "option_count"),
     info_bytes=c_uint, info=bytes_out("info_bytes"),
     error_bytes=c_uint, error=bytes_out("error_bytes"))
call(0x0F0A, "vgpuLibraryLoad", 0, handler="library_load", lane=True, no_context=True,
     library=creates(handle(Kind.LIBRARY)), upload=drops(handle(Kind.UPLOAD)),
     option_count=c_uint, options=array_in(c_uint, "option_count"),
     values=array_in(u64, "option_count"),
     info_bytes=c_uint, info=bytes_out("info_bytes"),
     error_bytes=c_uint, error=bytes_out("error_bytes"))
# A kernel with all that the front end answers or checks without asking again.
call(0x0F0B, "vgpuModuleGetFunction", 0, handler="module_get_function", lane=True,
     function=creates(handle(Kind.FUNCTION), parent="module"), module=handle(Kind.MODULE),
     name=string_in, info=out(FUNCTION_INFO), capacity=c_uint,
     layout=array_out(PARAM_INFO, "capacity"))
call(0x0F0C, "vgpuLibraryGetKernel", 0, handler="library_get_kernel", lane=True,
     function=creates(handle(Kind.FUNCTION), parent="library"), library=handle(Kind.LIBRARY),
     name=string_in, info=out(FUNCTION_INFO), capacity=c_uint,
     layout=array_out(PARAM_INFO, "capacity"))

# Host memory that both sides have at one address; its descriptor comes over the session's socket.
call(0x0F0D, "vgpuHostAlloc", 0, handler="host_alloc",
     address=u64, count=size, flags=c_uint, token=u64)
call(0x0F0E, "vgpuHostFree", 0, handler="host_free", lane=True, address=u64)

# Host functions: the callback thread of the application waits in vgpuCallbackWait.
call(0x0F10, "vgpuCallback", 0, POSTED, handler="callback", fast=True, queues=2,
     stream=_stream, callback=u64)
call(0x0F11, "vgpuCallbackWait", 0, handler="callback_wait", no_context=True, fast=True,
     callback=out(u64), status=out(c_int))
call(0x0F12, "vgpuCallbackDone", 0, POSTED, handler="callback_done", no_context=True, fast=True,
     callback=u64)

# Contexts: the front end keeps the stacks, the worker the objects.
call(0x0F13, "vgpuPrimaryRetain", 0, handler="primary_retain", no_context=True,
     device=c_int, context=creates(handle(Kind.CONTEXT)))
call(0x0F14, "vgpuPrimaryRelease", 0, handler="primary_release", no_context=True, lane=True,
     device=c_int, context=drops(handle(Kind.CONTEXT)))
call(0x0F15, "vgpuContextCreate", 0, handler="context_create", no_context=True,
     context=creates(handle(Kind.CONTEXT)), flags=c_uint, device=c_int)
# Settings that libcuda would read from its own environment, NAME=value; before anything else.
call(0x0F16, "vgpuEnvironment", 0, POSTED, handler="environment", no_context=True, text=string_in)
# What kernels have printed so far; the application prints it.
call(0x0F17, "vgpuOutput", 0, handler="output", no_context=True,
     capacity=c_uint, data=bytes_out("capacity"), length=out(c_uint))

# Copies of rectangles. The side that is the application's pageable memory has no address here: its
# rows lie densely in a staging chunk, or come back as results. Arrays and contexts are handles.
call(0x0F20, "vgpuCopy3DIn", 0, POSTED, handler="copy_3d_in", queues=2,
     copy=struct_in(CUDA_MEMCPY3D_PEER), chunk=c_uint, count=size, stream=_stream)
call(0x0F21, "vgpuCopy3DOut", 0, handler="copy_3d_out",
     copy=struct_in(CUDA_MEMCPY3D_PEER), count=size, stream=_stream, data=bytes_out("count"))

# Nodes of every kind. The structure is the public one, but handles stand for objects, a host
# function is its number, and kernel parameters follow as bytes.
call(0x0F22, "vgpuGraphAddNode", 0, handler="graph_add_node",
     node=creates(GRAPH_NODE, parent="graph"), graph=GRAPH, dependencies=DEPENDENCIES,
     edges=array_in(CUgraphEdgeData, "count", null=True), count=size,
     parameters=struct_in(CUgraphNodeParams), param_bytes=c_uint, params=bytes_in("param_bytes"),
     body_count=c_uint, bodies=array_out(GRAPH, "body_count", null=True))
call(0x0F23, "vgpuGraphNodeSetParams", 0, handler="graph_node_set_params",
     node=GRAPH_NODE, parameters=struct_in(CUgraphNodeParams), param_bytes=c_uint,
     params=bytes_in("param_bytes"))
call(0x0F24, "vgpuGraphExecNodeSetParams", 0, handler="graph_exec_node_set_params",
     exec_=GRAPH_EXEC, node=GRAPH_NODE, parameters=struct_in(CUgraphNodeParams),
     param_bytes=c_uint, params=bytes_in("param_bytes"))
call(0x0F25, "vgpuGraphNodeGetParams", 0, handler="graph_node_get_params",
     node=GRAPH_NODE, parameters=out(CUgraphNodeParams), param_bytes=out(c_uint),
     capacity=c_uint, params=bytes_out("capacity"))

# What a capture knows. Nodes and edges beyond the capacity are left out, `count` has them all.
call(0x0F26, "vgpuCaptureInfo", 0, handler="capture_info",
     stream=_stream, status=out(c_uint), identifier=out(u64), graph=out(GRAPH), count=out(size),
     capacity=c_uint, nodes=array_out(GRAPH_NODE, "capacity"),
     edges=array_out(CUgraphEdgeData, "capacity"))

# The linker. Logs are asked for apart, because a call that fails brings no results.
call(0x0F27, "vgpuLinkCreate", 0, handler="link_create",
     link=creates(LINK), option_count=c_uint, options=array_in(c_uint, "option_count"),
     values=array_in(u64, "option_count"), info_bytes=c_uint, error_bytes=c_uint)
call(0x0F28, "vgpuLinkAdd", 0, handler="link_add", lane=True,
     link=LINK, kind=c_uint, upload=drops(handle(Kind.UPLOAD)), name=string_in,
     option_count=c_uint, options=array_in(c_uint, "option_count"),
     values=array_in(u64, "option_count"))
call(0x0F29, "vgpuLinkComplete", 0, handler="link_complete", lane=True,
     link=LINK, bytes=out(size))
call(0x0F2A, "vgpuLinkImage", 0, handler="link_image",
     link=LINK, offset=size, count=size, data=bytes_out("count"))
call(0x0F2B, "vgpuLinkLog", 0, handler="link_log",
     link=LINK, info_bytes=c_uint, info=bytes_out("info_bytes"), error_bytes=c_uint,
     error=bytes_out("error_bytes"))

# Occupancy of clusters: the answer is the number of active clusters, or the largest cluster.
call(0x0F2C, "vgpuOccupancyClusters", 0, handler="occupancy_clusters",
     function=FUNCTION, grid_x=c_uint, grid_y=c_uint, grid_z=c_uint, block_x=c_uint,
     block_y=c_uint, block_z=c_uint, shared=c_uint, stream=_stream, attribute_count=c_uint,
     attributes=array_in(LAUNCH_ATTRIBUTE, "attribute_count"), largest=c_uint, answer=out(c_int))


# What the front end keeps about a kernel whose handle the back end chose.
call(0x0F2E, "vgpuFunctionInfo", 0, handler="function_info", no_context=True,
     function=FUNCTION, name_bytes=c_uint, name=bytes_out("name_bytes"), info=out(FUNCTION_INFO),
     capacity=c_uint, layout=array_out(PARAM_INFO, "capacity"))

# A driver that compiles or loads lazily does it now: before the first launch of a kernel that was
# not looked up by its name.
call(0x0F3C, "vgpuFunctionLoad", 0, handler="function_load", lane=True, function=FUNCTION)

# An application function that the driver calls when the last reference to an object is gone.
call(0x0F2F, "vgpuUserObjectCreate", 0, handler="user_object_create", no_context=True,
     object_=creates(USER_OBJECT), callback=u64, references=c_uint, flags=c_uint)
# A host function in a stream that captures becomes a node, called at each launch of its graph.
call(0x0F30, "vgpuCallbackCapture", 0, handler="callback_capture", stream=_stream, callback=u64)
# Why an update failed comes with the answer, which therefore succeeds and has the call's status in
# it.
call(0x0F31, "vgpuGraphExecUpdate", 0, handler="graph_exec_update", lane=True, no_context=True,
     exec_=GRAPH_EXEC, graph=GRAPH, status=out(c_int), info=out(CUgraphExecUpdateResultInfo))
# Whether a thread in this capture mode may make an unsafe call now. If not, the captures that
# forbid it are spoilt, as in CUDA. An event that the call names comes first: a captured one is an
# error.
call(0x0F32, "vgpuCaptureUnsafe", 0, handler="capture_unsafe", no_context=True, fast=True,
     mode_=c_uint, event=optional(EVENT))
# Everything in the context so far has happened, but for what is being captured.
call(0x0F33, "vgpuIdle", 0, handler="idle", fast=True)
# Memory has references of its own, so only the worker knows whether its handle is still one.
call(0x0F38, "vgpuMemRelease", 0, handler="mem_release", lane=True, no_context=True,
     allocation=handle(Kind.ALLOCATION), alive=out(c_uint))
