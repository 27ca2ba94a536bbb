/* SPDX-License-Identifier: Apache-2.0
 *
 * Copies of boxes: every two- and three-dimensional form is one, and so is a copy to an array.
 */
#ifndef VGPU_BOX_H
#define VGPU_BOX_H

#include "vgpu.h"

/* One side of a copy. */
struct vgpu_side {
    CUmemorytype type;
    uint64_t address;
    CUarray array;
    CUcontext context;
    size_t x, y, z, lod, pitch, height;
};

struct vgpu_side vgpu_src_side(const CUDA_MEMCPY3D_PEER *copy);
struct vgpu_side vgpu_dst_side(const CUDA_MEMCPY3D_PEER *copy);
void vgpu_set_src(CUDA_MEMCPY3D_PEER *copy, const struct vgpu_side *side);
void vgpu_set_dst(CUDA_MEMCPY3D_PEER *copy, const struct vgpu_side *side);

#endif
