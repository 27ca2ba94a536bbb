# SPDX-License-Identifier: Apache-2.0
"""Graphs: building, inspecting, instantiating, updating and launching."""

from __future__ import annotations

from .common import (
    CONTEXT,
    DEPENDENCIES,
    EVENT,
    GRAPH,
    GRAPH_EXEC,
    GRAPH_NODE,
    STREAM,
    USER_OBJECT,
    optional,
)
from .structs import (
    CUDA_GRAPH_INSTANTIATE_PARAMS,
    CUDA_HOST_NODE_PARAMS,
    CUDA_MEMCPY3D,
    CUDA_MEMSET_NODE_PARAMS,
    CUgraphEdgeData,
    CUgraphExecUpdateResultInfo,
    CUkernelNodeAttrValue,
)
from .table import POSTED, call, refused
from .types import (
    address,
    array_in,
    array_out,
    c_uint,
    c_ulonglong,
    creates,
    device_ptr,
    drops,
    enum,
    inout,
    local,
    out,
    scalar,
    size,
    string_out,
    struct_in,
    u64,
)

# Rows are read as lines of a table, so the formatter leaves them alone.
# fmt: off

# Graphs as a whole.
call(0x0900, "cuGraphCreate", 10000, POSTED, no_context=True, graph=creates(GRAPH), flags=c_uint)
call(0x0901, "cuGraphDestroy", 10000, POSTED, no_context=True, graph=drops(GRAPH))
call(0x0902, "cuGraphClone", 10000, no_context=True, clone=creates(GRAPH), original=GRAPH)
call(0x0903, "cuGraphGetId", 13010, no_context=True, graph=GRAPH, identifier=out(c_uint))
call(0x0904, "cuGraphGetNodes", 10000, no_context=True, graph=GRAPH,
     nodes=array_out(GRAPH_NODE, "count", null=True), count=inout(size))
call(0x0905, "cuGraphGetRootNodes", 10000, no_context=True, graph=GRAPH,
     nodes=array_out(GRAPH_NODE, "count", null=True), count=inout(size))
call(0x0906, "cuGraphGetEdges", 10000, no_context=True, graph=GRAPH,
     from_=array_out(GRAPH_NODE, "count", null=True), to=array_out(GRAPH_NODE, "count", null=True),
     count=inout(size))
call(0x0907, "cuGraphGetEdges_v2", 12030, no_context=True, graph=GRAPH,
     from_=array_out(GRAPH_NODE, "count", null=True), to=array_out(GRAPH_NODE, "count", null=True),
     edges=array_out(CUgraphEdgeData, "count", null=True), count=inout(size))
call(0x0908, "cuGraphAddDependencies", 10000, no_context=True, graph=GRAPH, from_=DEPENDENCIES,
     to=DEPENDENCIES, count=size)
call(0x0909, "cuGraphAddDependencies_v2", 12030, no_context=True, graph=GRAPH, from_=DEPENDENCIES,
     to=DEPENDENCIES, edges=array_in(CUgraphEdgeData, "count", null=True), count=size)
call(0x090A, "cuGraphRemoveDependencies", 10000, no_context=True, graph=GRAPH, from_=DEPENDENCIES,
     to=DEPENDENCIES, count=size)
call(0x090B, "cuGraphRemoveDependencies_v2", 12030, no_context=True, graph=GRAPH,
     from_=DEPENDENCIES, to=DEPENDENCIES, edges=array_in(CUgraphEdgeData, "count", null=True),
     count=size)
refused(0x090C, "cuGraphDebugDotPrint", 11030,
     "the file would be written where the driver runs, not in the zone")

# Adding nodes that carry no pointer.
call(0x090D, "cuGraphAddEmptyNode", 10000, no_context=True,
     node=creates(GRAPH_NODE, parent="graph"), graph=GRAPH, dependencies=DEPENDENCIES, count=size)
call(0x090E, "cuGraphAddChildGraphNode", 10000, no_context=True,
     node=creates(GRAPH_NODE, parent="graph"), graph=GRAPH, dependencies=DEPENDENCIES, count=size,
     child=GRAPH)
call(0x090F, "cuGraphAddEventRecordNode", 11010, no_context=True,
     node=creates(GRAPH_NODE, parent="graph"), graph=GRAPH, dependencies=DEPENDENCIES, count=size,
     event=EVENT)
call(0x0910, "cuGraphAddEventWaitNode", 11010, no_context=True,
     node=creates(GRAPH_NODE, parent="graph"), graph=GRAPH, dependencies=DEPENDENCIES, count=size,
     event=EVENT)
call(0x0911, "cuGraphAddMemFreeNode", 11040, no_context=True,
     node=creates(GRAPH_NODE, parent="graph"), graph=GRAPH, dependencies=DEPENDENCIES, count=size,
     dptr=device_ptr)

# Adding nodes whose parameters hold pointers or handles.
call(0x0912, "cuGraphAddKernelNode", 10000, elsewhere=True, front="graph_add_kernel_node",
     node=creates(GRAPH_NODE, parent="graph"), graph=GRAPH, dependencies=DEPENDENCIES, count=size,
     parameters=local("const CUDA_KERNEL_NODE_PARAMS_v1 *"))
call(0x0913, "cuGraphAddKernelNode_v2", 12000, elsewhere=True, front="graph_add_kernel_node_v2",
     node=creates(GRAPH_NODE, parent="graph"), graph=GRAPH, dependencies=DEPENDENCIES, count=size,
     parameters=local("const CUDA_KERNEL_NODE_PARAMS *"))
call(0x0914, "cuGraphAddMemcpyNode", 10000, elsewhere=True, front="graph_add_memcpy_node",
     no_context=True, node=creates(GRAPH_NODE, parent="graph"),
     graph=GRAPH, dependencies=DEPENDENCIES, count=size, copy=struct_in(CUDA_MEMCPY3D),
     context=optional(CONTEXT))
call(0x0915, "cuGraphAddMemsetNode", 10000, elsewhere=True, front="graph_add_memset_node",
     no_context=True, node=creates(GRAPH_NODE, parent="graph"), graph=GRAPH,
     dependencies=DEPENDENCIES, count=size, parameters=struct_in(CUDA_MEMSET_NODE_PARAMS),
     context=optional(CONTEXT))
call(0x0916, "cuGraphAddHostNode", 10000, elsewhere=True, front="graph_add_host_node",
     no_context=True, node=creates(GRAPH_NODE, parent="graph"),
     graph=GRAPH, dependencies=DEPENDENCIES, count=size,
     parameters=struct_in(CUDA_HOST_NODE_PARAMS))
call(0x0917, "cuGraphAddNode", 12020, elsewhere=True, front="graph_add_node", no_context=True,
     node=creates(GRAPH_NODE, parent="graph"), graph=GRAPH, dependencies=DEPENDENCIES, count=size,
     parameters=local("CUgraphNodeParams *"))
call(0x0918, "cuGraphAddNode_v2", 12030, elsewhere=True, front="graph_add_node_v2", no_context=True,
     node=creates(GRAPH_NODE, parent="graph"), graph=GRAPH, dependencies=DEPENDENCIES,
     edges=array_in(CUgraphEdgeData, "count", null=True), count=size,
     parameters=local("CUgraphNodeParams *"))
call(0x0919, "cuGraphAddNode_v3", 13040, elsewhere=True, front="graph_add_node_v2", no_context=True,
     node=creates(GRAPH_NODE, parent="graph"), graph=GRAPH, dependencies=DEPENDENCIES,
     edges=array_in(CUgraphEdgeData, "count", null=True), count=size,
     parameters=local("CUgraphNodeParams *"))
refused(0x091A, "cuGraphAddMemAllocNode", 11040, "allocations as graph nodes are not offered yet")
refused(0x091B, "cuGraphMemAllocNodeGetParams", 11040,
     "allocations as graph nodes are not offered yet")
refused(0x091C, "cuGraphAddBatchMemOpNode", 11070,
     "stream memory operations as graph nodes are not offered yet", back_end=True)
refused(0x091D, "cuGraphBatchMemOpNodeGetParams", 11070,
     "stream memory operations as graph nodes are not offered yet", back_end=True)
refused(0x091E, "cuGraphBatchMemOpNodeSetParams", 11070,
     "stream memory operations as graph nodes are not offered yet", back_end=True)
refused(0x091F, "cuGraphExecBatchMemOpNodeSetParams", 11070,
     "stream memory operations as graph nodes are not offered yet", back_end=True)
refused(0x0920, "cuGraphAddExternalSemaphoresSignalNode", 11020,
     "external semaphores belong to graphics interoperation")
refused(0x0921, "cuGraphAddExternalSemaphoresWaitNode", 11020,
     "external semaphores belong to graphics interoperation")
refused(0x0922, "cuGraphExternalSemaphoresSignalNodeGetParams", 11020,
     "external semaphores belong to graphics interoperation")
refused(0x0923, "cuGraphExternalSemaphoresSignalNodeSetParams", 11020,
     "external semaphores belong to graphics interoperation")
refused(0x0924, "cuGraphExternalSemaphoresWaitNodeGetParams", 11020,
     "external semaphores belong to graphics interoperation")
refused(0x0925, "cuGraphExternalSemaphoresWaitNodeSetParams", 11020,
     "external semaphores belong to graphics interoperation")
refused(0x0926, "cuGraphExecExternalSemaphoresSignalNodeSetParams", 11020,
     "external semaphores belong to graphics interoperation")
refused(0x0927, "cuGraphExecExternalSemaphoresWaitNodeSetParams", 11020,
     "external semaphores belong to graphics interoperation")

# Nodes.
call(0x0928, "cuGraphDestroyNode", 10000, no_context=True, node=drops(GRAPH_NODE))
call(0x0929, "cuGraphNodeFindInClone", 10000, no_context=True, node=out(GRAPH_NODE),
     original=GRAPH_NODE, clone=GRAPH)
call(0x092A, "cuGraphNodeGetType", 10000, no_context=True, node=GRAPH_NODE,
     kind=out(enum("CUgraphNodeType")))
call(0x092B, "cuGraphNodeGetLocalId", 13010, no_context=True, node=GRAPH_NODE,
     identifier=out(c_uint))
call(0x092C, "cuGraphNodeGetToolsId", 13010, no_context=True, node=GRAPH_NODE,
     identifier=out(c_ulonglong))
call(0x092D, "cuGraphNodeGetContainingGraph", 13010, no_context=True, node=GRAPH_NODE,
     graph=out(GRAPH))
call(0x092E, "cuGraphNodeGetDependencies", 10000, no_context=True, node=GRAPH_NODE,
     dependencies=array_out(GRAPH_NODE, "count", null=True), count=inout(size))
call(0x092F, "cuGraphNodeGetDependencies_v2", 12030, no_context=True, node=GRAPH_NODE,
     dependencies=array_out(GRAPH_NODE, "count", null=True),
     edges=array_out(CUgraphEdgeData, "count", null=True), count=inout(size))
call(0x0930, "cuGraphNodeGetDependentNodes", 10000, no_context=True, node=GRAPH_NODE,
     dependents=array_out(GRAPH_NODE, "count", null=True), count=inout(size))
call(0x0931, "cuGraphNodeGetDependentNodes_v2", 12030, no_context=True, node=GRAPH_NODE,
     dependents=array_out(GRAPH_NODE, "count", null=True),
     edges=array_out(CUgraphEdgeData, "count", null=True), count=inout(size))
call(0x0932, "cuGraphNodeGetEnabled", 11060, no_context=True, exec_=GRAPH_EXEC, node=GRAPH_NODE,
     enabled=out(c_uint))
call(0x0933, "cuGraphNodeSetEnabled", 11060, no_context=True, exec_=GRAPH_EXEC, node=GRAPH_NODE,
     enabled=c_uint)
call(0x0934, "cuGraphNodeGetParams", 13020, elsewhere=True, front="graph_node_get_params",
     no_context=True, node=GRAPH_NODE, parameters=local("CUgraphNodeParams *"))
call(0x0935, "cuGraphNodeSetParams", 12020, elsewhere=True, front="graph_node_set_params",
     no_context=True, node=GRAPH_NODE, parameters=local("CUgraphNodeParams *"))
call(0x0936, "cuGraphNodeSetParams_v2", 13040, elsewhere=True, front="graph_node_set_params",
     no_context=True, node=GRAPH_NODE, parameters=local("CUgraphNodeParams *"))

# Parameters of a node, by the kind of node.
call(0x0937, "cuGraphKernelNodeGetParams", 10000, elsewhere=True,
     front="graph_kernel_node_get_params", no_context=True, node=GRAPH_NODE,
     parameters=local("CUDA_KERNEL_NODE_PARAMS_v1 *"))
call(0x0938, "cuGraphKernelNodeGetParams_v2", 12000, elsewhere=True,
     front="graph_kernel_node_get_params_v2", no_context=True, node=GRAPH_NODE,
     parameters=local("CUDA_KERNEL_NODE_PARAMS *"))
call(0x0939, "cuGraphKernelNodeSetParams", 10000, elsewhere=True,
     front="graph_kernel_node_set_params", node=GRAPH_NODE,
     parameters=local("const CUDA_KERNEL_NODE_PARAMS_v1 *"))
call(0x093A, "cuGraphKernelNodeSetParams_v2", 12000, elsewhere=True,
     front="graph_kernel_node_set_params_v2", node=GRAPH_NODE,
     parameters=local("const CUDA_KERNEL_NODE_PARAMS *"))
call(0x093B, "cuGraphKernelNodeCopyAttributes", 11000, no_context=True, dst=GRAPH_NODE,
     src=GRAPH_NODE)
call(0x093C, "cuGraphKernelNodeGetAttribute", 11000, handler="graph_kernel_node_get_attribute",
     no_context=True, node=GRAPH_NODE, attribute=enum("CUkernelNodeAttrID"),
     value=out(CUkernelNodeAttrValue))
call(0x093D, "cuGraphKernelNodeSetAttribute", 11000, handler="graph_kernel_node_set_attribute",
     no_context=True, node=GRAPH_NODE, attribute=enum("CUkernelNodeAttrID"),
     value=struct_in(CUkernelNodeAttrValue))
call(0x093E, "cuGraphMemcpyNodeGetParams", 10000, elsewhere=True,
     front="graph_memcpy_node_get_params", no_context=True, node=GRAPH_NODE,
     copy=out(CUDA_MEMCPY3D))
call(0x093F, "cuGraphMemcpyNodeSetParams", 10000, elsewhere=True,
     front="graph_memcpy_node_set_params", no_context=True, node=GRAPH_NODE,
     copy=struct_in(CUDA_MEMCPY3D))
call(0x0940, "cuGraphMemsetNodeGetParams", 10000, elsewhere=True,
     front="graph_memset_node_get_params", no_context=True, node=GRAPH_NODE,
     parameters=out(CUDA_MEMSET_NODE_PARAMS))
call(0x0941, "cuGraphMemsetNodeSetParams", 10000, elsewhere=True,
     front="graph_memset_node_set_params", no_context=True, node=GRAPH_NODE,
     parameters=struct_in(CUDA_MEMSET_NODE_PARAMS))
call(0x0942, "cuGraphHostNodeGetParams", 10000, elsewhere=True, front="graph_host_node_get_params",
     no_context=True, node=GRAPH_NODE, parameters=out(CUDA_HOST_NODE_PARAMS))
call(0x0943, "cuGraphHostNodeSetParams", 10000, elsewhere=True, front="graph_host_node_set_params",
     no_context=True, node=GRAPH_NODE,
     parameters=struct_in(CUDA_HOST_NODE_PARAMS))
call(0x0944, "cuGraphChildGraphNodeGetGraph", 10000, no_context=True, node=GRAPH_NODE,
     graph=out(GRAPH))
call(0x0945, "cuGraphEventRecordNodeGetEvent", 11010, no_context=True, node=GRAPH_NODE,
     event=out(EVENT))
call(0x0946, "cuGraphEventRecordNodeSetEvent", 11010, no_context=True, node=GRAPH_NODE, event=EVENT)
call(0x0947, "cuGraphEventWaitNodeGetEvent", 11010, no_context=True, node=GRAPH_NODE,
     event=out(EVENT))
call(0x0948, "cuGraphEventWaitNodeSetEvent", 11010, no_context=True, node=GRAPH_NODE, event=EVENT)
call(0x0949, "cuGraphMemFreeNodeGetParams", 11040, no_context=True, node=GRAPH_NODE,
     dptr=out(device_ptr))

# Executable graphs.
call(0x094A, "cuGraphInstantiate", 10000, lane=True, no_context=True, exec_=creates(GRAPH_EXEC),
     graph=GRAPH, error_node=out(GRAPH_NODE, null=True), log=optional(string_out("log_bytes")),
     log_bytes=size)
call(0x094B, "cuGraphInstantiate_v2", 11000, lane=True, no_context=True, exec_=creates(GRAPH_EXEC),
     graph=GRAPH, error_node=out(GRAPH_NODE, null=True), log=optional(string_out("log_bytes")),
     log_bytes=size)
call(0x094C, "cuGraphInstantiateWithFlags", 11040, lane=True, no_context=True,
     exec_=creates(GRAPH_EXEC), graph=GRAPH, flags=c_ulonglong)
call(0x094D, "cuGraphInstantiateWithParams", 12000, handler="graph_instantiate_with_params",
     lane=True, per_thread="_ptsz", no_context=True, exec_=creates(GRAPH_EXEC), graph=GRAPH,
     parameters=inout(CUDA_GRAPH_INSTANTIATE_PARAMS))
call(0x094E, "cuGraphLaunch", 10000, POSTED, fast=True, per_thread="_ptsz", exec_=GRAPH_EXEC,
     stream=STREAM)
call(0x094F, "cuGraphUpload", 11010, POSTED, per_thread="_ptsz", exec_=GRAPH_EXEC, stream=STREAM)
call(0x0950, "cuGraphExecDestroy", 10000, POSTED, no_context=True, exec_=drops(GRAPH_EXEC))
call(0x0951, "cuGraphExecGetFlags", 12000, no_context=True, exec_=GRAPH_EXEC, flags=out(u64))
call(0x0952, "cuGraphExecGetId", 13010, no_context=True, exec_=GRAPH_EXEC, identifier=out(c_uint))
call(0x0953, "cuGraphExecUpdate", 10020, elsewhere=True, front="graph_exec_update", lane=True,
     no_context=True, exec_=GRAPH_EXEC, graph=GRAPH, error_node=out(GRAPH_NODE, null=True),
     result=out(enum("CUgraphExecUpdateResult")))
call(0x0954, "cuGraphExecUpdate_v2", 12000, elsewhere=True, front="graph_exec_update_v2", lane=True,
     no_context=True, exec_=GRAPH_EXEC, graph=GRAPH, result=out(CUgraphExecUpdateResultInfo))
call(0x0955, "cuGraphExecNodeSetParams", 12020, elsewhere=True, front="graph_exec_node_set_params",
     no_context=True, exec_=GRAPH_EXEC, node=GRAPH_NODE, parameters=local("CUgraphNodeParams *"))
call(0x0956, "cuGraphExecKernelNodeSetParams", 10010, elsewhere=True,
     front="graph_exec_kernel_node_set_params", exec_=GRAPH_EXEC, node=GRAPH_NODE,
     parameters=local("const CUDA_KERNEL_NODE_PARAMS_v1 *"))
call(0x0957, "cuGraphExecKernelNodeSetParams_v2", 12000, elsewhere=True,
     front="graph_exec_kernel_node_set_params_v2", exec_=GRAPH_EXEC, node=GRAPH_NODE,
     parameters=local("const CUDA_KERNEL_NODE_PARAMS *"))
call(0x0958, "cuGraphExecMemcpyNodeSetParams", 10020, elsewhere=True,
     front="graph_exec_memcpy_node_set_params", no_context=True, exec_=GRAPH_EXEC, node=GRAPH_NODE,
     copy=struct_in(CUDA_MEMCPY3D), context=optional(CONTEXT))
call(0x0959, "cuGraphExecMemsetNodeSetParams", 10020, elsewhere=True,
     front="graph_exec_memset_node_set_params", no_context=True, exec_=GRAPH_EXEC, node=GRAPH_NODE,
     parameters=struct_in(CUDA_MEMSET_NODE_PARAMS), context=optional(CONTEXT))
call(0x095A, "cuGraphExecHostNodeSetParams", 10020, elsewhere=True,
     front="graph_exec_host_node_set_params", no_context=True, exec_=GRAPH_EXEC, node=GRAPH_NODE,
     parameters=struct_in(CUDA_HOST_NODE_PARAMS))
call(0x095B, "cuGraphExecChildGraphNodeSetParams", 11010, no_context=True, exec_=GRAPH_EXEC,
     node=GRAPH_NODE, child=GRAPH)
call(0x095C, "cuGraphExecEventRecordNodeSetEvent", 11010, no_context=True, exec_=GRAPH_EXEC,
     node=GRAPH_NODE, event=EVENT)
call(0x095D, "cuGraphExecEventWaitNodeSetEvent", 11010, no_context=True, exec_=GRAPH_EXEC,
     node=GRAPH_NODE, event=EVENT)

# Conditional nodes and objects that a graph keeps alive.
call(0x095E, "cuGraphConditionalHandleCreate", 12030, no_context=True,
     conditional=out(scalar("CUgraphConditionalHandle", 8)), graph=GRAPH, context=optional(CONTEXT),
     initial=c_uint, flags=c_uint)
call(0x095F, "cuUserObjectCreate", 11030, elsewhere=True, front="user_object_create",
     no_context=True, object_=creates(USER_OBJECT), data=address("void *"),
     destroy=address("CUhostFn"), references=c_uint, flags=c_uint)
call(0x0960, "cuUserObjectRetain", 11030, no_context=True, object_=USER_OBJECT, count=c_uint)
call(0x0961, "cuUserObjectRelease", 11030, no_context=True, object_=USER_OBJECT, count=c_uint)
call(0x0962, "cuGraphRetainUserObject", 11030, no_context=True, graph=GRAPH, object_=USER_OBJECT,
     count=c_uint, flags=c_uint)
call(0x0963, "cuGraphReleaseUserObject", 11030, no_context=True, graph=GRAPH, object_=USER_OBJECT,
     count=c_uint)
