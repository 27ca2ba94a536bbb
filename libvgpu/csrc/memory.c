/* SPDX-License-Identifier: Apache-2.0
 *
 * Device memory: allocated in the worker, its addresses reserved here.
 */
#include <stdlib.h>
#include <string.h>

#include "fronts.h"
#include "vgpu.h"

enum { KIND_ALLOCATION = 16 };

extern const struct idm_call vgpuMemRelease_call;

/* Ask for memory until its addresses are free in this process too. What collided is kept meanwhile, so
 * that the back end does not give the same addresses again. `address` is where the call puts its result. */
static CUresult allocate(const struct vgpu_entry *entry, void *const args[], uint64_t *address,
                         const uint64_t *bytes)
{
    uint64_t parked[VGPU_RESERVE_TRIES];
    unsigned tries = 0;
    CUresult status;

    for (;;) {
        status = vgpu_forward(entry, args);
        if (status != CUDA_SUCCESS || vgpu_reserve_pages(*address, *bytes) == 0)
            break;
        parked[tries++] = *address;
        if (tries == VGPU_RESERVE_TRIES) {
            vgpu_log(VGPU_ERROR, "%s: %d addresses in a row are already mapped in this process",
                     entry->call->symbol, VGPU_RESERVE_TRIES);
            status = CUDA_ERROR_OUT_OF_MEMORY;
            break;
        }
    }
    for (unsigned i = 0; i < tries; i++) {
        void *const free_args[] = {&parked[i]};
        vgpu_send(&cuMemFree_v2_call, 0, free_args);
    }
    return status;
}

static CUresult keep(uint64_t address, uint64_t bytes, uint32_t kind)
{
    uint64_t owner = vgpu_memory_owner(vgpu_current(vgpu_self()));
    struct vgpu_range range = {.base = address, .bytes = bytes, .context = owner, .kind = kind};

    return vgpu_range_add(&range) ? CUDA_ERROR_OUT_OF_MEMORY : CUDA_SUCCESS;
}

CUresult vgpu_front_mem_alloc(const struct vgpu_entry *entry, void *const args[])
{
    uint64_t *address = *(uint64_t **)args[0];
    const uint64_t *bytes = args[1];

    if (!address || *bytes == 0)
        return CUDA_ERROR_INVALID_VALUE;
    CUresult status = allocate(entry, args, address, bytes);
    return status == CUDA_SUCCESS ? keep(*address, *bytes, VGPU_DEVICE) : status;
}

CUresult vgpu_front_mem_alloc_async(const struct vgpu_entry *entry, void *const args[])
{
    return vgpu_front_mem_alloc(entry, args);
}

CUresult vgpu_front_mem_alloc_from_pool_async(const struct vgpu_entry *entry, void *const args[])
{
    return vgpu_front_mem_alloc(entry, args);
}

CUresult vgpu_front_mem_alloc_pitch(const struct vgpu_entry *entry, void *const args[])
{
    enum { PITCH = 512 }; /* the alignment of every NVIDIA device so far, and of the software GPU */
    uint64_t *address = *(uint64_t **)args[0], *pitch = *(uint64_t **)args[1];
    uint64_t width = *(uint64_t *)args[2], height = *(uint64_t *)args[3];
    unsigned element = *(const unsigned *)args[4];
    uint64_t row, bytes;

    (void)entry;
    if (!address || !pitch || width == 0 || height == 0 || (element != 4 && element != 8 && element != 16))
        return CUDA_ERROR_INVALID_VALUE;
    if (__builtin_add_overflow(width, PITCH - 1, &row))
        return CUDA_ERROR_INVALID_VALUE;
    row &= ~(uint64_t)(PITCH - 1);
    if (__builtin_mul_overflow(row, height, &bytes))
        return CUDA_ERROR_OUT_OF_MEMORY;
    struct vgpu_entry plain = {.call = &cuMemAlloc_v2_call};
    void *const plain_args[] = {&address, &bytes};
    CUresult status = vgpu_front_mem_alloc(&plain, plain_args);
    if (status == CUDA_SUCCESS)
        *pitch = row;
    return status;
}

/* Dead at once on this side: a second free, or a use, is an error that needs no question. */
static CUresult forget(uint64_t address)
{
    struct vgpu_range range;

    if (vgpu_range_find(address, &range) || range.base != address ||
        (range.kind != VGPU_DEVICE && range.kind != VGPU_MANAGED))
        return CUDA_ERROR_INVALID_VALUE;
    return vgpu_range_remove(address, &range) ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
}

CUresult vgpu_front_mem_free(const struct vgpu_entry *entry, void *const args[])
{
    uint64_t address = *(uint64_t *)args[0];
    struct vgpu_range range;

    if (address == 0)
        return CUDA_SUCCESS;
    CUresult status = vgpu_may_call(vgpu_self());
    if (status != CUDA_SUCCESS)
        return status;
    if (vgpu_range_find(address, &range) == 0 && range.kind == VGPU_MANAGED) {
        void *pointer = (void *)(uintptr_t)address; /* NOLINT */
        void *const host_args[] = {&pointer};
        return vgpu_front_mem_free_host(entry, host_args);
    }
    if ((status = forget(address)) != CUDA_SUCCESS)
        return status;
    status = vgpu_forward(entry, args);
    /* The pages go only now: until the worker has freed them nothing else may land there. */
    vgpu_release_pages(range.base, range.bytes);
    return status;
}

CUresult vgpu_front_mem_free_async(const struct vgpu_entry *entry, void *const args[])
{
    uint64_t address = *(uint64_t *)args[0];
    struct vgpu_range range;

    if (address == 0)
        return CUDA_SUCCESS;
    CUresult status = vgpu_may_call(vgpu_self());
    if (status != CUDA_SUCCESS)
        return status;
    if (vgpu_range_find(address, &range) || (status = forget(address)) != CUDA_SUCCESS)
        return CUDA_ERROR_INVALID_VALUE;
    status = vgpu_forward(entry, args);
    if (status == CUDA_SUCCESS || vgpu_range_add(&range)) /* not freed, not forgotten */
        vgpu_release_pages(range.base, range.bytes);
    return status;
}

CUresult vgpu_front_mem_get_address_range(const struct vgpu_entry *entry, void *const args[])
{
    uint64_t *base = *(uint64_t **)args[0], *bytes = *(uint64_t **)args[1];
    struct vgpu_range range;

    (void)entry;
    if (!atomic_load(&vgpu.initialised))
        return CUDA_ERROR_NOT_INITIALIZED;
    if (vgpu_range_find(*(uint64_t *)args[2], &range))
        return CUDA_ERROR_NOT_FOUND;
    if (base)
        *base = range.base;
    if (bytes)
        *bytes = range.bytes;
    return CUDA_SUCCESS;
}

/* Address ranges without memory: reserved on both sides. */
CUresult vgpu_front_mem_address_reserve(const struct vgpu_entry *entry, void *const args[])
{
    uint64_t *address = *(uint64_t **)args[0];
    const uint64_t *bytes = args[1];

    if (!address || *bytes == 0)
        return CUDA_ERROR_INVALID_VALUE;
    CUresult status = vgpu_forward(entry, args);
    if (status != CUDA_SUCCESS)
        return status;
    if (vgpu_reserve_pages(*address, *bytes)) {
        vgpu_log(VGPU_ERROR, "%s: the address is already mapped in this process", entry->call->symbol);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    return keep(*address, *bytes, VGPU_RESERVED);
}

CUresult vgpu_front_mem_address_free(const struct vgpu_entry *entry, void *const args[])
{
    uint64_t address = *(uint64_t *)args[0], bytes = *(uint64_t *)args[1];
    struct vgpu_range range;

    if (vgpu_range_find(address, &range) || range.base != address || range.kind != VGPU_RESERVED ||
        range.bytes != bytes)
        return CUDA_ERROR_INVALID_VALUE;
    CUresult status = vgpu_forward(entry, args);
    if (status == CUDA_SUCCESS && vgpu_range_remove(address, &range) == 0)
        vgpu_release_pages(range.base, range.bytes);
    return status;
}

CUresult vgpu_front_mem_release(const struct vgpu_entry *entry, void *const args[])
{
    uint64_t handle = *(const uint64_t *)args[0];
    unsigned alive = 0, *alive_at = &alive;
    void *const sent[] = {&handle, &alive_at};
    CUresult status = vgpu_may_call(vgpu_self());

    (void)entry;
    if (status != CUDA_SUCCESS)
        return status;
    if (!vgpu_is_alive(handle, KIND_ALLOCATION))
        return vgpu_bad_handle(KIND_ALLOCATION);
    status = vgpu_send(&vgpuMemRelease_call, 0, sent);
    if (status == CUDA_SUCCESS && !alive)
        vgpu_object_drop(handle);
    return status;
}

/* A module's variable is device memory that nobody allocated; it enters the table when it is asked for. */
CUresult vgpu_front_get_global(const struct vgpu_entry *entry, void *const args[])
{
    uint64_t address = 0, bytes = 0, *wanted_address = *(uint64_t **)args[0],
             *wanted_bytes = *(uint64_t **)args[1], *at = &address, *size_at = &bytes;
    void *const asked[] = {&at, &size_at, args[2], args[3]};
    struct vgpu_range known;

    CUresult status = vgpu_forward(entry, asked);
    if (status != CUDA_SUCCESS)
        return status;
    if (bytes && vgpu_range_find(address, &known))
        status = keep(address, bytes, VGPU_GLOBAL);
    if (wanted_address)
        *wanted_address = address;
    if (wanted_bytes)
        *wanted_bytes = bytes;
    return status;
}

/* An attribute is an int or a 64-bit word; the wire always has the word. */
enum { FIRST_WORD_ATTRIBUTE = 4 }; /* CU_MEMPOOL_ATTR_RELEASE_THRESHOLD and later */

CUresult vgpu_front_mem_pool_get_attribute(const struct vgpu_entry *entry, void *const args[])
{
    unsigned attribute = *(const unsigned *)args[1];
    void *value = *(void **)args[2];
    uint64_t word = 0, *where = &word;
    void *const wide[] = {args[0], args[1], &where};

    if (!value)
        return CUDA_ERROR_INVALID_VALUE;
    CUresult status = vgpu_forward(entry, wide);
    if (status == CUDA_SUCCESS)
        memcpy(value, &word, attribute < FIRST_WORD_ATTRIBUTE ? sizeof(int) : sizeof word);
    return status;
}

CUresult vgpu_front_mem_pool_set_attribute(const struct vgpu_entry *entry, void *const args[])
{
    unsigned attribute = *(const unsigned *)args[1];
    const void *value = *(void **)args[2];
    uint64_t word = 0;
    const void *where = &word;
    void *const wide[] = {args[0], args[1], &where};

    if (!value)
        return CUDA_ERROR_INVALID_VALUE;
    memcpy(&word, value, attribute < FIRST_WORD_ATTRIBUTE ? sizeof(int) : sizeof word);
    return vgpu_forward(entry, wide);
}
