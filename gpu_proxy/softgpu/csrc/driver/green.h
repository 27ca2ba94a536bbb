/* SPDX-License-Identifier: Apache-2.0
 *
 * Parts of a device.
 */
#ifndef SOFTGPU_GREEN_H
#define SOFTGPU_GREEN_H

#include "driver.h"

struct description { /* behind a CUdevResourceDesc */
    struct object object;
    struct device *device;
    int multiprocessors;
};

void resource_describe(const struct device *device, int multiprocessors, CUdevResource *resource);
CUresult resource_of_context(const struct context *context, CUdevResource *resource, CUdevResourceType type);
/* Wait for what has been submitted to every green context on a primary one's memory. */
CUresult green_wait_idle(struct context *primary);

#endif
