/* SPDX-License-Identifier: Apache-2.0
 *
 * What the executor waits for: an event is recorded in order, and polled until it has happened. Then a
 * slot is answered, a staging chunk freed, a host function announced to the application, or a stream that it
 * has destroyed given back to the driver: until then, waits for the context must include it.
 */
#include <stdlib.h>
#include <string.h>

#include "executor.h"

enum vx_pending_kind { PENDING_ANSWER, PENDING_CHUNK, PENDING_CALLBACK, PENDING_EVENT, PENDING_STREAM };

enum { KIND_STREAM = 2, WAIT_VALUE_GEQ = 0 };

static void orphan(struct vx *x, uint64_t context)
{
    x->contexts_ending++;
    for (uint32_t i = 0; i < x->pending_count; i++)
        if (x->pending[i].context == context)
            x->pending[i].orphan = 1;
}

void vx_context_ended(struct vx *x)
{
    atomic_fetch_add_explicit(&x->contexts_ended, 1, memory_order_release);
}

/* The context is about to go, and with it its events. */
void vx_forget_pools(struct vx *x, uint64_t context)
{
    orphan(x, context);
    vx_forget_gauges(x, context);
    vx_forget_events(x, context);
    vx_forget_flags(x, context);
    vx_forget_handshakes(x, context);
    uint32_t kept = 0;
    pthread_mutex_lock(&x->lock);
    for (uint32_t i = 0; i < x->thread_stream_count; i++)
        if (x->thread_streams[i].context != context)
            x->thread_streams[kept++] = x->thread_streams[i];
        else
            vx_capture_gone(x, (uint64_t)(uintptr_t)x->thread_streams[i].stream);
    pthread_mutex_unlock(&x->lock);
    x->thread_stream_count = kept;
}

void vx_release_events(struct vx *x, struct vx_pending *pending)
{
    if (pending->kind != PENDING_EVENT && !pending->orphan)
        for (uint32_t i = 0; i < pending->event_count; i++)
            vx_give_event(x, pending->context, pending->events ? pending->events[i] : pending->one);
    free(pending->events);
    pending->events = NULL;
}

int vx_add_pending(struct vx *x, struct vx_pending *pending)
{
    if (x->pending_count == VX_PENDING_MAX)
        return VX_OUT_OF_MEMORY;
    x->pending[x->pending_count++] = *pending;
    return VX_SUCCESS;
}

/* Record a pooled event on `stream` and wait for it under `pending`. */
static int wait_for(struct vx *x, uint64_t stream, struct vx_pending *pending)
{
    int status = vx_capture_refuses(x, stream);

    pending->context = x->current;
    pending->event_count = 1;
    if (status == VX_SUCCESS)
        status = vx_take_event(x, &pending->one);
    if (status == VX_SUCCESS)
        status = x->driver.event_record(pending->one, stream);
    if (status == VX_SUCCESS)
        status = vx_add_pending(x, pending);
    if (status != VX_SUCCESS && pending->one)
        vx_give_event(x, x->current, pending->one);
    return status;
}

int vx_wait_stream(struct vx *x, uint64_t stream, uint32_t slot, uint32_t sequence, uint32_t bytes)
{
    struct vx_pending pending = {.kind = PENDING_ANSWER, .slot = (uint16_t)slot, .sequence = sequence,
                                 .bytes = bytes};
    return wait_for(x, stream, &pending);
}

int vx_wait_event(struct vx *x, uint64_t event, uint32_t slot, uint32_t sequence)
{
    struct vx_pending pending = {.kind = PENDING_EVENT, .slot = (uint16_t)slot, .sequence = sequence,
                                 .event_count = 1, .one = (void *)(uintptr_t)event,
                                 .context = x->current};
    return vx_add_pending(x, &pending);
}

int vx_keep_event(struct vx *x, uint64_t event)
{
    for (uint32_t i = 0; i < x->pending_count; i++) {
        struct vx_pending *pending = &x->pending[i];
        if (pending->kind == PENDING_EVENT && (uint64_t)(uintptr_t)pending->one == event)
            return pending->owned = 1;
    }
    return 0;
}

int vx_keep_stream(struct vx *x, uint64_t handle)
{
    struct vx_pending pending = {.kind = PENDING_STREAM};
    uint64_t context = 0;

    if (vx_lookup_in(x, handle, KIND_STREAM, &pending.callback, &context) || vx_set_context(x, context))
        return 0;
    return !vx_is_capturing(x, pending.callback) && x->driver.stream_query(pending.callback) == VX_NOT_READY &&
           wait_for(x, pending.callback, &pending) == VX_SUCCESS;
}

int vx_release_chunk_after(struct vx *x, uint64_t stream, uint32_t chunk)
{
    struct vx_pending pending = {.kind = PENDING_CHUNK, .chunk = chunk};
    return wait_for(x, stream, &pending);
}

struct stream_list {
    uint64_t context;           /* handle */
    uint64_t *streams;
    uint32_t count, limit;
};

static int collect_stream(const struct vx_object *entry, void *data)
{
    struct stream_list *list = data;

    if (IDM_HANDLE_KIND(entry->handle) == KIND_STREAM && entry->context == list->context &&
        list->count < list->limit)
        list->streams[list->count++] = entry->object;
    return 0;
}

/* Streams of a context that a context-wide wait must include, the legacy one first. */
static uint32_t context_streams(struct vx *x, uint64_t handle, uint64_t *streams, uint32_t limit)
{
    struct stream_list list = {.context = handle, .streams = streams, .limit = limit};

    list.streams[list.count++] = 0;
    vx_each_object(x, collect_stream, &list);
    for (uint32_t i = 0; i < x->thread_stream_count && list.count < limit; i++)
        if (x->thread_streams[i].context == x->current)
            streams[list.count++] = (uint64_t)(uintptr_t)x->thread_streams[i].stream;
    for (uint32_t i = 0; i < x->pending_count && list.count < limit; i++)
        if (x->pending[i].kind == PENDING_STREAM && x->pending[i].context == x->current)
            streams[list.count++] = x->pending[i].callback;
    return list.count;
}

int vx_wait_context(struct vx *x, uint64_t handle, uint32_t slot, uint32_t sequence, int beside_captures)
{
    uint32_t limit = x->object_count + x->thread_stream_count + x->pending_count + 1;
    uint64_t *streams = calloc(limit, sizeof *streams);
    struct vx_pending pending = {.kind = PENDING_ANSWER, .slot = (uint16_t)slot, .sequence = sequence,
                                 .context = x->current, .events = calloc(limit, sizeof(void *))};
    int status = streams && pending.events ? VX_SUCCESS : VX_OUT_OF_MEMORY;
    uint32_t count = status == VX_SUCCESS ? context_streams(x, handle, streams, limit) : 0;

    if (beside_captures)
        count = vx_capture_leave_out(x, streams, count);
    else if (status == VX_SUCCESS)
        status = vx_capture_refuses_context(x, streams, count);
    for (uint32_t i = 0; i < count && status == VX_SUCCESS; i++) {
        status = vx_take_event(x, &pending.events[i]);
        if (status == VX_SUCCESS) {
            pending.event_count++;
            status = x->driver.event_record(pending.events[i], streams[i]);
        }
    }
    free(streams);
    if (status == VX_SUCCESS)
        status = vx_add_pending(x, &pending);
    if (status != VX_SUCCESS)
        vx_release_events(x, &pending);
    return status;
}

void vx_release_chunk(struct vx *x, uint32_t chunk)
{
    atomic_fetch_add_explicit(&x->back->chunk_done[chunk], 1, memory_order_release);
}

int vx_callback(struct vx *x, uint64_t stream, uint64_t callback)
{
    struct vx_pending pending = {.kind = PENDING_CALLBACK, .callback = callback};
    uint64_t flag = vx_flag_address(x, callback);

    if (x->callbacks_open == VX_CALLBACKS || !flag)
        return VX_OUT_OF_MEMORY;
    int status = wait_for(x, stream, &pending);
    if (status != VX_SUCCESS)
        return status;
    x->callbacks_open++;
    return x->driver.stream_wait_value32(stream, flag, (uint32_t)callback, WAIT_VALUE_GEQ);
}

static int poll_one(struct vx *x, struct vx_pending *pending)
{
    if (pending->orphan)
        return atomic_load_explicit(&x->contexts_ended, memory_order_acquire) == x->contexts_ending
                   ? VX_CONTEXT_GONE : VX_NOT_READY;
    while (pending->event_count) {
        void *event = pending->events ? pending->events[pending->event_count - 1] : pending->one;
        int status = x->driver.event_query(event);
        if (status != VX_SUCCESS)
            return status;
        if (pending->kind != PENDING_EVENT)
            vx_give_event(x, pending->context, event);
        pending->event_count--;
    }
    return VX_SUCCESS;
}

/* For memory that was freed before a wait and can be given back after it. */
static void note_wait(struct vx *x, const struct vx_pending *pending)
{
    int is_wait = pending->kind == PENDING_ANSWER || pending->kind == PENDING_EVENT;

    if (is_wait && atomic_load_explicit(&x->watching, memory_order_acquire)) {
        atomic_store_explicit(&x->watching, 0, memory_order_relaxed);
        x->waited = 1;
    }
}

/* The application has destroyed it already. An orphan went with its context. */
static void end_stream(struct vx *x, const struct vx_pending *pending)
{
    if (!pending->orphan)
        x->driver.stream_destroy(pending->callback);
}

static void finish(struct vx *x, struct vx_pending *pending, int status)
{
    /* The end of one context is no error of the session's others. */
    if (!pending->orphan)
        vx_note_status(x, status);
    vx_note_output(x);
    note_wait(x, pending);
    vx_release_events(x, pending);
    if (pending->kind == PENDING_CHUNK)
        vx_release_chunk(x, pending->chunk);
    else if (pending->kind == PENDING_CALLBACK)
        vx_announce(x, pending->callback, status);
    else if (pending->kind == PENDING_STREAM)
        end_stream(x, pending);
    else
        vx_answer(x, pending->slot, pending->sequence, 0, status, NULL,
                  status == VX_SUCCESS ? pending->bytes : 0);
}

/* An event that was destroyed during the wait goes with the last call that waits for it. */
static void let_go(struct vx *x, const struct vx_pending *finished, uint32_t kept, uint32_t next, uint32_t count)
{
    if (!finished->owned || finished->orphan)
        return;
    for (uint32_t i = 0; i < count; i++) {
        struct vx_pending *other = &x->pending[i];
        if ((i < kept || i >= next) && other->kind == PENDING_EVENT && other->one == finished->one) {
            other->owned = 1;
            return;
        }
    }
    x->driver.event_destroy(finished->one);
}

int vx_poll_pending(struct vx *x)
{
    uint32_t kept = 0, count = x->pending_count;

    /* Finishing one may add others at the end (never before `count`), so those move down afterwards. */
    for (uint32_t i = 0; i < count; i++) {
        struct vx_pending pending = x->pending[i];
        int status = poll_one(x, &pending);
        if (status == VX_NOT_READY) {
            x->pending[kept++] = pending;
        } else {
            let_go(x, &pending, kept, i + 1, count);
            finish(x, &pending, status);
        }
    }
    memmove(&x->pending[kept], &x->pending[count], (x->pending_count - count) * sizeof *x->pending);
    x->pending_count -= count - kept;
    return (int)(count - kept);
}
