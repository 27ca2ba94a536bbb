/* SPDX-License-Identifier: Apache-2.0
 *
 * The cuStream calls, apart from capture.
 */
#include <stdlib.h>

#include "capture.h"
#include "memory.h"
#include "pool.h"
#include "stream.h"

static CUresult per_thread_stream(struct context *context, struct stream **stream)
{
    struct thread *self = thread_self();
    struct thread_stream *room = NULL;
    for (unsigned i = 0; i < THREAD_STREAMS_MAX; i++) {
        struct thread_stream *entry = &self->streams[i];
        if (entry->stream && !object_is_alive(&entry->stream->object)) {
            object_put(&entry->stream->object);
            *entry = (struct thread_stream){0};
        }
        if (entry->stream && entry->context == context) {
            *stream = entry->stream;
            object_hold(&(*stream)->object);
            return CUDA_SUCCESS;
        }
        if (!entry->stream && !room)
            room = entry;
    }
    if (!room)
        return CUDA_ERROR_OUT_OF_MEMORY;
    TRY(stream_create(context, 0, PRIORITY_LOW, 0, stream));
    object_hold(&(*stream)->object); /* the thread's */
    object_hold(&(*stream)->object); /* the caller's */
    *room = (struct thread_stream){context, *stream};
    return CUDA_SUCCESS;
}

CUresult stream_name(struct context *context, CUstream handle, struct stream **stream)
{
    if (!handle && thread_self()->null_is_per_thread)
        handle = CU_STREAM_PER_THREAD;
    if (handle == CU_STREAM_PER_THREAD)
        return per_thread_stream(context, stream);
    if (!handle || handle == CU_STREAM_LEGACY) {
        *stream = context->legacy;
        object_hold(&context->legacy->object);
        return CUDA_SUCCESS;
    }
    *stream = object_get(HANDLE(handle), KIND_STREAM);
    if (!*stream)
        return CUDA_ERROR_INVALID_HANDLE;
    return context_check((*stream)->object.context);
}

CUresult stream_resolve(struct context *context, CUstream handle, struct stream **stream)
{
    TRY(stream_name(context, handle, stream));
    return (*stream)->is_legacy ? capture_forbid_legacy(*stream) : CUDA_SUCCESS;
}

/* For calls that take a stream and end with it: those that use it, and those that only ask about it. */
#define ENTER_WITH_STREAM(find, name, handle)                                                                \
    ENTER_CONTEXT(context);                                                                                  \
    struct stream *name __attribute__((cleanup(put_stream))) = NULL;                                         \
    TRY(find(context, handle, &name))
#define ENTER_STREAM(name, handle) ENTER_WITH_STREAM(stream_resolve, name, handle)
#define ENTER_NAMED_STREAM(name, handle) ENTER_WITH_STREAM(stream_name, name, handle)

static void put_stream(struct stream **stream)
{
    if (*stream)
        object_put(&(*stream)->object);
}

CUresult stream_perform(struct stream *stream, struct work *work, unsigned flags)
{
    uint64_t sequence = 0;
    static const CUgraphNodeType types[] = {
        [WORK_KERNEL] = CU_GRAPH_NODE_TYPE_KERNEL, [WORK_COPY] = CU_GRAPH_NODE_TYPE_MEMCPY,
        [WORK_SET] = CU_GRAPH_NODE_TYPE_MEMSET,    [WORK_HOST] = CU_GRAPH_NODE_TYPE_HOST,
        [WORK_EMPTY] = CU_GRAPH_NODE_TYPE_EMPTY,
    };
    if (!stream->capture)
        return stream_submit(stream, work, flags, &sequence);
    if (!(flags & SUBMIT_WAIT) && work->kind <= WORK_HOST)
        return capture_work(stream, work, types[work->kind]);
    work_release(work);
    return capture_forbid_stream(stream);
}

CUresult cuStreamCreateWithPriority(CUstream *phStream, unsigned int flags, int priority)
{
    struct stream *stream = NULL;
    ENTER_CONTEXT(context);
    NEED(phStream && !(flags & ~(unsigned)CU_STREAM_NON_BLOCKING));
    TRY(stream_create(context, flags, priority, 0, &stream));
    *phStream = AS_HANDLE(CUstream, stream);
    return CUDA_SUCCESS;
}

CUresult cuStreamCreate(CUstream *phStream, unsigned int flags)
{
    return cuStreamCreateWithPriority(phStream, flags, PRIORITY_LOW);
}

CUresult cuStreamDestroy_v2(CUstream hStream)
{
    ENTER();
    struct stream *stream = object_get(HANDLE(hStream), KIND_STREAM);
    if (!stream)
        return CUDA_ERROR_INVALID_HANDLE;
    CUresult result = stream->is_legacy ? CUDA_ERROR_INVALID_HANDLE : CUDA_SUCCESS;
    if (!result)
        stream_kill(stream);
    object_put(&stream->object);
    return result;
}

/* A legacy stream has done its work when the streams that it follows have. */
static int is_done(struct stream *stream)
{
    if (!stream_reached(stream, atomic_load(&stream->submitted)))
        return 0;
    if (!stream->is_legacy)
        return 1;
    int done = 1;
    struct context *context = stream->object.context;
    pthread_mutex_lock(&context->lock);
    for (struct stream *other = context->streams; other && done; other = other->next)
        done = (other->flags & CU_STREAM_NON_BLOCKING) || stream_reached(other, atomic_load(&other->submitted));
    pthread_mutex_unlock(&context->lock);
    return done;
}

CUresult stream_synchronize(struct stream *stream)
{
    uint64_t sequence = atomic_load(&stream->submitted);
    if (!is_done(stream) && stream->is_legacy) {
        struct work nothing = {.kind = WORK_EMPTY};
        TRY(stream_submit(stream, &nothing, SUBMIT_INLINE, &sequence));
    }
    stream_wait(stream, sequence);
    return context_check(stream->object.context);
}

CUresult cuStreamSynchronize(CUstream hStream)
{
    ENTER_STREAM(stream, hStream);
    TRY(capture_forbid_stream(stream));
    TRY(stream_synchronize(stream));
    pools_synchronized(stream->object.context->device);
    return CUDA_SUCCESS;
}

CUresult cuStreamQuery(CUstream hStream)
{
    ENTER_STREAM(stream, hStream);
    TRY(capture_forbid_stream(stream));
    if (!is_done(stream))
        return CUDA_ERROR_NOT_READY;
    return context_check(stream->object.context);
}

CUresult cuStreamWaitEvent(CUstream hStream, CUevent hEvent, unsigned int flags)
{
    struct stream *on = NULL;
    uint64_t sequence = 0, ignored = 0;
    ENTER_STREAM(stream, hStream);
    NEED(!(flags & ~(unsigned)CU_EVENT_WAIT_EXTERNAL));
    struct event *event = object_get(HANDLE(hEvent), KIND_EVENT);
    if (!event)
        return CUDA_ERROR_INVALID_HANDLE;
    CUresult result = CUDA_SUCCESS;
    if (stream->capture || capture_has_event(event)) {
        result = capture_wait(stream, event, flags);
    } else {
        event_point(event, &on, &sequence);
        if (on && on != stream && !stream_reached(on, sequence)) {
            struct work work = {.kind = WORK_WAIT_POINT, .point = {on, sequence}};
            result = stream_submit(stream, &work, 0, &ignored);
        } else if (on) {
            object_put(&on->object);
        }
    }
    object_put(&event->object);
    return result;
}

CUresult cuLaunchHostFunc(CUstream hStream, CUhostFn fn, void *data)
{
    ENTER_STREAM(stream, hStream);
    NEED(fn);
    struct work work = {.kind = WORK_HOST, .host = {fn, data}};
    return stream_perform(stream, &work, 0);
}

CUresult cuLaunchHostFunc_v2(CUstream hStream, CUhostFn fn, void *data, unsigned int mode)
{
    (void)mode;
    return cuLaunchHostFunc(hStream, fn, data);
}

CUresult cuStreamAddCallback(CUstream hStream, CUstreamCallback fn, void *data, unsigned int flags)
{
    uint64_t sequence = 0;
    ENTER_STREAM(stream, hStream);
    NEED(fn && !flags);
    TRY(capture_forbid_stream(stream));
    struct work work = {.kind = WORK_CALLBACK, .callback = {fn, data, hStream}};
    return stream_submit(stream, &work, 0, &sequence);
}

CUresult cuStreamGetPriority(CUstream hStream, int *priority)
{
    ENTER_NAMED_STREAM(stream, hStream);
    NEED(priority);
    *priority = stream->priority;
    return CUDA_SUCCESS;
}

CUresult cuStreamGetFlags(CUstream hStream, unsigned int *flags)
{
    ENTER_NAMED_STREAM(stream, hStream);
    NEED(flags);
    *flags = stream->flags;
    return CUDA_SUCCESS;
}

CUresult cuStreamGetId(CUstream hStream, unsigned long long *id)
{
    ENTER_NAMED_STREAM(stream, hStream);
    NEED(id);
    *id = stream->id;
    return CUDA_SUCCESS;
}

CUresult cuStreamGetCtx(CUstream hStream, CUcontext *pctx)
{
    ENTER_NAMED_STREAM(stream, hStream);
    NEED(pctx);
    *pctx = AS_HANDLE(CUcontext, stream->object.context);
    return CUDA_SUCCESS;
}

CUresult cuStreamGetCtx_v2(CUstream hStream, CUcontext *pctx, CUgreenCtx *green)
{
    ENTER_STREAM(stream, hStream);
    NEED(pctx);
    if (green)
        *green = (CUgreenCtx)(uintptr_t)stream->object.context->green;
    *pctx = AS_HANDLE(CUcontext, stream->object.context->owner);
    return CUDA_SUCCESS;
}

CUresult cuStreamGetDevice(CUstream hStream, CUdevice *device)
{
    ENTER_NAMED_STREAM(stream, hStream);
    NEED(device);
    *device = stream->object.context->device->ordinal;
    return CUDA_SUCCESS;
}

CUresult cuStreamGetGreenCtx(CUstream hStream, CUgreenCtx *green)
{
    ENTER_NAMED_STREAM(stream, hStream);
    NEED(green);
    *green = (CUgreenCtx)(uintptr_t)stream->object.context->green;
    return CUDA_SUCCESS;
}

CUresult cuStreamAttachMemAsync(CUstream hStream, CUdeviceptr dptr, size_t length, unsigned int flags)
{
    struct allocation found;
    ENTER_STREAM(stream, hStream);
    (void)length;
    TRY(capture_forbid_stream(stream));
    NEED(flags && !(flags & ~7u));
    NEED(host_find(dptr, &found) && found.kind == MEMORY_MANAGED);
    return CUDA_SUCCESS; /* host memory that every stream sees: nothing to move */
}

CUresult cuStreamCopyAttributes(CUstream dst, CUstream src)
{
    ENTER_NAMED_STREAM(target, dst);
    struct stream *source = object_get(HANDLE(src), KIND_STREAM);
    if (!source)
        return CUDA_ERROR_INVALID_HANDLE;
    target->priority = source->priority;
    object_put(&source->object);
    return CUDA_SUCCESS;
}

CUresult cuStreamSetAttribute(CUstream hStream, CUstreamAttrID id, const CUstreamAttrValue *value)
{
    ENTER_NAMED_STREAM(stream, hStream);
    NEED(value);
    if (id == CU_LAUNCH_ATTRIBUTE_PRIORITY)
        stream->priority = value->priority;
    return CUDA_SUCCESS; /* the others are hints */
}

CUresult cuStreamGetAttribute(CUstream hStream, CUstreamAttrID id, CUstreamAttrValue *value)
{
    ENTER_NAMED_STREAM(stream, hStream);
    NEED(value);
    *value = (CUstreamAttrValue){0};
    if (id == CU_LAUNCH_ATTRIBUTE_PRIORITY)
        value->priority = stream->priority;
    return CUDA_SUCCESS;
}
