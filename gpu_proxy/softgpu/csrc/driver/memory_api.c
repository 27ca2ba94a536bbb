/* SPDX-License-Identifier: Apache-2.0
 *
 * The calls that allocate and free device memory.
 */
#include "capture.h"
#include "graph.h"
#include "green.h"
#include "memory.h"

#define PITCH_ALIGN 512
#define CUDA_PITCH_ELEMENT(bytes) ((bytes) == 4 || (bytes) == 8 || (bytes) == 16)

CUresult cuMemAlloc_v2(CUdeviceptr *dptr, size_t bytes)
{
    uint64_t address = 0;
    ENTER_UNSAFE(context);
    NEED(dptr && bytes);
    TRY(memory_take(context->device, context, bytes, MEMORY_DEVICE, NULL, &address));
    *dptr = address;
    return CUDA_SUCCESS;
}

CUresult cuMemAllocPitch_v2(CUdeviceptr *dptr, size_t *pitch, size_t width, size_t height, unsigned int element)
{
    size_t row = 0, bytes = 0;
    ENTER_UNSAFE(context);
    NEED(dptr && pitch && width && height && CUDA_PITCH_ELEMENT(element));
    NEED(!__builtin_add_overflow(width, (size_t)PITCH_ALIGN - 1, &row));
    row -= row % PITCH_ALIGN;
    NEED(!__builtin_mul_overflow(row, height, &bytes));
    TRY(cuMemAlloc_v2(dptr, bytes));
    *pitch = row;
    return CUDA_SUCCESS;
}

CUresult cuMemFree_v2(CUdeviceptr dptr)
{
    struct allocation found;
    ENTER_UNSAFE(context);
    if (!dptr)
        return CUDA_SUCCESS;
    NEED(memory_find(dptr, &found) && found.address == dptr);
    if (found.kind == MEMORY_MANAGED)
        return host_free_any(dptr, MEMORY_MANAGED);
    NEED(found.kind == MEMORY_DEVICE || found.kind == MEMORY_POOL || found.kind == MEMORY_GRAPH);
    /* Mark it first, so that of two threads that free the same pointer one fails. */
    NEED(found.kind == MEMORY_GRAPH || memory_mark_freeing(dptr));
    TRY(context_wait_idle(context)); /* queued work may still use it */
    TRY(green_wait_idle(context->owner));
    if (found.kind == MEMORY_GRAPH)
        return graph_memory_free(dptr);
    if (found.context && found.context != context)
        TRY(memory_wait_owner(&found));
    return memory_release(dptr, found.id);
}

CUresult cuMemGetInfo_v2(size_t *free_bytes, size_t *total)
{
    ENTER_CONTEXT(context);
    NEED(free_bytes && total);
    *total = context->device->total_bytes;
    *free_bytes = *total - atomic_load(&context->device->used_bytes);
    return CUDA_SUCCESS;
}

CUresult cuMemGetAddressRange_v2(CUdeviceptr *base, size_t *size, CUdeviceptr dptr)
{
    struct allocation found;
    ENTER_CONTEXT(context);
    (void)context;
    if (!memory_find(dptr, &found))
        return CUDA_ERROR_NOT_FOUND;
    if (base)
        *base = found.address;
    if (size)
        *size = found.bytes;
    return CUDA_SUCCESS;
}
