/* SPDX-License-Identifier: Apache-2.0
 *
 * Slots: the memory that a CPU thread needs to run blocks. They are kept for reuse.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "thread.h"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

enum { FIBER_BYTES = SG_GUARD_BYTES + SG_STACK_BYTES };

static pthread_mutex_t free_lock = PTHREAD_MUTEX_INITIALIZER;
static struct sg_slot *free_slots;

static void *map(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return memory == MAP_FAILED ? NULL : memory;
}

static struct sg_slot *make_slot(void)
{
    struct sg_slot *slot = calloc(1, sizeof *slot);

    if (!slot)
        return NULL;
    slot->shared = map(SG_MAX_SHARED_BYTES);
    slot->stacks = map((size_t)SG_MAX_BLOCK_THREADS * FIBER_BYTES);
    if (slot->shared && slot->stacks)
        return slot;
    if (slot->shared)
        munmap(slot->shared, SG_MAX_SHARED_BYTES);
    free(slot);
    return NULL;
}

struct sg_slot *sg_slot_take(void)
{
    pthread_mutex_lock(&free_lock);
    struct sg_slot *slot = free_slots;
    if (slot)
        free_slots = slot->next_free;
    pthread_mutex_unlock(&free_lock);
    if (!slot)
        slot = make_slot();
    if (slot) {
        slot->thread = pthread_self();
        sg_this_slot = slot;
    }
    return slot;
}

void sg_slot_give(struct sg_slot *slot)
{
    sg_this_slot = NULL;
    pthread_mutex_lock(&free_lock);
    slot->next_free = free_slots;
    free_slots = slot;
    pthread_mutex_unlock(&free_lock);
}

/* A page that traps, below each stack. Newer kernels do it without splitting the mapping, of which a process may
 * have only so many. */
static int guard(uint8_t *page)
{
    if (madvise(page, SG_GUARD_BYTES, MADV_GUARD_INSTALL) == 0)
        return 0;
    return mprotect(page, SG_GUARD_BYTES, PROT_NONE) < 0 ? -errno : 0;
}

static int add_fiber(struct sg_slot *slot)
{
    unsigned index = slot->fiber_count;
    struct sg_fiber *fiber = aligned_alloc(64, sizeof *fiber);

    if (!fiber)
        return -ENOMEM;
    memset(fiber, 0, sizeof *fiber);
    fiber->stack = slot->stacks + (size_t)index * FIBER_BYTES + SG_GUARD_BYTES;
    fiber->slot = slot;
    fiber->lane = index % SG_WARP;
    fiber->warp = index / SG_WARP;
    slot->fibers[slot->fiber_count++] = fiber;
    return 0;
}

static int reserve_local(struct sg_slot *slot, unsigned threads, size_t local_bytes)
{
    /* The odd number of cache lines keeps the windows of neighbours out of each other's cache sets. */
    size_t stride = ((local_bytes + 63) / 64 | 1) * 64;
    size_t wanted = stride * threads;

    slot->local_stride = stride;
    if (wanted <= slot->local_mapped)
        return 0;
    if (slot->local)
        munmap(slot->local, slot->local_mapped);
    slot->local_mapped = 0;
    slot->local = map(wanted);
    if (!slot->local)
        return -ENOMEM;
    slot->local_mapped = wanted;
    return 0;
}

int sg_slot_reserve_frames(struct sg_slot *slot, size_t bytes)
{
    size_t stride = ((bytes + 63) / 64 | 1) * 64;
    size_t wanted = stride * slot->block.threads;

    slot->frame_stride = stride;
    if (wanted <= slot->frames_mapped)
        return 0;
    if (slot->frames)
        munmap(slot->frames, slot->frames_mapped);
    slot->frames_mapped = 0;
    slot->frames = map(wanted);
    if (!slot->frames)
        return -ENOMEM;
    slot->frames_mapped = wanted;
    return 0;
}

static int guard_stacks(struct sg_slot *slot, unsigned stacks)
{
    for (; slot->guarded_stacks < stacks; slot->guarded_stacks++) {
        int result = guard(slot->fibers[slot->guarded_stacks]->stack - SG_GUARD_BYTES);
        if (result < 0)
            return result;
    }
    return 0;
}

int sg_slot_reserve(struct sg_slot *slot, unsigned threads, unsigned stacks, size_t local_bytes)
{
    while (slot->fiber_count < threads) {
        int result = add_fiber(slot);
        if (result < 0)
            return result;
    }
    int result = guard_stacks(slot, stacks);
    return result < 0 ? result : reserve_local(slot, threads, local_bytes);
}
