/* SPDX-License-Identifier: Apache-2.0
 *
 * Completion slots and staging chunks: where answers arrive, and where long data travels. A thread takes a
 * slot for the duration of one call. It looks at the slot for a moment, then sleeps on the slot's doorbell
 * and the session's socket, so that a dead back end wakes it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "vgpu.h"

enum { SPIN_NS = 30000, PAUSE_NS = 3000, NAP_US = 50 };

static _Atomic uint32_t slot_busy[IDM_SLOTS];
static uint32_t slot_sequence[IDM_SLOTS]; /* owned by whoever holds the slot */

enum chunk_state { CHUNK_FREE, CHUNK_OURS, CHUNK_LENT };

VGPU_LOCK(chunk_lock);
static uint8_t chunk_states[IDM_CHUNKS];
static uint32_t chunk_released[IDM_CHUNKS]; /* back->chunk_done when the chunk was lent */

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void nap(void)
{
    struct timespec time = {0, NAP_US * 1000};

    nanosleep(&time, NULL);
}

static int try_slot(unsigned slot)
{
    uint32_t free_value = 0;

    return atomic_load_explicit(&slot_busy[slot], memory_order_relaxed) == 0 &&
           atomic_compare_exchange_strong(&slot_busy[slot], &free_value, 1);
}

int vgpu_take_slot(struct vgpu_thread *thread, struct vgpu_ticket *ticket)
{
    unsigned slot = thread->slot_hint;

    while (!try_slot(slot)) {
        unsigned tried = 0;
        for (; tried < IDM_SLOTS; tried++)
            if (atomic_load_explicit(&slot_busy[(slot + tried) % IDM_SLOTS], memory_order_relaxed) == 0)
                break;
        slot = (slot + tried) % IDM_SLOTS;
        if (tried < IDM_SLOTS)
            continue;
        if (atomic_load(&vgpu.dead))
            return -1;
        nap(); /* Every slot is in use: some call will end. */
    }
    thread->slot_hint = slot;
    ticket->slot = slot;
    ticket->sequence = ++slot_sequence[slot];
    return 0;
}

void vgpu_give_slot(unsigned slot)
{
    atomic_store_explicit(&slot_busy[slot], 0, memory_order_release);
}

static int is_done(const struct idm_slot *slot, uint32_t sequence)
{
    return atomic_load_explicit(&slot->done, memory_order_acquire) == sequence;
}

/* Sleep until the doorbell rings or the session ends. Slots without a doorbell look again soon. */
static CUresult park(unsigned slot, uint32_t sequence)
{
    int has_bell = slot < vgpu.doorbells;
    struct idm_bell bell = has_bell ? vgpu.slot_doorbells[slot] : (struct idm_bell){.fd = -1};
    struct pollfd wait[2] = {{.fd = vgpu.socket, .events = POLLRDHUP}, {.fd = bell.fd, .events = POLLIN}};
    CUresult status = CUDA_SUCCESS;

    atomic_store_explicit(&vgpu.front->parked[slot], 1, memory_order_relaxed);
    /* The back end writes `done`, then looks at `parked`; we do it the other way round. */
    atomic_thread_fence(memory_order_seq_cst);
    if (!is_done(idm_slot_at(vgpu.region, slot), sequence)) {
        if (!has_bell)
            nap();
        int ready = poll(wait, 2, has_bell ? -1 : 0);
        if (ready > 0 && wait[1].revents & POLLIN && idm_bell_clear(bell))
            status = vgpu_died("its doorbell is broken");
        if (ready > 0 && wait[0].revents & (POLLHUP | POLLRDHUP | POLLERR) &&
            !is_done(idm_slot_at(vgpu.region, slot), sequence))
            status = vgpu_died("the back end closed it");
    }
    atomic_store_explicit(&vgpu.front->parked[slot], 0, memory_order_relaxed);
    return status;
}

CUresult vgpu_wait_slot(unsigned slot, uint32_t sequence)
{
    const struct idm_slot *answer = idm_slot_at(vgpu.region, slot);
    uint64_t start = now_ns();
    unsigned cpu = (unsigned)sched_getcpu() + 1;
    int may_spin = atomic_load_explicit(&vgpu.back->cpu, memory_order_relaxed) != cpu;

    uint64_t waited = 0;
    while (may_spin && !is_done(answer, sequence) && waited < SPIN_NS) {
        if (waited < PAUSE_NS)
            __builtin_ia32_pause();
        else
            sched_yield(); /* Whoever computes the answer may need this CPU. */
        waited = now_ns() - start;
    }
    while (!is_done(answer, sequence)) {
        int dead = atomic_load(&vgpu.dead);
        if (dead)
            return (CUresult)dead;
        CUresult status = park(slot, sequence);
        if (status != CUDA_SUCCESS)
            return status;
    }
    vgpu_self()->counters.wait_ns += now_ns() - start;
    return CUDA_SUCCESS;
}

int vgpu_try_chunk(void)
{
    int found = -1;

    pthread_mutex_lock(&chunk_lock);
    for (unsigned i = 0; i < IDM_CHUNKS && found < 0; i++) {
        if (chunk_states[i] == CHUNK_LENT &&
            atomic_load_explicit(&vgpu.back->chunk_done[i], memory_order_acquire) != chunk_released[i])
            chunk_states[i] = CHUNK_FREE;
        if (chunk_states[i] == CHUNK_FREE) {
            chunk_states[i] = CHUNK_OURS;
            found = (int)i;
        }
    }
    pthread_mutex_unlock(&chunk_lock);
    return found;
}

int vgpu_take_chunk(void)
{
    for (unsigned tries = 0;; tries++) {
        int chunk = vgpu_try_chunk();
        if (chunk >= 0)
            return chunk;
        if (atomic_load(&vgpu.dead) || (tries % 64 == 63 && !vgpu_session_alive()))
            return -1;
        nap();
    }
}

void vgpu_give_chunk(unsigned chunk)
{
    pthread_mutex_lock(&chunk_lock);
    chunk_states[chunk] = CHUNK_FREE;
    pthread_mutex_unlock(&chunk_lock);
}

void vgpu_lend_chunk(unsigned chunk)
{
    pthread_mutex_lock(&chunk_lock);
    chunk_states[chunk] = CHUNK_LENT;
    chunk_released[chunk] = atomic_load_explicit(&vgpu.back->chunk_done[chunk], memory_order_acquire);
    pthread_mutex_unlock(&chunk_lock);
}
