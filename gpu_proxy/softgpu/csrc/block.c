/* SPDX-License-Identifier: Apache-2.0
 *
 * Running blocks: setting up their threads, and choosing which fiber runs next.
 */
#include <string.h>

#include "thread.h"

static inline uint32_t lowest_bit(uint32_t mask)
{
    return (uint32_t)__builtin_ctz(mask);
}

/* Back to the CPU thread's own stack; the fiber is not resumed. */
static void leave(struct sg_slot *slot) __attribute__((noreturn));

static void leave(struct sg_slot *slot)
{
    void *ignored;

    sg_fiber_switch(&ignored, slot->main_stack_pointer);
    __builtin_unreachable();
}

static void fill_thread(struct sg_thread *thread, const struct sg_slot *slot, struct sg_fiber *fiber, unsigned index)
{
    const struct sg_grid *grid = slot->grid;
    const struct sg_launch *launch = grid->launch;
    uint32_t static_bytes = grid->kernel->static_shared_bytes;

    thread->arena_base = sg_engine_memory.arena_base;
    thread->arena_bytes = sg_engine_memory.arena_bytes;
    thread->shared_base = (uint64_t)(uintptr_t)slot->shared;
    thread->shared_bytes = grid->shared_bytes;
    thread->local_base = (uint64_t)(uintptr_t)(slot->local + index * slot->local_stride);
    thread->local_bytes = grid->kernel->local_bytes;
    thread->params = (uint64_t)(uintptr_t)grid->params;
    thread->param_bytes = grid->kernel->param_bytes;
    thread->dynamic_offset = (static_bytes + 15) & ~15u;
    thread->dynamic_bytes = launch->dynamic_shared_bytes;
    memcpy(thread->ntid, launch->block, sizeof thread->ntid);
    memcpy(thread->nctaid, launch->grid, sizeof thread->nctaid);
    thread->grid_id = grid->id;
    thread->workspace = grid->workspace;
    thread->spins = 0;
    thread->fiber = fiber;
}

static void set_block_index(struct sg_thread *thread, const struct sg_grid *grid, uint64_t index)
{
    const uint32_t *size = grid->launch->grid;

    thread->ctaid[0] = (uint32_t)(index % size[0]);
    thread->ctaid[1] = (uint32_t)(index / size[0] % size[1]);
    thread->ctaid[2] = (uint32_t)(index / size[0] / size[1]);
}

/* The next blocks for this CPU thread; 0 if there are none. */
static uint64_t take_blocks(struct sg_grid *grid, uint64_t *first)
{
    if (atomic_load_explicit(&grid->stop, memory_order_relaxed))
        return 0;
    *first = atomic_fetch_add_explicit(&grid->next_block, grid->chunk, memory_order_relaxed);
    if (*first >= grid->block_count)
        return 0;
    uint64_t left = grid->block_count - *first;
    return left < grid->chunk ? left : grid->chunk;
}

/* --- kernels whose threads never wait: one fiber for all blocks --------------------------------------------- */

static void loop_over_blocks(struct sg_fiber *fiber)
{
    struct sg_slot *slot = fiber->slot;
    struct sg_grid *grid = slot->grid;
    void *(*code)(struct sg_thread *thread) = grid->entry->code;
    uint64_t first, count;

    while ((count = take_blocks(grid, &first)) != 0) {
        for (uint64_t i = first; i < first + count; i++) {
            set_block_index(&fiber->thread, grid, i);
            code(&fiber->thread);
            if (atomic_load_explicit(&grid->stop, memory_order_relaxed))
                break;
        }
    }
    slot->on_fiber = 0;
    leave(slot);
}

static void enter(struct sg_slot *slot, struct sg_fiber *fiber)
{
    slot->current = slot->stack_owner = fiber;
    slot->on_fiber = 1;
    sg_fiber_switch(&slot->main_stack_pointer, fiber->stack_pointer);
    slot->on_fiber = 0;
    slot->current = NULL;
}

/* --- kernels whose threads wait: one fiber a thread --------------------------------------------------------- */

static void run_thread(struct sg_fiber *fiber)
{
    fiber->slot->grid->entry->code(&fiber->thread);
    sg_fiber_exit(fiber);
}

static void start_block(struct sg_slot *slot, uint64_t index, int on_fibers)
{
    struct sg_block *block = &slot->block;
    const struct sg_grid *grid = slot->grid;
    const uint32_t *size = grid->launch->block;
    uint32_t tid[3] = {0, 0, 0};

    block->threads = block->live = grid->block_threads;
    block->warps = (block->threads + SG_WARP - 1) / SG_WARP;
    block->ready_warps = block->warps == 32 ? UINT32_MAX : (1u << block->warps) - 1;
    memset(block->barrier, 0, sizeof block->barrier);
    for (uint32_t w = 0; w < block->warps; w++) {
        uint32_t left = block->threads - w * SG_WARP;
        block->warp[w].live = block->warp[w].ready = left >= SG_WARP ? UINT32_MAX : (1u << left) - 1;
        memset(block->warp[w].groups, 0, sizeof block->warp[w].groups);
        block->warp[w].groups_used = 0;
    }
    for (unsigned i = 0; i < block->threads; i++) {
        struct sg_fiber *fiber = slot->fibers[i];
        set_block_index(&fiber->thread, grid, index);
        memcpy(fiber->thread.tid, tid, sizeof tid);
        if (on_fibers)
            sg_fiber_prepare(fiber, run_thread);
        fiber->coroutine = NULL;
        if (++tid[0] == size[0]) {
            tid[0] = 0;
            if (++tid[1] == size[1]) {
                tid[1] = 0;
                tid[2]++;
            }
        }
    }
}

void sg_fiber_ready(struct sg_slot *slot, uint32_t warp, uint32_t lanes)
{
    slot->block.warp[warp].ready |= lanes;
    slot->block.ready_warps |= 1u << warp;
}

static void fail_deadlock(struct sg_slot *slot) __attribute__((noreturn, cold));

static void fail_deadlock(struct sg_slot *slot)
{
    sg_fault_raise(&slot->current->thread, SG_FAULT_ILLEGAL_INSTRUCTION, 0,
                   "deadlock: all threads of a block wait at barriers or warp operations that others never reach");
}

static uint32_t bits_above(uint32_t mask, uint32_t bit)
{
    return bit == 31 ? 0 : mask & (UINT32_MAX << (bit + 1));
}

/* The next fiber to run, or NULL. Within a warp the lanes take turns. A warp goes on while it can, so that its
 * operations meet quickly; only a thread that merely yields (`rotate`) lets the other warps go first. */
static struct sg_fiber *choose(struct sg_slot *slot, const struct sg_fiber *after, int rotate)
{
    struct sg_block *block = &slot->block;
    uint32_t w = after->warp;
    struct sg_warp *warp = &block->warp[w];
    uint32_t lanes = bits_above(warp->ready, after->lane);

    if (!lanes && !rotate)
        lanes = warp->ready;
    while (!lanes) {
        if (!warp->ready && !(warp->groups_used && sg_groups_release_site(slot, w)))
            block->ready_warps &= ~(1u << w);
        uint32_t later = bits_above(block->ready_warps, w);
        uint32_t candidates = later ? later : block->ready_warps;
        if (!candidates)
            return NULL;
        w = lowest_bit(candidates);
        warp = &block->warp[w];
        lanes = warp->ready;
    }
    return slot->fibers[w * SG_WARP + lowest_bit(lanes)];
}

static struct sg_fiber *choose_or_fail(struct sg_slot *slot, const struct sg_fiber *after, int rotate)
{
    struct sg_fiber *next = choose(slot, after, rotate);

    if (!next)
        fail_deadlock(slot);
    return next;
}

static void check_stop(struct sg_slot *slot)
{
    if (atomic_load_explicit(&slot->grid->stop, memory_order_relaxed))
        leave(slot);
}

static void switch_from(struct sg_fiber *fiber, int rotate)
{
    struct sg_slot *slot = fiber->slot;
    struct sg_fiber *next = choose_or_fail(slot, fiber, rotate);

    if (next == fiber)
        return;
    slot->current = slot->stack_owner = next;
    sg_fiber_switch(&fiber->stack_pointer, next->stack_pointer);
}

void sg_fiber_not_ready(struct sg_fiber *fiber)
{
    fiber->slot->block.warp[fiber->warp].ready &= ~(1u << fiber->lane);
}

void sg_fiber_wait(struct sg_fiber *fiber)
{
    switch_from(fiber, 0);
}

void sg_fiber_yield(struct sg_fiber *fiber)
{
    check_stop(fiber->slot);
    switch_from(fiber, 1);
}

/* The thread takes no part any more: others may have waited only for it. */
void sg_thread_ended(struct sg_fiber *fiber)
{
    struct sg_slot *slot = fiber->slot;
    struct sg_warp *warp = &slot->block.warp[fiber->warp];
    uint32_t bit = 1u << fiber->lane;

    warp->live &= ~bit;
    warp->ready &= ~bit;
    if (--slot->block.live == 0)
        return;
    if (warp->groups_used)
        sg_groups_after_exit(slot, fiber->warp);
    sg_barriers_after_exit(slot);
}

void sg_fiber_exit(struct sg_fiber *fiber)
{
    struct sg_slot *slot = fiber->slot;
    void *ignored;

    sg_thread_ended(fiber);
    if (slot->block.live == 0)
        leave(slot);
    struct sg_fiber *next = choose_or_fail(slot, fiber, 0);
    slot->current = slot->stack_owner = next;
    sg_fiber_switch(&ignored, next->stack_pointer);
    __builtin_unreachable();
}

/* --- kernels that are coroutines: all run on the first fiber's stack ------------------------------------------ */

static void resume(struct sg_slot *slot, struct sg_fiber *fiber)
{
    slot->current = fiber;
    if (!fiber->coroutine) {
        fiber->coroutine = slot->grid->entry->code(&fiber->thread);
    } else {
        /* A coroutine's frame begins with the address to go on at. */
        void (*next)(void *frame);
        memcpy(&next, fiber->coroutine, sizeof next);
        next(fiber->coroutine);
    }
}

static void run_block_of_coroutines(struct sg_slot *slot)
{
    struct sg_fiber *fiber = slot->fibers[0];

    resume(slot, fiber);
    while (slot->block.live) {
        if (slot->rotate)
            check_stop(slot);
        fiber = choose_or_fail(slot, fiber, slot->rotate);
        slot->rotate = 0;
        resume(slot, fiber);
    }
}

static void loop_over_coroutine_blocks(struct sg_fiber *fiber)
{
    struct sg_slot *slot = fiber->slot;
    struct sg_grid *grid = slot->grid;
    uint64_t first, count;

    slot->frame_stride = 0;
    slot->rotate = 0;
    while ((count = take_blocks(grid, &first)) != 0) {
        for (uint64_t i = first; i < first + count; i++) {
            start_block(slot, i, 0);
            run_block_of_coroutines(slot);
            check_stop(slot);
        }
    }
    slot->on_fiber = 0;
    leave(slot);
}

static void run_blocks_on_fibers(struct sg_slot *slot, struct sg_grid *grid)
{
    uint64_t first, count;

    while ((count = take_blocks(grid, &first)) != 0) {
        for (uint64_t i = first; i < first + count; i++) {
            start_block(slot, i, 1);
            enter(slot, slot->fibers[0]);
            if (atomic_load_explicit(&grid->stop, memory_order_relaxed))
                return;
        }
    }
}

void sg_grid_work(struct sg_slot *slot, struct sg_grid *grid)
{
    int on_fibers = (grid->entry->flags & SG_KERNEL_NEEDS_FIBERS) != 0;
    int coroutines = (grid->entry->flags & SG_KERNEL_COROUTINE) != 0;
    unsigned threads = on_fibers || coroutines ? grid->block_threads : 1;

    slot->grid = grid;
    int result = sg_slot_reserve(slot, threads, on_fibers ? threads : 1, grid->kernel->local_bytes);
    if (result < 0) {
        sg_fault_record(grid, SG_FAULT_HARDWARE, 0, "no memory for the stacks and local memory of a block");
        return;
    }
    for (unsigned i = 0; i < threads; i++)
        fill_thread(&slot->fibers[i]->thread, slot, slot->fibers[i], i);
    if (on_fibers) {
        run_blocks_on_fibers(slot, grid);
    } else {
        sg_fiber_prepare(slot->fibers[0], coroutines ? loop_over_coroutine_blocks : loop_over_blocks);
        enter(slot, slot->fibers[0]);
    }
}
