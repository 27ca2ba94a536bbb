/* SPDX-License-Identifier: Apache-2.0
 *
 * Records enter the ring, one after the other: their order there is the order of execution. A thread waits for
 * room in its stream first (gauge.c), and for room in the ring.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <time.h>

#include "vgpu.h"

enum { NAP_MIN_NS = 20000, NAP_MAX_NS = 1000000 };

/* Devices that the application sees by its own numbers are sent by the snapshot's. */
static void translate_devices(const struct idm_call *call, struct idm_record *record)
{
    uint64_t *words = (uint64_t *)(void *)(record + 1);

    for (unsigned i = 0; i < call->param_count; i++)
        if (call->params[i].flags & IDM_DEVICE && call->params[i].wire == IDM_SCALAR &&
            words[i] < (uint64_t)vgpu.device_count)
            words[i] = (uint64_t)vgpu.devices[words[i]];
}

static void ring_doorbell(void)
{
    if (idm_bell_ring(vgpu.request_doorbell))
        vgpu_died("its doorbell is broken");
}

/* Wait for room, with the ring's lock held by nobody: in the ring, or in the stream. A stream may take long. */
static CUresult wait_for_room(long *nap_ns, int stream_is_full)
{
    struct timespec nap = {0, *nap_ns};

    if (stream_is_full && *nap_ns < NAP_MAX_NS)
        *nap_ns += *nap_ns / 4;
    else if (!stream_is_full)
        ring_doorbell();
    nanosleep(&nap, NULL);
    return vgpu_session_alive() ? CUDA_SUCCESS : vgpu_died("the back end closed it");
}

static void fill_header(struct idm_record *record, const struct idm_call *call,
                        const struct vgpu_thread *thread, const struct vgpu_ticket *ticket)
{
    record->call = call->number;
    record->slot = ticket ? (uint16_t)ticket->slot : IDM_NO_SLOT;
    record->sequence = ticket ? ticket->sequence : 0;
    record->reply = ticket ? ticket->reply : 0;
    record->thread = thread->number;
    record->context = vgpu_current(thread);
}

enum outcome { PUBLISHED, STREAM_FULL, RING_FULL, RING_DAMAGED };

static enum outcome try_to_publish(const struct idm_call *call, uint32_t flags, void *const args[],
                                   const uint64_t chosen[], const struct vgpu_ticket *ticket, uint32_t bytes)
{
    const struct vgpu_thread *thread = vgpu_self();
    int error = 0, asleep = 0;

    pthread_mutex_lock(&vgpu.ring);
    int gauge = vgpu_gauge_take(call, thread, flags, args, bytes);
    struct idm_record *record = gauge < 0 ? NULL : idm_reserve(&vgpu.producer, bytes, &error);
    if (record) {
        idm_pack_request(call, args, chosen, record);
        translate_devices(call, record);
        fill_header(record, call, thread, ticket);
        record->bytes = bytes;
        record->flags = (uint16_t)flags;
        record->gauge = (uint16_t)gauge;
        atomic_store_explicit(&vgpu.front->cpu, (uint32_t)sched_getcpu() + 1, memory_order_relaxed);
        asleep = idm_publish(&vgpu.producer, bytes);
    } else if (gauge > 0) {
        vgpu_gauge_return(gauge, idm_works(call, bytes));
    }
    pthread_mutex_unlock(&vgpu.ring);
    if (asleep)
        ring_doorbell();
    return record ? PUBLISHED : gauge < 0 ? STREAM_FULL : error ? RING_DAMAGED : RING_FULL;
}

CUresult vgpu_publish(const struct idm_call *call, uint32_t flags, void *const args[],
                      const uint64_t chosen[], const struct vgpu_ticket *ticket, uint32_t bytes)
{
    struct vgpu_thread *thread = vgpu_self();
    long nap_ns = NAP_MIN_NS;
    enum outcome outcome;

    while ((outcome = try_to_publish(call, flags, args, chosen, ticket, bytes)) != PUBLISHED) {
        CUresult status = outcome == RING_DAMAGED ? vgpu_died("its ring is damaged")
                                                  : wait_for_room(&nap_ns, outcome == STREAM_FULL);
        if (status != CUDA_SUCCESS)
            return status;
    }
    if (ticket)
        thread->counters.forwarded++;
    else
        thread->counters.posted++;
    return CUDA_SUCCESS;
}
