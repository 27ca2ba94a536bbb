/* SPDX-License-Identifier: Apache-2.0 */
#include "executor.h"

#include <stdio.h>
#include <stdlib.h>

enum { KIND_CONTEXT = 1 };

struct vx *vx_open(void *region, struct idm_counters *counters, const struct idm_bell *doorbells,
                   uint32_t doorbell_count, int use_c)
{
    struct vx *x = calloc(1, sizeof *x);

    if (!x)
        return NULL;
    x->objects = calloc(IDM_HANDLE_MAX, sizeof *x->objects); /* address space, touched as needed */
    if (!x->objects || vx_open_gauges(x) || vx_open_handshakes(x)) {
        free(x->gauges.all);
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

void vx_watch(struct vx *x)
{
    atomic_store_explicit(&x->watching, 1, memory_order_release);
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
        if (x->waited) {
            x->waited = 0;
            return VX_WAITED;
        }
        int bytes = idm_take(&x->consumer, &x->request.record);
        if (bytes < 0)
            return malformed(x, "the ring holds something that is no record", 0);
        if (bytes == 0) {
            vx_idle(x);
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
