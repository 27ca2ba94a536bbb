/* SPDX-License-Identifier: Apache-2.0
 *
 * The calls for stream capture.
 */
#include <stdlib.h>
#include <string.h>

#include "capture.h"
#include "graph.h"

static void put_stream(struct stream **stream)
{
    if (*stream)
        object_put(&(*stream)->object);
}

#define ENTER_STREAM(name, handle)                                                                           \
    ENTER_CONTEXT(context);                                                                                  \
    struct stream *name __attribute__((cleanup(put_stream))) = NULL;                                         \
    TRY(stream_name(context, handle, &name))

CUresult cuThreadExchangeStreamCaptureMode(CUstreamCaptureMode *mode)
{
    ENTER();
    NEED(mode && (unsigned)*mode <= CU_STREAM_CAPTURE_MODE_RELAXED);
    struct thread *self = thread_self();
    CUstreamCaptureMode before = self->capture_mode;
    self->capture_mode = *mode;
    *mode = before;
    return CUDA_SUCCESS;
}

static CUresult check_begin(const struct stream *stream, CUstreamCaptureMode mode)
{
    NEED((unsigned)mode <= CU_STREAM_CAPTURE_MODE_RELAXED);
    if (stream->is_legacy)
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    return stream->capture ? CUDA_ERROR_ILLEGAL_STATE : CUDA_SUCCESS;
}

CUresult cuStreamBeginCapture_v2(CUstream handle, CUstreamCaptureMode mode)
{
    struct graph *graph = NULL;
    ENTER_STREAM(stream, handle);
    GRAPH_GUARD;
    TRY(check_begin(stream, mode));
    TRY(graph_new(&graph));
    CUresult result = capture_begin(stream, graph, NULL, 0, mode);
    if (result)
        graph_kill(graph);
    else
        ((struct capture *)stream->capture)->is_own_graph = 1;
    return result;
}

CUresult cuStreamBeginCapture(CUstream stream)
{
    return cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_GLOBAL);
}

/* Nodes of a graph by their handles; the graph keeps them while the lock is held. malloc'ed. */
static CUresult nodes_of(const struct graph *graph, const CUgraphNode *handles, size_t count,
                         struct graph_node ***out)
{
    NEED((!count || handles) && count <= graph->nodes.used);
    struct graph_node **nodes = malloc((count + 1) * sizeof(struct graph_node *));
    if (!nodes)
        return CUDA_ERROR_OUT_OF_MEMORY;
    for (size_t i = 0; i < count; i++) {
        nodes[i] = object_get(HANDLE(handles[i]), KIND_GRAPH_NODE);
        if (nodes[i])
            object_put(&nodes[i]->object);
        if (!nodes[i] || nodes[i]->graph != graph) {
            free(nodes);
            return CUDA_ERROR_INVALID_VALUE;
        }
    }
    *out = nodes;
    return CUDA_SUCCESS;
}

CUresult cuStreamBeginCaptureToGraph(CUstream handle, CUgraph graph_handle, const CUgraphNode *dependencies,
                                     const CUgraphEdgeData *edges, size_t count, CUstreamCaptureMode mode)
{
    struct graph_node **nodes = NULL;
    (void)edges;
    ENTER_STREAM(stream, handle);
    GRAPH_GUARD;
    TRY(check_begin(stream, mode));
    GET_GRAPH(graph, graph_handle);
    TRY(nodes_of(graph, dependencies, count, &nodes));
    CUresult result = capture_begin(stream, graph, nodes, count, mode);
    free(nodes);
    return result;
}

CUresult cuStreamEndCapture(CUstream handle, CUgraph *out)
{
    struct graph *graph = NULL;
    ENTER_STREAM(stream, handle);
    if (out) /* a capture into a graph that the application has needs no answer */
        *out = NULL;
    GRAPH_GUARD;
    TRY(capture_end(stream, &graph));
    if (out)
        *out = AS_HANDLE(CUgraph, graph);
    return CUDA_SUCCESS;
}

CUresult cuStreamIsCapturing(CUstream handle, CUstreamCaptureStatus *status)
{
    ENTER_STREAM(stream, handle);
    NEED(status);
    TRY(capture_check_legacy(stream));
    *status = CU_STREAM_CAPTURE_STATUS_NONE;
    if (!stream->capture)
        return CUDA_SUCCESS;
    GRAPH_GUARD;
    const struct capture *capture = stream->capture;
    if (capture)
        *status = capture->status;
    return CUDA_SUCCESS;
}

/* The handles that cuStreamGetCaptureInfo hands out: valid in this thread until it asks again. */
static __thread CUgraphNode *handed_out;

static CUresult hand_out(const struct stream *stream, const CUgraphNode **dependencies)
{
    size_t count = stream->capture_dependency_count;
    CUgraphNode *handles = realloc(handed_out, (count + 1) * sizeof(CUgraphNode));
    if (!handles)
        return CUDA_ERROR_OUT_OF_MEMORY;
    handed_out = handles;
    for (size_t i = 0; i < count; i++)
        handles[i] = AS_HANDLE(CUgraphNode, stream->capture_dependencies[i]);
    *dependencies = handles;
    return CUDA_SUCCESS;
}

CUresult cuStreamGetCaptureInfo_v3(CUstream handle, CUstreamCaptureStatus *status, cuuint64_t *id, CUgraph *graph,
                                   const CUgraphNode **dependencies, const CUgraphEdgeData **edges, size_t *count)
{
    ENTER_STREAM(stream, handle);
    NEED(status);
    TRY(capture_check_legacy(stream));
    *status = CU_STREAM_CAPTURE_STATUS_NONE;
    if (edges)
        *edges = NULL; /* no edge has data */
    if (!stream->capture)
        return CUDA_SUCCESS;
    GRAPH_GUARD;
    const struct capture *capture = stream->capture;
    if (!capture)
        return CUDA_SUCCESS;
    *status = capture->status;
    if (capture->status != CU_STREAM_CAPTURE_STATUS_ACTIVE)
        return CUDA_SUCCESS;
    if (id)
        *id = capture->id;
    if (graph)
        *graph = AS_HANDLE(CUgraph, capture->graph);
    if (count)
        *count = stream->capture_dependency_count;
    return dependencies ? hand_out(stream, dependencies) : CUDA_SUCCESS;
}

CUresult cuStreamGetCaptureInfo_v2(CUstream stream, CUstreamCaptureStatus *status, cuuint64_t *id, CUgraph *graph,
                                   const CUgraphNode **dependencies, size_t *count)
{
    return cuStreamGetCaptureInfo_v3(stream, status, id, graph, dependencies, NULL, count);
}

CUresult cuStreamGetCaptureInfo(CUstream stream, CUstreamCaptureStatus *status, cuuint64_t *id)
{
    return cuStreamGetCaptureInfo_v3(stream, status, id, NULL, NULL, NULL, NULL);
}

static CUresult update(struct stream *stream, struct graph_node *const *nodes, size_t count, unsigned flags)
{
    struct node_list all = {0};
    int failed = 0;
    for (size_t i = 0; !flags && i < stream->capture_dependency_count && !failed; i++)
        failed = node_list_add(&all, stream->capture_dependencies[i]);
    for (size_t i = 0; i < count && !failed; i++)
        if (!node_list_has(&all, nodes[i]))
            failed = node_list_add(&all, nodes[i]);
    CUresult result = failed ? CUDA_ERROR_OUT_OF_MEMORY : capture_set_dependencies(stream, all.items, all.used);
    free(all.items);
    return result;
}

CUresult cuStreamUpdateCaptureDependencies_v2(CUstream handle, CUgraphNode *dependencies,
                                              const CUgraphEdgeData *edges, size_t count, unsigned int flags)
{
    struct graph_node **nodes = NULL;
    (void)edges;
    ENTER_STREAM(stream, handle);
    NEED(flags <= CU_STREAM_SET_CAPTURE_DEPENDENCIES);
    GRAPH_GUARD;
    const struct capture *capture = stream->capture;
    if (!capture)
        return CUDA_ERROR_ILLEGAL_STATE;
    if (capture->status != CU_STREAM_CAPTURE_STATUS_ACTIVE)
        return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    TRY(nodes_of(capture->graph, dependencies, count, &nodes));
    CUresult result = update(stream, nodes, count, flags);
    free(nodes);
    return result;
}

CUresult cuStreamUpdateCaptureDependencies(CUstream stream, CUgraphNode *dependencies, size_t count,
                                           unsigned int flags)
{
    return cuStreamUpdateCaptureDependencies_v2(stream, dependencies, NULL, count, flags);
}
