/* SPDX-License-Identifier: Apache-2.0
 *
 * The CPU threads of the engine, and the grids that they work on. One lock guards the list of grids and the slots
 * that are attached to each; blocks are handed out with one atomic addition.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "thread.h"

enum {
    MAX_POOL_THREADS = 256,
    MAX_COOPERATIVE_BLOCKS = 4096,
    WATCH_PERIOD_NS = 5 * 1000 * 1000,
    CHUNKS_PER_THREAD = 8,
    MAX_CHUNK = 64,
    WORKSPACE_BYTES = 4096,
};

struct sg_memory sg_engine_memory;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t work = PTHREAD_COND_INITIALIZER;
static pthread_cond_t finished = PTHREAD_COND_INITIALIZER;
static pthread_cond_t watch = PTHREAD_COND_INITIALIZER;
static struct sg_grid *grids;
static unsigned idle_threads, pool_threads;
static int watcher_idle;
static _Atomic uint64_t next_grid_id;

static void attach(struct sg_grid *grid, struct sg_slot *slot)
{
    slot->grid = grid;
    slot->next_on_grid = grid->slots;
    grid->slots = slot;
}

static void detach(struct sg_grid *grid, struct sg_slot *slot)
{
    struct sg_slot **link = &grid->slots;

    while (*link != slot)
        link = &(*link)->next_on_grid;
    *link = slot->next_on_grid;
}

/* Precondition: the lock is held. */
static void interrupt_grid(struct sg_grid *grid)
{
    for (struct sg_slot *slot = grid->slots; slot; slot = slot->next_on_grid)
        if (!pthread_equal(slot->thread, pthread_self()))
            sg_fault_interrupt(slot);
}

/* Attach, work, detach; the last thing that touches the grid happens under the lock. */
static void work_on(struct sg_slot *slot, struct sg_grid *grid)
{
    sg_grid_work(slot, grid);
    pthread_mutex_lock(&lock);
    detach(grid, slot);
    if (atomic_load(&grid->stop))
        interrupt_grid(grid);
}

static struct sg_grid *grid_with_work(void)
{
    for (struct sg_grid *grid = grids; grid; grid = grid->next) {
        if (!grid->launch->cooperative && !atomic_load_explicit(&grid->stop, memory_order_relaxed) &&
            atomic_load_explicit(&grid->next_block, memory_order_relaxed) < grid->block_count)
            return grid;
    }
    return NULL;
}

static void *pool_thread(void *unused)
{
    struct sg_slot *slot = sg_slot_take();

    (void)unused;
    if (!slot || sg_fault_prepare_thread() < 0)
        return NULL;
    pthread_mutex_lock(&lock);
    for (;;) {
        struct sg_grid *grid = grid_with_work();
        if (!grid) {
            idle_threads++;
            pthread_cond_wait(&work, &lock);
            idle_threads--;
            continue;
        }
        grid->helpers++;
        attach(grid, slot);
        pthread_mutex_unlock(&lock);
        work_on(slot, grid);
        if (--grid->helpers == 0)
            pthread_cond_broadcast(&finished);
    }
}

/* Looks at the cancel flags of running grids, and repeats interrupts until all have stopped. */
static void *watch_thread(void *unused)
{
    const struct timespec period = {0, WATCH_PERIOD_NS};

    (void)unused;
    pthread_mutex_lock(&lock);
    for (;;) {
        while (!grids) {
            watcher_idle = 1;
            pthread_cond_wait(&watch, &lock);
        }
        watcher_idle = 0;
        pthread_mutex_unlock(&lock);
        nanosleep(&period, NULL);
        pthread_mutex_lock(&lock);
        for (struct sg_grid *grid = grids; grid; grid = grid->next) {
            if (grid->launch->cancel && *grid->launch->cancel && !atomic_load(&grid->stop))
                sg_fault_record(grid, SG_FAULT_CANCELLED, 0, "cancelled");
            if (atomic_load(&grid->stop))
                interrupt_grid(grid);
        }
    }
    return NULL;
}

static int start_thread(void *(*function)(void *argument))
{
    pthread_t thread;
    sigset_t all, before;

    /* Faults stay deliverable; every other signal is the application's own business. */
    sigfillset(&all);
    sigdelset(&all, SIGSEGV);
    sigdelset(&all, SIGBUS);
    sigdelset(&all, SIGFPE);
    sigdelset(&all, SIGILL);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int result = pthread_create(&thread, NULL, function, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (result == 0)
        pthread_detach(thread);
    return -result;
}

static unsigned usable_cpus(void)
{
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof set, &set) < 0)
        return 1;
    return (unsigned)CPU_COUNT(&set);
}

int sg_engine_start(unsigned threads, const struct sg_memory *memory)
{
    sg_engine_memory = *memory;
    int result = sg_fault_install();

    if (threads == 0)
        threads = usable_cpus();
    if (threads > MAX_POOL_THREADS)
        threads = MAX_POOL_THREADS;
    if (result == 0)
        result = start_thread(watch_thread);
    /* The thread that calls sg_run works too. */
    for (pool_threads = 1; result == 0 && pool_threads < threads; pool_threads++)
        result = start_thread(pool_thread);
    return result;
}

/* --- one launch ---------------------------------------------------------------------------------------------- */

static struct sg_grid *make_grid(const struct sg_launch *launch)
{
    const struct sg_kernel *kernel = launch->kernel;
    size_t bytes = (sizeof(struct sg_grid) + kernel->param_bytes + 63) & ~(size_t)63;
    struct sg_grid *grid = aligned_alloc(64, bytes);

    if (!grid)
        return NULL;
    memset(grid, 0, sizeof *grid);
    grid->launch = launch;
    grid->kernel = kernel;
    grid->entry = sg_kernel_entry(kernel);
    grid->id = atomic_fetch_add_explicit(&next_grid_id, 1, memory_order_relaxed);
    grid->block_count = (uint64_t)launch->grid[0] * launch->grid[1] * launch->grid[2];
    grid->block_threads = launch->block[0] * launch->block[1] * launch->block[2];
    grid->shared_bytes = launch->dynamic_shared_bytes
                             ? ((kernel->static_shared_bytes + 15) & ~15u) + launch->dynamic_shared_bytes
                             : kernel->static_shared_bytes;
    uint64_t chunk = grid->block_count / ((uint64_t)pool_threads * CHUNKS_PER_THREAD);
    grid->chunk = chunk < 1 ? 1 : chunk > MAX_CHUNK ? MAX_CHUNK : chunk;
    pthread_mutex_init(&grid->fault_lock, NULL);
    if (kernel->param_bytes)
        memcpy(grid->params, launch->params, kernel->param_bytes);
    return grid;
}

static void publish(struct sg_grid *grid, struct sg_slot *slot)
{
    pthread_mutex_lock(&lock);
    attach(grid, slot);
    grid->next = grids;
    grids = grid;
    if (watcher_idle) {
        watcher_idle = 0;
        pthread_cond_signal(&watch);
    }
    if (grid->block_count > 1 && idle_threads && !grid->launch->cooperative) {
        if (grid->block_count > idle_threads)
            pthread_cond_broadcast(&work);
        else
            for (uint64_t i = 1; i < grid->block_count; i++)
                pthread_cond_signal(&work);
    }
    pthread_mutex_unlock(&lock);
}

static void withdraw(struct sg_grid *grid)
{
    struct sg_grid **link = &grids;

    while (grid->helpers)
        pthread_cond_wait(&finished, &lock);
    while (*link != grid)
        link = &(*link)->next;
    *link = grid->next;
    pthread_mutex_unlock(&lock);
}

static void *cooperative_thread(void *argument)
{
    struct sg_grid *grid = argument;
    struct sg_slot *slot = sg_slot_take();

    if (!slot || sg_fault_prepare_thread() < 0) {
        sg_fault_record(grid, SG_FAULT_HARDWARE, 0, "no memory for a block of a cooperative launch");
        return NULL;
    }
    pthread_mutex_lock(&lock);
    attach(grid, slot);
    pthread_mutex_unlock(&lock);
    work_on(slot, grid);
    pthread_mutex_unlock(&lock);
    sg_slot_give(slot);
    return NULL;
}

/* Blocks of a cooperative launch wait for one another, so each gets a CPU thread of its own. */
static int start_cooperative(struct sg_grid *grid, pthread_t *threads, uint64_t *started)
{
    grid->chunk = 1;
    for (*started = 0; *started + 1 < grid->block_count; (*started)++) {
        int result = pthread_create(&threads[*started], NULL, cooperative_thread, grid);
        if (result) {
            sg_fault_record(grid, SG_FAULT_HARDWARE, 0, "no CPU thread for a block of a cooperative launch");
            return -result;
        }
    }
    return 0;
}

static void run_cooperative(struct sg_grid *grid, struct sg_slot *slot)
{
    pthread_t *threads = calloc(grid->block_count, sizeof *threads);
    void *workspace = aligned_alloc(WORKSPACE_BYTES, WORKSPACE_BYTES);
    uint64_t started = 0;

    if (!threads || !workspace || grid->block_count > MAX_COOPERATIVE_BLOCKS) {
        sg_fault_record(grid, SG_FAULT_HARDWARE, 0, "a cooperative launch with too many blocks");
    } else {
        memset(workspace, 0, WORKSPACE_BYTES);
        grid->workspace = (uint64_t)(uintptr_t)workspace;
        start_cooperative(grid, threads, &started);
    }
    work_on(slot, grid);
    pthread_mutex_unlock(&lock);
    for (uint64_t i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    free(threads);
    free(workspace);
    pthread_mutex_lock(&lock);
}

static int refuse(struct sg_fault *fault, const char *text, int result)
{
    *fault = (struct sg_fault){.kind = SG_FAULT_HARDWARE};
    strncpy(fault->text, text, sizeof fault->text - 1);
    return result;
}

int sg_run(const struct sg_launch *launch, struct sg_fault *fault)
{
    struct sg_grid *grid = make_grid(launch);

    if (!grid)
        return refuse(fault, "no memory for a launch", -ENOMEM);
    struct sg_slot *slot = NULL;
    if (!grid->entry)
        refuse(fault, "a kernel without code", 0);
    else if (grid->block_threads > SG_MAX_BLOCK_THREADS || grid->shared_bytes > SG_MAX_SHARED_BYTES)
        refuse(fault, "a block with too many threads or too much shared memory", 0);
    else if (sg_fault_prepare_thread() < 0 || !(slot = sg_slot_take()))
        refuse(fault, "no memory for a launch", 0);
    if (!slot) {
        free(grid);
        return -EFAULT;
    }
    publish(grid, slot);
    if (launch->cooperative)
        run_cooperative(grid, slot);
    else
        work_on(slot, grid);
    withdraw(grid);
    sg_slot_give(slot);
    *fault = grid->fault;
    pthread_mutex_destroy(&grid->fault_lock);
    free(grid);
    return fault->kind == SG_FAULT_NONE ? 0 : -EFAULT;
}
