/* SPDX-License-Identifier: Apache-2.0
 *
 * What nodes hold.
 */
#include <stdlib.h>
#include <string.h>

#include "copy.h"
#include "graph.h"
#include "module.h"
#include "set.h"
#include "stream.h"
#include "value.h"

void node_release_contents(struct graph_node *node)
{
    work_release(&node->work);
    free(node->param_pointers);
    free(node->values);
    if (node->child)
        graph_kill(node->child);
    if (node->memory)
        graph_memory_put(node->memory);
    node->param_pointers = NULL;
    node->values = NULL;
    node->child = NULL;
    node->memory = NULL;
}

CUresult node_set_work(struct graph_node *node, struct work *work)
{
    struct work own;
    int result = work_copy_of(&own, work);
    work_release(work);
    if (result)
        return CUDA_ERROR_OUT_OF_MEMORY;
    work_release(&node->work);
    free(node->param_pointers);
    node->param_pointers = NULL;
    node->work = own;
    return CUDA_SUCCESS;
}

/* The context in which a node's kernel runs, counted. */
static CUresult context_of(CUcontext handle, struct context **context)
{
    if (handle)
        return context_from_handle(handle, context);
    *context = context_current();
    if (!*context)
        return CUDA_ERROR_INVALID_CONTEXT;
    object_hold(&(*context)->object);
    return CUDA_SUCCESS;
}

static CUresult prepare_kernel(struct context *context, const CUDA_KERNEL_NODE_PARAMS *p, int cooperative,
                               struct work *work)
{
    struct function *function = NULL;
    CUfunction handle = p->func ? p->func : (CUfunction)(uintptr_t)p->kern;
    struct launch_shape shape = {{p->gridDimX, p->gridDimY, p->gridDimZ},
                                 {p->blockDimX, p->blockDimY, p->blockDimZ},
                                 p->sharedMemBytes,
                                 cooperative};
    TRY(function_from_handle(context, handle, &function));
    char *buffer = malloc(function->kernel->param_bytes ? function->kernel->param_bytes : 1);
    CUresult result = buffer ? launch_prepare(function->object.context, function, &shape, p->kernelParams, p->extra,
                                              buffer, &work->kernel)
                             : CUDA_ERROR_OUT_OF_MEMORY;
    if (result) {
        free(buffer);
        object_put(&function->object);
        return result;
    }
    work->kind = WORK_KERNEL;
    work->owns_params = 1;
    return CUDA_SUCCESS;
}

CUresult node_set_kernel(struct graph_node *node, const CUDA_KERNEL_NODE_PARAMS *params, int cooperative)
{
    struct context *context = NULL;
    struct work work = {.kind = WORK_EMPTY};
    NEED(params && (params->func || params->kern));
    TRY(context_of(params->ctx, &context));
    CUresult result = prepare_kernel(context, params, cooperative, &work);
    object_put(&context->object);
    return result ? result : node_set_work(node, &work);
}

CUresult node_set_copy(struct graph_node *node, const CUDA_MEMCPY3D *params)
{
    int src_pageable = 0, dst_pageable = 0;
    struct work work = {.kind = WORK_COPY};
    NEED(params);
    TRY(copy_resolve_3d(params, &work.copy, &src_pageable, &dst_pageable));
    TRY(node_set_work(node, &work));
    node->copy = *params;
    return CUDA_SUCCESS;
}

CUresult node_set_memset(struct graph_node *node, const CUDA_MEMSET_NODE_PARAMS *p)
{
    NEED(p);
    struct work work = {.kind = WORK_SET,
                        .set = {.dst = DEVICE_POINTER(p->dst), .pitch = p->pitch, .width = p->width,
                                .height = p->height, .value = p->value, .element_bytes = p->elementSize}};
    TRY(set_check(&work.set));
    return node_set_work(node, &work);
}

CUresult node_set_host(struct graph_node *node, CUhostFn fn, void *data)
{
    NEED(fn);
    struct work work = {.kind = WORK_HOST, .host = {fn, data}};
    return node_set_work(node, &work);
}

CUresult node_set_event(struct graph_node *node, CUevent handle)
{
    struct event *event = object_get(HANDLE(handle), KIND_EVENT);
    if (!event)
        return CUDA_ERROR_INVALID_HANDLE;
    int waits = node->type == CU_GRAPH_NODE_TYPE_WAIT_EVENT;
    struct work work = {.kind = waits ? WORK_WAIT_EVENT : WORK_RECORD, .record = {event, 0}};
    return node_set_work(node, &work);
}

CUresult node_set_values(struct graph_node *node, const CUstreamBatchMemOpParams *values, unsigned count)
{
    NEED(count && count <= VALUES_PER_NODE_MAX && values);
    for (unsigned i = 0; i < count; i++)
        TRY(value_check(&values[i]));
    CUstreamBatchMemOpParams *copy = malloc(count * sizeof(*copy));
    if (!copy)
        return CUDA_ERROR_OUT_OF_MEMORY;
    memcpy(copy, values, count * sizeof(*copy));
    free(node->values);
    node->values = copy;
    node->value_count = count;
    return CUDA_SUCCESS;
}

CUresult node_set_child(struct graph_node *node, const struct graph *child, unsigned depth)
{
    struct graph *copy = NULL;
    TRY(graph_clone(child, depth + 1, &copy));
    if (node->child)
        graph_kill(node->child);
    node->child = copy;
    copy->parent = node;
    return CUDA_SUCCESS;
}

static CUresult set_child(struct graph_node *node, const CUDA_CHILD_GRAPH_NODE_PARAMS *params)
{
    if (params->ownership != CU_GRAPH_CHILD_GRAPH_OWNERSHIP_CLONE)
        return CUDA_ERROR_NOT_SUPPORTED;
    GET_GRAPH(child, params->graph);
    NEED(child != node->graph);
    return node_set_child(node, child, 0);
}

CUresult node_set_any(struct graph_node *node, const CUgraphNodeParams *params)
{
    switch (params->type) {
    case CU_GRAPH_NODE_TYPE_KERNEL:
        return node_set_kernel(node, &params->kernel, 0);
    case CU_GRAPH_NODE_TYPE_MEMCPY:
        return node_set_copy(node, &params->memcpy.copyParams);
    case CU_GRAPH_NODE_TYPE_MEMSET: {
        const CUDA_MEMSET_NODE_PARAMS_v2 *p = &params->memset;
        CUDA_MEMSET_NODE_PARAMS plain = {p->dst, p->pitch, p->value, p->elementSize, p->width, p->height};
        return node_set_memset(node, &plain);
    }
    case CU_GRAPH_NODE_TYPE_HOST:
        return node_set_host(node, params->host.fn, params->host.userData);
    case CU_GRAPH_NODE_TYPE_GRAPH:
        return set_child(node, &params->graph);
    case CU_GRAPH_NODE_TYPE_EMPTY:
        return CUDA_SUCCESS;
    case CU_GRAPH_NODE_TYPE_WAIT_EVENT:
        return node_set_event(node, params->eventWait.event);
    case CU_GRAPH_NODE_TYPE_EVENT_RECORD:
        return node_set_event(node, params->eventRecord.event);
    case CU_GRAPH_NODE_TYPE_MEM_FREE:
        node->freed = params->free.dptr;
        graph_memory_freed_in_graph(node->freed);
        return CUDA_SUCCESS;
    default:
        driver_log("graph nodes of type %d are not supported", (int)params->type);
        return CUDA_ERROR_NOT_SUPPORTED;
    }
}

CUresult node_copy_contents(struct graph_node *target, const struct graph_node *source, unsigned depth)
{
    struct work work;
    if (work_copy_of(&work, &source->work))
        return CUDA_ERROR_OUT_OF_MEMORY;
    work_release(&target->work);
    target->work = work;
    free(target->param_pointers);
    target->param_pointers = NULL;
    target->copy = source->copy;
    target->freed = source->freed;
    target->disabled = source->disabled;
    if (source->memory)
        graph_memory_hold(source->memory);
    if (target->memory)
        graph_memory_put(target->memory);
    target->memory = source->memory;
    if (source->values)
        TRY(node_set_values(target, source->values, source->value_count));
    return source->child ? node_set_child(target, source->child, depth) : CUDA_SUCCESS;
}
