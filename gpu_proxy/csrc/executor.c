/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "executor.h"

#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    SPIN_NS = 20000,            /* how long to look at the ring before sleeping */
    NAP_MIN_US = 20, NAP_MAX_US = 1000, /* between two looks at what is pending */
    KIND_CONTEXT = 1,
};

struct vx *vx_open(void *region, struct idm_counters *counters, const struct idm_bell *doorbells,
                   uint32_t doorbell_count, int use_c)
{
    struct vx *x = calloc(1, sizeof *x);

    if (!x)
        return NULL;
    x->objects = calloc(IDM_HANDLE_MAX, sizeof *x->objects); /* address space, touched as needed */
    if (!x->objects || vx_open_gauges(x) || vx_open_handshakes(x)) {
        free(x->objects);
        free(x);
        return NULL;
    }
    pthread_mutex_init(&x->lock, NULL);
    x->region = region;
    x->back = (struct idm_back *)((uint8_t *)region + IDM_BACK_AT);
    x->counters = counters;
    x->request_doorbell = doorbells[0];
    x->slot_doorbells = doorbells + 1;
    x->doorbells = doorbell_count;
    x->use_c = use_c;
    x->waiter_slot = -1;
    x->output = -1;
    idm_consumer_init(&x->consumer, region);
    return x;
}

const struct idm_record *vx_request(const struct vx *x)
{
    return &x->request.record;
}

const char *vx_reason(const struct vx *x)
{
    return x->reason;
}

uint64_t vx_current(const struct vx *x)
{
    return x->current;
}

void vx_stop(struct vx *x)
{
    x->stop = 1;
}

void vx_set_function(struct vx *x, uint32_t number, uint64_t address)
{
    if (number < VX_CALLS)
        x->functions[number] = (vx_function)(uintptr_t)address;
}

int vx_set_driver(struct vx *x, uint32_t index, uint64_t address)
{
    vx_function *members = (vx_function *)&x->driver;

    if (index >= sizeof x->driver / sizeof *members)
        return -EINVAL;
    members[index] = (vx_function)(uintptr_t)address;
    return 0;
}

void vx_set_output(struct vx *x, int fd)
{
    x->output = fd;
}

void vx_note_output(struct vx *x)
{
    int waiting = 0;

    if (x->output < 0 || x->launches == x->launches_seen)
        return;
    x->launches_seen = x->launches;
    if (ioctl(x->output, FIONREAD, &waiting) == 0 && waiting > 0)
        atomic_fetch_add_explicit(&x->back->output, 1, memory_order_release);
}

int vx_set_context(struct vx *x, uint64_t handle)
{
    uint64_t object = 0;

    if (handle && vx_lookup(x, handle, KIND_CONTEXT, &object))
        return VX_INVALID_CONTEXT;
    if (object == x->current)
        return VX_SUCCESS;
    int status = x->driver.ctx_set_current(object);
    x->current = status == VX_SUCCESS ? object : 0;
    return status;
}

void vx_forget_context(struct vx *x)
{
    x->current = 0;
    x->driver.ctx_set_current(0);
}

void vx_answer(struct vx *x, uint32_t slot, uint32_t sequence, uint32_t reply, int32_t status,
               const void *data, uint32_t bytes)
{
    if (slot >= IDM_SLOTS)
        return;
    atomic_store_explicit(&x->slot_busy[slot], 0, memory_order_release);
    uint8_t *to = reply ? idm_chunk_at(x->region, reply - 1) : idm_slot_at(x->region, slot)->data;
    if (data && bytes)
        memcpy(to, data, bytes);
    if (idm_complete(x->region, slot, sequence, status, bytes) && slot < x->doorbells)
        idm_bell_ring(x->slot_doorbells[slot]); /* Whoever sleeps on a broken one is woken by the socket. */
}

/* CUresults after which the context is of no more use. */
static int is_sticky(int32_t status)
{
    static const int16_t sticky[] = {214, 700, 702, 709, 710, 714, 715, 716, 717, 718, 719};

    for (size_t i = 0; i < sizeof sticky / sizeof *sticky; i++)
        if (sticky[i] == status)
            return 1;
    return 0;
}

void vx_note_status(struct vx *x, int32_t status)
{
    if (status != VX_SUCCESS && status != VX_NOT_READY)
        atomic_fetch_add_explicit(&x->counters->errors, 1, memory_order_relaxed);
    if (is_sticky(status))
        atomic_store_explicit(&x->back->sticky, (uint32_t)status, memory_order_release);
}

void vx_late(struct vx *x, uint32_t thread, int32_t status)
{
    vx_note_status(x, status);
    if (status == VX_SUCCESS || is_sticky(status))
        return;
    pthread_mutex_lock(&x->lock);
    struct vx_late_error *late = &x->late[thread % VX_LATE_THREADS];
    if (late->status == 0)
        *late = (struct vx_late_error){thread, status};
    pthread_mutex_unlock(&x->lock);
    atomic_fetch_add_explicit(&x->back->late, 1, memory_order_release);
}

int32_t vx_take_late(struct vx *x, uint32_t thread)
{
    pthread_mutex_lock(&x->lock);
    struct vx_late_error *late = &x->late[thread % VX_LATE_THREADS];
    int32_t status = late->thread == thread ? late->status : 0;
    if (status)
        late->status = 0;
    pthread_mutex_unlock(&x->lock);
    return status;
}

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int ring_is_empty(struct vx *x)
{
    return atomic_load_explicit(&x->consumer.front->produced, memory_order_acquire) ==
           x->consumer.consumed;
}

/* Sleep until the doorbell rings, or for a nap when something is pending. */
static void sleep_on_doorbell(struct vx *x, uint32_t nap_us)
{
    struct pollfd doorbell = {.fd = x->request_doorbell.fd, .events = POLLIN};
    struct timespec nap = {0, (long)nap_us * 1000};

    idm_prepare_to_wait(&x->consumer);
    if (ring_is_empty(x) && !x->stop && ppoll(&doorbell, 1, nap_us ? &nap : NULL, NULL) > 0)
        idm_bell_clear(x->request_doorbell);
    idm_end_wait(&x->consumer);
}

static int waits_for_driver(const struct vx *x)
{
    return x->pending_count || x->gauges.busy_count || x->handshakes.busy_count;
}

/* How much has happened since the last look. */
static int poll_driver(struct vx *x)
{
    return (x->pending_count ? vx_poll_pending(x) : 0) + (x->gauges.busy_count ? vx_poll_gauges(x) : 0) +
           (x->handshakes.busy_count ? vx_poll_handshakes(x) : 0);
}

/* Wait for the next record: look for a moment, then sleep. */
static void idle(struct vx *x)
{
    uint64_t start = now_ns();
    uint32_t nap_us = NAP_MIN_US;

    if (x->busy_since)
        atomic_fetch_add_explicit(&x->counters->busy_ns, start - x->busy_since, memory_order_relaxed);
    /* Between domains the numbers of CPUs say nothing: 0 is nobody's. */
    unsigned my_cpu = x->request_doorbell.port ? 0 : (unsigned)sched_getcpu() + 1;
    int may_spin = !my_cpu || atomic_load_explicit(&x->consumer.front->cpu, memory_order_relaxed) != my_cpu;

    atomic_store_explicit(&x->back->cpu, my_cpu, memory_order_relaxed);
    while (ring_is_empty(x) && !x->stop) {
        if (poll_driver(x) > 0)
            start = now_ns();
        if (may_spin && now_ns() - start < SPIN_NS) {
            /* What is pending may need this CPU: the software GPU computes on it. */
            if (waits_for_driver(x))
                sched_yield();
            else
                __builtin_ia32_pause();
            continue;
        }
        sleep_on_doorbell(x, waits_for_driver(x) ? nap_us : 0);
        if (nap_us < NAP_MAX_US)
            nap_us += nap_us / 4;
    }
    x->busy_since = now_ns();
}

static int malformed(struct vx *x, const char *what, unsigned call)
{
    snprintf(x->reason, sizeof x->reason, "%s (call %#06x)", what, call);
    return VX_MALFORMED;
}

/* A slot waits for one answer at a time, which also bounds what lanes and polling have to do. */
static int claim_slot(struct vx *x)
{
    uint16_t slot = x->request.record.slot;

    return slot == IDM_NO_SLOT || !atomic_exchange_explicit(&x->slot_busy[slot], 1, memory_order_acquire);
}

static void count_record(struct vx *x)
{
    struct idm_counters *counters = x->counters;

    atomic_fetch_add_explicit(&counters->calls, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(x->request.record.slot == IDM_NO_SLOT ? &counters->posted
                                                                  : &counters->forwarded,
                              1, memory_order_relaxed);
}

/* What is owed after each record, whoever executed it. */
static void end_record(struct vx *x)
{
    if (x->request.record.gauge && x->call->works)
        vx_count_works(x);
    if (x->gauges.busy_count && ++x->gauges.turn % VX_GAUGE_POLL == 0)
        vx_poll_gauges(x);
}

int vx_run(struct vx *x)
{
    if (x->in_python)
        end_record(x);
    x->in_python = 0;
    while (!x->stop) {
        if (x->pending_count)
            vx_poll_pending(x);
        if (x->handshakes.busy_count)
            vx_poll_handshakes(x);
        int bytes = idm_take(&x->consumer, &x->request.record);
        if (bytes < 0)
            return malformed(x, "the ring holds something that is no record", 0);
        if (bytes == 0) {
            idle(x);
            continue;
        }
        x->call = idm_call_by_number(x->request.record.call);
        if (!x->call)
            return malformed(x, "unknown call number", x->request.record.call);
        if (idm_check_request(x->call, &x->request.record))
            return malformed(x, "a record contradicts its row", x->request.record.call);
        if (!claim_slot(x))
            return malformed(x, "a slot has a call already", x->request.record.call);
        if (x->request.record.gauge >= IDM_GAUGES)
            return malformed(x, "a gauge that there is not", x->request.record.call);
        count_record(x);
        x->stream_found = 0;
        x->in_python = !vx_can_execute(x, x->call);
        if (x->in_python)
            return VX_PYTHON;
        vx_execute(x);
        end_record(x);
    }
    return x->reason[0] ? VX_MALFORMED : VX_STOPPED;
}

void vx_clear_sticky(struct vx *x)
{
    atomic_store_explicit(&x->back->sticky, 0, memory_order_release);
}

void vx_count(struct vx *x, uint64_t bytes_in, uint64_t bytes_out, uint64_t launches)
{
    atomic_fetch_add_explicit(&x->counters->bytes_in, bytes_in, memory_order_relaxed);
    atomic_fetch_add_explicit(&x->counters->bytes_out, bytes_out, memory_order_relaxed);
    atomic_fetch_add_explicit(&x->counters->launches, launches, memory_order_relaxed);
    x->launches += launches;
}

void vx_count_memory(struct vx *x, int64_t device_bytes, int64_t host_bytes)
{
    atomic_fetch_add_explicit(&x->counters->device_bytes, (uint64_t)device_bytes, memory_order_relaxed);
    atomic_fetch_add_explicit(&x->counters->host_bytes, (uint64_t)host_bytes, memory_order_relaxed);
}
