/* SPDX-License-Identifier: Apache-2.0
 *
 * What an application can ask about an address.
 */
#include <string.h>

#include "memory.h"

static int is_host(const struct allocation *found)
{
    return found->kind == MEMORY_HOST || found->kind == MEMORY_REGISTERED;
}

static CUresult store(void *data, const void *value, size_t bytes)
{
    memcpy(data, value, bytes);
    return CUDA_SUCCESS;
}

#define STORE(type, value) store(data, &(type){value}, sizeof(type))

static CUresult attribute_of(const struct allocation *found, CUdeviceptr ptr, CUpointer_attribute attribute, void *data)
{
    switch (attribute) {
    case CU_POINTER_ATTRIBUTE_CONTEXT:
        return STORE(CUcontext, found->kind == MEMORY_POOL || found->kind == MEMORY_MAPPED
                                    ? NULL
                                    : (CUcontext)(uintptr_t)found->context_handle);
    case CU_POINTER_ATTRIBUTE_MEMORY_TYPE:
        return STORE(CUmemorytype, is_host(found) ? CU_MEMORYTYPE_HOST : CU_MEMORYTYPE_DEVICE);
    case CU_POINTER_ATTRIBUTE_DEVICE_POINTER:
        return STORE(CUdeviceptr, ptr);
    case CU_POINTER_ATTRIBUTE_HOST_POINTER:
        if (!is_host(found) && found->kind != MEMORY_MANAGED)
            return CUDA_ERROR_INVALID_VALUE;
        return STORE(uint64_t, ptr);
    case CU_POINTER_ATTRIBUTE_SYNC_MEMOPS:
        return STORE(int, 0);
    case CU_POINTER_ATTRIBUTE_BUFFER_ID:
        return STORE(unsigned long long, found->id);
    case CU_POINTER_ATTRIBUTE_IS_MANAGED:
        return STORE(int, found->kind == MEMORY_MANAGED);
    case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL:
        return STORE(int, found->device->ordinal);
    case CU_POINTER_ATTRIBUTE_RANGE_START_ADDR:
        return STORE(CUdeviceptr, found->address);
    case CU_POINTER_ATTRIBUTE_RANGE_SIZE:
        return STORE(size_t, found->bytes);
    case CU_POINTER_ATTRIBUTE_MAPPED:
        return STORE(int, 1);
    case CU_POINTER_ATTRIBUTE_ACCESS_FLAGS:
        return STORE(int, found->writable ? CU_MEM_ACCESS_FLAGS_PROT_READWRITE
                                          : found->readable ? CU_MEM_ACCESS_FLAGS_PROT_READ : 0);
    case CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE:
        return STORE(uint64_t, found->pool_handle);
    case CU_POINTER_ATTRIBUTE_MAPPING_SIZE:
        return STORE(size_t, found->bytes);
    case CU_POINTER_ATTRIBUTE_MAPPING_BASE_ADDR:
        return STORE(CUdeviceptr, found->address);
    case CU_POINTER_ATTRIBUTE_MEMORY_BLOCK_ID:
        return STORE(uint64_t, found->id);
    case CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE:
    case CU_POINTER_ATTRIBUTE_IS_GPU_DIRECT_RDMA_CAPABLE:
    case CU_POINTER_ATTRIBUTE_IS_HW_DECOMPRESS_CAPABLE:
        return STORE(int, 0);
    case CU_POINTER_ATTRIBUTE_ALLOWED_HANDLE_TYPES:
        return STORE(uint64_t, 0);
    default:
        return CUDA_ERROR_NOT_SUPPORTED;
    }
}

#define ATTRIBUTE_MAX CU_POINTER_ATTRIBUTE_IS_HW_DECOMPRESS_CAPABLE

CUresult cuPointerGetAttribute(void *data, CUpointer_attribute attribute, CUdeviceptr ptr)
{
    struct allocation found;
    ENTER_CONTEXT(context);
    (void)context;
    NEED(data && (unsigned)attribute >= 1 && attribute <= ATTRIBUTE_MAX);
    NEED(memory_find(ptr, &found));
    return attribute_of(&found, ptr, attribute, data);
}

/* The value for memory that we know nothing about. */
static void attribute_of_nothing(CUpointer_attribute attribute, void *data)
{
    switch (attribute) {
    case CU_POINTER_ATTRIBUTE_MEMORY_TYPE:
    case CU_POINTER_ATTRIBUTE_SYNC_MEMOPS:
    case CU_POINTER_ATTRIBUTE_IS_MANAGED:
    case CU_POINTER_ATTRIBUTE_MAPPED:
    case CU_POINTER_ATTRIBUTE_ACCESS_FLAGS:
    case CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE:
    case CU_POINTER_ATTRIBUTE_IS_GPU_DIRECT_RDMA_CAPABLE:
    case CU_POINTER_ATTRIBUTE_IS_HW_DECOMPRESS_CAPABLE:
        memset(data, 0, sizeof(int));
        break;
    case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL:
        *(int *)data = CU_DEVICE_INVALID;
        break;
    default:
        memset(data, 0, sizeof(uint64_t));
    }
}

CUresult cuPointerGetAttributes(unsigned int count, CUpointer_attribute *attributes, void **data, CUdeviceptr ptr)
{
    struct allocation found;
    ENTER_CONTEXT(context);
    (void)context;
    NEED(count && attributes && data);
    int known = memory_find(ptr, &found);
    for (unsigned i = 0; i < count; i++) {
        NEED(data[i] && (unsigned)attributes[i] >= 1 && attributes[i] <= ATTRIBUTE_MAX);
        if (!known || attribute_of(&found, ptr, attributes[i], data[i]) != CUDA_SUCCESS)
            attribute_of_nothing(attributes[i], data[i]);
    }
    return CUDA_SUCCESS;
}

CUresult cuPointerSetAttribute(const void *value, CUpointer_attribute attribute, CUdeviceptr ptr)
{
    struct allocation found;
    ENTER_CONTEXT(context);
    (void)context;
    NEED(value && attribute == CU_POINTER_ATTRIBUTE_SYNC_MEMOPS);
    NEED(memory_find(ptr, &found) && !is_host(&found));
    return CUDA_SUCCESS; /* synchronous copies are synchronous here in any case */
}
