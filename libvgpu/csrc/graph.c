/* SPDX-License-Identifier: Apache-2.0
 *
 * Adding nodes to graphs, and changing their parameters. Every public form becomes one of three internal
 * rows, which take a node of any kind.
 */
#include <stdlib.h>
#include <string.h>

#include "fronts.h"
#include "graph.h"

enum { BODIES_MAX = 64 };

extern const struct idm_call vgpuGraphAddNode_call;

static void *pointer_at(void *const args[], unsigned index)
{
    return *(void **)args[index];
}

static CUresult ready(void)
{
    struct vgpu_thread *thread = vgpu_self();
    CUresult status = vgpu_may_call(thread);

    if (status != CUDA_SUCCESS)
        return status;
    return vgpu_current(thread) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_CONTEXT;
}

/* Where a node goes: the parameters that all the adding calls begin with. */
struct place {
    uint64_t *result, graph;
    const uint64_t *dependencies;
    const CUgraphEdgeData *edges;
    size_t count;
};

static struct place place_at(void *const args[])
{
    return (struct place){.result = pointer_at(args, 0), .graph = *(const uint64_t *)args[1],
                          .dependencies = pointer_at(args, 2), .count = *(const size_t *)args[3]};
}

static CUresult check_place(const struct place *place)
{
    CUresult status = ready();

    if (status != CUDA_SUCCESS)
        return status;
    if (!place->result || (place->count && !place->dependencies))
        return CUDA_ERROR_INVALID_VALUE;
    if (!vgpu_is_alive(place->graph, VGPU_KIND_GRAPH))
        return CUDA_ERROR_INVALID_HANDLE;
    for (size_t i = 0; i < place->count; i++)
        if (!vgpu_is_alive(place->dependencies[i], VGPU_KIND_NODE))
            return CUDA_ERROR_INVALID_HANDLE;
    return CUDA_SUCCESS;
}

/* The graphs inside a conditional node belong to it; the application reads them from an array of ours. */
static CUresult keep_bodies(uint64_t handle, uint64_t graph, const uint64_t *bodies, unsigned count,
                            CUgraph **array)
{
    struct vgpu_object *object = vgpu_object_find(handle, VGPU_KIND_NODE);

    object->info = malloc(count * sizeof *bodies);
    if (!object->info)
        return CUDA_ERROR_OUT_OF_MEMORY;
    for (unsigned i = 0; i < count; i++)
        if (vgpu_object_adopt(bodies[i], VGPU_KIND_GRAPH, graph))
            return vgpu_died("an answer has a handle of the wrong kind");
    memcpy(object->info, bodies, count * sizeof *bodies);
    *array = object->info;
    return CUDA_SUCCESS;
}

static CUresult add(const struct place *place, struct vgpu_node *node, CUgraph **bodies_at)
{
    CUgraphNodeParams *params = &node->params;
    const uint8_t *bytes = node->bytes;
    uint64_t handle, *where = &handle, bodies[BODIES_MAX], *bodies_sent = bodies;
    unsigned body_count = 0;

    if (params->type == CU_GRAPH_NODE_TYPE_CONDITIONAL) {
        body_count = params->conditional.size;
        if (body_count == 0 || body_count > BODIES_MAX)
            return CUDA_ERROR_INVALID_VALUE;
    }
    handle = vgpu_object_new(VGPU_KIND_NODE, 0, place->graph);
    if (!handle)
        return CUDA_ERROR_OUT_OF_MEMORY;
    void *const args[] = {&where, (void *)&place->graph, (void *)&place->dependencies,
                          (void *)&place->edges, (void *)&place->count, &params, &node->param_bytes,
                          &bytes, &body_count, &bodies_sent};
    CUresult status = vgpu_send_chosen(&vgpuGraphAddNode_call, 0, args, &handle);
    if (status == CUDA_SUCCESS && body_count)
        status = keep_bodies(handle, place->graph, bodies, body_count, bodies_at);
    if (status == CUDA_SUCCESS)
        *place->result = handle;
    else
        vgpu_object_drop(handle);
    return status;
}

CUresult vgpu_front_graph_add_kernel_node(const struct vgpu_entry *entry, void *const args[])
{
    struct place place = place_at(args);
    struct vgpu_node node;
    CUresult status = check_place(&place);

    (void)entry;
    if (status == CUDA_SUCCESS)
        status = vgpu_node_kernel_v1(pointer_at(args, 4), &node);
    return status == CUDA_SUCCESS ? add(&place, &node, NULL) : status;
}

CUresult vgpu_front_graph_add_kernel_node_v2(const struct vgpu_entry *entry, void *const args[])
{
    struct place place = place_at(args);
    struct vgpu_node node;
    CUresult status = check_place(&place);

    (void)entry;
    if (status == CUDA_SUCCESS)
        status = vgpu_node_kernel(pointer_at(args, 4), &node);
    return status == CUDA_SUCCESS ? add(&place, &node, NULL) : status;
}

CUresult vgpu_front_graph_add_memcpy_node(const struct vgpu_entry *entry, void *const args[])
{
    struct place place = place_at(args);
    struct vgpu_node node;
    CUresult status = check_place(&place);

    if (status == CUDA_SUCCESS)
        status = vgpu_node_memcpy(entry->call->symbol, pointer_at(args, 4), pointer_at(args, 5), &node);
    return status == CUDA_SUCCESS ? add(&place, &node, NULL) : status;
}

CUresult vgpu_front_graph_add_memset_node(const struct vgpu_entry *entry, void *const args[])
{
    struct place place = place_at(args);
    struct vgpu_node node;
    CUresult status = check_place(&place);

    (void)entry;
    if (status == CUDA_SUCCESS)
        status = vgpu_node_memset(pointer_at(args, 4), pointer_at(args, 5), &node);
    return status == CUDA_SUCCESS ? add(&place, &node, NULL) : status;
}

static CUresult host_node(const CUDA_HOST_NODE_PARAMS *params, struct vgpu_node *node)
{
    return params ? vgpu_node_host(params->fn, params->userData, node) : CUDA_ERROR_INVALID_VALUE;
}

/* A function that reached no node is never called. */
static CUresult forget_unless(CUresult status, const struct vgpu_node *node)
{
    if (status != CUDA_SUCCESS && node->params.type == CU_GRAPH_NODE_TYPE_HOST)
        vgpu_forget_callback((uint64_t)(uintptr_t)node->params.host.userData);
    return status;
}

CUresult vgpu_front_graph_add_host_node(const struct vgpu_entry *entry, void *const args[])
{
    struct place place = place_at(args);
    struct vgpu_node node;
    CUresult status = check_place(&place);

    (void)entry;
    if (status == CUDA_SUCCESS)
        status = host_node(pointer_at(args, 4), &node);
    return status == CUDA_SUCCESS ? forget_unless(add(&place, &node, NULL), &node) : status;
}

static CUresult add_any(const struct vgpu_entry *entry, const struct place *place, CUgraphNodeParams *params)
{
    struct vgpu_node node;
    CUgraph *bodies = NULL;
    CUresult status = check_place(place);

    if (status == CUDA_SUCCESS)
        status = vgpu_node_any(entry->call->symbol, params, &node);
    if (status != CUDA_SUCCESS)
        return status;
    status = forget_unless(add(place, &node, &bodies), &node);
    if (bodies)
        params->conditional.phGraph_out = bodies;
    return status;
}

CUresult vgpu_front_graph_add_node(const struct vgpu_entry *entry, void *const args[])
{
    struct place place = place_at(args);

    return add_any(entry, &place, pointer_at(args, 4));
}

CUresult vgpu_front_graph_add_node_v2(const struct vgpu_entry *entry, void *const args[])
{
    struct place place = {.result = pointer_at(args, 0), .graph = *(const uint64_t *)args[1],
                          .dependencies = pointer_at(args, 2), .edges = pointer_at(args, 3),
                          .count = *(const size_t *)args[4]};

    return add_any(entry, &place, pointer_at(args, 5));
}
