/* SPDX-License-Identifier: Apache-2.0
 *
 * Changing the parameters of nodes, in graphs and in executable graphs.
 */
#include <string.h>

#include "graph.h"

/* In a graph: the node itself. In an executable graph: its copy, and then a new plan. */
#define CHANGE_NODE(name, handle, wanted)                                                                    \
    ENTER();                                                                                                 \
    GRAPH_GUARD;                                                                                             \
    GET_NODE(name, handle);                                                                                  \
    NEED(name->type == (wanted))

#define CHANGE_EXEC(name, exec_handle, node_handle, wanted)                                                  \
    struct graph_node *name = NULL;                                                                          \
    ENTER();                                                                                                 \
    GRAPH_GUARD;                                                                                             \
    GET_EXEC(exec, exec_handle);                                                                             \
    TRY(exec_node(exec, node_handle, wanted, &name))

static CUDA_KERNEL_NODE_PARAMS widen(const CUDA_KERNEL_NODE_PARAMS_v1 *params)
{
    CUDA_KERNEL_NODE_PARAMS wide = {0};
    memcpy(&wide, params, sizeof(*params)); /* the older structure is the beginning of the newer one */
    return wide;
}

CUresult cuGraphKernelNodeSetParams_v2(CUgraphNode handle, const CUDA_KERNEL_NODE_PARAMS *params)
{
    CHANGE_NODE(node, handle, CU_GRAPH_NODE_TYPE_KERNEL);
    return node_set_kernel(node, params, node->work.kernel.cooperative);
}

CUresult cuGraphKernelNodeSetParams(CUgraphNode handle, const CUDA_KERNEL_NODE_PARAMS_v1 *params)
{
    NEED(params);
    CUDA_KERNEL_NODE_PARAMS wide = widen(params);
    return cuGraphKernelNodeSetParams_v2(handle, &wide);
}

CUresult cuGraphMemcpyNodeSetParams(CUgraphNode handle, const CUDA_MEMCPY3D *params)
{
    CHANGE_NODE(node, handle, CU_GRAPH_NODE_TYPE_MEMCPY);
    return node_set_copy(node, params);
}

CUresult cuGraphMemsetNodeSetParams(CUgraphNode handle, const CUDA_MEMSET_NODE_PARAMS *params)
{
    CHANGE_NODE(node, handle, CU_GRAPH_NODE_TYPE_MEMSET);
    return node_set_memset(node, params);
}

CUresult cuGraphHostNodeSetParams(CUgraphNode handle, const CUDA_HOST_NODE_PARAMS *params)
{
    NEED(params);
    CHANGE_NODE(node, handle, CU_GRAPH_NODE_TYPE_HOST);
    return node_set_host(node, params->fn, params->userData);
}

CUresult cuGraphBatchMemOpNodeSetParams(CUgraphNode handle, const CUDA_BATCH_MEM_OP_NODE_PARAMS *params)
{
    NEED(params && !params->flags);
    CHANGE_NODE(node, handle, CU_GRAPH_NODE_TYPE_BATCH_MEM_OP);
    return node_set_values(node, params->paramArray, params->count);
}

CUresult cuGraphEventRecordNodeSetEvent(CUgraphNode handle, CUevent event)
{
    CHANGE_NODE(node, handle, CU_GRAPH_NODE_TYPE_EVENT_RECORD);
    return node_set_event(node, event);
}

CUresult cuGraphEventWaitNodeSetEvent(CUgraphNode handle, CUevent event)
{
    CHANGE_NODE(node, handle, CU_GRAPH_NODE_TYPE_WAIT_EVENT);
    return node_set_event(node, event);
}

CUresult cuGraphNodeSetParams(CUgraphNode handle, CUgraphNodeParams *params)
{
    NEED(params);
    CHANGE_NODE(node, handle, params->type);
    return node_set_any(node, params);
}

CUresult cuGraphNodeSetParams_v2(CUgraphNode node, CUgraphNodeParams *params)
{
    return cuGraphNodeSetParams(node, params);
}

CUresult cuGraphKernelNodeSetAttribute(CUgraphNode handle, CUkernelNodeAttrID attribute,
                                       const CUkernelNodeAttrValue *value)
{
    NEED(value && (unsigned)attribute < LAUNCH_ATTRIBUTES);
    CHANGE_NODE(node, handle, CU_GRAPH_NODE_TYPE_KERNEL);
    if (attribute == CU_LAUNCH_ATTRIBUTE_COOPERATIVE)
        node->work.kernel.cooperative = value->cooperative != 0;
    if (attribute == CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION &&
        (value->clusterDim.x > 1 || value->clusterDim.y > 1 || value->clusterDim.z > 1))
        return CUDA_ERROR_NOT_SUPPORTED;
    return CUDA_SUCCESS; /* the others are hints */
}

CUresult cuGraphKernelNodeCopyAttributes(CUgraphNode dst, CUgraphNode src)
{
    CHANGE_NODE(target, dst, CU_GRAPH_NODE_TYPE_KERNEL);
    GET_NODE(source, src);
    NEED(source->type == CU_GRAPH_NODE_TYPE_KERNEL);
    target->work.kernel.cooperative = source->work.kernel.cooperative;
    return CUDA_SUCCESS;
}

CUresult cuGraphExecKernelNodeSetParams_v2(CUgraphExec exec_handle, CUgraphNode handle,
                                           const CUDA_KERNEL_NODE_PARAMS *params)
{
    CHANGE_EXEC(node, exec_handle, handle, CU_GRAPH_NODE_TYPE_KERNEL);
    TRY(node_set_kernel(node, params, node->work.kernel.cooperative));
    return exec_refresh(exec);
}

CUresult cuGraphExecKernelNodeSetParams(CUgraphExec exec, CUgraphNode node, const CUDA_KERNEL_NODE_PARAMS_v1 *params)
{
    NEED(params);
    CUDA_KERNEL_NODE_PARAMS wide = widen(params);
    return cuGraphExecKernelNodeSetParams_v2(exec, node, &wide);
}

CUresult cuGraphExecMemcpyNodeSetParams(CUgraphExec exec_handle, CUgraphNode handle, const CUDA_MEMCPY3D *params,
                                        CUcontext context)
{
    (void)context;
    CHANGE_EXEC(node, exec_handle, handle, CU_GRAPH_NODE_TYPE_MEMCPY);
    TRY(node_set_copy(node, params));
    return exec_refresh(exec);
}

CUresult cuGraphExecMemsetNodeSetParams(CUgraphExec exec_handle, CUgraphNode handle,
                                        const CUDA_MEMSET_NODE_PARAMS *params, CUcontext context)
{
    (void)context;
    CHANGE_EXEC(node, exec_handle, handle, CU_GRAPH_NODE_TYPE_MEMSET);
    TRY(node_set_memset(node, params));
    return exec_refresh(exec);
}

CUresult cuGraphExecHostNodeSetParams(CUgraphExec exec_handle, CUgraphNode handle,
                                      const CUDA_HOST_NODE_PARAMS *params)
{
    NEED(params);
    CHANGE_EXEC(node, exec_handle, handle, CU_GRAPH_NODE_TYPE_HOST);
    TRY(node_set_host(node, params->fn, params->userData));
    return exec_refresh(exec);
}

/* Neither the number of operations nor their kinds may change, as in CUDA. */
CUresult cuGraphExecBatchMemOpNodeSetParams(CUgraphExec exec_handle, CUgraphNode handle,
                                            const CUDA_BATCH_MEM_OP_NODE_PARAMS *params)
{
    NEED(params && params->paramArray && !params->flags);
    CHANGE_EXEC(node, exec_handle, handle, CU_GRAPH_NODE_TYPE_BATCH_MEM_OP);
    NEED(params->count == node->value_count);
    for (unsigned i = 0; i < params->count; i++)
        NEED(params->paramArray[i].operation == node->values[i].operation);
    TRY(node_set_values(node, params->paramArray, params->count));
    return exec_refresh(exec);
}

CUresult cuGraphExecChildGraphNodeSetParams(CUgraphExec exec_handle, CUgraphNode handle, CUgraph child_handle)
{
    CHANGE_EXEC(node, exec_handle, handle, CU_GRAPH_NODE_TYPE_GRAPH);
    GET_GRAPH(child, child_handle);
    NEED(child->nodes.used == node->child->nodes.used);
    TRY(node_set_child(node, child, 0));
    return exec_refresh(exec);
}

CUresult cuGraphExecEventRecordNodeSetEvent(CUgraphExec exec_handle, CUgraphNode handle, CUevent event)
{
    CHANGE_EXEC(node, exec_handle, handle, CU_GRAPH_NODE_TYPE_EVENT_RECORD);
    TRY(node_set_event(node, event));
    return exec_refresh(exec);
}

CUresult cuGraphExecEventWaitNodeSetEvent(CUgraphExec exec_handle, CUgraphNode handle, CUevent event)
{
    CHANGE_EXEC(node, exec_handle, handle, CU_GRAPH_NODE_TYPE_WAIT_EVENT);
    TRY(node_set_event(node, event));
    return exec_refresh(exec);
}

CUresult cuGraphExecNodeSetParams(CUgraphExec exec_handle, CUgraphNode handle, CUgraphNodeParams *params)
{
    NEED(params);
    CHANGE_EXEC(node, exec_handle, handle, params->type);
    TRY(node_set_any(node, params));
    return exec_refresh(exec);
}

CUresult cuGraphNodeSetEnabled(CUgraphExec exec_handle, CUgraphNode handle, unsigned int enabled)
{
    struct graph_node *node = NULL;
    ENTER();
    GRAPH_GUARD;
    GET_EXEC(exec, exec_handle);
    node = graph_find_origin(exec->graph, HANDLE(handle));
    NEED(node && node->type <= CU_GRAPH_NODE_TYPE_MEMSET);
    node->disabled = !enabled;
    return exec_refresh(exec);
}

CUresult cuGraphNodeGetEnabled(CUgraphExec exec_handle, CUgraphNode handle, unsigned int *enabled)
{
    ENTER();
    NEED(enabled);
    GRAPH_GUARD;
    GET_EXEC(exec, exec_handle);
    const struct graph_node *node = graph_find_origin(exec->graph, HANDLE(handle));
    NEED(node && node->type <= CU_GRAPH_NODE_TYPE_MEMSET);
    *enabled = !node->disabled;
    return CUDA_SUCCESS;
}
