/* SPDX-License-Identifier: Apache-2.0
 *
 * Linear copies.
 */
#include "copy.h"

#include <stdlib.h>
#include <string.h>

#include "capture.h"
#include "memory.h"

void copy_run(const struct work_copy *copy)
{
    for (size_t z = 0; z < copy->depth; z++)
        for (size_t y = 0; y < copy->height; y++)
            memmove(copy->dst + z * copy->dst_slice + y * copy->dst_pitch,
                    copy->src + z * copy->src_slice + y * copy->src_pitch, copy->width);
}

static size_t bytes_of(const struct work_copy *copy)
{
    return copy->width * copy->height * copy->depth;
}

/* A pageable source must have been read when the call returns: keep a copy of it. */
static int stage(struct work_copy *copy)
{
    size_t bytes = bytes_of(copy);
    char *staged = bytes <= STAGE_BYTES_MAX ? malloc(bytes) : NULL;
    if (!staged)
        return 0;
    struct work_copy in = *copy;
    in.dst = staged;
    in.dst_pitch = copy->width;
    in.dst_slice = copy->width * copy->height;
    copy_run(&in);
    copy->src = copy->owned = staged;
    copy->src_pitch = in.dst_pitch;
    copy->src_slice = in.dst_slice;
    return 1;
}

CUresult copy_submit(struct stream *stream, struct work_copy *copy, int src_pageable, int dst_pageable, int wait)
{
    unsigned flags = wait ? SUBMIT_WAIT : 0;
    int capturing = stream->capture != NULL;
    if (!wait && !capturing) {
        int idle = stream_reached(stream, atomic_load(&stream->submitted));
        if (bytes_of(copy) <= STREAM_INLINE_BYTES)
            flags = SUBMIT_INLINE;
        if (dst_pageable || (src_pageable && (idle || !stage(copy))))
            flags = SUBMIT_WAIT;
    }
    struct work work = {.kind = WORK_COPY, .copy = *copy};
    return stream_perform(stream, &work, flags);
}

/* Check one side; *pageable tells whether only this process, and no kernel, may touch it. */
static CUresult check_side(const void *address, enum side side, size_t bytes, int is_write, int *pageable)
{
    uint64_t at = (uint64_t)(uintptr_t)address;
    int in_arena = arena_contains(at);
    *pageable = 0;
    if (side == SIDE_DEVICE || in_arena)
        return memory_check(at, bytes, is_write);
    NEED(address);
    *pageable = !host_is_pinned(address, bytes);
    return CUDA_SUCCESS;
}

CUresult copy_linear(CUstream handle, void *dst, enum side dst_side, const void *src, enum side src_side,
                     size_t bytes, int wait)
{
    struct stream *stream = NULL;
    int dst_pageable = 0, src_pageable = 0;
    ENTER_CONTEXT(context);
    if (bytes) {
        TRY(check_side(dst, dst_side, bytes, 1, &dst_pageable));
        TRY(check_side(src, src_side, bytes, 0, &src_pageable));
    }
    CUresult result = stream_resolve(context, handle, &stream);
    if (!result && bytes) {
        struct work_copy copy = {.dst = dst, .src = src, .width = bytes, .height = 1, .depth = 1};
        result = copy_submit(stream, &copy, src_pageable, dst_pageable, wait);
    }
    if (stream)
        object_put(&stream->object);
    if (!result && wait)
        result = context_check(context);
    return result;
}

CUresult cuMemcpyHtoD_v2(CUdeviceptr dst, const void *src, size_t bytes)
{
    return copy_linear(NULL, DEVICE_POINTER(dst), SIDE_DEVICE, src, SIDE_HOST, bytes, 1);
}

CUresult cuMemcpyDtoH_v2(void *dst, CUdeviceptr src, size_t bytes)
{
    return copy_linear(NULL, dst, SIDE_HOST, DEVICE_POINTER(src), SIDE_DEVICE, bytes, 1);
}

CUresult cuMemcpyDtoD_v2(CUdeviceptr dst, CUdeviceptr src, size_t bytes)
{
    return copy_linear(NULL, DEVICE_POINTER(dst), SIDE_DEVICE, DEVICE_POINTER(src), SIDE_DEVICE, bytes, 0);
}

CUresult cuMemcpy(CUdeviceptr dst, CUdeviceptr src, size_t bytes)
{
    return copy_linear(NULL, DEVICE_POINTER(dst), SIDE_ANY, DEVICE_POINTER(src), SIDE_ANY, bytes, 1);
}

CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr dst, const void *src, size_t bytes, CUstream stream)
{
    return copy_linear(stream, DEVICE_POINTER(dst), SIDE_DEVICE, src, SIDE_HOST, bytes, 0);
}

CUresult cuMemcpyDtoHAsync_v2(void *dst, CUdeviceptr src, size_t bytes, CUstream stream)
{
    return copy_linear(stream, dst, SIDE_HOST, DEVICE_POINTER(src), SIDE_DEVICE, bytes, 0);
}

CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr dst, CUdeviceptr src, size_t bytes, CUstream stream)
{
    return copy_linear(stream, DEVICE_POINTER(dst), SIDE_DEVICE, DEVICE_POINTER(src), SIDE_DEVICE, bytes, 0);
}

CUresult cuMemcpyAsync(CUdeviceptr dst, CUdeviceptr src, size_t bytes, CUstream stream)
{
    return copy_linear(stream, DEVICE_POINTER(dst), SIDE_ANY, DEVICE_POINTER(src), SIDE_ANY, bytes, 0);
}

static CUresult check_contexts(CUcontext first, CUcontext second)
{
    struct context *context = NULL;
    TRY(driver_enter());
    TRY(context_from_handle(first, &context));
    object_put(&context->object);
    TRY(context_from_handle(second, &context));
    object_put(&context->object);
    return CUDA_SUCCESS;
}

CUresult cuMemcpyPeer(CUdeviceptr dst, CUcontext dst_context, CUdeviceptr src, CUcontext src_context, size_t bytes)
{
    TRY(check_contexts(dst_context, src_context));
    return cuMemcpyDtoD_v2(dst, src, bytes);
}

CUresult cuMemcpyPeerAsync(CUdeviceptr dst, CUcontext dst_context, CUdeviceptr src, CUcontext src_context,
                           size_t bytes, CUstream stream)
{
    TRY(check_contexts(dst_context, src_context));
    return cuMemcpyDtoDAsync_v2(dst, src, bytes, stream);
}
