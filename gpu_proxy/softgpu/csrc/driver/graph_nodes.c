/* SPDX-License-Identifier: Apache-2.0
 *
 * Adding nodes to graphs.
 */
#include <stdlib.h>

#include "graph.h"

/* Look the dependencies up; each is counted until put_all. */
static CUresult get_all(const struct graph *graph, const CUgraphNode *handles, size_t count, struct graph_node **out)
{
    for (size_t i = 0; i < count; i++) {
        struct graph_node *node = object_get(HANDLE(handles[i]), KIND_GRAPH_NODE);
        NEED(node);
        /* The graph's own reference keeps it: the lock is held. */
        object_put(&node->object);
        NEED(node->graph == graph);
        out[i] = node;
    }
    return CUDA_SUCCESS;
}

static CUresult make(struct graph *graph, CUgraphNodeType type, const CUgraphNode *dependencies, size_t count,
                     struct graph_node **node)
{
    NEED(!count || dependencies);
    NEED(count <= graph->nodes.used);
    struct graph_node **before = malloc((count + 1) * sizeof(struct graph_node *));
    if (!before)
        return CUDA_ERROR_OUT_OF_MEMORY;
    CUresult result = get_all(graph, dependencies, count, before);
    if (!result)
        result = graph_node_new(graph, type, before, count, node);
    free(before);
    return result;
}

/* A new node, and what to do with it when filling it has failed or succeeded. */
static CUresult finish(struct graph_node *node, CUresult result, CUgraphNode *out)
{
    if (result)
        graph_node_kill(node);
    else
        *out = AS_HANDLE(CUgraphNode, node);
    return result;
}

#define NEW_NODE(name, type)                                                                                 \
    struct graph_node *name = NULL;                                                                          \
    ENTER();                                                                                                 \
    NEED(out);                                                                                               \
    GRAPH_GUARD;                                                                                             \
    GET_GRAPH(graph, handle);                                                                                \
    TRY(make(graph, type, dependencies, count, &name))

CUresult cuGraphAddNode_v2(CUgraphNode *out, CUgraph handle, const CUgraphNode *dependencies,
                           const CUgraphEdgeData *edges, size_t count, CUgraphNodeParams *params)
{
    (void)edges; /* see change_edges in graph_api.c */
    NEED(params);
    NEW_NODE(node, params->type);
    return finish(node, node_set_any(node, params), out);
}

CUresult cuGraphAddNode(CUgraphNode *out, CUgraph handle, const CUgraphNode *dependencies, size_t count,
                        CUgraphNodeParams *params)
{
    return cuGraphAddNode_v2(out, handle, dependencies, NULL, count, params);
}

CUresult cuGraphAddNode_v3(CUgraphNode *out, CUgraph handle, const CUgraphNode *dependencies,
                           const CUgraphEdgeData *edges, size_t count, CUgraphNodeParams *params)
{
    return cuGraphAddNode_v2(out, handle, dependencies, edges, count, params);
}

CUresult cuGraphAddEmptyNode(CUgraphNode *out, CUgraph handle, const CUgraphNode *dependencies, size_t count)
{
    NEW_NODE(node, CU_GRAPH_NODE_TYPE_EMPTY);
    return finish(node, CUDA_SUCCESS, out);
}

CUresult cuGraphAddChildGraphNode(CUgraphNode *out, CUgraph handle, const CUgraphNode *dependencies, size_t count,
                                  CUgraph child_handle)
{
    NEW_NODE(node, CU_GRAPH_NODE_TYPE_GRAPH);
    struct graph *child = object_get(HANDLE(child_handle), KIND_GRAPH);
    CUresult result = child && child != graph ? node_set_child(node, child, 0) : CUDA_ERROR_INVALID_VALUE;
    if (child)
        object_put(&child->object);
    return finish(node, result, out);
}

CUresult cuGraphAddEventRecordNode(CUgraphNode *out, CUgraph handle, const CUgraphNode *dependencies, size_t count,
                                   CUevent event)
{
    NEW_NODE(node, CU_GRAPH_NODE_TYPE_EVENT_RECORD);
    return finish(node, node_set_event(node, event), out);
}

CUresult cuGraphAddEventWaitNode(CUgraphNode *out, CUgraph handle, const CUgraphNode *dependencies, size_t count,
                                 CUevent event)
{
    NEW_NODE(node, CU_GRAPH_NODE_TYPE_WAIT_EVENT);
    return finish(node, node_set_event(node, event), out);
}

CUresult cuGraphAddMemFreeNode(CUgraphNode *out, CUgraph handle, const CUgraphNode *dependencies, size_t count,
                               CUdeviceptr dptr)
{
    NEED(dptr);
    NEW_NODE(node, CU_GRAPH_NODE_TYPE_MEM_FREE);
    node->freed = dptr;
    graph_memory_freed_in_graph(dptr);
    return finish(node, CUDA_SUCCESS, out);
}

CUresult cuGraphAddKernelNode_v2(CUgraphNode *out, CUgraph handle, const CUgraphNode *dependencies, size_t count,
                                 const CUDA_KERNEL_NODE_PARAMS *params)
{
    NEW_NODE(node, CU_GRAPH_NODE_TYPE_KERNEL);
    return finish(node, node_set_kernel(node, params, 0), out);
}

CUresult cuGraphAddKernelNode(CUgraphNode *out, CUgraph handle, const CUgraphNode *dependencies, size_t count,
                              const CUDA_KERNEL_NODE_PARAMS_v1 *p)
{
    NEED(p);
    CUDA_KERNEL_NODE_PARAMS wide = {
        .func = p->func, .gridDimX = p->gridDimX, .gridDimY = p->gridDimY, .gridDimZ = p->gridDimZ,
        .blockDimX = p->blockDimX, .blockDimY = p->blockDimY, .blockDimZ = p->blockDimZ,
        .sharedMemBytes = p->sharedMemBytes, .kernelParams = p->kernelParams, .extra = p->extra};
    return cuGraphAddKernelNode_v2(out, handle, dependencies, count, &wide);
}

CUresult cuGraphAddMemcpyNode(CUgraphNode *out, CUgraph handle, const CUgraphNode *dependencies, size_t count,
                              const CUDA_MEMCPY3D *params, CUcontext context)
{
    (void)context; /* all devices share one arena */
    NEW_NODE(node, CU_GRAPH_NODE_TYPE_MEMCPY);
    return finish(node, node_set_copy(node, params), out);
}

CUresult cuGraphAddMemsetNode(CUgraphNode *out, CUgraph handle, const CUgraphNode *dependencies, size_t count,
                              const CUDA_MEMSET_NODE_PARAMS *params, CUcontext context)
{
    (void)context;
    NEW_NODE(node, CU_GRAPH_NODE_TYPE_MEMSET);
    return finish(node, node_set_memset(node, params), out);
}

CUresult cuGraphAddHostNode(CUgraphNode *out, CUgraph handle, const CUgraphNode *dependencies, size_t count,
                            const CUDA_HOST_NODE_PARAMS *params)
{
    NEED(params);
    NEW_NODE(node, CU_GRAPH_NODE_TYPE_HOST);
    return finish(node, node_set_host(node, params->fn, params->userData), out);
}

CUresult cuGraphAddBatchMemOpNode(CUgraphNode *out, CUgraph handle, const CUgraphNode *dependencies, size_t count,
                                  const CUDA_BATCH_MEM_OP_NODE_PARAMS *params)
{
    NEED(params && !params->flags);
    NEW_NODE(node, CU_GRAPH_NODE_TYPE_BATCH_MEM_OP);
    return finish(node, node_set_values(node, params->paramArray, params->count), out);
}
