/* SPDX-License-Identifier: Apache-2.0
 *
 * What kernels that are coroutines call at their start and at their end.
 */
#include "thread.h"

void *sg_co_frame(struct sg_thread *thread, uint64_t bytes);
void sg_co_exit(struct sg_thread *thread);

enum { MAX_FRAME_BYTES = 1 << 20 };

/* All threads of a grid have frames of one size, so the first thread asks for the memory of its whole block. */
void *sg_co_frame(struct sg_thread *thread, uint64_t bytes)
{
    struct sg_fiber *fiber = thread->fiber;
    struct sg_slot *slot = fiber->slot;

    if (!slot->frame_stride && (bytes > MAX_FRAME_BYTES || sg_slot_reserve_frames(slot, bytes) < 0))
        sg_fault_raise(thread, SG_FAULT_HARDWARE, 0, "no memory for the registers of a block");
    return slot->frames + (fiber->warp * SG_WARP + fiber->lane) * slot->frame_stride;
}

void sg_co_exit(struct sg_thread *thread)
{
    sg_thread_ended(thread->fiber);
}
