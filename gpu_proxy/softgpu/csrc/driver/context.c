/* SPDX-License-Identifier: Apache-2.0
 *
 * Contexts: what they own, how they fail, and how they end.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"
#include "stream.h"

CUresult context_check(struct context *context)
{
    if (!atomic_load(&context->alive))
        return CUDA_ERROR_CONTEXT_IS_DESTROYED;
    return (CUresult)atomic_load(&context->sticky);
}

CUresult context_enter(struct context **context)
{
    TRY(driver_enter());
    const struct thread *self = thread_self();
    if (self->in_host_function)
        return CUDA_ERROR_NOT_PERMITTED;
    struct context *current = self->depth ? self->stack[self->depth - 1] : NULL;
    if (!current)
        return CUDA_ERROR_INVALID_CONTEXT;
    *context = current;
    return context_check(current);
}

struct context *context_current(void)
{
    const struct thread *self = thread_self();
    return self->depth ? self->stack[self->depth - 1] : NULL;
}

CUresult context_from_handle(CUcontext handle, struct context **context)
{
    *context = object_get(HANDLE(handle), KIND_CONTEXT);
    return *context ? CUDA_SUCCESS : CUDA_ERROR_INVALID_CONTEXT;
}

void context_fault(struct context *context, CUresult result)
{
    int none = 0;
    atomic_compare_exchange_strong(&context->sticky, &none, (int)result);
}

static void context_free(struct object *object)
{
    struct context *context = (struct context *)object;
    stream_leave_context(context->legacy);
    stream_kill(context->legacy);
    pthread_mutex_destroy(&context->lock);
    free(context);
}

static void default_limits(struct context *context)
{
    context->limits[CU_LIMIT_STACK_SIZE] = 1024;
    context->limits[CU_LIMIT_PRINTF_FIFO_SIZE] = 1 << 20;
    context->limits[CU_LIMIT_MALLOC_HEAP_SIZE] = 8 << 20;
    context->limits[CU_LIMIT_DEV_RUNTIME_SYNC_DEPTH] = 2;
    context->limits[CU_LIMIT_DEV_RUNTIME_PENDING_LAUNCH_COUNT] = 2048;
    context->limits[CU_LIMIT_MAX_L2_FETCH_GRANULARITY] = 64;
}

CUresult context_create(struct device *device, unsigned flags, int is_primary, struct context **out)
{
    static _Atomic uint64_t next_id = 1;
    struct context *context = calloc(1, sizeof(*context));
    if (!context)
        return CUDA_ERROR_OUT_OF_MEMORY;
    context->device = device;
    context->is_primary = is_primary;
    context->owner = context;
    context->multiprocessors = device->multiprocessors;
    context->flags = flags;
    context->api_version = DRIVER_VERSION;
    context->id = atomic_fetch_add(&next_id, 1);
    context->shared_config = CU_SHARED_MEM_CONFIG_FOUR_BYTE_BANK_SIZE;
    default_limits(context);
    pthread_mutex_init(&context->lock, NULL);
    if (object_register(&context->object, KIND_CONTEXT, context_free)) {
        free(context);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    if (stream_create(context, 0, PRIORITY_LOW, 1, &context->legacy)) {
        object_kill(&context->object);
        free(context); /* the slot is lost, as is the process: there is no memory for a stream */
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    atomic_store(&context->alive, 1);
    *out = context;
    return CUDA_SUCCESS;
}

CUresult context_adopt(struct context *context, struct object *object, enum kind kind, object_free_fn free_fn)
{
    if (object_register(object, kind, free_fn))
        return CUDA_ERROR_OUT_OF_MEMORY;
    if (kind != KIND_EVENT)
        context = context->owner; /* it holds memory */
    object->context = context;
    object_hold(&context->object);
    pthread_mutex_lock(&context->lock);
    object->next = context->objects;
    object->previous = NULL;
    if (object->next)
        object->next->previous = object;
    context->objects = object;
    pthread_mutex_unlock(&context->lock);
    return CUDA_SUCCESS;
}

void context_disown(struct object *object)
{
    struct context *context = object->context;
    if (!context)
        return;
    pthread_mutex_lock(&context->lock);
    if (object->previous)
        object->previous->next = object->next;
    else
        context->objects = object->next;
    if (object->next)
        object->next->previous = object->previous;
    pthread_mutex_unlock(&context->lock);
    object->context = NULL;
    object_put(&context->object);
}

/* The first stream of the context that has unfinished work, counted. */
static struct stream *busy_stream(struct context *context)
{
    pthread_mutex_lock(&context->lock);
    struct stream *stream = context->streams;
    while (stream) {
        int busy = !stream_reached(stream, atomic_load(&stream->submitted));
        if (busy && object_try_hold(&stream->object))
            break;
        stream = stream->next;
    }
    pthread_mutex_unlock(&context->lock);
    return stream;
}

enum { STREAMS_WAITED_MAX = 65536 };

/* Wait for what has been submitted up to now, not for what other threads add meanwhile. */
CUresult context_wait_idle(struct context *context)
{
    size_t count = 0, used = 0;
    pthread_mutex_lock(&context->lock);
    for (struct stream *stream = context->streams; stream; stream = stream->next)
        count += !stream_reached(stream, atomic_load(&stream->submitted));
    struct work_point *points = count && count <= STREAMS_WAITED_MAX ? malloc(count * sizeof(*points)) : NULL;
    for (struct stream *stream = context->streams; points && stream && used < count; stream = stream->next) {
        uint64_t submitted = atomic_load(&stream->submitted);
        if (!stream_reached(stream, submitted) && object_try_hold(&stream->object))
            points[used++] = (struct work_point){stream, submitted};
    }
    pthread_mutex_unlock(&context->lock);
    if (count && !points)
        return CUDA_ERROR_OUT_OF_MEMORY;
    for (size_t i = 0; i < used; i++) {
        stream_wait(points[i].stream, points[i].sequence);
        object_put(&points[i].stream->object);
    }
    free(points);
    return CUDA_SUCCESS;
}

static void cancel_streams(struct context *context)
{
    pthread_mutex_lock(&context->lock);
    for (struct stream *stream = context->streams; stream; stream = stream->next)
        stream_cancel(stream);
    pthread_mutex_unlock(&context->lock);
}

static void drain(struct context *context)
{
    for (struct stream *stream; (stream = busy_stream(context)) != NULL;) {
        cancel_streams(context);
        stream_wait(stream, atomic_load(&stream->submitted));
        object_put(&stream->object);
    }
}

static struct object *first_object(struct context *context)
{
    pthread_mutex_lock(&context->lock);
    struct object *object = context->objects;
    while (object && !(object_is_alive(object) && object_try_hold(object)))
        object = object->next;
    pthread_mutex_unlock(&context->lock);
    return object;
}

static struct stream *first_stream(struct context *context)
{
    pthread_mutex_lock(&context->lock);
    struct stream *stream = context->streams;
    while (stream && (stream->is_legacy || !object_is_alive(&stream->object) || !object_try_hold(&stream->object)))
        stream = stream->next;
    pthread_mutex_unlock(&context->lock);
    return stream;
}

static void kill_all(struct context *context)
{
    for (struct stream *stream; (stream = first_stream(context)) != NULL; object_put(&stream->object))
        stream_kill(stream);
    for (struct object *object; (object = first_object(context)) != NULL; object_put(object))
        if (object_kill(object))
            object_put(object);
}

void context_shut(struct context *context)
{
    atomic_store(&context->alive, 0);
    context->cancel = 1;
    drain(context);
    interop_forget_context(context);
    kill_all(context);
    memory_release_context(context);
    host_release_context(context);
    context->cancel = 0;
    atomic_store(&context->sticky, 0);
}

CUresult context_wait_all_idle(void)
{
    struct context *context = context_current();
    return context ? context_wait_idle(context) : CUDA_SUCCESS;
}
