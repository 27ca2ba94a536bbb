/* SPDX-License-Identifier: Apache-2.0
 *
 * Parameters of nodes that exist: in a graph, in an executable graph, and read back.
 */
#include <string.h>

#include "fronts.h"
#include "graph.h"

extern const struct idm_call vgpuGraphNodeSetParams_call, vgpuGraphExecNodeSetParams_call,
    vgpuGraphExecUpdate_call;

static void *pointer_at(void *const args[], unsigned index)
{
    return *(void **)args[index];
}

static uint64_t handle_at(void *const args[], unsigned index)
{
    return *(const uint64_t *)args[index];
}

/* The node whose parameters change; `exec` is 0 for those of the graph itself. */
struct target {
    uint64_t exec, node;
};

static struct target in_graph(void *const args[])
{
    return (struct target){0, handle_at(args, 0)};
}

static struct target in_exec(void *const args[])
{
    uint64_t exec = handle_at(args, 0);

    return (struct target){exec ? exec : UINT64_MAX, handle_at(args, 1)};
}

static CUresult check_target(const struct target *target)
{
    struct vgpu_thread *thread = vgpu_self();
    CUresult status = vgpu_may_call(thread);

    if (status != CUDA_SUCCESS)
        return status;
    if (!vgpu_current(thread))
        return CUDA_ERROR_INVALID_CONTEXT;
    if ((target->exec && !vgpu_is_alive(target->exec, VGPU_KIND_GRAPH_EXEC)) ||
        !vgpu_is_alive(target->node, VGPU_KIND_NODE))
        return CUDA_ERROR_INVALID_HANDLE;
    return CUDA_SUCCESS;
}

static CUresult send(const struct target *target, struct vgpu_node *node)
{
    CUgraphNodeParams *params = &node->params;
    const uint8_t *bytes = node->bytes;
    void *const args[] = {(void *)&target->exec, (void *)&target->node, &params, &node->param_bytes, &bytes};
    const struct idm_call *call = target->exec ? &vgpuGraphExecNodeSetParams_call
                                               : &vgpuGraphNodeSetParams_call;
    CUresult status = vgpu_send(call, 0, target->exec ? args : args + 1);

    if (status != CUDA_SUCCESS && params->type == CU_GRAPH_NODE_TYPE_HOST)
        vgpu_forget_callback((uint64_t)(uintptr_t)params->host.userData);
    return status;
}

static CUresult set_kernel(struct target target, const void *params, int newer)
{
    struct vgpu_node node;
    CUresult status = check_target(&target);

    if (status == CUDA_SUCCESS)
        status = newer ? vgpu_node_kernel(params, &node) : vgpu_node_kernel_v1(params, &node);
    return status == CUDA_SUCCESS ? send(&target, &node) : status;
}

CUresult vgpu_front_graph_kernel_node_set_params(const struct vgpu_entry *entry, void *const args[])
{
    (void)entry;
    return set_kernel(in_graph(args), pointer_at(args, 1), 0);
}

CUresult vgpu_front_graph_kernel_node_set_params_v2(const struct vgpu_entry *entry, void *const args[])
{
    (void)entry;
    return set_kernel(in_graph(args), pointer_at(args, 1), 1);
}

CUresult vgpu_front_graph_exec_kernel_node_set_params(const struct vgpu_entry *entry, void *const args[])
{
    (void)entry;
    return set_kernel(in_exec(args), pointer_at(args, 2), 0);
}

CUresult vgpu_front_graph_exec_kernel_node_set_params_v2(const struct vgpu_entry *entry, void *const args[])
{
    (void)entry;
    return set_kernel(in_exec(args), pointer_at(args, 2), 1);
}

static CUresult set_memcpy(const struct vgpu_entry *entry, struct target target, const CUDA_MEMCPY3D *copy,
                           CUcontext context)
{
    struct vgpu_node node;
    CUresult status = check_target(&target);

    if (status == CUDA_SUCCESS)
        status = vgpu_node_memcpy(entry->call->symbol, copy, context, &node);
    return status == CUDA_SUCCESS ? send(&target, &node) : status;
}

CUresult vgpu_front_graph_memcpy_node_set_params(const struct vgpu_entry *entry, void *const args[])
{
    return set_memcpy(entry, in_graph(args), pointer_at(args, 1), NULL);
}

CUresult vgpu_front_graph_exec_memcpy_node_set_params(const struct vgpu_entry *entry, void *const args[])
{
    return set_memcpy(entry, in_exec(args), pointer_at(args, 2), pointer_at(args, 3));
}

static CUresult set_memset(struct target target, const CUDA_MEMSET_NODE_PARAMS *memset, CUcontext context)
{
    struct vgpu_node node;
    CUresult status = check_target(&target);

    if (status == CUDA_SUCCESS)
        status = vgpu_node_memset(memset, context, &node);
    return status == CUDA_SUCCESS ? send(&target, &node) : status;
}

CUresult vgpu_front_graph_memset_node_set_params(const struct vgpu_entry *entry, void *const args[])
{
    (void)entry;
    return set_memset(in_graph(args), pointer_at(args, 1), NULL);
}

CUresult vgpu_front_graph_exec_memset_node_set_params(const struct vgpu_entry *entry, void *const args[])
{
    (void)entry;
    return set_memset(in_exec(args), pointer_at(args, 2), pointer_at(args, 3));
}

static CUresult set_host(struct target target, const CUDA_HOST_NODE_PARAMS *host)
{
    struct vgpu_node node;
    CUresult status = host ? check_target(&target) : CUDA_ERROR_INVALID_VALUE;

    if (status == CUDA_SUCCESS)
        status = vgpu_node_host(host->fn, host->userData, &node);
    return status == CUDA_SUCCESS ? send(&target, &node) : status;
}

CUresult vgpu_front_graph_host_node_set_params(const struct vgpu_entry *entry, void *const args[])
{
    (void)entry;
    return set_host(in_graph(args), pointer_at(args, 1));
}

CUresult vgpu_front_graph_exec_host_node_set_params(const struct vgpu_entry *entry, void *const args[])
{
    (void)entry;
    return set_host(in_exec(args), pointer_at(args, 2));
}

static CUresult set_any(const struct vgpu_entry *entry, struct target target, const CUgraphNodeParams *params)
{
    struct vgpu_node node;
    CUresult status = check_target(&target);

    if (status == CUDA_SUCCESS)
        status = vgpu_node_any(entry->call->symbol, params, &node);
    return status == CUDA_SUCCESS ? send(&target, &node) : status;
}

CUresult vgpu_front_graph_node_set_params(const struct vgpu_entry *entry, void *const args[])
{
    return set_any(entry, in_graph(args), pointer_at(args, 1));
}

CUresult vgpu_front_graph_exec_node_set_params(const struct vgpu_entry *entry, void *const args[])
{
    return set_any(entry, in_exec(args), pointer_at(args, 2));
}

/* Read back a node that must be of one kind, and give the part that the caller wants. */
static CUresult get(void *const args[], CUgraphNodeType type, size_t offset, size_t bytes)
{
    CUgraphNodeParams params;
    void *result = pointer_at(args, 1);
    CUresult status = result ? vgpu_node_read(handle_at(args, 0), &params) : CUDA_ERROR_INVALID_VALUE;

    if (status == CUDA_SUCCESS && params.type != type)
        status = CUDA_ERROR_INVALID_VALUE;
    if (status == CUDA_SUCCESS)
        memcpy(result, (const uint8_t *)&params + offset, bytes);
    return status;
}

CUresult vgpu_front_graph_node_get_params(const struct vgpu_entry *entry, void *const args[])
{
    (void)entry;
    return vgpu_node_read(handle_at(args, 0), pointer_at(args, 1));
}

CUresult vgpu_front_graph_kernel_node_get_params(const struct vgpu_entry *entry, void *const args[])
{
    (void)entry;
    return get(args, CU_GRAPH_NODE_TYPE_KERNEL, offsetof(CUgraphNodeParams, kernel),
               sizeof(CUDA_KERNEL_NODE_PARAMS_v1));
}

CUresult vgpu_front_graph_kernel_node_get_params_v2(const struct vgpu_entry *entry, void *const args[])
{
    (void)entry;
    return get(args, CU_GRAPH_NODE_TYPE_KERNEL, offsetof(CUgraphNodeParams, kernel),
               sizeof(CUDA_KERNEL_NODE_PARAMS_v2));
}

CUresult vgpu_front_graph_memcpy_node_get_params(const struct vgpu_entry *entry, void *const args[])
{
    (void)entry;
    return get(args, CU_GRAPH_NODE_TYPE_MEMCPY, offsetof(CUgraphNodeParams, memcpy.copyParams),
               sizeof(CUDA_MEMCPY3D));
}

CUresult vgpu_front_graph_memset_node_get_params(const struct vgpu_entry *entry, void *const args[])
{
    (void)entry;
    return get(args, CU_GRAPH_NODE_TYPE_MEMSET, offsetof(CUgraphNodeParams, memset),
               sizeof(CUDA_MEMSET_NODE_PARAMS));
}

CUresult vgpu_front_graph_host_node_get_params(const struct vgpu_entry *entry, void *const args[])
{
    (void)entry;
    return get(args, CU_GRAPH_NODE_TYPE_HOST, offsetof(CUgraphNodeParams, host),
               sizeof(CUDA_HOST_NODE_PARAMS));
}

/* Why an update failed is part of the answer, so the answer itself succeeds. */
static CUresult update(void *const args[], CUgraphExecUpdateResultInfo *info)
{
    int result = 0, *result_at = &result;
    struct vgpu_thread *thread = vgpu_self();
    CUresult status = vgpu_may_call(thread);
    void *const sent[] = {args[0], args[1], &result_at, &info};

    if (status != CUDA_SUCCESS)
        return status;
    if (!vgpu_is_alive(handle_at(args, 0), VGPU_KIND_GRAPH_EXEC) ||
        !vgpu_is_alive(handle_at(args, 1), VGPU_KIND_GRAPH))
        return CUDA_ERROR_INVALID_HANDLE;
    status = vgpu_send(&vgpuGraphExecUpdate_call, 0, sent);
    if (status != CUDA_SUCCESS)
        return status;
    const CUgraphNode nodes[2] = {info->errorNode, info->errorFromNode};
    for (int i = 0; i < 2; i++)
        if (nodes[i] && vgpu_object_adopt((uint64_t)(uintptr_t)nodes[i], VGPU_KIND_NODE, handle_at(args, 1)))
            return vgpu_died("an answer has a handle of the wrong kind");
    return (CUresult)result;
}

CUresult vgpu_front_graph_exec_update(const struct vgpu_entry *entry, void *const args[])
{
    CUgraphExecUpdateResultInfo info = {0};
    CUgraphNode *error_node = pointer_at(args, 2);
    CUgraphExecUpdateResult *result = pointer_at(args, 3);

    (void)entry;
    if (!result)
        return CUDA_ERROR_INVALID_VALUE;
    CUresult status = update(args, &info);
    *result = info.result;
    if (error_node)
        *error_node = info.errorNode;
    return status;
}

CUresult vgpu_front_graph_exec_update_v2(const struct vgpu_entry *entry, void *const args[])
{
    CUgraphExecUpdateResultInfo *info = pointer_at(args, 2);

    (void)entry;
    return info ? update(args, info) : CUDA_ERROR_INVALID_VALUE;
}
