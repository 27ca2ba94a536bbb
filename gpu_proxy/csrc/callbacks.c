/* SPDX-License-Identifier: Apache-2.0
 *
 * Functions of the application that are due, and the call that fetches them one after the other. Those of
 * streams and graphs come from the main thread, which polls (pending.c, handshake.c); a destructor of a user
 * object from whatever thread drops the last reference, which goes on at once.
 */
#include <stdlib.h>

#include "executor.h"

/* Numbers of functions that graphs or user objects call have this bit, and those of graphs the number of a
 * handshake above their own. */
#define LASTING (1ull << 62)

struct vx_destructor {
    struct vx *x;
    uint64_t number;
    struct vx_destructor *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* This and the next two are called with the lock held. */
static void give(struct vx *x, uint64_t callback, int32_t status)
{
    uint64_t results[2] = {callback, (uint64_t)(uint32_t)status};
    uint32_t slot = (uint32_t)x->waiter_slot;

    x->waiter_slot = -1;
    vx_answer(x, slot, x->waiter_sequence, 0, 0, results, sizeof results);
}

static void announce(struct vx *x, uint64_t callback, int32_t status)
{
    if (x->waiter_slot >= 0) {
        give(x, callback, status);
        return;
    }
    uint32_t at = (x->due_first + x->due_count++) % VX_DUE;
    x->due[at] = callback;
    x->due_status[at] = status;
}

static void give_destructor(struct vx *x)
{
    struct vx_destructor *first = x->destructors;

    x->destructors = first->next;
    give(x, first->number, VX_SUCCESS);
    free(first);
}

void vx_announce(struct vx *x, uint64_t callback, int32_t status)
{
    pthread_mutex_lock(&lock);
    announce(x, callback, status);
    pthread_mutex_unlock(&lock);
}

int vx_announce_lasting(struct vx *x, uint32_t handshake, uint32_t number)
{
    pthread_mutex_lock(&lock);
    /* The rest of the queue is for functions of streams, which are counted elsewhere. */
    int has_room = x->due_count < VX_DUE - VX_CALLBACKS;
    if (has_room)
        announce(x, LASTING | (uint64_t)handshake << 32 | number, VX_SUCCESS);
    pthread_mutex_unlock(&lock);
    return has_room ? 0 : -EAGAIN;
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
    } else if (x->destructors) {
        give_destructor(x);
    }
    pthread_mutex_unlock(&lock);
}

void vx_callback_done(struct vx *x, uint64_t callback)
{
    if (callback & LASTING) {
        vx_handshake_done(x, (uint32_t)((callback & ~LASTING) >> 32));
    } else if (x->callbacks_open) {
        x->callbacks_open--;
        vx_raise_flags(x, callback);
    }
}

void vx_destructor(void *data)
{
    struct vx_destructor *one = data, **end;
    struct vx *x = one->x;

    pthread_mutex_lock(&lock);
    for (end = &x->destructors; *end; end = &(*end)->next)
        continue;
    one->next = NULL;
    *end = one;
    if (x->waiter_slot >= 0)
        give_destructor(x);
    pthread_mutex_unlock(&lock);
}

uint64_t vx_new_destructor(struct vx *x, uint64_t number)
{
    int is_one = (number & ~(uint64_t)UINT32_MAX) == LASTING;
    struct vx_destructor *made = is_one ? malloc(sizeof *made) : NULL;

    if (made)
        *made = (struct vx_destructor){.x = x, .number = number};
    return (uint64_t)(uintptr_t)made;
}

uint64_t vx_destructor_address(void)
{
    return (uint64_t)(uintptr_t)&vx_destructor;
}
