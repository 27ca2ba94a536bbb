/* SPDX-License-Identifier: Apache-2.0
 *
 * How kernels run. A grid's blocks are spread over CPU threads; each CPU thread that works on a grid holds a
 * `struct sg_slot` with the memory that one block needs: shared memory, local memory, fibers. A block lives on one
 * CPU thread from its start to its end, so nothing in a slot needs a lock.
 *
 * How the threads of a block run was decided when the kernel was compiled. If none ever waits for another, one
 * function call runs them all in a loop. If they wait in the kernel itself, each is a coroutine: a function that
 * returns where it has to wait, with its registers in a frame, and is resumed later. If they wait in functions that
 * the kernel calls, each has a stack of its own. In all cases kernel code runs on the stack of a fiber and never on
 * the CPU thread's own, so that a fault can abandon it.
 */
#ifndef SOFTGPU_THREAD_H
#define SOFTGPU_THREAD_H

#include <assert.h>
#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "engine.h"
#include "image.h"

enum {
    SG_STACK_BYTES = 64 * 1024,
    SG_GUARD_BYTES = 4096,
    SG_BARRIERS = 16,
    SG_MAX_WARPS = SG_MAX_BLOCK_THREADS / SG_WARP,
    SG_MAX_PARAM_BYTES = 32768,
    SG_PRINT_BYTES = 8192,
    SG_PRINT_ARGUMENTS = 32,
};

/* What compiled code knows of its thread; codegen/layout.py holds the same offsets. */
struct sg_thread {
    uint64_t arena_base;
    uint64_t arena_bytes;
    uint64_t shared_base;
    uint64_t shared_bytes;
    uint64_t local_base;
    uint64_t local_bytes;
    uint64_t local_top; /* of the .local variables of the calls in progress */
    uint64_t params;
    uint64_t param_bytes;
    uint32_t dynamic_offset;
    uint32_t dynamic_bytes;
    uint32_t tid[3];
    uint32_t ntid[3];
    uint32_t ctaid[3];
    uint32_t nctaid[3];
    uint64_t grid_id;
    uint64_t workspace; /* of cooperative groups, 0 if the launch is not cooperative */
    uint64_t spins;
    uint64_t result; /* of the barrier or warp operation that the thread waited for */
    struct sg_fiber *fiber;
    uint64_t reserved[3];
};

static_assert(sizeof(struct sg_thread) == 192, "codegen/layout.py says 192");

struct sg_fiber {
    alignas(64) struct sg_thread thread;
    void *stack_pointer; /* while suspended */
    void *coroutine;     /* of kernels compiled as coroutines; NULL before the thread starts */
    uint8_t *stack;      /* lowest usable byte; the guard is below */
    struct sg_slot *slot;
    uint32_t lane;
    uint32_t warp;
    /* What the thread brought to a warp operation, and what it gets from it. */
    uint64_t value;
    uint32_t lane_argument;
    uint32_t clamp;
};

/* Threads of a warp that meet at a warp operation. Operations without a member mask have a site instead. */
struct sg_group {
    uint32_t mask;
    uint32_t site;
    uint32_t kind;
    uint32_t arrived; /* 0: this entry is free */
};

struct sg_warp {
    uint32_t live;
    uint32_t ready;
    uint32_t groups_used;
    struct sg_group groups[SG_WARP];
};

struct sg_barrier {
    uint32_t arrived;
    uint32_t expected; /* 0: all live threads */
    uint32_t is_reduction;
    uint32_t popc, all, any;
    uint32_t arrived_lanes[SG_MAX_WARPS];
    uint32_t waiting_lanes[SG_MAX_WARPS];
};

struct sg_block {
    uint32_t threads;
    uint32_t live;
    uint32_t warps;
    uint32_t ready_warps; /* a superset of the warps with ready threads */
    struct sg_warp warp[SG_MAX_WARPS];
    struct sg_barrier barrier[SG_BARRIERS];
};

/* A launch in progress. */
struct sg_grid {
    const struct sg_launch *launch;
    const struct sg_kernel *kernel;
    const struct sg_code_entry *entry;
    uint64_t id;
    uint64_t block_count;
    uint32_t block_threads;
    uint32_t shared_bytes;
    uint64_t workspace;
    uint64_t chunk; /* blocks that a CPU thread takes at a time */
    _Atomic uint64_t next_block;
    _Atomic int stop; /* a sg_fault_kind: no more work for this grid */
    pthread_mutex_t fault_lock;
    struct sg_fault fault;
    /* Under the pool's lock. */
    unsigned helpers;
    struct sg_slot *slots; /* working on this grid */
    struct sg_grid *next;
    alignas(64) uint8_t params[];
};

struct sg_slot {
    struct sg_fiber *current;    /* the thread that runs */
    struct sg_fiber *stack_owner; /* the fiber on whose stack it runs */
    void *main_stack_pointer; /* of the CPU thread while a fiber runs */
    volatile int on_fiber;    /* kernel code, or a runtime function on a fiber's stack */
    struct sg_grid *grid;
    pthread_t thread;
    uint64_t block_index;

    uint8_t *shared;
    uint8_t *local;
    size_t local_stride;
    size_t local_mapped;
    uint8_t *frames; /* of coroutines */
    size_t frame_stride;
    size_t frames_mapped;
    int rotate; /* the coroutine that stopped last only yields */
    uint8_t *stacks;
    unsigned fiber_count;
    unsigned guarded_stacks;
    struct sg_fiber *fibers[SG_MAX_BLOCK_THREADS];
    struct sg_block block;

    enum sg_fault_kind signal_kind; /* found by the signal handler */
    uint64_t signal_address;
    char print[SG_PRINT_BYTES];

    struct sg_slot *next_free;
    struct sg_slot *next_on_grid;
};

extern struct sg_memory sg_engine_memory;
extern _Thread_local struct sg_slot *sg_this_slot;

/* fiber.c */
void sg_fiber_switch(void **save, void *load);
void sg_fiber_prepare(struct sg_fiber *fiber, void (*entry)(struct sg_fiber *fiber));
/* Call a function on the CPU thread's own stack, which is large and may be left only by returning. */
void sg_call_on_main(struct sg_slot *slot, void (*function)(void *argument), void *argument);

/* slot.c */
struct sg_slot *sg_slot_take(void);
void sg_slot_give(struct sg_slot *slot);
/* Room for the coroutine frame of each thread of a block. 0 or -errno. */
int sg_slot_reserve_frames(struct sg_slot *slot, size_t bytes);
/* Make local memory for this many threads, and stacks for some of them. 0 or -errno. */
int sg_slot_reserve(struct sg_slot *slot, unsigned threads, unsigned stacks, size_t local_bytes);

/* block.c */
void sg_grid_work(struct sg_slot *slot, struct sg_grid *grid);
void sg_fiber_exit(struct sg_fiber *fiber) __attribute__((noreturn));
void sg_fiber_wait(struct sg_fiber *fiber);  /* until somebody makes it ready */
void sg_fiber_yield(struct sg_fiber *fiber); /* stays ready */
void sg_fiber_not_ready(struct sg_fiber *fiber);
void sg_thread_ended(struct sg_fiber *fiber);
void sg_fiber_ready(struct sg_slot *slot, uint32_t warp, uint32_t lanes);

/* barrier.c */
void sg_barriers_after_exit(struct sg_slot *slot);

/* warp.c */
void sg_groups_after_exit(struct sg_slot *slot, uint32_t warp);
/* Nobody else in the warp can run: release a group of those who met at a site. 1 if there was one. */
int sg_groups_release_site(struct sg_slot *slot, uint32_t warp);

/* fault.c */
int sg_fault_install(void);
int sg_fault_prepare_thread(void);
void sg_fault_record(struct sg_grid *grid, enum sg_fault_kind kind, uint64_t address, const char *text);
void sg_fault_raise(struct sg_thread *thread, enum sg_fault_kind kind, uint64_t address, const char *text)
    __attribute__((noreturn, cold));
void sg_fault_interrupt(struct sg_slot *slot); /* make a CPU thread look at its grid's stop flag */

/* pool.c */
void sg_pool_interrupt_grid(struct sg_grid *grid);

/* access.c: runtime function of compiled code, also used by others */
void sg_op_access(struct sg_thread *thread, uint64_t address, uint32_t bytes, uint32_t flags);

enum { SG_ACCESS_WRITE = 1, SG_ACCESS_GENERIC = 2 };

#endif
