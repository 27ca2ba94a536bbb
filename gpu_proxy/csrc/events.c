/* SPDX-License-Identifier: Apache-2.0
 *
 * Events of the executor's own, kept for reuse: each context has a pool.
 */
#include <stdlib.h>
#include <string.h>

#include "executor.h"

enum { EVENT_DISABLE_TIMING = 2 };

static struct vx_event_pool *pool_of(struct vx *x, uint64_t context)
{
    struct vx_event_pool *unused = NULL;

    for (int i = 0; i < VX_CONTEXTS; i++) {
        if (x->pools[i].context == context)
            return &x->pools[i];
        if (!unused && x->pools[i].context == 0)
            unused = &x->pools[i];
    }
    if (unused)
        unused->context = context;
    return unused;
}

int vx_take_event(struct vx *x, void **event)
{
    struct vx_event_pool *pool = pool_of(x, x->current);

    if (pool && pool->count) {
        *event = pool->events[--pool->count];
        return VX_SUCCESS;
    }
    return x->driver.event_create(event, EVENT_DISABLE_TIMING);
}

void vx_give_event(struct vx *x, uint64_t context, void *event)
{
    struct vx_event_pool *pool = pool_of(x, context);

    if (pool && pool->count == pool->capacity) {
        uint32_t capacity = pool->capacity ? 2 * pool->capacity : 64;
        void **grown = realloc(pool->events, capacity * sizeof *grown);
        if (grown) {
            pool->events = grown;
            pool->capacity = capacity;
        }
    }
    if (pool && pool->count < pool->capacity)
        pool->events[pool->count++] = event;
    else
        x->driver.event_destroy(event);
}

void vx_forget_events(struct vx *x, uint64_t context)
{
    for (int i = 0; i < VX_CONTEXTS; i++)
        if (x->pools[i].context == context) {
            free(x->pools[i].events);
            memset(&x->pools[i], 0, sizeof x->pools[i]);
        }
}
