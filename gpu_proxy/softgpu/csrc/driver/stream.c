/* SPDX-License-Identifier: Apache-2.0
 *
 * Streams: making and ending them, and queueing work in the right order.
 */
#include "stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "capture.h"

/* Takes a spare op or makes one; called with the lock held. */
static struct op *take_op(struct stream *stream)
{
    struct op *op = stream->spare;
    if (!op)
        return malloc(sizeof(*op));
    stream->spare = op->next;
    stream->spare_count--;
    return op;
}

static int fill_op(struct op *op, const struct work *work)
{
    op->next = NULL;
    op->work = *work;
    if (work->kind != WORK_KERNEL || work->owns_params)
        return 0;
    void *room = op->params;
    if (work->kernel.param_bytes > OP_INLINE_PARAMS) {
        room = malloc(work->kernel.param_bytes);
        if (!room)
            return -ENOMEM;
        op->work.owns_params = 1;
    }
    memcpy(room, work->kernel.params, work->kernel.param_bytes);
    op->work.kernel.params = room;
    return 0;
}

/* Called with the lock held. The stream was idle if this returns 1, and the caller makes it ready. */
static int append(struct stream *stream, struct op *op)
{
    op->sequence = atomic_load_explicit(&stream->submitted, memory_order_relaxed) + 1;
    if (stream->tail)
        stream->tail->next = op;
    else
        stream->head = op;
    stream->tail = op;
    atomic_store(&stream->submitted, op->sequence);
    if (stream->state != STREAM_IDLE)
        return 0;
    stream->state = STREAM_READY;
    object_hold(&stream->object); /* until it is idle again */
    return 1;
}

/* A submitter waits when the queue is full, as in CUDA. Only calls count: a stream's own waits for other streams
 * are queued under the context's lock, and must find room always. */
static void wait_for_room(struct stream *stream)
{
    uint64_t submitted = atomic_load(&stream->submitted);
    if (atomic_load(&stream->calls_in) - atomic_load(&stream->calls_out) >= driver.queue_works)
        stream_wait(stream, submitted - driver.queue_works / 2);
}

static CUresult push(struct stream *stream, struct work *work, int counts, uint64_t *sequence)
{
    if (counts)
        wait_for_room(stream);
    pthread_mutex_lock(&stream->lock);
    struct op *op = take_op(stream);
    if (!op || fill_op(op, work)) {
        pthread_mutex_unlock(&stream->lock);
        free(op);
        work_release(work);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    op->counts = counts;
    if (counts)
        atomic_store(&stream->calls_in, atomic_load_explicit(&stream->calls_in, memory_order_relaxed) + 1);
    int was_idle = append(stream, op);
    *sequence = op->sequence;
    pthread_mutex_unlock(&stream->lock);
    if (was_idle)
        exec_ready(stream);
    return CUDA_SUCCESS;
}

/* Make `stream` wait for a point of `before`, whose reference it takes over. */
static CUresult push_wait(struct stream *stream, struct stream *before, uint64_t sequence)
{
    uint64_t ignored = 0;
    struct work work = {.kind = WORK_WAIT_POINT, .point = {before, sequence}};
    return push(stream, &work, 0, &ignored);
}

/* The legacy stream follows all blocking streams of its context. */
static CUresult follow_blocking_streams(struct stream *legacy)
{
    struct context *context = legacy->object.context;
    CUresult result = CUDA_SUCCESS;
    pthread_mutex_lock(&context->lock);
    for (struct stream *other = context->streams; other && !result; other = other->next) {
        uint64_t submitted = atomic_load(&other->submitted);
        if (other == legacy || (other->flags & CU_STREAM_NON_BLOCKING) || stream_reached(other, submitted))
            continue;
        if (object_try_hold(&other->object))
            result = push_wait(legacy, other, submitted);
    }
    pthread_mutex_unlock(&context->lock);
    return result;
}

static CUresult follow_legacy_stream(struct stream *stream)
{
    struct stream *legacy = stream->object.context->legacy;
    uint64_t submitted = atomic_load(&legacy->submitted);
    if (submitted == atomic_load(&stream->legacy_seen) || stream_reached(legacy, submitted))
        return CUDA_SUCCESS;
    object_hold(&legacy->object);
    CUresult result = push_wait(stream, legacy, submitted);
    atomic_store(&stream->legacy_seen, submitted);
    return result;
}

static CUresult order_with_others(struct stream *stream)
{
    if (stream->is_legacy)
        return follow_blocking_streams(stream);
    return stream->flags & CU_STREAM_NON_BLOCKING ? CUDA_SUCCESS : follow_legacy_stream(stream);
}

/* Claim an idle stream for the calling thread. */
static int claim(struct stream *stream, uint64_t *sequence)
{
    pthread_mutex_lock(&stream->lock);
    int idle = stream->state == STREAM_IDLE;
    if (idle) {
        stream->state = STREAM_RUNNING;
        *sequence = atomic_load_explicit(&stream->submitted, memory_order_relaxed) + 1;
        atomic_store(&stream->submitted, *sequence);
    }
    pthread_mutex_unlock(&stream->lock);
    return idle;
}

static void unclaim(struct stream *stream)
{
    pthread_mutex_lock(&stream->lock);
    int more = stream->head != NULL;
    stream->state = more ? STREAM_READY : STREAM_IDLE;
    if (more)
        object_hold(&stream->object);
    pthread_mutex_unlock(&stream->lock);
    if (more)
        exec_ready(stream);
}

CUresult stream_submit(struct stream *stream, struct work *work, unsigned flags, uint64_t *sequence)
{
    CUresult result = order_with_others(stream);
    if (result) {
        work_release(work);
        return result;
    }
    if (flags & (SUBMIT_INLINE | SUBMIT_WAIT) && claim(stream, sequence)) {
        (void)work_run(stream, work, *sequence);
        work_release(work);
        stream_complete(stream, *sequence);
        unclaim(stream);
        return CUDA_SUCCESS;
    }
    result = push(stream, work, !(flags & SUBMIT_PART), sequence);
    if (!result && ((flags & SUBMIT_WAIT) || driver.launch_blocking))
        stream_wait(stream, *sequence);
    return result;
}

static void free_ops(struct op *op)
{
    while (op) {
        struct op *next = op->next;
        free(op);
        op = next;
    }
}

void stream_leave_context(struct stream *stream)
{
    struct context *context = stream->object.context;
    pthread_mutex_lock(&context->lock);
    if (stream->previous)
        stream->previous->next = stream->next;
    else
        context->streams = stream->next;
    if (stream->next)
        stream->next->previous = stream->previous;
    pthread_mutex_unlock(&context->lock);
    stream->object.context = NULL;
    if (!stream->is_legacy)
        object_put(&context->object);
}

static void stream_free(struct object *object)
{
    struct stream *stream = (struct stream *)object;
    if (object->context)
        stream_leave_context(stream);
    free_ops(stream->spare);
    free_ops(stream->finished);
    free(stream->capture_dependencies);
    pthread_mutex_destroy(&stream->lock);
    free(stream);
}

static void link_stream(struct context *context, struct stream *stream)
{
    pthread_mutex_lock(&context->lock);
    stream->next = context->streams;
    if (stream->next)
        stream->next->previous = stream;
    context->streams = stream;
    pthread_mutex_unlock(&context->lock);
}

CUresult stream_create(struct context *context, unsigned flags, int priority, int is_legacy, struct stream **out)
{
    static _Atomic uint64_t next_id = 1;
    struct stream *stream = aligned_alloc(64, (sizeof(*stream) + 63) & ~(size_t)63);
    if (!stream)
        return CUDA_ERROR_OUT_OF_MEMORY;
    memset(stream, 0, sizeof(*stream));
    stream->flags = flags;
    stream->priority = priority > PRIORITY_LOW ? PRIORITY_LOW : priority < PRIORITY_HIGH ? PRIORITY_HIGH : priority;
    stream->is_legacy = is_legacy;
    stream->id = atomic_fetch_add(&next_id, 1);
    atomic_init(&stream->wake_at, UINT64_MAX);
    pthread_mutex_init(&stream->lock, NULL);
    if (object_register(&stream->object, KIND_STREAM, stream_free)) {
        free(stream);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    stream->object.context = context;
    if (!is_legacy) /* which dies with its context */
        object_hold(&context->object);
    link_stream(context, stream);
    *out = stream;
    return CUDA_SUCCESS;
}

/* The work that is queued still runs: an executor holds a reference. */
void stream_kill(struct stream *stream)
{
    if (!object_kill(&stream->object))
        return;
    capture_stream_ends(stream);
    object_put(&stream->object);
}
