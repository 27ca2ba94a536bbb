/* SPDX-License-Identifier: Apache-2.0
 *
 * Capture. The worker says how many captures are open; while none is, the usual questions, whether a stream
 * captures and whether a thread may do what is unsafe, are answered without it. The modes of threads are kept
 * here, the captures that forbid something there.
 */
#include <stdlib.h>
#include <string.h>

#include "fronts.h"
#include "graph.h"

extern const struct idm_call cuStreamIsCapturing_call, vgpuCaptureInfo_call, vgpuCaptureUnsafe_call;

enum { KIND_STREAM = 2, KIND_EVENT = 3, FIRST_STREAM = 3, CAPACITY_FIRST = 64, CAPACITY_MAX = 16 << 10 };

static CUresult ready(CUstream stream)
{
    struct vgpu_thread *thread = vgpu_self();
    uint64_t handle = (uint64_t)(uintptr_t)stream;
    CUresult status = vgpu_may_call(thread);

    if (status != CUDA_SUCCESS)
        return status;
    if (!vgpu_current(thread))
        return CUDA_ERROR_INVALID_CONTEXT;
    return handle < FIRST_STREAM || vgpu_is_alive(handle, KIND_STREAM) ? CUDA_SUCCESS
                                                                       : CUDA_ERROR_INVALID_HANDLE;
}

int vgpu_captures_open(void)
{
    return atomic_load_explicit(&vgpu.initialised, memory_order_relaxed) &&
           atomic_load_explicit(&vgpu.back->captures, memory_order_acquire) != 0;
}

CUresult vgpu_may_be_unsafe(const struct idm_call *call, void *const args[])
{
    struct vgpu_thread *thread = vgpu_self();
    unsigned mode = (unsigned)thread->capture_mode;
    uint64_t event = 0;
    CUresult status = vgpu_may_call(thread);

    if (status != CUDA_SUCCESS)
        return status;
    if (!(call->flags & IDM_NO_CONTEXT) && !vgpu_current(thread))
        return CUDA_ERROR_INVALID_CONTEXT;
    if (call->param_count && call->params[0].wire == IDM_HANDLE_IN && call->params[0].kind == KIND_EVENT) {
        event = *(const uint64_t *)args[0];
        if (!vgpu_is_alive(event, KIND_EVENT))
            return vgpu_bad_handle(KIND_EVENT);
    }
    void *const ask[] = {&mode, &event};
    return vgpu_send(&vgpuCaptureUnsafe_call, 0, ask);
}

int vgpu_is_capturing(CUstream stream, uint32_t flags)
{
    unsigned capturing = 0, *where = &capturing;
    void *const args[] = {&stream, &where};

    /* An error is of the legacy stream, which itself never captures. */
    return vgpu_captures_open() && vgpu_send(&cuStreamIsCapturing_call, flags, args) == CUDA_SUCCESS && capturing;
}

CUresult vgpu_staged(CUresult status)
{
    if (status == CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED)
        vgpu_log(VGPU_WARNING, "a copy of pageable host memory cannot be captured: pin the memory");
    return status;
}

CUresult vgpu_front_thread_exchange_stream_capture_mode(const struct vgpu_entry *entry, void *const args[])
{
    unsigned *mode = *(unsigned **)args[0];
    struct vgpu_thread *thread = vgpu_self();

    (void)entry;
    if (!atomic_load(&vgpu.initialised))
        return CUDA_ERROR_NOT_INITIALIZED;
    if (!mode || *mode > CU_STREAM_CAPTURE_MODE_RELAXED)
        return CUDA_ERROR_INVALID_VALUE;
    unsigned old = (unsigned)thread->capture_mode;
    thread->capture_mode = (int)*mode;
    *mode = old;
    return CUDA_SUCCESS;
}

/* A capture that fails gives no graph, but says so. */
CUresult vgpu_front_stream_end_capture(const struct vgpu_entry *entry, void *const args[])
{
    CUgraph *graph = *(CUgraph **)args[1];

    if (graph)
        *graph = NULL;
    return vgpu_forward(entry, args);
}

CUresult vgpu_front_stream_is_capturing(const struct vgpu_entry *entry, void *const args[])
{
    unsigned *capturing = *(unsigned **)args[1];

    if (vgpu_captures_open())
        return vgpu_forward(entry, args);
    CUresult status = capturing ? ready(*(CUstream *)args[0]) : CUDA_ERROR_INVALID_VALUE;
    if (status == CUDA_SUCCESS)
        *capturing = CU_STREAM_CAPTURE_STATUS_NONE;
    return status;
}

CUresult vgpu_front_stream_get_capture_info(const struct vgpu_entry *entry, void *const args[])
{
    return vgpu_captures_open() ? vgpu_forward(entry, args) : vgpu_front_stream_is_capturing(entry, args);
}

struct info {
    unsigned status;
    uint64_t identifier, graph;
    size_t count;
    uint64_t *nodes;
    CUgraphEdgeData *edges;
};

/* The arrays that the application reads belong to its thread, and live until it asks again. */
static CUresult make_arrays(unsigned capacity, struct info *info)
{
    struct vgpu_thread *thread = vgpu_self();
    uint64_t *grown = realloc(thread->capture, capacity * (sizeof *info->nodes + sizeof *info->edges));

    if (!grown)
        return CUDA_ERROR_OUT_OF_MEMORY;
    thread->capture = grown;
    info->nodes = grown;
    info->edges = (CUgraphEdgeData *)(void *)(grown + capacity);
    return CUDA_SUCCESS;
}

static CUresult ask(CUstream stream, uint32_t flags, struct info *info)
{
    unsigned capacity = CAPACITY_FIRST, *status_at = &info->status;
    uint64_t *identifier_at = &info->identifier, *graph_at = &info->graph;
    size_t *count_at = &info->count;
    CUresult status;

    for (;;) {
        if ((status = make_arrays(capacity, info)) != CUDA_SUCCESS)
            return status;
        void *const args[] = {&stream, &status_at, &identifier_at, &graph_at, &count_at, &capacity,
                              &info->nodes, &info->edges};
        status = vgpu_send(&vgpuCaptureInfo_call, flags, args);
        if (status != CUDA_SUCCESS || info->count <= capacity)
            return status;
        if (info->count > CAPACITY_MAX)
            return CUDA_ERROR_OUT_OF_MEMORY;
        capacity = (unsigned)info->count;
    }
}

static CUresult adopt(const struct info *info)
{
    if (info->graph && vgpu_object_adopt(info->graph, VGPU_KIND_GRAPH, 0))
        return vgpu_died("an answer has a handle of the wrong kind");
    for (size_t i = 0; i < info->count; i++)
        if (vgpu_object_adopt(info->nodes[i], VGPU_KIND_NODE, info->graph))
            return vgpu_died("an answer has a handle of the wrong kind");
    return CUDA_SUCCESS;
}

static int has_edge_data(const struct info *info)
{
    static const CUgraphEdgeData plain;

    for (size_t i = 0; i < info->count; i++)
        if (memcmp(&info->edges[i], &plain, sizeof plain))
            return 1;
    return 0;
}

/* Parameters that both versions begin with; where the edges go is known to the newer one only. */
static CUresult get_info(const struct vgpu_entry *entry, void *const args[], const CUgraphEdgeData ***edges,
                         size_t *count)
{
    CUstream stream = *(CUstream *)args[0];
    unsigned *status_at = *(unsigned **)args[1];
    uint64_t *identifier = *(uint64_t **)args[2], *graph = *(uint64_t **)args[3];
    const uint64_t **nodes = *(const uint64_t ***)args[4];
    struct info info = {0};
    CUresult status = status_at ? ready(stream) : CUDA_ERROR_INVALID_VALUE;

    if (status == CUDA_SUCCESS && vgpu_captures_open())
        status = ask(stream, entry->flags, &info);
    if (status == CUDA_SUCCESS)
        status = adopt(&info);
    if (status != CUDA_SUCCESS)
        return status;
    *status_at = info.status;
    if (info.status != CU_STREAM_CAPTURE_STATUS_ACTIVE)
        return CUDA_SUCCESS;
    if (nodes && !edges && has_edge_data(&info))
        return CUDA_ERROR_LOSSY_QUERY;
    if (identifier)
        *identifier = info.identifier;
    if (graph)
        *graph = info.graph;
    if (nodes)
        *nodes = info.nodes;
    if (edges && *edges)
        **edges = info.edges;
    if (count)
        *count = info.count;
    return CUDA_SUCCESS;
}

CUresult vgpu_front_stream_get_capture_info_v2(const struct vgpu_entry *entry, void *const args[])
{
    return get_info(entry, args, NULL, *(size_t **)args[5]);
}

CUresult vgpu_front_stream_get_capture_info_v3(const struct vgpu_entry *entry, void *const args[])
{
    const CUgraphEdgeData **edges = *(const CUgraphEdgeData ***)args[5];

    return get_info(entry, args, &edges, *(size_t **)args[6]);
}
