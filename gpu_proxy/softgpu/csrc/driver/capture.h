/* SPDX-License-Identifier: Apache-2.0
 *
 * Stream capture: work given to a capturing stream becomes nodes of a graph. A capture spreads to other
 * streams that wait for an event recorded in it, and must have come back to the first one when it ends.
 */
#ifndef SOFTGPU_CAPTURE_H
#define SOFTGPU_CAPTURE_H

#include "stream.h"

struct graph;

enum { CAPTURE_STREAMS_MAX = 4096 };

struct capture {
    struct capture *next;      /* of all that are active */
    unsigned references;       /* streams and events that point here; under graph_lock */
    struct graph *graph;       /* counted */
    int is_own_graph;          /* made by the capture, not given to it */
    CUstreamCaptureMode mode;
    CUstreamCaptureStatus status;
    int ended;
    uint64_t id;
    uint64_t owner;            /* number of the thread that began it */
    struct stream *origin;     /* counted */
    struct stream **streams;   /* all that take part, the first one included; counted */
    size_t stream_count, stream_room;
};

/* Calls that must not happen during a capture, as the thread's mode has it: they fail and spoil the capture.
 * The call table says which calls they are. */
CUresult capture_forbid_unsafe(void);
#define ENTER_UNSAFE(name)                                                                                   \
    ENTER_CONTEXT(name);                                                                                     \
    (void)name;                                                                                              \
    TRY(capture_forbid_unsafe())

/* Waiting for a context in which a stream captures. */
CUresult capture_forbid_in_context(struct context *context);

/* A capturing stream cannot be queried or waited for. */
CUresult capture_forbid_stream(struct stream *stream);

/* Work for the legacy stream would make capturing blocking streams wait. To ask what it captures is an error,
 * too, but does no harm. */
CUresult capture_forbid_legacy(struct stream *stream);
CUresult capture_check_legacy(struct stream *stream);

/* Each of these adds a node; capture_work takes over the work's references. */
CUresult capture_work(struct stream *stream, struct work *work, CUgraphNodeType type);
CUresult capture_values(struct stream *stream, const CUstreamBatchMemOpParams *values, unsigned count);
CUresult capture_child(struct stream *stream, const struct graph *graph);
CUresult capture_alloc(struct stream *stream, struct context *context, size_t bytes, CUdeviceptr *address);
CUresult capture_free(struct stream *stream, CUdeviceptr address);
CUresult capture_record(struct stream *stream, struct event *event, unsigned flags);
CUresult capture_wait(struct stream *stream, struct event *event, unsigned flags);

/* Whether the event's latest record is part of a capture that goes on. */
int capture_has_event(struct event *event);
/* An event that was last recorded in a capture, even in one that has ended, never happens. */
CUresult capture_forbid_event(struct event *event);
void capture_forget_event(struct event *event);

/* A stream that is destroyed spoils the capture that it is part of. */
void capture_stream_ends(struct stream *stream);

/* capture.c, for capture_api.c; all with graph_lock held. */
CUresult capture_begin(struct stream *stream, struct graph *graph, struct graph_node *const *before, size_t count,
                       CUstreamCaptureMode mode);
CUresult capture_end(struct stream *stream, struct graph **graph);
CUresult capture_join(struct capture *capture, struct stream *stream);
void capture_spoil(struct capture *capture);
void capture_put(struct capture *capture);
CUresult capture_set_dependencies(struct stream *stream, struct graph_node *const *nodes, size_t count);

#endif
