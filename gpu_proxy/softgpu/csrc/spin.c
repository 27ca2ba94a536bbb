/* SPDX-License-Identifier: Apache-2.0
 *
 * Loops that may wait for another thread of the block, or for a block on another CPU thread.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <sched.h>

#include "thread.h"

void sg_op_spin(struct sg_thread *thread);

enum { ROUNDS_BEFORE_FIBERS = 16, ROUNDS_BEFORE_CPU = 1024 };

void sg_op_spin(struct sg_thread *thread)
{
    uint64_t spins = ++thread->spins;

    if (spins % ROUNDS_BEFORE_CPU == 0)
        sched_yield();
    if (spins % ROUNDS_BEFORE_FIBERS == 0)
        sg_fiber_yield(thread->fiber);
}
