/* SPDX-License-Identifier: Apache-2.0
 *
 * Functions of the application that are due. Those of streams are announced by the main thread, and their
 * streams wait on a flag (pending.c). Those of graph nodes are called by a driver thread at each launch of
 * the graph: it announces the function and waits for the acknowledgement, as the driver's thread does in a
 * process that runs the function itself. Only this session's own streams can wait for that.
 */
#include <stdlib.h>
#include <time.h>

#include "executor.h"

/* Numbers of functions that graphs or user objects call have this bit. */
#define LASTING (1ull << 62)

enum { LOOK_AGAIN_NS = 100000000 };

struct host_call {
    struct vx *x;
    uint64_t number;
    int waits;                  /* the caller goes on only when the function has returned */
};

/* Only one function of a graph runs at a time: the application has one thread for them. */
static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

static void give(struct vx *x, uint64_t callback, int32_t status)
{
    uint64_t results[2] = {callback, (uint64_t)(uint32_t)status};
    uint32_t slot = (uint32_t)x->waiter_slot;

    x->waiter_slot = -1;
    vx_answer(x, slot, x->waiter_sequence, 0, 0, results, sizeof results);
}

static void announce_locked(struct vx *x, uint64_t callback, int32_t status)
{
    if (x->waiter_slot >= 0) {
        give(x, callback, status);
        return;
    }
    uint32_t at = (x->due_first + x->due_count++) % VX_DUE;
    x->due[at] = callback;
    x->due_status[at] = status;
}

void vx_announce(struct vx *x, uint64_t callback, int32_t status)
{
    pthread_mutex_lock(&lock);
    announce_locked(x, callback, status);
    pthread_mutex_unlock(&lock);
}

void vx_callback_wait(struct vx *x, uint32_t slot, uint32_t sequence)
{
    pthread_mutex_lock(&lock);
    x->waiter_slot = (int)slot;
    x->waiter_sequence = sequence;
    if (x->due_count) {
        uint32_t at = x->due_first;
        x->due_first = (x->due_first + 1) % VX_DUE;
        x->due_count--;
        give(x, x->due[at], x->due_status[at]);
        pthread_cond_broadcast(&changed);
    }
    pthread_mutex_unlock(&lock);
}

void vx_callback_done(struct vx *x, uint64_t callback)
{
    if (callback & LASTING) {
        pthread_mutex_lock(&lock);
        x->host_done = callback;
        pthread_cond_broadcast(&changed);
        pthread_mutex_unlock(&lock);
    } else if (x->callbacks_open) {
        x->callbacks_open--;
        vx_raise_flags(x, callback);
    }
}

/* Sleep until something changes, or for a while: the session may be told to stop. */
static void wait_for_change(void)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += LOOK_AGAIN_NS;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    pthread_cond_timedwait(&changed, &lock, &until);
}

void vx_host_function(void *data)
{
    struct host_call *call = data;
    struct vx *x = call->x;

    if (call->waits)
        pthread_mutex_lock(&one_at_a_time);
    pthread_mutex_lock(&lock);
    /* Half of the queue is for functions of streams, which are counted elsewhere. A destructor may come from
     * the main thread, which must not wait: one that finds the whole queue full is lost. */
    while (call->waits && x->due_count >= VX_CALLBACKS && !x->stop)
        wait_for_change();
    x->host_done = 0;
    if (x->due_count < VX_DUE)
        announce_locked(x, call->number, VX_SUCCESS);
    while (call->waits && x->host_done != call->number && !x->stop)
        wait_for_change();
    pthread_mutex_unlock(&lock);
    if (call->waits)
        pthread_mutex_unlock(&one_at_a_time);
    else
        free(call);
}

uint64_t vx_host_call(struct vx *x, uint64_t number, int waits)
{
    struct host_call *call = NULL;

    /* A graph that was instantiated may call its functions until the session ends, so they are kept. */
    if (number & LASTING && x->host_calls < VX_HOST_CALLS_MAX)
        call = malloc(sizeof *call);
    if (!call)
        return 0;
    x->host_calls += waits != 0;
    *call = (struct host_call){x, number, waits};
    return (uint64_t)(uintptr_t)call;
}

uint64_t vx_host_number(uint64_t call)
{
    return ((const struct host_call *)(uintptr_t)call)->number;
}

uint64_t vx_host_function_address(void)
{
    return (uint64_t)(uintptr_t)&vx_host_function;
}
