/* SPDX-License-Identifier: Apache-2.0
 *
 * Points of streams: completing them, and waiting for them, as a thread or as another stream.
 */
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "stream.h"

#define SPIN_ROUNDS 400 /* a few microseconds before a waiting thread sleeps */

int stream_reached(struct stream *stream, uint64_t sequence)
{
    return atomic_load(&stream->completed) >= sequence;
}

/* Called with the lock held; sorts out the waiters whose point has been reached. */
static struct waiter *take_reached(struct stream *stream)
{
    uint64_t completed = atomic_load(&stream->completed);
    uint64_t next_wake = UINT64_MAX;
    struct waiter *reached = NULL;
    for (struct waiter **link = &stream->waiters; *link;) {
        struct waiter *waiter = *link;
        if (waiter->target <= completed) {
            *link = waiter->next;
            waiter->next = reached;
            reached = waiter;
            continue;
        }
        if (waiter->target < next_wake)
            next_wake = waiter->target;
        link = &waiter->next;
    }
    atomic_store(&stream->wake_at, next_wake);
    return reached;
}

static void wake(struct waiter *waiter)
{
    if (waiter->stream) {
        exec_ready(waiter->stream);
        return;
    }
    /* After this store the waiter may be gone; waking a stale address is harmless. */
    atomic_store(&waiter->done, 1);
    syscall(SYS_futex, &waiter->done, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void wake_reached(struct stream *stream)
{
    pthread_mutex_lock(&stream->lock);
    struct waiter *reached = take_reached(stream);
    pthread_mutex_unlock(&stream->lock);
    while (reached) {
        struct waiter *next = reached->next;
        wake(reached);
        reached = next;
    }
}

void stream_complete(struct stream *stream, uint64_t sequence)
{
    /* Publish before looking for waiters: a waiter registers before it looks at `completed`. */
    atomic_store(&stream->completed, sequence);
    if (atomic_load(&stream->wake_at) <= sequence)
        wake_reached(stream);
}

/* Called with the lock held. 0 when the point has been reached already. */
static int enlist(struct stream *stream, struct waiter *waiter)
{
    waiter->next = stream->waiters;
    stream->waiters = waiter;
    if (waiter->target < atomic_load(&stream->wake_at))
        atomic_store(&stream->wake_at, waiter->target);
    if (atomic_load(&stream->completed) < waiter->target)
        return 1;
    stream->waiters = waiter->next;
    return 0;
}

void stream_wait(struct stream *stream, uint64_t sequence)
{
    for (int i = 0; i < SPIN_ROUNDS; i++) {
        if (stream_reached(stream, sequence))
            return;
        __builtin_ia32_pause();
    }
    struct waiter waiter = {.target = sequence};
    pthread_mutex_lock(&stream->lock);
    int must_wait = enlist(stream, &waiter);
    pthread_mutex_unlock(&stream->lock);
    while (must_wait && !atomic_load(&waiter.done))
        syscall(SYS_futex, &waiter.done, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
}

static void set_parked_on(struct stream *stream, struct stream *on)
{
    pthread_mutex_lock(&stream->lock);
    stream->parked_on = on;
    pthread_mutex_unlock(&stream->lock);
}

void stream_unpark(struct stream *stream)
{
    set_parked_on(stream, NULL);
}

int stream_park(struct stream *stream, struct stream *on, uint64_t sequence)
{
    if (stream_reached(on, sequence))
        return 0;
    set_parked_on(stream, on);
    pthread_mutex_lock(&on->lock);
    stream->parked = (struct waiter){.target = sequence, .stream = stream};
    int parked = enlist(on, &stream->parked);
    pthread_mutex_unlock(&on->lock);
    return parked;
}

static int leave_list(struct stream *on, struct waiter *waiter)
{
    int found = 0;
    pthread_mutex_lock(&on->lock);
    for (struct waiter **link = &on->waiters; *link && !found;) {
        found = *link == waiter;
        if (found)
            *link = waiter->next;
        else
            link = &(*link)->next;
    }
    pthread_mutex_unlock(&on->lock);
    return found;
}

void stream_cancel(struct stream *stream)
{
    /* Under the lock, so that the stream stays parked and keeps its reference to the other one. */
    pthread_mutex_lock(&stream->lock);
    int found = stream->parked_on && leave_list(stream->parked_on, &stream->parked);
    pthread_mutex_unlock(&stream->lock);
    if (found)
        exec_ready(stream);
}
