/* SPDX-License-Identifier: Apache-2.0
 *
 * What the two sides of a copy of a box are: a device address, an array, memory that both processes have at
 * one address, or the application's pageable memory, which only this process can reach.
 */
#include <string.h>

#include "box.h"

enum { KIND_CONTEXT = 1, KIND_ARRAY = 11 };

struct vgpu_side vgpu_src_side(const CUDA_MEMCPY3D_PEER *copy)
{
    struct vgpu_side side = {
        .type = copy->srcMemoryType, .array = copy->srcArray, .context = copy->srcContext,
        .x = copy->srcXInBytes, .y = copy->srcY, .z = copy->srcZ, .lod = copy->srcLOD,
        .pitch = copy->srcPitch, .height = copy->srcHeight,
    };
    side.address = side.type == CU_MEMORYTYPE_HOST ? (uint64_t)(uintptr_t)copy->srcHost : copy->srcDevice;
    return side;
}

struct vgpu_side vgpu_dst_side(const CUDA_MEMCPY3D_PEER *copy)
{
    struct vgpu_side side = {
        .type = copy->dstMemoryType, .array = copy->dstArray, .context = copy->dstContext,
        .x = copy->dstXInBytes, .y = copy->dstY, .z = copy->dstZ, .lod = copy->dstLOD,
        .pitch = copy->dstPitch, .height = copy->dstHeight,
    };
    side.address = side.type == CU_MEMORYTYPE_HOST ? (uint64_t)(uintptr_t)copy->dstHost : copy->dstDevice;
    return side;
}

static int has_address(const struct vgpu_side *side)
{
    return side->type == CU_MEMORYTYPE_DEVICE || side->type == CU_MEMORYTYPE_UNIFIED;
}

void vgpu_set_src(CUDA_MEMCPY3D_PEER *copy, const struct vgpu_side *side)
{
    copy->srcMemoryType = side->type;
    copy->srcHost = side->type == CU_MEMORYTYPE_HOST ? (void *)(uintptr_t)side->address : NULL;
    copy->srcDevice = has_address(side) ? side->address : 0;
    copy->srcArray = side->type == CU_MEMORYTYPE_ARRAY ? side->array : NULL;
    copy->srcContext = side->context;
    copy->srcXInBytes = side->x;
    copy->srcY = side->y;
    copy->srcZ = side->z;
    copy->srcLOD = side->lod;
    copy->srcPitch = side->pitch;
    copy->srcHeight = side->height;
}

void vgpu_set_dst(CUDA_MEMCPY3D_PEER *copy, const struct vgpu_side *side)
{
    copy->dstMemoryType = side->type;
    copy->dstHost = side->type == CU_MEMORYTYPE_HOST ? (void *)(uintptr_t)side->address : NULL;
    copy->dstDevice = has_address(side) ? side->address : 0;
    copy->dstArray = side->type == CU_MEMORYTYPE_ARRAY ? side->array : NULL;
    copy->dstContext = side->context;
    copy->dstXInBytes = side->x;
    copy->dstY = side->y;
    copy->dstZ = side->z;
    copy->dstLOD = side->lod;
    copy->dstPitch = side->pitch;
    copy->dstHeight = side->height;
}

/* Pitches and heights that a flat copy may leave out are filled in; impossible ones are an error. */
static int settle_pitch(struct vgpu_side *side, const CUDA_MEMCPY3D_PEER *copy)
{
    size_t row, rows;

    if (__builtin_add_overflow(side->x, copy->WidthInBytes, &row) ||
        __builtin_add_overflow(side->y, copy->Height, &rows))
        return -CUDA_ERROR_INVALID_VALUE;
    if (copy->Height <= 1 && copy->Depth <= 1 && side->y == 0 && side->z == 0 && side->pitch < row)
        side->pitch = row;
    if (copy->Depth <= 1 && side->z == 0 && side->height < rows)
        side->height = rows;
    return side->pitch < row || side->height < rows ? -CUDA_ERROR_INVALID_VALUE : 0;
}

/* First byte of the box and the distance to the byte behind its last. */
static int extent(const struct vgpu_side *side, const CUDA_MEMCPY3D_PEER *copy, uint64_t *start, uint64_t *bytes)
{
    uint64_t slice, z, y, depth, height, end;
    int bad = __builtin_mul_overflow(side->pitch, side->height, &slice) ||
              __builtin_mul_overflow(slice, side->z, &z) || __builtin_mul_overflow(side->pitch, side->y, &y) ||
              __builtin_mul_overflow(slice, copy->Depth - 1, &depth) ||
              __builtin_mul_overflow(side->pitch, copy->Height - 1, &height) ||
              __builtin_add_overflow(z, y, &z) || __builtin_add_overflow(z, side->x, &z) ||
              __builtin_add_overflow(side->address, z, start) ||
              __builtin_add_overflow(depth, height, &depth) ||
              __builtin_add_overflow(depth, copy->WidthInBytes, bytes) ||
              __builtin_add_overflow(*start, *bytes, &end);

    return bad ? -CUDA_ERROR_INVALID_VALUE : 0;
}

/* 1: the worker can reach it. 0: pageable. */
static int settle_address(struct vgpu_side *side, const CUDA_MEMCPY3D_PEER *copy)
{
    struct vgpu_range range;
    uint64_t start, bytes;
    int result = settle_pitch(side, copy);

    if (result == 0)
        result = extent(side, copy, &start, &bytes);
    if (result != 0 || side->address == 0)
        return result ? result : -CUDA_ERROR_INVALID_VALUE;
    if (vgpu_range_covers(start, bytes)) {
        side->type = CU_MEMORYTYPE_UNIFIED;
        return 1;
    }
    /* Device memory that is not ours, or a box that begins in an allocation and leaves it. */
    if (side->type == CU_MEMORYTYPE_DEVICE || vgpu_range_find(start, &range) == 0)
        return -CUDA_ERROR_INVALID_VALUE;
    side->type = CU_MEMORYTYPE_HOST;
    return 0;
}

static int settle(struct vgpu_side *side, const CUDA_MEMCPY3D_PEER *copy, int peer)
{
    uint64_t context = (uint64_t)(uintptr_t)side->context, array = (uint64_t)(uintptr_t)side->array;

    if (!peer || side->type == CU_MEMORYTYPE_HOST)
        side->context = NULL;
    else if (!vgpu_is_alive(context, KIND_CONTEXT))
        return -CUDA_ERROR_INVALID_CONTEXT;
    switch (side->type) {
    case CU_MEMORYTYPE_ARRAY:
        return vgpu_is_alive(array, KIND_ARRAY) ? 1 : -CUDA_ERROR_INVALID_HANDLE;
    case CU_MEMORYTYPE_HOST:
    case CU_MEMORYTYPE_DEVICE:
    case CU_MEMORYTYPE_UNIFIED:
        return settle_address(side, copy);
    default:
        return -CUDA_ERROR_INVALID_VALUE;
    }
}

int vgpu_settle_box(CUDA_MEMCPY3D_PEER *copy, int peer)
{
    struct vgpu_side src = vgpu_src_side(copy), dst = vgpu_dst_side(copy);
    int from = settle(&src, copy, peer), to = settle(&dst, copy, peer);

    if (from < 0 || to < 0)
        return from < 0 ? from : to;
    vgpu_set_src(copy, &src);
    vgpu_set_dst(copy, &dst);
    return from && to;
}
