/* SPDX-License-Identifier: Apache-2.0
 *
 * The public forms of copies of boxes: two dimensions, three, between contexts, and to or from an array.
 */
#include <string.h>

#include "box.h"
#include "fronts.h"

static CUstream stream_at(void *const args[], unsigned index)
{
    return *(CUstream *)args[index];
}

static uint64_t word_at(void *const args[], unsigned index)
{
    return *(const uint64_t *)args[index];
}

static CUDA_MEMCPY3D_PEER flat(const CUDA_MEMCPY2D *copy)
{
    return (CUDA_MEMCPY3D_PEER){
        .srcXInBytes = copy->srcXInBytes, .srcY = copy->srcY, .srcMemoryType = copy->srcMemoryType,
        .srcHost = copy->srcHost, .srcDevice = copy->srcDevice, .srcArray = copy->srcArray,
        .srcPitch = copy->srcPitch, .dstXInBytes = copy->dstXInBytes, .dstY = copy->dstY,
        .dstMemoryType = copy->dstMemoryType, .dstHost = copy->dstHost, .dstDevice = copy->dstDevice,
        .dstArray = copy->dstArray, .dstPitch = copy->dstPitch, .WidthInBytes = copy->WidthInBytes,
        .Height = copy->Height, .Depth = 1,
    };
}

static CUresult copy_flat(const struct vgpu_entry *entry, const CUDA_MEMCPY2D *copy, CUstream stream, int wait)
{
    if (!copy)
        return CUDA_ERROR_INVALID_VALUE;
    CUDA_MEMCPY3D_PEER box = flat(copy);
    return vgpu_copy_box(&box, 0, stream, entry->flags, wait);
}

CUresult vgpu_front_memcpy_2d(const struct vgpu_entry *entry, void *const args[])
{
    return copy_flat(entry, *(const CUDA_MEMCPY2D **)args[0], NULL, 1);
}

CUresult vgpu_front_memcpy_2d_unaligned(const struct vgpu_entry *entry, void *const args[])
{
    return vgpu_front_memcpy_2d(entry, args);
}

CUresult vgpu_front_memcpy_2d_async(const struct vgpu_entry *entry, void *const args[])
{
    return copy_flat(entry, *(const CUDA_MEMCPY2D **)args[0], stream_at(args, 1), 0);
}

/* The two structures differ only in the words that hold contexts here and are reserved there. */
_Static_assert(sizeof(CUDA_MEMCPY3D) == sizeof(CUDA_MEMCPY3D_PEER), "one layout");
_Static_assert(offsetof(CUDA_MEMCPY3D, reserved1) == offsetof(CUDA_MEMCPY3D_PEER, dstContext), "one layout");

static CUresult copy_deep(const struct vgpu_entry *entry, void *const args[], int peer, CUstream stream, int wait)
{
    const void *copy = *(const void **)args[0];
    CUDA_MEMCPY3D_PEER box;

    if (!copy)
        return CUDA_ERROR_INVALID_VALUE;
    memcpy(&box, copy, sizeof box);
    return vgpu_copy_box(&box, peer, stream, entry->flags, wait);
}

CUresult vgpu_front_memcpy_3d(const struct vgpu_entry *entry, void *const args[])
{
    return copy_deep(entry, args, 0, NULL, 1);
}

CUresult vgpu_front_memcpy_3d_async(const struct vgpu_entry *entry, void *const args[])
{
    return copy_deep(entry, args, 0, stream_at(args, 1), 0);
}

CUresult vgpu_front_memcpy_3d_peer(const struct vgpu_entry *entry, void *const args[])
{
    return copy_deep(entry, args, 1, NULL, 1);
}

CUresult vgpu_front_memcpy_3d_peer_async(const struct vgpu_entry *entry, void *const args[])
{
    return copy_deep(entry, args, 1, stream_at(args, 1), 0);
}

/* A run of bytes in a one-dimensional array is a box of one row. */
static CUresult to_array(const struct vgpu_entry *entry, void *const args[], CUstream stream, int wait)
{
    CUDA_MEMCPY3D_PEER box = {
        .srcMemoryType = CU_MEMORYTYPE_HOST, .srcHost = *(const void **)args[2],
        .dstMemoryType = CU_MEMORYTYPE_ARRAY, .dstArray = *(CUarray *)args[0],
        .dstXInBytes = word_at(args, 1), .WidthInBytes = word_at(args, 3), .Height = 1, .Depth = 1,
    };

    return vgpu_copy_box(&box, 0, stream, entry->flags, wait);
}

static CUresult from_array(const struct vgpu_entry *entry, void *const args[], CUstream stream, int wait)
{
    CUDA_MEMCPY3D_PEER box = {
        .srcMemoryType = CU_MEMORYTYPE_ARRAY, .srcArray = *(CUarray *)args[1],
        .srcXInBytes = word_at(args, 2), .dstMemoryType = CU_MEMORYTYPE_HOST,
        .dstHost = *(void **)args[0], .WidthInBytes = word_at(args, 3), .Height = 1, .Depth = 1,
    };

    return vgpu_copy_box(&box, 0, stream, entry->flags, wait);
}

CUresult vgpu_front_memcpy_htoa(const struct vgpu_entry *entry, void *const args[])
{
    return to_array(entry, args, NULL, 1);
}

CUresult vgpu_front_memcpy_htoa_async(const struct vgpu_entry *entry, void *const args[])
{
    return to_array(entry, args, stream_at(args, 4), 0);
}

CUresult vgpu_front_memcpy_atoh(const struct vgpu_entry *entry, void *const args[])
{
    return from_array(entry, args, NULL, 1);
}

CUresult vgpu_front_memcpy_atoh_async(const struct vgpu_entry *entry, void *const args[])
{
    return from_array(entry, args, stream_at(args, 4), 0);
}
