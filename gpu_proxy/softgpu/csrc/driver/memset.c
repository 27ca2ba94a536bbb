/* SPDX-License-Identifier: Apache-2.0
 *
 * Setting device memory.
 */
#include <string.h>

#include "capture.h"
#include "memory.h"
#include "set.h"

static void fill16(uint16_t *row, size_t count, uint16_t value)
{
    for (size_t i = 0; i < count; i++)
        row[i] = value;
}

static void fill32(uint32_t *row, size_t count, uint32_t value)
{
    for (size_t i = 0; i < count; i++)
        row[i] = value;
}

void set_run(const struct work_set *set)
{
    for (size_t y = 0; y < set->height; y++) {
        void *row = set->dst + y * set->pitch;
        if (set->element_bytes == 1)
            memset(row, (int)(set->value & 0xff), set->width);
        else if (set->element_bytes == 2)
            fill16(row, set->width, (uint16_t)set->value);
        else
            fill32(row, set->width, set->value);
    }
}

CUresult set_check(const struct work_set *set)
{
    size_t row = 0, span = 0;
    NEED(set->element_bytes == 1 || set->element_bytes == 2 || set->element_bytes == 4);
    NEED((uintptr_t)set->dst % set->element_bytes == 0 && set->pitch % set->element_bytes == 0);
    NEED(!__builtin_mul_overflow(set->width, (size_t)set->element_bytes, &row));
    NEED(set->height <= 1 || set->pitch >= row);
    if (!row || !set->height)
        return CUDA_SUCCESS;
    NEED(!__builtin_mul_overflow(set->height - 1, set->pitch, &span) && !__builtin_add_overflow(span, row, &span));
    return memory_check((uint64_t)(uintptr_t)set->dst, span, 1);
}

/* Memsets of device memory are asynchronous even without a stream. */
static CUresult set_memory(CUdeviceptr dst, size_t pitch, uint32_t value, uint32_t element, size_t width,
                           size_t height, CUstream handle)
{
    struct stream *stream = NULL;
    ENTER_CONTEXT(context);
    struct work work = {.kind = WORK_SET,
                        .set = {.dst = (char *)(uintptr_t)dst, .pitch = pitch, .width = width, .height = height,
                                .value = value, .element_bytes = element}};
    TRY(set_check(&work.set));
    CUresult result = stream_resolve(context, handle, &stream);
    if (!result && width && height)
        result = stream_perform(stream, &work,
                                width * height * element <= STREAM_INLINE_BYTES && !stream->capture ? SUBMIT_INLINE : 0);
    if (stream)
        object_put(&stream->object);
    return result;
}

CUresult cuMemsetD8_v2(CUdeviceptr dst, unsigned char value, size_t count)
{
    return set_memory(dst, 0, value, 1, count, 1, NULL);
}

CUresult cuMemsetD16_v2(CUdeviceptr dst, unsigned short value, size_t count)
{
    return set_memory(dst, 0, value, 2, count, 1, NULL);
}

CUresult cuMemsetD32_v2(CUdeviceptr dst, unsigned int value, size_t count)
{
    return set_memory(dst, 0, value, 4, count, 1, NULL);
}

CUresult cuMemsetD8Async(CUdeviceptr dst, unsigned char value, size_t count, CUstream stream)
{
    return set_memory(dst, 0, value, 1, count, 1, stream);
}

CUresult cuMemsetD16Async(CUdeviceptr dst, unsigned short value, size_t count, CUstream stream)
{
    return set_memory(dst, 0, value, 2, count, 1, stream);
}

CUresult cuMemsetD32Async(CUdeviceptr dst, unsigned int value, size_t count, CUstream stream)
{
    return set_memory(dst, 0, value, 4, count, 1, stream);
}

CUresult cuMemsetD2D8_v2(CUdeviceptr dst, size_t pitch, unsigned char value, size_t width, size_t height)
{
    return set_memory(dst, pitch, value, 1, width, height, NULL);
}

CUresult cuMemsetD2D16_v2(CUdeviceptr dst, size_t pitch, unsigned short value, size_t width, size_t height)
{
    return set_memory(dst, pitch, value, 2, width, height, NULL);
}

CUresult cuMemsetD2D32_v2(CUdeviceptr dst, size_t pitch, unsigned int value, size_t width, size_t height)
{
    return set_memory(dst, pitch, value, 4, width, height, NULL);
}

CUresult cuMemsetD2D8Async(CUdeviceptr dst, size_t pitch, unsigned char value, size_t width, size_t height,
                           CUstream stream)
{
    return set_memory(dst, pitch, value, 1, width, height, stream);
}

CUresult cuMemsetD2D16Async(CUdeviceptr dst, size_t pitch, unsigned short value, size_t width, size_t height,
                            CUstream stream)
{
    return set_memory(dst, pitch, value, 2, width, height, stream);
}

CUresult cuMemsetD2D32Async(CUdeviceptr dst, size_t pitch, unsigned int value, size_t width, size_t height,
                            CUstream stream)
{
    return set_memory(dst, pitch, value, 4, width, height, stream);
}
