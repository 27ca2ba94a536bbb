/* SPDX-License-Identifier: Apache-2.0
 *
 * Asking nodes for their parameters.
 */
#include <stdlib.h>
#include <string.h>

#include "graph.h"
#include "memory.h"
#include "module.h"
#include "stream.h"

#define GET_NODE_OF(name, handle, wanted)                                                                    \
    ENTER();                                                                                                 \
    GRAPH_GUARD;                                                                                             \
    GET_NODE(name, handle);                                                                                  \
    NEED(name->type == (wanted))

/* Pointers to the parameters inside the node; valid until the node changes. */
static CUresult point_at_params(struct graph_node *node)
{
    const struct sg_kernel *kernel = node->work.kernel.function->kernel;
    if (node->param_pointers)
        return CUDA_SUCCESS;
    node->param_pointers = calloc(kernel->param_count + 1, sizeof(void *));
    if (!node->param_pointers)
        return CUDA_ERROR_OUT_OF_MEMORY;
    for (uint32_t i = 0; i < kernel->param_count; i++)
        node->param_pointers[i] = (char *)(uintptr_t)node->work.kernel.params + kernel->params[i].offset;
    return CUDA_SUCCESS;
}

CUresult node_get_kernel(struct graph_node *node, CUDA_KERNEL_NODE_PARAMS *params)
{
    const struct work_kernel *work = &node->work.kernel;
    NEED(node->work.kind == WORK_KERNEL);
    TRY(point_at_params(node));
    *params = (CUDA_KERNEL_NODE_PARAMS){
        .func = AS_HANDLE(CUfunction, work->function), .gridDimX = work->grid[0], .gridDimY = work->grid[1],
        .gridDimZ = work->grid[2], .blockDimX = work->block[0], .blockDimY = work->block[1],
        .blockDimZ = work->block[2], .sharedMemBytes = work->dynamic_shared,
        .kernelParams = work->function->kernel->param_count ? node->param_pointers : NULL};
    return CUDA_SUCCESS;
}

CUDA_MEMSET_NODE_PARAMS node_get_memset(const struct graph_node *node)
{
    const struct work_set *set = &node->work.set;
    return (CUDA_MEMSET_NODE_PARAMS){.dst = (CUdeviceptr)(uintptr_t)set->dst, .pitch = set->pitch,
                                     .value = set->value, .elementSize = set->element_bytes, .width = set->width,
                                     .height = set->height};
}

static CUmemorytype type_of(const void *address)
{
    return arena_contains((uint64_t)(uintptr_t)address) ? CU_MEMORYTYPE_DEVICE : CU_MEMORYTYPE_HOST;
}

/* A captured copy, in the terms of a node's parameters. */
CUDA_MEMCPY3D node_describe_copy(const struct work_copy *copy)
{
    return (CUDA_MEMCPY3D){
        .srcMemoryType = type_of(copy->src), .srcHost = copy->src, .srcDevice = (CUdeviceptr)(uintptr_t)copy->src,
        .srcPitch = copy->src_pitch, .srcHeight = copy->src_pitch ? copy->src_slice / copy->src_pitch : 0,
        .dstMemoryType = type_of(copy->dst), .dstHost = copy->dst, .dstDevice = (CUdeviceptr)(uintptr_t)copy->dst,
        .dstPitch = copy->dst_pitch, .dstHeight = copy->dst_pitch ? copy->dst_slice / copy->dst_pitch : 0,
        .WidthInBytes = copy->width, .Height = copy->height, .Depth = copy->depth};
}

CUresult cuGraphKernelNodeGetParams_v2(CUgraphNode handle, CUDA_KERNEL_NODE_PARAMS *params)
{
    NEED(params);
    GET_NODE_OF(node, handle, CU_GRAPH_NODE_TYPE_KERNEL);
    return node_get_kernel(node, params);
}

CUresult cuGraphKernelNodeGetParams(CUgraphNode handle, CUDA_KERNEL_NODE_PARAMS_v1 *params)
{
    CUDA_KERNEL_NODE_PARAMS wide;
    NEED(params);
    TRY(cuGraphKernelNodeGetParams_v2(handle, &wide));
    /* The older structure is the beginning of the newer one. */
    memcpy(params, &wide, sizeof(*params));
    return CUDA_SUCCESS;
}

CUresult cuGraphMemcpyNodeGetParams(CUgraphNode handle, CUDA_MEMCPY3D *params)
{
    NEED(params);
    GET_NODE_OF(node, handle, CU_GRAPH_NODE_TYPE_MEMCPY);
    *params = node->copy;
    return CUDA_SUCCESS;
}

CUresult cuGraphMemsetNodeGetParams(CUgraphNode handle, CUDA_MEMSET_NODE_PARAMS *params)
{
    NEED(params);
    GET_NODE_OF(node, handle, CU_GRAPH_NODE_TYPE_MEMSET);
    *params = node_get_memset(node);
    return CUDA_SUCCESS;
}

CUresult cuGraphHostNodeGetParams(CUgraphNode handle, CUDA_HOST_NODE_PARAMS *params)
{
    NEED(params);
    GET_NODE_OF(node, handle, CU_GRAPH_NODE_TYPE_HOST);
    *params = (CUDA_HOST_NODE_PARAMS){.fn = node->work.host.fn, .userData = node->work.host.data};
    return CUDA_SUCCESS;
}

/* The operations are the node's own, until it changes. */
CUresult cuGraphBatchMemOpNodeGetParams(CUgraphNode handle, CUDA_BATCH_MEM_OP_NODE_PARAMS *params)
{
    NEED(params);
    GET_NODE_OF(node, handle, CU_GRAPH_NODE_TYPE_BATCH_MEM_OP);
    *params = (CUDA_BATCH_MEM_OP_NODE_PARAMS){.count = node->value_count, .paramArray = node->values};
    return CUDA_SUCCESS;
}

CUresult cuGraphChildGraphNodeGetGraph(CUgraphNode handle, CUgraph *graph)
{
    NEED(graph);
    GET_NODE_OF(node, handle, CU_GRAPH_NODE_TYPE_GRAPH);
    *graph = AS_HANDLE(CUgraph, node->child);
    return CUDA_SUCCESS;
}

CUresult cuGraphEventRecordNodeGetEvent(CUgraphNode handle, CUevent *event)
{
    NEED(event);
    GET_NODE_OF(node, handle, CU_GRAPH_NODE_TYPE_EVENT_RECORD);
    *event = AS_HANDLE(CUevent, node->work.record.event);
    return CUDA_SUCCESS;
}

CUresult cuGraphEventWaitNodeGetEvent(CUgraphNode handle, CUevent *event)
{
    NEED(event);
    GET_NODE_OF(node, handle, CU_GRAPH_NODE_TYPE_WAIT_EVENT);
    *event = AS_HANDLE(CUevent, node->work.record.event);
    return CUDA_SUCCESS;
}

CUresult cuGraphMemFreeNodeGetParams(CUgraphNode handle, CUdeviceptr *dptr)
{
    NEED(dptr);
    GET_NODE_OF(node, handle, CU_GRAPH_NODE_TYPE_MEM_FREE);
    *dptr = node->freed;
    return CUDA_SUCCESS;
}

static CUresult fill(struct graph_node *node, CUgraphNodeParams *params)
{
    switch (node->type) {
    case CU_GRAPH_NODE_TYPE_KERNEL:
        return node_get_kernel(node, &params->kernel);
    case CU_GRAPH_NODE_TYPE_MEMCPY:
        params->memcpy.copyParams = node->copy;
        return CUDA_SUCCESS;
    case CU_GRAPH_NODE_TYPE_MEMSET: {
        CUDA_MEMSET_NODE_PARAMS plain = node_get_memset(node);
        memcpy(&params->memset, &plain, sizeof(plain));
        return CUDA_SUCCESS;
    }
    case CU_GRAPH_NODE_TYPE_HOST:
        params->host.fn = node->work.host.fn;
        params->host.userData = node->work.host.data;
        return CUDA_SUCCESS;
    case CU_GRAPH_NODE_TYPE_GRAPH:
        params->graph.graph = AS_HANDLE(CUgraph, node->child);
        return CUDA_SUCCESS;
    case CU_GRAPH_NODE_TYPE_WAIT_EVENT:
        params->eventWait.event = AS_HANDLE(CUevent, node->work.record.event);
        return CUDA_SUCCESS;
    case CU_GRAPH_NODE_TYPE_EVENT_RECORD:
        params->eventRecord.event = AS_HANDLE(CUevent, node->work.record.event);
        return CUDA_SUCCESS;
    case CU_GRAPH_NODE_TYPE_MEM_FREE:
        params->free.dptr = node->freed;
        return CUDA_SUCCESS;
    case CU_GRAPH_NODE_TYPE_EMPTY:
        return CUDA_SUCCESS;
    default:
        return CUDA_ERROR_NOT_SUPPORTED;
    }
}

CUresult cuGraphNodeGetParams(CUgraphNode handle, CUgraphNodeParams *params)
{
    ENTER();
    NEED(params);
    GRAPH_GUARD;
    GET_NODE(node, handle);
    memset(params, 0, sizeof(*params));
    params->type = node->type;
    return fill(node, params);
}

CUresult cuGraphKernelNodeGetAttribute(CUgraphNode handle, CUkernelNodeAttrID attribute, CUkernelNodeAttrValue *value)
{
    NEED(value && (unsigned)attribute < LAUNCH_ATTRIBUTES);
    GET_NODE_OF(node, handle, CU_GRAPH_NODE_TYPE_KERNEL);
    memset(value, 0, sizeof(*value));
    if (attribute == CU_LAUNCH_ATTRIBUTE_COOPERATIVE)
        value->cooperative = node->work.kernel.cooperative;
    return CUDA_SUCCESS;
}
