/* SPDX-License-Identifier: Apache-2.0
 *
 * What can be asked of memory pools and changed about them.
 */
#include <string.h>

#include "capture.h"
#include "pool.h"

static uint64_t *counter_of(struct pool *pool, CUmemPool_attribute attribute)
{
    switch (attribute) {
    case CU_MEMPOOL_ATTR_RELEASE_THRESHOLD:
        return &pool->threshold;
    case CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT:
        return &pool->reserved;
    case CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH:
        return &pool->reserved_high;
    case CU_MEMPOOL_ATTR_USED_MEM_CURRENT:
        return &pool->used;
    case CU_MEMPOOL_ATTR_USED_MEM_HIGH:
        return &pool->used_high;
    default:
        return NULL;
    }
}

static int is_switch(CUmemPool_attribute attribute)
{
    return attribute >= CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES &&
           attribute <= CU_MEMPOOL_ATTR_REUSE_ALLOW_INTERNAL_DEPENDENCIES;
}

CUresult cuMemPoolGetAttribute(CUmemoryPool handle, CUmemPool_attribute attribute, void *value)
{
    ENTER();
    TRY(capture_forbid_unsafe());
    NEED(value && (is_switch(attribute) || attribute <= CU_MEMPOOL_ATTR_USED_MEM_HIGH));
    struct pool *pool = object_get(HANDLE(handle), KIND_POOL);
    NEED(pool);
    pthread_mutex_lock(&pool->lock);
    const uint64_t *counter = counter_of(pool, attribute);
    if (is_switch(attribute))
        memcpy(value, &pool->reuse[attribute], sizeof(int));
    else if (counter)
        memcpy(value, counter, sizeof(*counter));
    pthread_mutex_unlock(&pool->lock);
    object_put(&pool->object);
    return is_switch(attribute) || counter ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

static CUresult set(struct pool *pool, CUmemPool_attribute attribute, const void *value)
{
    uint64_t number = 0;
    if (is_switch(attribute)) {
        memcpy(&pool->reuse[attribute], value, sizeof(int));
        return CUDA_SUCCESS;
    }
    memcpy(&number, value, sizeof(number));
    if (attribute == CU_MEMPOOL_ATTR_RELEASE_THRESHOLD) {
        pool->threshold = number;
        return CUDA_SUCCESS;
    }
    /* The high water marks can be set back, to what there is now. */
    NEED((attribute == CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH || attribute == CU_MEMPOOL_ATTR_USED_MEM_HIGH) && !number);
    if (attribute == CU_MEMPOOL_ATTR_USED_MEM_HIGH)
        pool->used_high = pool->used;
    else
        pool->reserved_high = pool->reserved;
    return CUDA_SUCCESS;
}

CUresult cuMemPoolSetAttribute(CUmemoryPool handle, CUmemPool_attribute attribute, void *value)
{
    ENTER();
    TRY(capture_forbid_unsafe());
    NEED(value);
    struct pool *pool = object_get(HANDLE(handle), KIND_POOL);
    NEED(pool);
    pthread_mutex_lock(&pool->lock);
    CUresult result = set(pool, attribute, value);
    pthread_mutex_unlock(&pool->lock);
    object_put(&pool->object);
    return result;
}

CUresult cuMemPoolGetAccess(CUmemAccess_flags *flags, CUmemoryPool handle, CUmemLocation *location)
{
    ENTER();
    NEED(flags && location && location->type == CU_MEM_LOCATION_TYPE_DEVICE && device_get(location->id));
    struct pool *pool = object_get(HANDLE(handle), KIND_POOL);
    NEED(pool);
    *flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE; /* one arena serves all devices */
    object_put(&pool->object);
    return CUDA_SUCCESS;
}

CUresult cuMemPoolSetAccess(CUmemoryPool handle, const CUmemAccessDesc *map, size_t count)
{
    ENTER();
    NEED(map || !count);
    for (size_t i = 0; i < count; i++)
        NEED(map[i].location.type == CU_MEM_LOCATION_TYPE_DEVICE && device_get(map[i].location.id));
    struct pool *pool = object_get(HANDLE(handle), KIND_POOL);
    NEED(pool);
    object_put(&pool->object);
    return CUDA_SUCCESS;
}
