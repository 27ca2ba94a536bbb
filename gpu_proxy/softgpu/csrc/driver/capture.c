/* SPDX-License-Identifier: Apache-2.0
 *
 * Captures: which streams and events take part, and when one ends or is spoilt.
 */
#include "capture.h"

#include <stdlib.h>
#include <string.h>

#include "graph.h"

static struct capture *active;
static _Atomic unsigned active_count;

void capture_put(struct capture *capture)
{
    if (--capture->references)
        return;
    object_put(&capture->graph->object);
    object_put(&capture->origin->object);
    free(capture->streams);
    free(capture);
}

void capture_spoil(struct capture *capture)
{
    capture->status = CU_STREAM_CAPTURE_STATUS_INVALIDATED;
}

/* Called with the lock held. */
static int thread_forbids(const struct capture *capture)
{
    const struct thread *self = thread_self();
    if (self->capture_mode == CU_STREAM_CAPTURE_MODE_RELAXED)
        return 0;
    if (capture->owner == self->number)
        return capture->mode != CU_STREAM_CAPTURE_MODE_RELAXED;
    return self->capture_mode == CU_STREAM_CAPTURE_MODE_GLOBAL && capture->mode == CU_STREAM_CAPTURE_MODE_GLOBAL;
}

CUresult capture_forbid_unsafe(void)
{
    if (!atomic_load(&active_count))
        return CUDA_SUCCESS;
    CUresult result = CUDA_SUCCESS;
    GRAPH_GUARD;
    for (struct capture *capture = active; capture; capture = capture->next) {
        if (!thread_forbids(capture))
            continue;
        capture_spoil(capture);
        result = CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    }
    return result;
}

/* Called with the lock held. */
static int takes_part(const struct capture *capture, const struct context *context, int blocking_only)
{
    for (size_t i = 0; i < capture->stream_count; i++) {
        const struct stream *stream = capture->streams[i];
        if (stream->object.context == context && !(blocking_only && (stream->flags & CU_STREAM_NON_BLOCKING)))
            return 1;
    }
    return 0;
}

static CUresult forbid(const struct context *context, int blocking_only, int spoil, CUresult error)
{
    if (!atomic_load(&active_count))
        return CUDA_SUCCESS;
    CUresult result = CUDA_SUCCESS;
    GRAPH_GUARD;
    for (struct capture *capture = active; capture; capture = capture->next) {
        if (!takes_part(capture, context, blocking_only))
            continue;
        if (spoil)
            capture_spoil(capture);
        result = error;
    }
    return result;
}

CUresult capture_forbid_in_context(struct context *context)
{
    return forbid(context, 0, 1, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
}

CUresult capture_forbid_legacy(struct stream *stream)
{
    return forbid(stream->object.context, 1, 1, CUDA_ERROR_STREAM_CAPTURE_IMPLICIT);
}

CUresult capture_check_legacy(struct stream *stream)
{
    return stream->is_legacy ? forbid(stream->object.context, 1, 0, CUDA_ERROR_STREAM_CAPTURE_IMPLICIT)
                             : CUDA_SUCCESS;
}

CUresult capture_forbid_stream(struct stream *stream)
{
    if (!stream->capture)
        return CUDA_SUCCESS;
    GRAPH_GUARD;
    struct capture *capture = stream->capture;
    if (capture)
        capture_spoil(capture);
    return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
}

CUresult capture_set_dependencies(struct stream *stream, struct graph_node *const *nodes, size_t count)
{
    struct graph_node **copy = malloc((count + 1) * sizeof(struct graph_node *));
    if (!copy)
        return CUDA_ERROR_OUT_OF_MEMORY;
    if (count)
        memcpy(copy, nodes, count * sizeof(struct graph_node *));
    free(stream->capture_dependencies);
    stream->capture_dependencies = copy;
    stream->capture_dependency_count = count;
    return CUDA_SUCCESS;
}

CUresult capture_join(struct capture *capture, struct stream *stream)
{
    if (capture->stream_count == CAPTURE_STREAMS_MAX)
        return CUDA_ERROR_OUT_OF_MEMORY;
    /* A stream that is destroyed meanwhile would never end its capture. */
    if (!stream->is_legacy && !object_is_alive(&stream->object))
        return CUDA_ERROR_INVALID_HANDLE;
    if (capture->stream_count == capture->stream_room) {
        size_t room = capture->stream_room ? 2 * capture->stream_room : 4;
        struct stream **streams = realloc(capture->streams, room * sizeof(struct stream *));
        if (!streams)
            return CUDA_ERROR_OUT_OF_MEMORY;
        capture->streams = streams;
        capture->stream_room = room;
    }
    object_hold(&stream->object);
    capture->streams[capture->stream_count++] = stream;
    capture->references++;
    stream->capture = capture;
    return CUDA_SUCCESS;
}

static void leave_active(const struct capture *capture)
{
    for (struct capture **link = &active; *link; link = &(*link)->next) {
        if (*link != capture)
            continue;
        *link = capture->next;
        atomic_fetch_sub(&active_count, 1);
        return;
    }
}

/* The streams go back to normal. */
static void dissolve(struct capture *capture)
{
    leave_active(capture);
    capture->ended = 1;
    for (size_t i = 0; i < capture->stream_count; i++) {
        struct stream *stream = capture->streams[i];
        stream->capture = NULL;
        stream->capture_dependency_count = 0;
        object_put(&stream->object);
        capture->references--;
    }
    capture->stream_count = 0;
}

CUresult capture_begin(struct stream *stream, struct graph *graph, struct graph_node *const *before, size_t count,
                       CUstreamCaptureMode mode)
{
    static uint64_t next_id = 1;
    struct capture *capture = calloc(1, sizeof(*capture));
    if (!capture)
        return CUDA_ERROR_OUT_OF_MEMORY;
    *capture = (struct capture){.references = 1, .graph = graph, .mode = mode, .owner = thread_self()->number,
                                .status = CU_STREAM_CAPTURE_STATUS_ACTIVE, .id = next_id++, .origin = stream};
    object_hold(&graph->object);
    object_hold(&stream->object);
    CUresult result = capture_set_dependencies(stream, before, count);
    if (!result)
        result = capture_join(capture, stream);
    if (result) {
        capture_put(capture);
        return result;
    }
    capture->next = active;
    active = capture;
    atomic_fetch_add(&active_count, 1);
    return CUDA_SUCCESS;
}

/* Mark all nodes from which the given ones can be reached. */
static CUresult mark_ancestors(const struct graph *graph, struct graph_node *const *nodes, size_t count)
{
    struct node_list todo = {0};
    int failed = 0;
    for (size_t i = 0; i < graph->nodes.used; i++)
        graph->nodes.items[i]->mark = 0;
    for (size_t i = 0; i < count && !failed; i++)
        failed = node_list_add(&todo, nodes[i]);
    while (todo.used && !failed) {
        struct graph_node *node = todo.items[--todo.used];
        if (node->mark)
            continue;
        node->mark = 1;
        for (size_t i = 0; i < node->before.used && !failed; i++)
            failed = node_list_add(&todo, node->before.items[i]);
    }
    free(todo.items);
    return failed ? CUDA_ERROR_OUT_OF_MEMORY : CUDA_SUCCESS;
}

/* The work of every other stream must have come back to the first one. */
static CUresult check_joined(const struct capture *capture)
{
    TRY(mark_ancestors(capture->graph, capture->origin->capture_dependencies,
                       capture->origin->capture_dependency_count));
    for (size_t i = 0; i < capture->stream_count; i++) {
        const struct stream *stream = capture->streams[i];
        for (size_t j = 0; j < stream->capture_dependency_count; j++)
            if (!stream->capture_dependencies[j]->mark)
                return CUDA_ERROR_STREAM_CAPTURE_UNJOINED;
    }
    return CUDA_SUCCESS;
}

CUresult capture_end(struct stream *stream, struct graph **graph)
{
    struct capture *capture = stream->capture;
    if (!capture)
        return CUDA_ERROR_ILLEGAL_STATE;
    if (capture->origin != stream)
        return CUDA_ERROR_STREAM_CAPTURE_UNMATCHED;
    if (capture->mode != CU_STREAM_CAPTURE_MODE_RELAXED && capture->owner != thread_self()->number)
        return CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD;
    CUresult result = capture->status == CU_STREAM_CAPTURE_STATUS_ACTIVE ? check_joined(capture)
                                                                       : CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    dissolve(capture);
    if (result && capture->is_own_graph)
        graph_kill(capture->graph);
    *graph = capture->graph;
    capture_put(capture);
    return result;
}

void capture_stream_ends(struct stream *stream)
{
    GRAPH_GUARD;
    struct capture *capture = stream->capture;
    if (!capture)
        return;
    capture_spoil(capture);
    if (capture->origin != stream)
        return;
    dissolve(capture);
    if (capture->is_own_graph)
        graph_kill(capture->graph);
    capture_put(capture);
}
