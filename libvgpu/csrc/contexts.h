/* SPDX-License-Identifier: Apache-2.0
 *
 * What the front end keeps about each context.
 */
#ifndef VGPU_CONTEXTS_H
#define VGPU_CONTEXTS_H

#include "vgpu.h"

struct vgpu_context {
    int device;
    unsigned flags;
    unsigned api_version;
    uint64_t identifier;
    uint64_t green, owner;          /* of a green context's: that, and the primary one with its memory */
};

/* NULL: not alive. */
struct vgpu_context *vgpu_context_of(uint64_t handle);
/* A handle, or 0. */
uint64_t vgpu_context_new(int device, unsigned flags, uint64_t green);
CUresult vgpu_retain_primary(int device, uint64_t *context);
CUresult vgpu_release_primary(int device);

#endif
