/* SPDX-License-Identifier: Apache-2.0
 *
 * Parameters of graph nodes: gathered and checked on the way in, put together again on the way out.
 */
#include <stdlib.h>
#include <string.h>

#include "functions.h"
#include "graph.h"

enum { KIND_CONTEXT = 1, KIND_EVENT = 3, KIND_FUNCTION = 5 };

extern const struct idm_call vgpuGraphNodeGetParams_call;

VGPU_LOCK(lock); /* of the parameters that nodes' handles own */

static void start(struct vgpu_node *node, CUgraphNodeType type)
{
    memset(&node->params, 0, sizeof node->params);
    node->params.type = type;
    node->param_bytes = 0;
}

static uint64_t handle_of(const void *object)
{
    return (uint64_t)(uintptr_t)object;
}

/* The context that a node is for: the one given, or the thread's own. */
static CUresult choose_context(CUcontext given, CUcontext *chosen)
{
    uint64_t context = given ? handle_of(given) : vgpu_current(vgpu_self());

    *chosen = (CUcontext)(uintptr_t)context;
    return vgpu_is_alive(context, KIND_CONTEXT) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_CONTEXT;
}

CUresult vgpu_node_kernel(const CUDA_KERNEL_NODE_PARAMS *kernel, struct vgpu_node *node)
{
    start(node, CU_GRAPH_NODE_TYPE_KERNEL);
    if (!kernel)
        return CUDA_ERROR_INVALID_VALUE;
    uint64_t handle = kernel->func ? handle_of(kernel->func) : handle_of(kernel->kern);
    struct vgpu_function *function;
    CUresult status = vgpu_function_use(handle, &function);
    if (status != CUDA_SUCCESS)
        return status;
    CUDA_KERNEL_NODE_PARAMS *sent = &node->params.kernel;
    *sent = *kernel;
    sent->func = (CUfunction)(uintptr_t)handle;
    sent->kern = NULL;
    sent->kernelParams = NULL;
    sent->extra = NULL;
    status = choose_context(kernel->ctx, &sent->ctx);
    if (status != CUDA_SUCCESS)
        return status;
    return vgpu_gather_params(kernel->kernelParams, kernel->extra, function, node->bytes,
                              &node->param_bytes);
}

CUresult vgpu_node_kernel_v1(const CUDA_KERNEL_NODE_PARAMS_v1 *kernel, struct vgpu_node *node)
{
    CUDA_KERNEL_NODE_PARAMS wide = {0};

    /* The newer structure begins with the older one. */
    if (kernel)
        memcpy(&wide, kernel, sizeof *kernel);
    return vgpu_node_kernel(kernel ? &wide : NULL, node);
}

CUresult vgpu_node_memcpy(const char *symbol, const CUDA_MEMCPY3D *copy, CUcontext context,
                          struct vgpu_node *node)
{
    CUDA_MEMCPY3D_PEER box;

    start(node, CU_GRAPH_NODE_TYPE_MEMCPY);
    if (!copy)
        return CUDA_ERROR_INVALID_VALUE;
    memcpy(&box, copy, sizeof box);
    int reachable = vgpu_settle_box(&box, 0);
    if (reachable < 0)
        return (CUresult)-reachable;
    if (!reachable) {
        /* The driver would read or write it at each launch, in a process that does not have it. */
        vgpu_log(VGPU_WARNING, "%s: a graph cannot copy pageable host memory; pin it", symbol);
        return CUDA_ERROR_NOT_SUPPORTED;
    }
    memcpy(&node->params.memcpy.copyParams, &box, sizeof box);
    return choose_context(context, &node->params.memcpy.copyCtx);
}

CUresult vgpu_node_memset(const CUDA_MEMSET_NODE_PARAMS *memset, CUcontext context, struct vgpu_node *node)
{
    start(node, CU_GRAPH_NODE_TYPE_MEMSET);
    if (!memset)
        return CUDA_ERROR_INVALID_VALUE;
    memcpy(&node->params.memset, memset, sizeof *memset);
    return choose_context(context, &node->params.memset.ctx);
}

CUresult vgpu_node_host(CUhostFn function, void *data, struct vgpu_node *node)
{
    uint64_t number;

    start(node, CU_GRAPH_NODE_TYPE_HOST);
    CUresult status = vgpu_lasting_callback(function, data, 0, &number);
    if (status == CUDA_SUCCESS)
        node->params.host.userData = (void *)(uintptr_t)number;
    return status;
}

static CUresult check_object(const void *object, unsigned kind)
{
    return vgpu_is_alive(handle_of(object), kind) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

static CUresult node_any(const char *symbol, const CUgraphNodeParams *params, struct vgpu_node *node)
{
    start(node, params->type);
    node->params = *params;
    switch (params->type) {
    case CU_GRAPH_NODE_TYPE_KERNEL:
        return vgpu_node_kernel(&params->kernel, node);
    case CU_GRAPH_NODE_TYPE_MEMCPY:
        return vgpu_node_memcpy(symbol, &params->memcpy.copyParams, params->memcpy.copyCtx, node);
    case CU_GRAPH_NODE_TYPE_MEMSET:
        return choose_context(params->memset.ctx, &node->params.memset.ctx);
    case CU_GRAPH_NODE_TYPE_HOST:
        return vgpu_node_host(params->host.fn, params->host.userData, node);
    case CU_GRAPH_NODE_TYPE_GRAPH:
        return check_object(params->graph.graph, VGPU_KIND_GRAPH);
    case CU_GRAPH_NODE_TYPE_EMPTY:
    case CU_GRAPH_NODE_TYPE_MEM_FREE:
    case CU_GRAPH_NODE_TYPE_CONDITIONAL:
        return CUDA_SUCCESS;
    case CU_GRAPH_NODE_TYPE_WAIT_EVENT:
        return check_object(params->eventWait.event, KIND_EVENT);
    case CU_GRAPH_NODE_TYPE_EVENT_RECORD:
        return check_object(params->eventRecord.event, KIND_EVENT);
    default:
        vgpu_log(VGPU_WARNING, "%s: nodes of type %d are not supported", symbol, (int)params->type);
        return CUDA_ERROR_NOT_SUPPORTED;
    }
}

CUresult vgpu_node_any(const char *symbol, const CUgraphNodeParams *params, struct vgpu_node *node)
{
    return params ? node_any(symbol, params, node) : CUDA_ERROR_INVALID_VALUE;
}

/* A kernel's parameters as an array of pointers into one block, which the node's handle owns. */
static CUresult keep_kernel_params(uint64_t handle, struct vgpu_node *node)
{
    CUDA_KERNEL_NODE_PARAMS *kernel = &node->params.kernel;
    struct vgpu_object *object = vgpu_object_find(handle, VGPU_KIND_NODE);

    if (vgpu_object_adopt(handle_of(kernel->func), KIND_FUNCTION, 0) ||
        vgpu_function_describe(handle_of(kernel->func)) != CUDA_SUCCESS)
        return CUDA_ERROR_INVALID_HANDLE;
    const struct vgpu_object *function = vgpu_object_find(handle_of(kernel->func), KIND_FUNCTION);
    if (!object || !function || !function->info)
        return CUDA_ERROR_INVALID_HANDLE;
    const struct vgpu_function *about = function->info;
    if (node->param_bytes < about->param_bytes)
        return CUDA_ERROR_UNKNOWN;
    void **pointers = malloc(about->param_count * sizeof *pointers + about->param_bytes + 1);
    if (!pointers)
        return CUDA_ERROR_OUT_OF_MEMORY;
    uint8_t *copy = (uint8_t *)(pointers + about->param_count);
    memcpy(copy, node->bytes, about->param_bytes);
    for (unsigned i = 0; i < about->param_count; i++)
        pointers[i] = copy + about->params[i].offset;
    pthread_mutex_lock(&lock);
    free(object->info);
    object->info = pointers;
    pthread_mutex_unlock(&lock);
    kernel->kernelParams = about->param_count ? pointers : NULL;
    return CUDA_SUCCESS;
}

CUresult vgpu_node_read(uint64_t handle, CUgraphNodeParams *params)
{
    struct vgpu_node node;
    CUgraphNodeParams *params_at = &node.params;
    unsigned *bytes_at = &node.param_bytes, capacity = sizeof node.bytes;
    uint8_t *data = node.bytes;
    void *const args[] = {&handle, &params_at, &bytes_at, &capacity, &data};
    CUresult status = vgpu_may_call(vgpu_self());

    if (status != CUDA_SUCCESS)
        return status;
    if (!params)
        return CUDA_ERROR_INVALID_VALUE;
    if (!vgpu_is_alive(handle, VGPU_KIND_NODE))
        return CUDA_ERROR_INVALID_HANDLE;
    status = vgpu_send(&vgpuGraphNodeGetParams_call, 0, args);
    if (status == CUDA_SUCCESS && node.params.type == CU_GRAPH_NODE_TYPE_KERNEL)
        status = keep_kernel_params(handle, &node);
    if (status == CUDA_SUCCESS && node.params.type == CU_GRAPH_NODE_TYPE_HOST &&
        vgpu_find_callback(handle_of(node.params.host.userData), &node.params.host.fn,
                           &node.params.host.userData))
        status = CUDA_ERROR_NOT_FOUND;
    if (status == CUDA_SUCCESS)
        *params = node.params;
    return status;
}
