/* SPDX-License-Identifier: Apache-2.0
 *
 * What the executor does while the ring is empty: it looks at what the driver was asked for, spins for a
 * moment, and then sleeps on its doorbell.
 */
#define _GNU_SOURCE
#include <poll.h>
#include <sched.h>
#include <time.h>

#include "executor.h"

enum {
    SPIN_NS = 20000,            /* how long to look at the ring before sleeping */
    NAP_MIN_US = 20, NAP_MAX_US = 1000, /* between two looks at what is pending */
};

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
void vx_idle(struct vx *x)
{
    uint64_t start = now_ns();
    uint32_t nap_us = NAP_MIN_US;

    if (x->busy_since)
        atomic_fetch_add_explicit(&x->counters->busy_ns, start - x->busy_since, memory_order_relaxed);
    /* Between domains the numbers of CPUs say nothing: 0 is nobody's. */
    unsigned my_cpu = x->request_doorbell.port ? 0 : (unsigned)sched_getcpu() + 1;
    int may_spin = !my_cpu || atomic_load_explicit(&x->consumer.front->cpu, memory_order_relaxed) != my_cpu;

    atomic_store_explicit(&x->back->cpu, my_cpu, memory_order_relaxed);
    while (ring_is_empty(x) && !x->stop && !x->waited) {
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
