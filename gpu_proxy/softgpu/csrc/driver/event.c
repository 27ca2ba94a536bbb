/* SPDX-License-Identifier: Apache-2.0
 *
 * Events: the latest recorded point of a stream, and when it was reached.
 */
#include <stdlib.h>

#include "capture.h"
#include "pool.h"
#include "stream.h"

#define EVENT_FLAGS (CU_EVENT_BLOCKING_SYNC | CU_EVENT_DISABLE_TIMING | CU_EVENT_INTERPROCESS)

static void event_free(struct object *object)
{
    struct event *event = (struct event *)object;
    if (event->stream)
        object_put(&event->stream->object);
    capture_forget_event(event);
    context_disown(object);
    pthread_mutex_destroy(&event->lock);
    free(event);
}

CUresult cuEventCreate(CUevent *phEvent, unsigned int flags)
{
    ENTER_CONTEXT(context);
    NEED(phEvent && !(flags & ~(unsigned)EVENT_FLAGS));
    NEED(!(flags & CU_EVENT_INTERPROCESS) || (flags & CU_EVENT_DISABLE_TIMING));
    if (flags & CU_EVENT_INTERPROCESS)
        return CUDA_ERROR_NOT_SUPPORTED;
    struct event *event = calloc(1, sizeof(*event));
    if (!event)
        return CUDA_ERROR_OUT_OF_MEMORY;
    event->flags = flags;
    pthread_mutex_init(&event->lock, NULL);
    CUresult result = context_adopt(context, &event->object, KIND_EVENT, event_free);
    if (result)
        free(event);
    else
        *phEvent = AS_HANDLE(CUevent, event);
    return result;
}

CUresult cuEventDestroy_v2(CUevent hEvent)
{
    ENTER();
    struct event *event = object_get(HANDLE(hEvent), KIND_EVENT);
    if (!event)
        return CUDA_ERROR_INVALID_HANDLE;
    if (object_kill(&event->object))
        object_put(&event->object);
    object_put(&event->object);
    return CUDA_SUCCESS;
}

void event_stamp(struct event *event, uint64_t generation)
{
    uint64_t now = now_ns();
    pthread_mutex_lock(&event->lock);
    if (!generation || event->generation == generation)
        event->time_ns = now;
    pthread_mutex_unlock(&event->lock);
}

void event_point(struct event *event, struct stream **stream, uint64_t *sequence)
{
    pthread_mutex_lock(&event->lock);
    *stream = event->stream;
    *sequence = event->sequence;
    if (event->stream)
        object_hold(&event->stream->object);
    pthread_mutex_unlock(&event->lock);
}

static uint64_t begin_record(struct event *event)
{
    pthread_mutex_lock(&event->lock);
    uint64_t generation = ++event->generation;
    pthread_mutex_unlock(&event->lock);
    return generation;
}

CUresult event_set_point(struct event *event, uint64_t generation, struct stream *stream, uint64_t sequence)
{
    struct stream *before = NULL;
    pthread_mutex_lock(&event->lock);
    if (!generation || event->generation == generation) {
        if (!generation)
            event->generation++;
        before = event->stream;
        object_hold(&stream->object);
        event->stream = stream;
        event->sequence = sequence;
    }
    pthread_mutex_unlock(&event->lock);
    if (before)
        object_put(&before->object);
    return CUDA_SUCCESS;
}

static CUresult record(struct event *event, struct stream *stream)
{
    capture_forget_event(event); /* an earlier record inside a capture no longer counts */
    uint64_t sequence = 0, generation = begin_record(event);
    struct work work = {.kind = WORK_RECORD, .record = {event, generation}};
    object_hold(&event->object);
    TRY(stream_submit(stream, &work, SUBMIT_INLINE, &sequence));
    return event_set_point(event, generation, stream, sequence);
}

CUresult cuEventRecordWithFlags(CUevent hEvent, CUstream hStream, unsigned int flags)
{
    struct stream *stream = NULL;
    ENTER_CONTEXT(context);
    NEED(!(flags & ~(unsigned)CU_EVENT_RECORD_EXTERNAL));
    struct event *event = object_get(HANDLE(hEvent), KIND_EVENT);
    if (!event)
        return CUDA_ERROR_INVALID_HANDLE;
    CUresult result = stream_resolve(context, hStream, &stream);
    if (!result && stream->object.context->owner != event->object.context->owner)
        result = CUDA_ERROR_INVALID_HANDLE;
    if (!result)
        result = stream->capture ? capture_record(stream, event, flags) : record(event, stream);
    if (stream)
        object_put(&stream->object);
    object_put(&event->object);
    return result;
}

CUresult cuEventRecord(CUevent hEvent, CUstream hStream)
{
    return cuEventRecordWithFlags(hEvent, hStream, CU_EVENT_RECORD_DEFAULT);
}

/* The event's point, or NULL for an event that was never recorded. */
static CUresult look_up(CUevent hEvent, struct event **event, struct stream **stream, uint64_t *sequence)
{
    TRY(driver_enter());
    *event = object_get(HANDLE(hEvent), KIND_EVENT);
    if (!*event)
        return CUDA_ERROR_INVALID_HANDLE;
    CUresult result = capture_forbid_event(*event);
    if (result) {
        object_put(&(*event)->object);
        return result;
    }
    event_point(*event, stream, sequence);
    return CUDA_SUCCESS;
}

CUresult cuEventQuery(CUevent hEvent)
{
    struct event *event = NULL;
    struct stream *stream = NULL;
    uint64_t sequence = 0;
    TRY(look_up(hEvent, &event, &stream, &sequence));
    CUresult result = capture_forbid_unsafe();
    if (!result && stream)
        result = stream_reached(stream, sequence) ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
    struct context *context = event->object.context;
    if (context && atomic_load(&context->sticky))
        result = (CUresult)atomic_load(&context->sticky);
    if (stream)
        object_put(&stream->object);
    object_put(&event->object);
    return result;
}

CUresult cuEventSynchronize(CUevent hEvent)
{
    struct event *event = NULL;
    struct stream *stream = NULL;
    uint64_t sequence = 0;
    TRY(look_up(hEvent, &event, &stream, &sequence));
    CUresult result = capture_forbid_unsafe();
    if (!result && stream)
        stream_wait(stream, sequence);
    struct context *context = event->object.context;
    if (context && atomic_load(&context->sticky))
        result = (CUresult)atomic_load(&context->sticky);
    if (!result && context)
        pools_synchronized(context->device);
    if (stream)
        object_put(&stream->object);
    object_put(&event->object);
    return result;
}

/* When the event's point was reached. */
static CUresult time_of(CUevent hEvent, uint64_t *time_ns)
{
    struct event *event = NULL;
    struct stream *stream = NULL;
    uint64_t sequence = 0;
    TRY(look_up(hEvent, &event, &stream, &sequence));
    CUresult result = CUDA_SUCCESS;
    if (!stream || (event->flags & CU_EVENT_DISABLE_TIMING))
        result = CUDA_ERROR_INVALID_HANDLE;
    else if (!stream_reached(stream, sequence))
        result = CUDA_ERROR_NOT_READY;
    pthread_mutex_lock(&event->lock);
    *time_ns = event->time_ns;
    pthread_mutex_unlock(&event->lock);
    if (stream)
        object_put(&stream->object);
    object_put(&event->object);
    return result;
}

CUresult cuEventElapsedTime(float *ms, CUevent hStart, CUevent hEnd)
{
    uint64_t start = 0, end = 0;
    ENTER_CONTEXT(context);
    (void)context;
    NEED(ms);
    CUresult first = time_of(hStart, &start), second = time_of(hEnd, &end);
    if (first == CUDA_ERROR_INVALID_HANDLE || second == CUDA_ERROR_INVALID_HANDLE)
        return CUDA_ERROR_INVALID_HANDLE;
    TRY(first);
    TRY(second);
    *ms = (float)((double)(int64_t)(end - start) / 1e6);
    return CUDA_SUCCESS;
}

CUresult cuEventElapsedTime_v2(float *ms, CUevent hStart, CUevent hEnd)
{
    return cuEventElapsedTime(ms, hStart, hEnd);
}
