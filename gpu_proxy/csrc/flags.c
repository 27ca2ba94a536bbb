/* SPDX-License-Identifier: Apache-2.0
 *
 * The words that streams wait on while a host function runs in the application. Each context has its own,
 * since host memory goes with the context that it was made in.
 */
#include <errno.h>

#include "executor.h"

/* Contexts begin and end on lanes and on the main thread; functions return on the main thread. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* Numbers of functions are compared modulo 2^32: this far before the last one nobody waits any more, and
 * this far behind it nobody waits yet. */
enum { FAR = 1 << 30 };

static void fill(const struct vx_flags *flags, uint32_t value)
{
    for (int i = 0; i < VX_CALLBACKS; i++)
        flags->host[i] = value;
}

/* The caller holds the lock. `context` 0 finds a free place. */
static struct vx_flags *find(struct vx *x, uint64_t context)
{
    for (int i = 0; i < VX_CONTEXTS; i++)
        if (x->flags[i].context == context)
            return &x->flags[i];
    return NULL;
}

int vx_set_flags(struct vx *x, uint64_t context, uint64_t host, uint64_t device)
{
    pthread_mutex_lock(&lock);
    struct vx_flags *flags = find(x, 0);
    if (flags) {
        *flags = (struct vx_flags){context, (volatile uint32_t *)(uintptr_t)host, device};
        fill(flags, x->flags_raised - FAR);
    }
    pthread_mutex_unlock(&lock);
    return flags ? 0 : -ENOSPC;
}

void vx_forget_flags(struct vx *x, uint64_t context)
{
    pthread_mutex_lock(&lock);
    struct vx_flags *flags = context ? find(x, context) : NULL;
    if (flags) {
        fill(flags, x->flags_raised + FAR); /* A driver may wait for the streams of a context that ends. */
        *flags = (struct vx_flags){.context = 0};
    }
    pthread_mutex_unlock(&lock);
}

uint64_t vx_flag_address(struct vx *x, uint64_t callback)
{
    pthread_mutex_lock(&lock);
    const struct vx_flags *flags = x->current ? find(x, x->current) : NULL;
    uint64_t address = flags ? flags->device + 4u * (uint32_t)(callback % VX_CALLBACKS) : 0;
    pthread_mutex_unlock(&lock);
    return address;
}

/* Which context its stream is in does not matter: a function has its word in each, and only its own stream
 * waits on it. */
void vx_raise_flags(struct vx *x, uint64_t callback)
{
    pthread_mutex_lock(&lock);
    x->flags_raised = (uint32_t)callback;
    for (int i = 0; i < VX_CONTEXTS; i++)
        if (x->flags[i].context)
            x->flags[i].host[callback % VX_CALLBACKS] = (uint32_t)callback;
    pthread_mutex_unlock(&lock);
}
