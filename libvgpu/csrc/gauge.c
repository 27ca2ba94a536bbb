/* SPDX-License-Identifier: Apache-2.0
 *
 * Gauges: how much unfinished work each stream of this process has. A driver blocks whoever submits to a full
 * queue; behind the ring that would be the executor, which all threads share. So the thread waits here, before
 * its record is published, as it would wait in the driver without us: its own stream is full, and every other
 * thread goes on. The back end counts what is finished (struct idm_back, idm_gauge_at).
 *
 * Everything here is used with vgpu.ring held.
 */
#include "vgpu.h"

enum {
    KIND_CONTEXT = 1, KIND_STREAM = 2, STREAM_PER_THREAD = 2,
    PROBES = 16,
    QUIET = 8,                      /* a gauge may be given away below this part of a stream's works */
};

struct gauge {
    uint64_t owner;                 /* handle of a stream, or of a context for its own streams; 0: free */
    uint32_t thread;                /* of a per-thread stream, or 0 */
    uint32_t queued;                /* works ever, modulo 2^32, whoever the owner was */
    uint32_t finished;              /* of those, when last looked at, or since before this owner */
};

static struct gauge gauges[IDM_GAUGES];

/* How much of a gauge's work is not known to be finished. What the back end says can only be later than what
 * is known already, and never later than what was queued. */
static uint32_t unfinished(unsigned number)
{
    struct gauge *gauge = &gauges[number];
    uint32_t said = atomic_load_explicit(idm_gauge_at(vgpu.region, number), memory_order_acquire);

    if (said - gauge->finished <= gauge->queued - gauge->finished)
        gauge->finished = said;
    return gauge->queued - gauge->finished;
}

static int is_dead(const struct gauge *gauge)
{
    unsigned kind = IDM_HANDLE_KIND(gauge->owner);

    return !gauge->owner || !vgpu_is_alive(gauge->owner, kind);
}

static unsigned place(uint64_t owner, uint32_t thread, unsigned probe)
{
    return (IDM_HANDLE_INDEX(owner) + 61 * thread + probe) % IDM_GAUGES;
}

static int is_of(unsigned number, uint64_t owner, uint32_t thread)
{
    return gauges[number].owner == owner && gauges[number].thread == thread;
}

/* A gauge that is not at its first place, or none yet; 0 when all near it belong to streams that are busy. */
static unsigned search(uint64_t owner, uint32_t thread)
{
    unsigned spare = 0;

    for (unsigned i = 0; i < PROBES; i++) {
        unsigned number = place(owner, thread, i);
        if (number && is_of(number, owner, thread))
            return number;
        if (number && !spare &&
            (is_dead(&gauges[number]) || unfinished(number) < vgpu.stream_works / QUIET))
            spare = number;
    }
    if (spare) {
        /* What an earlier owner has not finished is nothing to this one. */
        gauges[spare].owner = owner;
        gauges[spare].thread = thread;
        gauges[spare].finished = gauges[spare].queued;
    }
    return spare;
}

int vgpu_gauge_take(const struct idm_call *call, const struct vgpu_thread *thread, uint32_t flags,
                    void *const args[], uint32_t bytes)
{
    uint64_t owner = call->stream ? *(const uint64_t *)args[call->stream - 1] : 0;
    uint32_t own = 0;

    if (!call->works || !vgpu.stream_works)
        return 0;
    if (owner <= STREAM_PER_THREAD) {
        int is_own = owner == STREAM_PER_THREAD || (owner == 0 && flags & IDM_FLAG_PER_THREAD);
        own = is_own && call->stream ? thread->number : 0;
        owner = vgpu_current(thread);
        if (!owner)
            return 0; /* There is no context: the call will fail. */
    }
    unsigned number = place(owner, own, 0);
    if (!number || !is_of(number, owner, own))
        number = search(owner, own);
    if (!number)
        return 0;
    struct gauge *gauge = &gauges[number];
    if (gauge->queued - gauge->finished >= vgpu.stream_works && unfinished(number) >= vgpu.stream_works)
        return -1;
    gauge->queued += idm_works(call, bytes);
    return (int)number;
}

void vgpu_gauge_return(int number, uint32_t works)
{
    gauges[number].queued -= works;
}
