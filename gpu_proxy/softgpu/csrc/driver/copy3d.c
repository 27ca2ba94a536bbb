/* SPDX-License-Identifier: Apache-2.0
 *
 * Copies of rows and slices, and to and from arrays.
 */
#include <stdlib.h>
#include <string.h>

#include "array.h"
#include "capture.h"
#include "copy.h"
#include "memory.h"

/* One side of the copy, in terms that are the same for source and destination. */
struct place {
    CUmemorytype type;
    const void *host;
    CUdeviceptr device;
    CUarray array;
    size_t x, y, z, pitch, height;
};

struct extent {
    size_t width, height, depth;
};

struct window {
    char *start;
    size_t pitch, slice;
    int pageable;
};

static CUresult array_place(const struct place *place, const struct extent *extent, struct window *window)
{
    struct array *array = object_get(HANDLE(place->array), KIND_ARRAY);
    if (!array)
        return CUDA_ERROR_INVALID_HANDLE;
    int inside = place->x <= array->row_bytes && extent->width <= array->row_bytes - place->x &&
                 place->y <= array->rows && extent->height <= array->rows - place->y &&
                 place->z <= array->slices && extent->depth <= array->slices - place->z;
    window->pitch = array->row_bytes;
    window->slice = array->row_bytes * array->rows;
    window->start = DEVICE_POINTER(array->address + place->z * window->slice + place->y * window->pitch + place->x);
    window->pageable = 0;
    object_put(&array->object);
    return inside ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

/* Bytes from the first to the last byte touched; 0 on overflow. */
static size_t span_of(const struct window *window, const struct extent *extent)
{
    size_t rows = 0, slices = 0, span = 0;
    if (__builtin_mul_overflow(extent->height - 1, window->pitch, &rows) ||
        __builtin_mul_overflow(extent->depth - 1, window->slice, &slices) ||
        __builtin_add_overflow(rows, slices, &span) || __builtin_add_overflow(span, extent->width, &span))
        return 0;
    return span;
}

static CUresult offset_of(const struct place *place, const struct window *window, size_t *offset)
{
    size_t rows = 0, slices = 0;
    NEED(!__builtin_mul_overflow(place->y, window->pitch, &rows));
    NEED(!__builtin_mul_overflow(place->z, window->slice, &slices));
    NEED(!__builtin_add_overflow(rows, slices, offset) && !__builtin_add_overflow(*offset, place->x, offset));
    return CUDA_SUCCESS;
}

static CUresult memory_place(const struct place *place, const struct extent *extent, int is_write,
                             struct window *window)
{
    size_t offset = 0;
    int many_rows = extent->height > 1 || place->y, many_slices = extent->depth > 1 || place->z;
    window->pitch = place->pitch ? place->pitch : extent->width + place->x;
    size_t height = place->height ? place->height : extent->height + place->y;
    NEED(!(many_rows || many_slices) || (place->x <= window->pitch && extent->width <= window->pitch - place->x));
    NEED(!many_slices || (place->y <= height && extent->height <= height - place->y));
    NEED(!__builtin_mul_overflow(window->pitch, height, &window->slice));
    TRY(offset_of(place, window, &offset));
    char *base = place->type == CU_MEMORYTYPE_HOST ? (char *)(uintptr_t)place->host : DEVICE_POINTER(place->device);
    window->start = base + offset;
    size_t span = span_of(window, extent);
    NEED(base && span);
    uint64_t at = (uint64_t)(uintptr_t)window->start;
    window->pageable = 0;
    if (place->type == CU_MEMORYTYPE_DEVICE || arena_contains(at))
        return memory_check(at, span, is_write);
    window->pageable = !host_is_pinned(window->start, span);
    return CUDA_SUCCESS;
}

static CUresult resolve(const struct place *place, const struct extent *extent, int is_write, struct window *window)
{
    switch (place->type) {
    case CU_MEMORYTYPE_ARRAY:
        return array_place(place, extent, window);
    case CU_MEMORYTYPE_HOST:
    case CU_MEMORYTYPE_DEVICE:
    case CU_MEMORYTYPE_UNIFIED:
        return memory_place(place, extent, is_write, window);
    default:
        return CUDA_ERROR_INVALID_VALUE;
    }
}

CUresult copy_resolve_3d(const CUDA_MEMCPY3D *p, struct work_copy *copy, int *src_pageable, int *dst_pageable)
{
    struct place src = {p->srcMemoryType, p->srcHost, p->srcDevice, p->srcArray, p->srcXInBytes, p->srcY, p->srcZ,
                        p->srcPitch, p->srcHeight};
    struct place dst = {p->dstMemoryType, p->dstHost, p->dstDevice, p->dstArray, p->dstXInBytes, p->dstY, p->dstZ,
                        p->dstPitch, p->dstHeight};
    struct extent extent = {p->WidthInBytes, p->Height, p->Depth};
    struct window from = {0}, to = {0};
    *src_pageable = *dst_pageable = 0;
    *copy = (struct work_copy){0};
    if (!extent.width || !extent.height || !extent.depth)
        return CUDA_SUCCESS; /* nothing to copy: the extents in `copy` stay 0 */
    TRY(resolve(&src, &extent, 0, &from));
    TRY(resolve(&dst, &extent, 1, &to));
    *copy = (struct work_copy){.dst = to.start, .src = from.start, .dst_pitch = to.pitch, .dst_slice = to.slice,
                               .src_pitch = from.pitch, .src_slice = from.slice, .width = extent.width,
                               .height = extent.height, .depth = extent.depth};
    *src_pageable = from.pageable;
    *dst_pageable = to.pageable;
    return CUDA_SUCCESS;
}

static CUresult copy_3d(const CUDA_MEMCPY3D *params, CUstream handle, int wait)
{
    struct stream *stream = NULL;
    struct work_copy copy;
    int src_pageable = 0, dst_pageable = 0;
    ENTER_CONTEXT(context);
    NEED(params);
    TRY(copy_resolve_3d(params, &copy, &src_pageable, &dst_pageable));
    CUresult result = stream_resolve(context, handle, &stream);
    if (!result && copy.width)
        result = copy_submit(stream, &copy, src_pageable, dst_pageable, wait);
    if (stream)
        object_put(&stream->object);
    return !result && wait ? context_check(context) : result;
}

static CUDA_MEMCPY3D from_2d(const CUDA_MEMCPY2D *p)
{
    return (CUDA_MEMCPY3D){
        .srcXInBytes = p->srcXInBytes, .srcY = p->srcY, .srcMemoryType = p->srcMemoryType, .srcHost = p->srcHost,
        .srcDevice = p->srcDevice, .srcArray = p->srcArray, .srcPitch = p->srcPitch, .dstXInBytes = p->dstXInBytes,
        .dstY = p->dstY, .dstMemoryType = p->dstMemoryType, .dstHost = p->dstHost, .dstDevice = p->dstDevice,
        .dstArray = p->dstArray, .dstPitch = p->dstPitch, .WidthInBytes = p->WidthInBytes, .Height = p->Height,
        .Depth = 1};
}

CUresult cuMemcpy2D_v2(const CUDA_MEMCPY2D *params)
{
    NEED(params);
    CUDA_MEMCPY3D wide = from_2d(params);
    return copy_3d(&wide, NULL, 1);
}

CUresult cuMemcpy2DUnaligned_v2(const CUDA_MEMCPY2D *params)
{
    return cuMemcpy2D_v2(params);
}

CUresult cuMemcpy2DAsync_v2(const CUDA_MEMCPY2D *params, CUstream stream)
{
    NEED(params);
    CUDA_MEMCPY3D wide = from_2d(params);
    return copy_3d(&wide, stream, 0);
}

CUresult cuMemcpy3D_v2(const CUDA_MEMCPY3D *params)
{
    return copy_3d(params, NULL, 1);
}

CUresult cuMemcpy3DAsync_v2(const CUDA_MEMCPY3D *params, CUstream stream)
{
    return copy_3d(params, stream, 0);
}

static CUDA_MEMCPY3D from_peer(const CUDA_MEMCPY3D_PEER *p)
{
    return (CUDA_MEMCPY3D){
        .srcXInBytes = p->srcXInBytes, .srcY = p->srcY, .srcZ = p->srcZ, .srcMemoryType = p->srcMemoryType,
        .srcHost = p->srcHost, .srcDevice = p->srcDevice, .srcArray = p->srcArray, .srcPitch = p->srcPitch,
        .srcHeight = p->srcHeight, .dstXInBytes = p->dstXInBytes, .dstY = p->dstY, .dstZ = p->dstZ,
        .dstMemoryType = p->dstMemoryType, .dstHost = p->dstHost, .dstDevice = p->dstDevice,
        .dstArray = p->dstArray, .dstPitch = p->dstPitch, .dstHeight = p->dstHeight,
        .WidthInBytes = p->WidthInBytes, .Height = p->Height, .Depth = p->Depth};
}

CUresult cuMemcpy3DPeer(const CUDA_MEMCPY3D_PEER *params)
{
    NEED(params);
    CUDA_MEMCPY3D plain = from_peer(params);
    return copy_3d(&plain, NULL, 1);
}

CUresult cuMemcpy3DPeerAsync(const CUDA_MEMCPY3D_PEER *params, CUstream stream)
{
    NEED(params);
    CUDA_MEMCPY3D plain = from_peer(params);
    return copy_3d(&plain, stream, 0);
}

/* Copies between arrays and linear memory, one row: offsets are in bytes. */
static CUresult copy_array(struct place dst, struct place src, size_t bytes, CUstream stream, int wait)
{
    CUDA_MEMCPY3D p = {
        .srcXInBytes = src.x, .srcMemoryType = src.type, .srcHost = src.host, .srcDevice = src.device,
        .srcArray = src.array, .dstXInBytes = dst.x, .dstMemoryType = dst.type,
        .dstHost = (void *)(uintptr_t)dst.host, .dstDevice = dst.device, .dstArray = dst.array,
        .WidthInBytes = bytes, .Height = 1, .Depth = 1};
    return copy_3d(&p, stream, wait);
}

#define IN_ARRAY(handle, offset) ((struct place){.type = CU_MEMORYTYPE_ARRAY, .array = (handle), .x = (offset)})
#define ON_HOST(address) ((struct place){.type = CU_MEMORYTYPE_HOST, .host = (address)})
#define ON_DEVICE(address) ((struct place){.type = CU_MEMORYTYPE_DEVICE, .device = (address)})

CUresult cuMemcpyHtoA_v2(CUarray dst, size_t offset, const void *src, size_t bytes)
{
    return copy_array(IN_ARRAY(dst, offset), ON_HOST(src), bytes, NULL, 1);
}

CUresult cuMemcpyAtoH_v2(void *dst, CUarray src, size_t offset, size_t bytes)
{
    return copy_array(ON_HOST(dst), IN_ARRAY(src, offset), bytes, NULL, 1);
}

CUresult cuMemcpyHtoAAsync_v2(CUarray dst, size_t offset, const void *src, size_t bytes, CUstream stream)
{
    return copy_array(IN_ARRAY(dst, offset), ON_HOST(src), bytes, stream, 0);
}

CUresult cuMemcpyAtoHAsync_v2(void *dst, CUarray src, size_t offset, size_t bytes, CUstream stream)
{
    return copy_array(ON_HOST(dst), IN_ARRAY(src, offset), bytes, stream, 0);
}

CUresult cuMemcpyDtoA_v2(CUarray dst, size_t offset, CUdeviceptr src, size_t bytes)
{
    return copy_array(IN_ARRAY(dst, offset), ON_DEVICE(src), bytes, NULL, 0);
}

CUresult cuMemcpyAtoD_v2(CUdeviceptr dst, CUarray src, size_t offset, size_t bytes)
{
    return copy_array(ON_DEVICE(dst), IN_ARRAY(src, offset), bytes, NULL, 0);
}

CUresult cuMemcpyAtoA_v2(CUarray dst, size_t dst_offset, CUarray src, size_t src_offset, size_t bytes)
{
    return copy_array(IN_ARRAY(dst, dst_offset), IN_ARRAY(src, src_offset), bytes, NULL, 0);
}
