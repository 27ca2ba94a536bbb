/* SPDX-License-Identifier: Apache-2.0
 *
 * Barriers of a block: bar.sync, bar.arrive, bar.red. Threads that have exited are not waited for.
 */
#include <string.h>

#include "thread.h"

/* Operations that may wait come twice: sg_co_* tells a coroutine whether to suspend itself, and sg_op_* suspends
 * the calling fiber. Results are in thread->result afterwards. */
uint32_t sg_co_barrier(struct sg_thread *thread, uint32_t id, uint32_t count);
uint32_t sg_co_barrier_red(struct sg_thread *thread, uint32_t id, uint32_t count, uint32_t op, uint32_t predicate);
void sg_op_barrier(struct sg_thread *thread, uint32_t id, uint32_t count);
void sg_op_arrive(struct sg_thread *thread, uint32_t id, uint32_t count);
void sg_op_barrier_red(struct sg_thread *thread, uint32_t id, uint32_t count, uint32_t op, uint32_t predicate);

enum { RED_POPC, RED_AND, RED_OR };

/* Hardware counts whole warps: one that has fewer live threads counts in full once all of them are there. */
static uint32_t counted_arrivals(const struct sg_block *block, const struct sg_barrier *barrier)
{
    uint32_t total = 0;

    for (uint32_t w = 0; w < block->warps; w++) {
        uint32_t arrived = barrier->arrived_lanes[w];
        uint32_t live = block->warp[w].live;
        if (arrived)
            total += (live & ~arrived) == 0 ? SG_WARP : (uint32_t)__builtin_popcount(arrived);
    }
    return total;
}

static int is_complete(const struct sg_block *block, const struct sg_barrier *barrier)
{
    if (barrier->expected == 0)
        return barrier->arrived >= block->live;
    return barrier->arrived >= barrier->expected || counted_arrivals(block, barrier) >= barrier->expected;
}

static void deliver(struct sg_slot *slot, const struct sg_barrier *barrier, uint32_t w)
{
    for (uint32_t lanes = barrier->waiting_lanes[w]; lanes; lanes &= lanes - 1) {
        struct sg_fiber *fiber = slot->fibers[w * SG_WARP + (uint32_t)__builtin_ctz(lanes)];
        switch (fiber->lane_argument) {
        case RED_POPC:
            fiber->thread.result = barrier->popc;
            break;
        case RED_AND:
            fiber->thread.result = barrier->all;
            break;
        default:
            fiber->thread.result = barrier->any;
        }
    }
}

static void release(struct sg_slot *slot, struct sg_barrier *barrier)
{
    for (uint32_t w = 0; w < slot->block.warps; w++) {
        if (barrier->is_reduction)
            deliver(slot, barrier, w);
        if (barrier->waiting_lanes[w])
            sg_fiber_ready(slot, w, barrier->waiting_lanes[w]);
        barrier->waiting_lanes[w] = barrier->arrived_lanes[w] = 0;
    }
    barrier->arrived = barrier->is_reduction = 0;
}

static struct sg_barrier *arrive(struct sg_thread *thread, uint32_t id, uint32_t count)
{
    struct sg_fiber *fiber = thread->fiber;

    if (id >= SG_BARRIERS)
        sg_fault_raise(thread, SG_FAULT_ILLEGAL_INSTRUCTION, 0, "a barrier number above 15");
    struct sg_barrier *barrier = &fiber->slot->block.barrier[id];
    if (barrier->arrived == 0) {
        barrier->popc = barrier->any = 0;
        barrier->all = 1;
    }
    barrier->expected = count;
    barrier->arrived++;
    barrier->arrived_lanes[fiber->warp] |= 1u << fiber->lane;
    return barrier;
}

/* 1 if the thread has to wait for others. */
static uint32_t wait(struct sg_fiber *fiber, struct sg_barrier *barrier)
{
    struct sg_slot *slot = fiber->slot;

    barrier->waiting_lanes[fiber->warp] |= 1u << fiber->lane;
    if (is_complete(&slot->block, barrier)) {
        release(slot, barrier); /* this thread is ready and running: it goes on */
        return 0;
    }
    sg_fiber_not_ready(fiber);
    return 1;
}

uint32_t sg_co_barrier(struct sg_thread *thread, uint32_t id, uint32_t count)
{
    return wait(thread->fiber, arrive(thread, id, count));
}

void sg_op_barrier(struct sg_thread *thread, uint32_t id, uint32_t count)
{
    if (sg_co_barrier(thread, id, count))
        sg_fiber_wait(thread->fiber);
}

void sg_op_arrive(struct sg_thread *thread, uint32_t id, uint32_t count)
{
    struct sg_barrier *barrier = arrive(thread, id, count);

    if (is_complete(&thread->fiber->slot->block, barrier))
        release(thread->fiber->slot, barrier);
}

uint32_t sg_co_barrier_red(struct sg_thread *thread, uint32_t id, uint32_t count, uint32_t op, uint32_t predicate)
{
    struct sg_barrier *barrier = arrive(thread, id, count);

    barrier->is_reduction = 1;
    barrier->popc += predicate;
    barrier->all &= predicate;
    barrier->any |= predicate;
    thread->fiber->lane_argument = op;
    return wait(thread->fiber, barrier);
}

void sg_op_barrier_red(struct sg_thread *thread, uint32_t id, uint32_t count, uint32_t op, uint32_t predicate)
{
    if (sg_co_barrier_red(thread, id, count, op, predicate))
        sg_fiber_wait(thread->fiber);
}

void sg_barriers_after_exit(struct sg_slot *slot)
{
    for (int id = 0; id < SG_BARRIERS; id++) {
        struct sg_barrier *barrier = &slot->block.barrier[id];
        if (barrier->arrived && is_complete(&slot->block, barrier))
            release(slot, barrier);
    }
}
