/* SPDX-License-Identifier: Apache-2.0
 *
 * The captures that the application has begun. Here they all run in CUDA's relaxed mode, which forbids
 * nothing, because calls of all its threads come from few threads here; what its own modes forbid is decided
 * in this file, in the order of the ring. Waiting by events and staging never touch a stream that captures.
 */
#include <stdlib.h>

#include "executor.h"

enum { MODE_GLOBAL = 0, MODE_RELAXED = 2, STATUS_NONE = 0, STATUS_UNKNOWN = 0xffff, KIND_EVENT = 3,
       FIRST_CAPACITY = 16 };

static uint32_t count_of(const struct vx *x)
{
    return atomic_load_explicit(&x->capture_count, memory_order_relaxed);
}

uint32_t vx_capture_count(const struct vx *x)
{
    return count_of(x);
}

int vx_capture_room(struct vx *x)
{
    int status = VX_SUCCESS;

    pthread_mutex_lock(&x->lock);
    if (count_of(x) == x->capture_capacity) {
        uint32_t capacity = x->capture_capacity ? 2 * x->capture_capacity : FIRST_CAPACITY;
        struct vx_capture *grown = realloc(x->captures, capacity * sizeof *grown);
        if (grown) {
            x->captures = grown;
            x->capture_capacity = capacity;
        } else {
            status = VX_OUT_OF_MEMORY;
        }
    }
    pthread_mutex_unlock(&x->lock);
    return status;
}

/* The caller holds the lock. The front end asks for the number before it decides anything alone. */
static void set_count(struct vx *x, uint32_t count)
{
    atomic_store_explicit(&x->capture_count, count, memory_order_relaxed);
    atomic_store_explicit(&x->back->captures, count, memory_order_release);
}

void vx_capture_began(struct vx *x, uint64_t stream, uint32_t thread, uint32_t mode)
{
    pthread_mutex_lock(&x->lock);
    uint32_t count = count_of(x);
    if (count < x->capture_capacity) {
        x->captures[count] = (struct vx_capture){stream, x->current, thread, mode};
        set_count(x, count + 1);
    }
    pthread_mutex_unlock(&x->lock);
}

void vx_capture_gone(struct vx *x, uint64_t stream)
{
    uint32_t count = count_of(x);

    for (uint32_t i = 0; i < count; i++)
        if (x->captures[i].stream == stream) {
            x->captures[i] = x->captures[count - 1];
            set_count(x, count - 1);
            return;
        }
}

/* A copy of the capture at `index`, or 0: lanes may end captures meanwhile. */
static int capture_at(struct vx *x, uint32_t index, struct vx_capture *capture)
{
    pthread_mutex_lock(&x->lock);
    int found = index < count_of(x);
    if (found)
        *capture = x->captures[index];
    pthread_mutex_unlock(&x->lock);
    return found;
}

int vx_capture_may_end(struct vx *x, uint64_t stream, uint32_t thread)
{
    struct vx_capture capture;

    for (uint32_t i = 0; capture_at(x, i, &capture); i++)
        if (capture.stream == stream && capture.mode != MODE_RELAXED && capture.thread != thread)
            return VX_WRONG_THREAD;
    return VX_SUCCESS;
}

/* enum CUstreamCaptureStatus; the legacy stream has none while one that it waits for captures. */
static uint32_t status_of(struct vx *x, uint64_t stream)
{
    uint32_t status = 0;

    return x->driver.stream_is_capturing(stream, &status) == VX_SUCCESS ? status : STATUS_UNKNOWN;
}

void vx_capture_settle(struct vx *x, uint64_t stream)
{
    if (status_of(x, stream) != STATUS_NONE)
        return;
    pthread_mutex_lock(&x->lock);
    vx_capture_gone(x, stream);
    pthread_mutex_unlock(&x->lock);
}

/* A query of a stream that captures is an error, which spoils the capture. The context must be current. */
static int refuse(struct vx *x, uint64_t stream)
{
    int status = x->driver.stream_query(stream);

    return status == VX_NOT_READY ? VX_SUCCESS : status;
}

int vx_capture_refuses(struct vx *x, uint64_t stream)
{
    return count_of(x) ? refuse(x, stream) : VX_SUCCESS;
}

/* CUDA's rule, as cuThreadExchangeStreamCaptureMode states it. */
static int forbids(const struct vx_capture *capture, uint32_t thread, uint32_t mode)
{
    if (mode == MODE_RELAXED)
        return 0;
    if (capture->thread == thread)
        return capture->mode != MODE_RELAXED;
    return mode == MODE_GLOBAL && capture->mode == MODE_GLOBAL;
}

static void spoil(struct vx *x, const struct vx_capture *capture)
{
    if (capture->context != x->current)
        x->current = x->driver.ctx_set_current(capture->context) == VX_SUCCESS ? capture->context : 0;
    if (x->current)
        refuse(x, capture->stream);
}

int vx_capture_unsafe(struct vx *x, uint32_t thread, uint32_t mode, uint64_t event)
{
    struct vx_capture capture;
    uint64_t object;
    int result = VX_SUCCESS;

    if (mode > MODE_RELAXED)
        return VX_INVALID_VALUE;
    if (event && vx_lookup(x, event, KIND_EVENT, &object))
        return VX_INVALID_HANDLE;
    if (event && x->driver.event_query(object) == VX_CAPTURED_EVENT)
        return VX_CAPTURED_EVENT;
    for (uint32_t i = 0; capture_at(x, i, &capture); i++) {
        if (!forbids(&capture, thread, mode))
            continue;
        result = VX_CAPTURE_UNSUPPORTED;
        spoil(x, &capture);
    }
    return result;
}

int vx_capture_refuses_context(struct vx *x, const uint64_t *streams, uint32_t count)
{
    int result = VX_SUCCESS;

    for (uint32_t i = 0; count_of(x) && i < count; i++) {
        uint32_t status = status_of(x, streams[i]);
        if (status != STATUS_NONE && status != STATUS_UNKNOWN) {
            refuse(x, streams[i]);
            result = VX_CAPTURE_UNSUPPORTED;
        }
    }
    return result;
}

uint32_t vx_capture_leave_out(struct vx *x, uint64_t *streams, uint32_t count)
{
    uint32_t kept = 0;

    if (!count_of(x))
        return count;
    for (uint32_t i = 0; i < count; i++)
        if (status_of(x, streams[i]) == STATUS_NONE)
            streams[kept++] = streams[i];
    return kept;
}
