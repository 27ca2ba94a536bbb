/* SPDX-License-Identifier: Apache-2.0
 *
 * Streams: queues of work that a small pool of executor threads runs in order.
 *
 * A stream numbers its work. A point (stream, number) is complete once `completed` has reached the number;
 * events, waits and synchronisation are all made of points. A point only ever waits for points that were
 * submitted earlier, so no cycle can arise.
 *
 * An executor never blocks for another stream: a stream whose next work must wait is parked in the list of
 * what it waits for, and becomes ready again from there.
 */
#ifndef SOFTGPU_STREAM_H
#define SOFTGPU_STREAM_H

#include "work.h"

enum {
    STREAM_INLINE_BYTES = 64 << 10, /* asynchronous copies up to here run in the caller when idle */
    STREAM_BATCH = 64,          /* works before other ready streams have their turn */
    STREAM_SPARES_MAX = 16384, /* kept after a burst, about 5 MB */
    OP_INLINE_PARAMS = 160,
    EXECUTORS_MAX = 16,
    PRIORITY_LOW = 0,
    PRIORITY_HIGH = -5,
};

struct op {
    struct op *next;
    uint64_t sequence;
    int counts;                 /* towards driver.queue_works */
    struct work work;
    _Alignas(16) unsigned char params[OP_INLINE_PARAMS];
};

enum stream_state {
    STREAM_IDLE,
    STREAM_READY,
    STREAM_RUNNING,
    STREAM_PARKED,
};

/* Somebody who waits for a point: a parked stream, or a thread that sleeps on `done`. */
struct waiter {
    struct waiter *next;
    uint64_t target;
    struct stream *stream;
    _Atomic uint32_t done;
};

struct capture;
struct graph_node;

struct stream {
    struct object object;
    struct stream *next, *previous; /* in the context, under context->lock */
    unsigned flags;
    int priority;
    int is_legacy;
    uint64_t id;

    pthread_mutex_t lock;
    enum stream_state state;
    struct op *head, *tail;     /* submitted, not yet taken by an executor */
    struct op *spare;           /* free ops, for the next submissions */
    unsigned spare_count;
    struct waiter *waiters;
    struct stream *parked_on;
    _Atomic uint64_t legacy_seen; /* last point of the legacy stream that this one waits for */
    _Atomic uint64_t submitted; /* written under the lock */
    _Atomic uint64_t completed;
    _Atomic uint64_t wake_at;   /* smallest target among the waiters */
    _Atomic uint64_t calls_in, calls_out; /* queued and finished works that count; one writer each at a time */

    /* Of the executor that runs the stream: */
    struct op *current, *finished;
    int resumed;                /* the host function or value it was parked for has come */
    struct stream *ready_next;
    struct waiter parked;       /* in the list of the stream that this one waits for */

    /* Under the graph lock: */
    struct capture *_Atomic capture;
    struct graph_node **capture_dependencies;
    size_t capture_dependency_count;
};

enum submit_flags {
    SUBMIT_INLINE = 1, /* short: run it in the caller when the stream is idle */
    SUBMIT_WAIT = 2,   /* return when it has been done */
    SUBMIT_PART = 4,   /* part of a call whose other work counts: never waits for room in the queue */
};

/* Turn CUDA's stream argument into a counted stream of the context. */
CUresult stream_name(struct context *context, CUstream handle, struct stream **stream);
/* The same for one that is used, not only asked about: the legacy stream cannot be while a stream that it
 * waits for captures. */
CUresult stream_resolve(struct context *context, CUstream handle, struct stream **stream);

/* Queue work. The work's references belong to the stream afterwards, whatever the result. */
CUresult stream_submit(struct stream *stream, struct work *work, unsigned flags, uint64_t *sequence);

/* The same, or add it to the capture that the stream is part of. */
CUresult stream_perform(struct stream *stream, struct work *work, unsigned flags);

CUresult stream_create(struct context *context, unsigned flags, int priority, int is_legacy, struct stream **out);
void stream_kill(struct stream *stream);
void stream_leave_context(struct stream *stream); /* in its free function; a legacy stream: before */

int stream_reached(struct stream *stream, uint64_t sequence);
void stream_wait(struct stream *stream, uint64_t sequence);
CUresult stream_synchronize(struct stream *stream);

/* Executor side, exec.c. */
void exec_ready(struct stream *stream);
void exec_host(struct stream *stream, const struct work *work, CUresult status);
void exec_poll(struct stream *stream, const CUstreamBatchMemOpParams *operation);
int exec_start_thread(void *(*body)(void *), void *argument);
void exec_run(struct stream *stream);

/* Park `stream` until the point; 0 when the point is already complete and nothing was done. */
int stream_park(struct stream *stream, struct stream *on, uint64_t sequence);
void stream_unpark(struct stream *stream);
void stream_complete(struct stream *stream, uint64_t sequence);

void stream_cancel(struct stream *stream); /* wake it if it is parked on another stream */

struct event {
    struct object object;
    unsigned flags;
    pthread_mutex_t lock;
    uint64_t generation;
    uint64_t time_ns;
    struct stream *stream; /* counted; NULL before the first record */
    uint64_t sequence;
    struct capture *_Atomic capture; /* recorded in this capture, counted; under the graph lock */
    uint64_t captured_at;  /* the generation then: a launched graph may record it since */
    struct graph_node **nodes;
    size_t node_count;
};

void event_stamp(struct event *event, uint64_t generation);
/* The event's latest point; *stream is counted, NULL when never recorded. */
void event_point(struct event *event, struct stream **stream, uint64_t *sequence);
CUresult event_set_point(struct event *event, uint64_t generation, struct stream *stream, uint64_t sequence);

#endif
