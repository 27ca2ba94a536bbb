/* SPDX-License-Identifier: Apache-2.0
 *
 * Copies between the application's memory and the device. Short ones travel in the record or the slot,
 * long ones in staging chunks, several of them in flight; memory that the worker has at the same address
 * is copied from where it is.
 */
#include <string.h>

#include "fronts.h"
#include "vgpu.h"

enum { INLINE_IN = 32 << 10 }; /* at most this much rides in a record */

CUresult vgpu_stream_synchronize(CUstream stream, uint32_t flags)
{
    void *const args[] = {&stream};

    return vgpu_send(&cuStreamSynchronize_call, flags, args);
}

static CUresult copy_in_inline(uint64_t dst, const void *src, uint64_t count, CUstream stream, uint32_t flags)
{
    void *const args[] = {&dst, &src, &count, &stream};

    return vgpu_send(&vgpuCopyIn_call, flags, args);
}

static CUresult copy_in_chunk(uint64_t dst, const void *src, uint64_t count, CUstream stream, uint32_t flags)
{
    int taken = vgpu_take_chunk();

    if (taken < 0)
        return vgpu_died("the back end closed it");
    unsigned chunk = (unsigned)taken;
    memcpy(idm_chunk_at(vgpu.region, chunk), src, count);
    vgpu_lend_chunk(chunk);
    void *const args[] = {&dst, &chunk, &count, &stream};
    CUresult status = vgpu_post(&vgpuCopyInChunk_call, flags, args);
    if (status != CUDA_SUCCESS)
        vgpu_give_chunk(chunk);
    return status == CUDA_SUCCESS ? vgpu_posted_error() : status;
}

CUresult vgpu_copy_in(uint64_t dst, const void *src, size_t count, CUstream stream, uint32_t flags)
{
    const uint8_t *from = src;
    CUresult status = CUDA_SUCCESS;

    vgpu_self()->counters.bytes_in += count;
    while (count && status == CUDA_SUCCESS) {
        size_t part = count < IDM_CHUNK_BYTES ? count : IDM_CHUNK_BYTES;
        status = part <= INLINE_IN ? copy_in_inline(dst, from, part, stream, flags)
                                   : copy_in_chunk(dst, from, part, stream, flags);
        dst += part;
        from += part;
        count -= part;
    }
    return status;
}

/* One part of a copy to the application, started and not yet finished. */
struct part {
    struct vgpu_ticket ticket;
    uint64_t src, count;
    void *dst;
};

/* A chunk for a part, or none for a short one. A thread that has parts in flight never waits for a chunk:
 * all chunks could be with threads that do the same. 0, or -1: finish a part first. */
static int take_room(struct part *part, int may_wait, CUresult *status)
{
    *status = CUDA_SUCCESS;
    part->ticket.reply = 0;
    if (idm_round8(part->count) <= IDM_SLOT_DATA)
        return 0;
    int chunk = may_wait ? vgpu_take_chunk() : vgpu_try_chunk();
    if (chunk < 0 && may_wait)
        *status = vgpu_died("the back end closed it");
    part->ticket.reply = (uint32_t)(chunk + 1);
    return chunk < 0 ? -1 : 0;
}

static CUresult start_part(struct part *part, CUstream stream, uint32_t flags)
{
    void *const args[] = {&part->src, &part->count, &stream, &part->dst};
    CUresult status = vgpu_start_with(&vgpuCopyOut_call, flags, args, NULL, &part->ticket);

    if (status != CUDA_SUCCESS && part->ticket.reply)
        vgpu_give_chunk(part->ticket.reply - 1);
    return status;
}

static CUresult finish_part(struct part *part, CUstream stream)
{
    void *const args[] = {&part->src, &part->count, &stream, &part->dst};

    return vgpu_finish(&vgpuCopyOut_call, args, &part->ticket);
}

CUresult vgpu_copy_out(void *dst, uint64_t src, size_t count, CUstream stream, uint32_t flags)
{
    struct part parts[VGPU_COPY_SLOTS];
    size_t started = 0, finished = 0, at = 0;
    CUresult status = CUDA_SUCCESS, first_error = CUDA_SUCCESS;

    vgpu_self()->counters.bytes_out += count;
    while (at < count || finished < started) {
        struct part *part = &parts[started % VGPU_COPY_SLOTS];
        int may_start = at < count && started - finished < VGPU_COPY_SLOTS && first_error == CUDA_SUCCESS;
        if (may_start)
            *part = (struct part){.src = src + at, .dst = (uint8_t *)dst + at,
                                  .count = count - at < IDM_CHUNK_BYTES ? count - at : IDM_CHUNK_BYTES};
        if (may_start && take_room(part, started == finished, &status) == 0) {
            at += part->count;
            status = start_part(part, stream, flags);
            if (status == CUDA_SUCCESS)
                started++;
        } else if (finished < started) {
            status = finish_part(&parts[finished++ % VGPU_COPY_SLOTS], stream);
        } else {
            return first_error == CUDA_SUCCESS ? status : first_error;
        }
        if (status != CUDA_SUCCESS && first_error == CUDA_SUCCESS)
            first_error = status;
    }
    return first_error;
}

CUresult vgpu_copy_shared(uint64_t dst, uint64_t src, size_t count, CUstream stream, uint32_t flags)
{
    uint64_t bytes = count;
    void *const args[] = {&dst, &src, &bytes, &stream};

    return vgpu_send(&vgpuCopy_call, flags, args);
}

CUresult vgpu_may_copy(CUstream stream)
{
    struct vgpu_thread *thread = vgpu_self();
    uint64_t handle = (uint64_t)(uintptr_t)stream;
    CUresult status = vgpu_may_call(thread);

    if (status != CUDA_SUCCESS)
        return status;
    if (!vgpu_current(thread))
        return CUDA_ERROR_INVALID_CONTEXT;
    return handle < 3 || vgpu_is_alive(handle, 2) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

static int is_device(uint64_t address, size_t count)
{
    struct vgpu_range range;

    return vgpu_range_find(address, &range) == 0 && count <= range.bytes - (address - range.base) &&
           !vgpu_is_shared((const void *)(uintptr_t)address, count);
}

static int is_known(uint64_t address, size_t count)
{
    return vgpu_range_covers(address, count);
}

static void count_shared(uint64_t dst, uint64_t src, size_t count)
{
    int to_device = is_device(dst, count), from_device = is_device(src, count);

    if (to_device && !from_device)
        vgpu_self()->counters.bytes_in += count;
    if (from_device && !to_device)
        vgpu_self()->counters.bytes_out += count;
}

/* Any copy of `count` bytes between two addresses. `wait`: return only when it has happened. */
static CUresult copy(uint64_t dst, uint64_t src, size_t count, CUstream stream, uint32_t flags, int wait)
{
    CUresult status = vgpu_may_copy(stream);
    int dst_known = is_known(dst, count), src_known = is_known(src, count);

    if (status != CUDA_SUCCESS || count == 0)
        return status;
    if (dst == 0 || src == 0)
        return CUDA_ERROR_INVALID_VALUE;
    if (dst_known && src_known) {
        count_shared(dst, src, count);
        status = vgpu_copy_shared(dst, src, count, stream, flags);
        return status == CUDA_SUCCESS && wait ? vgpu_stream_synchronize(stream, flags) : status;
    }
    if (dst_known)
        return vgpu_staged(vgpu_copy_in(dst, (const void *)(uintptr_t)src, count, stream, flags));
    if (src_known)
        return vgpu_staged(vgpu_copy_out((void *)(uintptr_t)dst, src, count, stream, flags));
    /* Neither is ours: CUDA copies between two pageable buffers in stream order. */
    status = vgpu_stream_synchronize(stream, flags);
    if (status == CUDA_SUCCESS)
        memmove((void *)(uintptr_t)dst, (const void *)(uintptr_t)src, count);
    return vgpu_staged(status);
}

static uint64_t at(void *const args[], unsigned index)
{
    return *(const uint64_t *)args[index];
}

static CUstream stream_at(void *const args[], unsigned index)
{
    return *(CUstream *)args[index];
}

static CUresult to_device(const struct vgpu_entry *entry, void *const args[], CUstream stream, int wait)
{
    if (at(args, 2) && !is_known(at(args, 0), at(args, 2)))
        return vgpu_may_copy(stream) != CUDA_SUCCESS ? vgpu_may_copy(stream) : CUDA_ERROR_INVALID_VALUE;
    return copy(at(args, 0), at(args, 1), at(args, 2), stream, entry->flags, wait);
}

static CUresult from_device(const struct vgpu_entry *entry, void *const args[], CUstream stream, int wait)
{
    if (at(args, 2) && !is_known(at(args, 1), at(args, 2)))
        return vgpu_may_copy(stream) != CUDA_SUCCESS ? vgpu_may_copy(stream) : CUDA_ERROR_INVALID_VALUE;
    return copy(at(args, 0), at(args, 1), at(args, 2), stream, entry->flags, wait);
}

CUresult vgpu_front_memcpy_htod(const struct vgpu_entry *entry, void *const args[])
{
    return to_device(entry, args, NULL, 1);
}

CUresult vgpu_front_memcpy_dtoh(const struct vgpu_entry *entry, void *const args[])
{
    return from_device(entry, args, NULL, 1);
}

CUresult vgpu_front_memcpy_htod_async(const struct vgpu_entry *entry, void *const args[])
{
    return to_device(entry, args, stream_at(args, 3), 0);
}

CUresult vgpu_front_memcpy_dtoh_async(const struct vgpu_entry *entry, void *const args[])
{
    return from_device(entry, args, stream_at(args, 3), 0);
}

CUresult vgpu_front_memcpy(const struct vgpu_entry *entry, void *const args[])
{
    /* Between two device allocations cuMemcpy does not wait for the copy. */
    int wait = !is_device(at(args, 0), at(args, 2)) || !is_device(at(args, 1), at(args, 2));

    return copy(at(args, 0), at(args, 1), at(args, 2), NULL, entry->flags, wait);
}

CUresult vgpu_front_memcpy_async(const struct vgpu_entry *entry, void *const args[])
{
    return copy(at(args, 0), at(args, 1), at(args, 2), stream_at(args, 3), entry->flags, 0);
}

/* cuMemsetD8_v2_ptds and its like name no stream: they are the asynchronous row on the thread's stream. */
static CUresult memset_on_thread(const struct vgpu_entry *entry, const struct idm_call *async, void *const args[])
{
    CUstream stream = NULL;
    void *const with_stream[] = {args[0], args[1], args[2], &stream};
    struct vgpu_entry asynchronous = {.call = entry->flags ? async : entry->call, .flags = entry->flags};

    return vgpu_forward(&asynchronous, with_stream);
}

CUresult vgpu_front_memset_d8(const struct vgpu_entry *entry, void *const args[])
{
    return memset_on_thread(entry, &cuMemsetD8Async_call, args);
}

CUresult vgpu_front_memset_d16(const struct vgpu_entry *entry, void *const args[])
{
    return memset_on_thread(entry, &cuMemsetD16Async_call, args);
}

CUresult vgpu_front_memset_d32(const struct vgpu_entry *entry, void *const args[])
{
    return memset_on_thread(entry, &cuMemsetD32Async_call, args);
}
