/* SPDX-License-Identifier: Apache-2.0
 *
 * What capturing streams are given: nodes, and events that carry a capture to other streams.
 */
#include <stdlib.h>
#include <string.h>

#include "capture.h"
#include "graph.h"

static uint64_t generation_of(struct event *event)
{
    pthread_mutex_lock(&event->lock);
    uint64_t generation = event->generation;
    pthread_mutex_unlock(&event->lock);
    return generation;
}

/* The capture that the event's latest record is part of, or NULL. Called with the lock held. */
static struct capture *capture_of(struct event *event)
{
    return event->capture && event->captured_at == generation_of(event) ? event->capture : NULL;
}

int capture_has_event(struct event *event)
{
    if (!event->capture)
        return 0;
    GRAPH_GUARD;
    const struct capture *capture = capture_of(event);
    return capture && !capture->ended;
}

CUresult capture_forbid_event(struct event *event)
{
    if (!event->capture)
        return CUDA_SUCCESS;
    GRAPH_GUARD;
    struct capture *capture = capture_of(event);
    if (!capture)
        return CUDA_SUCCESS;
    if (!capture->ended)
        capture_spoil(capture);
    return CUDA_ERROR_CAPTURED_EVENT;
}

/* Called with the lock held. */
static void forget(struct event *event)
{
    struct capture *capture = event->capture;
    event->capture = NULL;
    free(event->nodes);
    event->nodes = NULL;
    event->node_count = 0;
    if (capture)
        capture_put(capture);
}

void capture_forget_event(struct event *event)
{
    if (!event->capture)
        return;
    GRAPH_GUARD;
    forget(event);
}

/* The stream's capture, if nodes can be added to it. Called with the lock held. */
static CUresult usable(const struct stream *stream, struct capture **capture)
{
    *capture = stream->capture;
    if (!*capture)
        return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED; /* it ended while the call was on its way */
    return (*capture)->status == CU_STREAM_CAPTURE_STATUS_ACTIVE ? CUDA_SUCCESS
                                                               : CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
}

/* A node behind all that the stream has captured. */
static CUresult append(struct stream *stream, CUgraphNodeType type, struct graph_node **node)
{
    struct capture *capture = NULL;
    TRY(usable(stream, &capture));
    TRY(graph_node_new(capture->graph, type, stream->capture_dependencies, stream->capture_dependency_count, node));
    return CUDA_SUCCESS;
}

static CUresult commit(struct stream *stream, struct graph_node *node, CUresult result)
{
    if (!result)
        result = capture_set_dependencies(stream, &node, 1);
    if (result)
        graph_node_kill(node);
    return result;
}

CUresult capture_work(struct stream *stream, struct work *work, CUgraphNodeType type)
{
    struct graph_node *node = NULL;
    GRAPH_GUARD;
    CUresult result = append(stream, type, &node);
    if (result) {
        work_release(work);
        return result;
    }
    if (type == CU_GRAPH_NODE_TYPE_MEMCPY)
        node->copy = node_describe_copy(&work->copy);
    return commit(stream, node, node_set_work(node, work));
}

CUresult capture_values(struct stream *stream, const CUstreamBatchMemOpParams *values, unsigned count)
{
    struct graph_node *node = NULL;
    GRAPH_GUARD;
    TRY(append(stream, CU_GRAPH_NODE_TYPE_BATCH_MEM_OP, &node));
    return commit(stream, node, node_set_values(node, values, count));
}

CUresult capture_child(struct stream *stream, const struct graph *graph)
{
    struct graph_node *node = NULL;
    GRAPH_GUARD;
    TRY(append(stream, CU_GRAPH_NODE_TYPE_GRAPH, &node));
    return commit(stream, node, node_set_child(node, graph, 0));
}

CUresult capture_alloc(struct stream *stream, struct context *context, size_t bytes, CUdeviceptr *address)
{
    struct graph_node *node = NULL;
    GRAPH_GUARD;
    TRY(append(stream, CU_GRAPH_NODE_TYPE_MEM_ALLOC, &node));
    return commit(stream, node, graph_memory_take(context, bytes, &node->memory, address));
}

CUresult capture_free(struct stream *stream, CUdeviceptr address)
{
    struct graph_node *node = NULL;
    GRAPH_GUARD;
    TRY(append(stream, CU_GRAPH_NODE_TYPE_MEM_FREE, &node));
    node->freed = address;
    graph_memory_freed_in_graph(address);
    return commit(stream, node, CUDA_SUCCESS);
}

CUresult capture_record(struct stream *stream, struct event *event, unsigned flags)
{
    struct capture *capture = NULL;
    struct graph_node *node = NULL;
    GRAPH_GUARD;
    TRY(usable(stream, &capture));
    if (flags & CU_EVENT_RECORD_EXTERNAL) {
        TRY(append(stream, CU_GRAPH_NODE_TYPE_EVENT_RECORD, &node));
        return commit(stream, node, node_set_event(node, AS_HANDLE(CUevent, event)));
    }
    size_t count = stream->capture_dependency_count;
    struct graph_node **nodes = malloc((count + 1) * sizeof(struct graph_node *));
    if (!nodes)
        return CUDA_ERROR_OUT_OF_MEMORY;
    memcpy(nodes, stream->capture_dependencies, count * sizeof(struct graph_node *));
    capture->references++;
    forget(event);
    event->captured_at = generation_of(event);
    event->capture = capture;
    event->nodes = nodes;
    event->node_count = count;
    return CUDA_SUCCESS;
}

/* Called with the lock held: the stream goes on behind what it has, and behind the event's nodes. */
static CUresult add_dependencies(struct stream *stream, const struct event *event)
{
    struct node_list all = {0};
    int failed = 0;
    for (size_t i = 0; i < stream->capture_dependency_count && !failed; i++)
        failed = node_list_add(&all, stream->capture_dependencies[i]);
    for (size_t i = 0; i < event->node_count && !failed; i++)
        if (!node_list_has(&all, event->nodes[i]))
            failed = node_list_add(&all, event->nodes[i]);
    CUresult result = failed ? CUDA_ERROR_OUT_OF_MEMORY : capture_set_dependencies(stream, all.items, all.used);
    free(all.items);
    return result;
}

CUresult capture_wait(struct stream *stream, struct event *event, unsigned flags)
{
    struct graph_node *node = NULL;
    GRAPH_GUARD;
    struct capture *own = stream->capture, *other = capture_of(event);
    if (other && other->ended)
        other = NULL;
    if (own)
        TRY(usable(stream, &own));
    if (own && (flags & CU_EVENT_WAIT_EXTERNAL)) {
        TRY(append(stream, CU_GRAPH_NODE_TYPE_WAIT_EVENT, &node));
        return commit(stream, node, node_set_event(node, AS_HANDLE(CUevent, event)));
    }
    if (!other) { /* waiting for what is outside */
        if (own)
            capture_spoil(own);
        return own ? CUDA_ERROR_STREAM_CAPTURE_ISOLATION : CUDA_SUCCESS;
    }
    if (own && own != other) {
        capture_spoil(own);
        capture_spoil(other);
        return CUDA_ERROR_STREAM_CAPTURE_MERGE;
    }
    if (stream->is_legacy) {
        capture_spoil(other);
        return CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
    }
    if (other->status != CU_STREAM_CAPTURE_STATUS_ACTIVE)
        return CUDA_ERROR_INVALID_VALUE; /* nothing that a stream could wait for */
    if (!own) {
        stream->capture_dependency_count = 0;
        TRY(capture_join(other, stream));
    }
    return add_dependencies(stream, event);
}
