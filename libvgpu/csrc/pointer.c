/* SPDX-License-Identifier: Apache-2.0
 *
 * What an address is: answered from the table of this process's allocations.
 */
#include <string.h>

#include "fronts.h"
#include "vgpu.h"

enum { /* CUpointer_attribute numbers */
    POINTER_CONTEXT = 1, POINTER_MEMORY_TYPE, POINTER_DEVICE_POINTER, POINTER_HOST_POINTER,
    POINTER_P2P_TOKENS, POINTER_SYNC_MEMOPS, POINTER_BUFFER_ID, POINTER_IS_MANAGED, POINTER_DEVICE_ORDINAL,
    POINTER_IS_LEGACY_IPC_CAPABLE, POINTER_RANGE_START, POINTER_RANGE_BYTES, POINTER_MAPPED,
    POINTER_HANDLE_TYPES, POINTER_IS_RDMA_CAPABLE, POINTER_ACCESS_FLAGS, POINTER_POOL,
    POINTER_MAPPING_BYTES, POINTER_MAPPING_BASE, POINTER_BLOCK_ID, POINTER_COUNT,
    MEMORY_TYPE_HOST = 1, MEMORY_TYPE_DEVICE = 2, ACCESS_READ_WRITE = 3,
};

static int is_host(const struct vgpu_range *range)
{
    return range->kind == VGPU_PINNED || range->kind == VGPU_REGISTERED;
}

static void put_number(void *data, int value)
{
    memcpy(data, &value, sizeof value);
}

static void put_word(void *data, uint64_t value)
{
    memcpy(data, &value, sizeof value);
}

/* One attribute of a known address. */
static CUresult answer(unsigned attribute, uint64_t address, const struct vgpu_range *range, void *data)
{
    switch (attribute) {
    case POINTER_CONTEXT:
        put_word(data, range->context);
        return CUDA_SUCCESS;
    case POINTER_MEMORY_TYPE:
        put_number(data, is_host(range) ? MEMORY_TYPE_HOST : MEMORY_TYPE_DEVICE);
        return CUDA_SUCCESS;
    case POINTER_DEVICE_POINTER:
        put_word(data, address);
        return CUDA_SUCCESS;
    case POINTER_HOST_POINTER:
        if (!is_host(range) && range->kind != VGPU_MANAGED)
            return CUDA_ERROR_INVALID_VALUE;
        put_word(data, address);
        return CUDA_SUCCESS;
    case POINTER_SYNC_MEMOPS:
    case POINTER_IS_LEGACY_IPC_CAPABLE:
    case POINTER_IS_RDMA_CAPABLE:
        put_number(data, 0);
        return CUDA_SUCCESS;
    case POINTER_BUFFER_ID:
    case POINTER_BLOCK_ID:
        put_word(data, range->number);
        return CUDA_SUCCESS;
    case POINTER_IS_MANAGED:
        put_number(data, range->kind == VGPU_MANAGED);
        return CUDA_SUCCESS;
    case POINTER_DEVICE_ORDINAL:
        put_number(data, range->device);
        return CUDA_SUCCESS;
    case POINTER_RANGE_START:
    case POINTER_MAPPING_BASE:
        put_word(data, range->base);
        return CUDA_SUCCESS;
    case POINTER_RANGE_BYTES:
    case POINTER_MAPPING_BYTES:
        put_word(data, range->bytes);
        return CUDA_SUCCESS;
    case POINTER_MAPPED:
        put_number(data, 1);
        return CUDA_SUCCESS;
    case POINTER_HANDLE_TYPES:
        put_word(data, 0);
        return CUDA_SUCCESS;
    case POINTER_ACCESS_FLAGS:
        put_number(data, ACCESS_READ_WRITE);
        return CUDA_SUCCESS;
    case POINTER_POOL:
        put_word(data, 0);
        return CUDA_SUCCESS;
    default:
        return CUDA_ERROR_INVALID_VALUE;
    }
}

/* Bytes that an attribute's answer takes. */
static size_t answer_bytes(unsigned attribute)
{
    switch (attribute) {
    case POINTER_MEMORY_TYPE:
    case POINTER_SYNC_MEMOPS:
    case POINTER_IS_MANAGED:
    case POINTER_DEVICE_ORDINAL:
    case POINTER_IS_LEGACY_IPC_CAPABLE:
    case POINTER_MAPPED:
    case POINTER_IS_RDMA_CAPABLE:
    case POINTER_ACCESS_FLAGS:
        return sizeof(int);
    case POINTER_P2P_TOKENS:
        return 2 * sizeof(uint64_t);
    default:
        return sizeof(uint64_t);
    }
}

CUresult vgpu_front_pointer_get_attribute(const struct vgpu_entry *entry, void *const args[])
{
    void *data = *(void **)args[0];
    uint64_t address = *(const uint64_t *)args[2];
    struct vgpu_range range;

    (void)entry;
    if (!atomic_load(&vgpu.initialised))
        return CUDA_ERROR_NOT_INITIALIZED;
    if (!data || vgpu_range_find(address, &range))
        return CUDA_ERROR_INVALID_VALUE;
    return answer(*(const unsigned *)args[1], address, &range, data);
}

/* Several at once: an address that is not CUDA's gives zeros and no error. */
CUresult vgpu_front_pointer_get_attributes(const struct vgpu_entry *entry, void *const args[])
{
    unsigned count = *(const unsigned *)args[0];
    const unsigned *attributes = *(const unsigned **)args[1];
    void **data = *(void ***)args[2];
    uint64_t address = *(const uint64_t *)args[3];
    struct vgpu_range range;

    (void)entry;
    if (!atomic_load(&vgpu.initialised))
        return CUDA_ERROR_NOT_INITIALIZED;
    if (count == 0 || !attributes || !data)
        return CUDA_ERROR_INVALID_VALUE;
    int known = vgpu_range_find(address, &range) == 0;
    for (unsigned i = 0; i < count; i++) {
        if (!data[i] || attributes[i] == 0 || attributes[i] >= POINTER_COUNT)
            return CUDA_ERROR_INVALID_VALUE;
        if (known && answer(attributes[i], address, &range, data[i]) == CUDA_SUCCESS)
            continue;
        memset(data[i], 0, answer_bytes(attributes[i]));
        if (attributes[i] == POINTER_DEVICE_ORDINAL)
            put_number(data[i], -2); /* CU_DEVICE_INVALID */
    }
    return CUDA_SUCCESS;
}
