/* SPDX-License-Identifier: Apache-2.0
 *
 * Loops that may wait for another thread of the block, or for a block on another CPU thread.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <sched.h>

#include "thread.h"

uint32_t sg_co_spin(struct sg_thread *thread);
uint32_t sg_co_yield(struct sg_thread *thread);
void sg_op_spin(struct sg_thread *thread);
void sg_op_yield(struct sg_thread *thread);

enum { ROUNDS_BEFORE_FIBERS = 16, ROUNDS_BEFORE_CPU = 1024 };

static int time_to_yield(struct sg_thread *thread)
{
    uint64_t spins = ++thread->spins;

    if (spins % ROUNDS_BEFORE_CPU == 0)
        sched_yield();
    return spins % ROUNDS_BEFORE_FIBERS == 0;
}

uint32_t sg_co_yield(struct sg_thread *thread)
{
    thread->fiber->slot->rotate = 1;
    return 1;
}

uint32_t sg_co_spin(struct sg_thread *thread)
{
    return time_to_yield(thread) ? sg_co_yield(thread) : 0;
}

void sg_op_yield(struct sg_thread *thread)
{
    sg_fiber_yield(thread->fiber);
}

void sg_op_spin(struct sg_thread *thread)
{
    if (time_to_yield(thread))
        sg_fiber_yield(thread->fiber);
}
