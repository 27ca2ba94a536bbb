/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory pools. An allocation takes its pages at once, and a free gives them back in stream order. What a pool
 * keeps after a free is its reservation, bytes of the device that nobody else can have: it shrinks to the
 * release threshold when something is synchronized, and to what is used when it is trimmed or memory is short.
 */
#ifndef SOFTGPU_POOL_H
#define SOFTGPU_POOL_H

#include "driver.h"

struct pool {
    struct object object;
    struct device *device;
    struct pool *next; /* in the list of all pools */
    pthread_mutex_t lock;
    uint64_t threshold;
    uint64_t limit; /* 0: the device's memory */
    int reuse[4];   /* the three switches, by attribute number */
    uint64_t used, used_high;
    uint64_t reserved, reserved_high; /* what the device is charged: never less than what is used */
};

CUresult pool_current(struct device *device, struct pool **pool); /* counted */

/* reservation.c */
void pool_enter(struct pool *pool); /* the list, which pools_trim walks */
void pool_leave(struct pool *pool);
CUresult pool_charge(struct pool *pool, size_t bytes);
void pool_uncharge(struct pool *pool, size_t bytes);
void pool_trim(struct pool *pool, uint64_t keep);
void pools_trim(const struct device *device);         /* memory is short */
void pools_synchronized(const struct device *device); /* something has been waited for */

#endif
