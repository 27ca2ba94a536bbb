/* SPDX-License-Identifier: Apache-2.0
 *
 * Virtual memory management: reserved addresses, physical allocations, and mappings between them.
 *
 * Physical memory is a piece of one memory file, so that it can be mapped at several places.
 */
#ifndef SOFTGPU_VMM_H
#define SOFTGPU_VMM_H

#include "memory.h"

struct physical {
    struct object object;
    struct device *device;
    CUmemAllocationProp properties;
    uint64_t bytes, offset; /* in the memory file */
    unsigned handles;       /* references of the application; under memory_lock, as `mappings` */
    unsigned mappings;
};

struct mapping {
    struct allocation allocation;
    struct physical *physical;
    CUmemAccess_flags access;
};

/* physical.c */
CUresult physical_make(struct device *device, uint64_t bytes, const CUmemAllocationProp *properties,
                       struct physical **physical);
void physical_drop_if_unused(struct physical *physical); /* with memory_lock held for writing */
int physical_fd(void);

#endif
