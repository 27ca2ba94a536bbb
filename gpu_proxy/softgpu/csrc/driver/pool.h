/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory pools. An allocation takes its memory at once; a free gives it back in stream order. Memory that a
 * pool keeps below its release threshold is reused without asking the system.
 */
#ifndef SOFTGPU_POOL_H
#define SOFTGPU_POOL_H

#include "driver.h"

struct pool {
    struct object object;
    struct device *device;
    pthread_mutex_t lock;
    uint64_t threshold;
    uint64_t limit; /* 0: the device's memory */
    int reuse[4];   /* the three switches, by attribute number */
    uint64_t used, used_high;
};

CUresult pool_take(struct pool *pool, size_t bytes, uint64_t *address);
void pool_given_back(uint64_t pool_handle, size_t bytes);
CUresult pool_current(struct device *device, struct pool **pool); /* counted */

#endif
