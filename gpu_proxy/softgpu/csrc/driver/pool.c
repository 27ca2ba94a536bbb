/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory pools and stream-ordered allocation.
 */
#include "pool.h"

#include <stdlib.h>
#include <string.h>

#include "capture.h"
#include "graph.h"
#include "memory.h"
#include "stream.h"

static void pool_free(struct object *object)
{
    struct pool *pool = (struct pool *)object;
    pool_leave(pool);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

static CUresult pool_make(struct device *device, struct pool **out)
{
    struct pool *pool = calloc(1, sizeof(*pool));
    if (!pool)
        return CUDA_ERROR_OUT_OF_MEMORY;
    pool->device = device;
    for (int i = CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES; i <= CU_MEMPOOL_ATTR_REUSE_ALLOW_INTERNAL_DEPENDENCIES; i++)
        pool->reuse[i] = 1;
    pthread_mutex_init(&pool->lock, NULL);
    if (object_register(&pool->object, KIND_POOL, pool_free)) {
        free(pool);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    pool_enter(pool);
    *out = pool;
    return CUDA_SUCCESS;
}

/* The device's default pool, made when first asked for and kept for good. */
static CUresult default_pool(struct device *device, struct pool **pool)
{
    CUresult result = CUDA_SUCCESS;
    pthread_mutex_lock(&device->lock);
    if (!device->default_pool)
        result = pool_make(device, &device->default_pool);
    *pool = device->default_pool;
    if (!result)
        object_hold(&(*pool)->object);
    pthread_mutex_unlock(&device->lock);
    return result;
}

CUresult pool_current(struct device *device, struct pool **pool)
{
    pthread_mutex_lock(&device->lock);
    *pool = object_get(device->current_pool, KIND_POOL);
    pthread_mutex_unlock(&device->lock);
    return *pool ? CUDA_SUCCESS : default_pool(device, pool);
}

static CUresult take(struct pool *pool, size_t bytes, uint64_t *address)
{
    CUresult result = memory_take(pool->device, NULL, bytes, MEMORY_POOL, pool, address);
    if (result != CUDA_ERROR_OUT_OF_MEMORY)
        return result;
    /* Frees may be queued behind work: wait for them, then there may be room. */
    (void)context_wait_all_idle();
    return memory_take(pool->device, NULL, bytes, MEMORY_POOL, pool, address);
}

static CUresult alloc(CUdeviceptr *dptr, size_t bytes, struct pool *pool, struct context *context, CUstream handle)
{
    struct stream *stream = NULL;
    uint64_t address = 0;
    CUresult result = stream_resolve(context, handle, &stream);
    if (!result && stream->capture)
        result = capture_alloc(stream, context, bytes, dptr);
    else if (!result && !(result = take(pool, bytes, &address)))
        *dptr = address;
    if (stream)
        object_put(&stream->object);
    return result;
}

CUresult cuMemAllocAsync(CUdeviceptr *dptr, size_t bytes, CUstream stream)
{
    struct pool *pool = NULL;
    ENTER_CONTEXT(context);
    NEED(dptr && bytes);
    TRY(pool_current(context->device, &pool));
    CUresult result = alloc(dptr, bytes, pool, context, stream);
    object_put(&pool->object);
    return result;
}

CUresult cuMemAllocFromPoolAsync(CUdeviceptr *dptr, size_t bytes, CUmemoryPool handle, CUstream stream)
{
    ENTER_CONTEXT(context);
    NEED(dptr && bytes);
    struct pool *pool = object_get(HANDLE(handle), KIND_POOL);
    if (!pool)
        return CUDA_ERROR_INVALID_VALUE;
    CUresult result = alloc(dptr, bytes, pool, context, stream);
    object_put(&pool->object);
    return result;
}

CUresult cuMemFreeAsync(CUdeviceptr dptr, CUstream handle)
{
    struct allocation found;
    struct stream *stream = NULL;
    uint64_t sequence = 0;
    ENTER_CONTEXT(context);
    if (!dptr)
        return CUDA_SUCCESS;
    NEED(memory_find(dptr, &found) && found.address == dptr);
    NEED(found.kind == MEMORY_DEVICE || found.kind == MEMORY_POOL || found.kind == MEMORY_GRAPH);
    CUresult result = stream_resolve(context, handle, &stream);
    if (!result && stream->capture) {
        result = capture_free(stream, dptr);
    } else if (!result && found.kind == MEMORY_GRAPH) {
        result = context_wait_idle(context);
        if (!result)
            result = graph_memory_free(dptr);
    } else if (!result) {
        struct work work = {.kind = WORK_FREE, .free = {dptr, found.id}};
        result = memory_mark_freeing(dptr) ? stream_submit(stream, &work, SUBMIT_INLINE, &sequence)
                                           : CUDA_ERROR_INVALID_VALUE;
    }
    if (stream)
        object_put(&stream->object);
    return result;
}

CUresult cuMemPoolCreate(CUmemoryPool *out, const CUmemPoolProps *props)
{
    struct pool *pool = NULL;
    ENTER();
    TRY(capture_forbid_unsafe());
    NEED(out && props && props->allocType == CU_MEM_ALLOCATION_TYPE_PINNED);
    if (props->handleTypes != CU_MEM_HANDLE_TYPE_NONE || props->location.type != CU_MEM_LOCATION_TYPE_DEVICE)
        return CUDA_ERROR_NOT_SUPPORTED;
    struct device *device = device_get(props->location.id);
    if (!device)
        return CUDA_ERROR_INVALID_DEVICE;
    TRY(pool_make(device, &pool));
    pool->limit = props->maxSize;
    *out = AS_HANDLE(CUmemoryPool, pool);
    return CUDA_SUCCESS;
}

static struct pool *pool_get(CUmemoryPool handle)
{
    return object_get(HANDLE(handle), KIND_POOL);
}

CUresult cuMemPoolDestroy(CUmemoryPool handle)
{
    ENTER();
    TRY(capture_forbid_unsafe());
    struct pool *pool = pool_get(handle);
    NEED(pool);
    CUresult result = pool == pool->device->default_pool ? CUDA_ERROR_NOT_PERMITTED : CUDA_SUCCESS;
    if (!result)
        pool_trim(pool, 0); /* it goes when its last allocation does */
    if (!result && object_kill(&pool->object))
        object_put(&pool->object);
    object_put(&pool->object);
    return result;
}

CUresult cuMemPoolTrimTo(CUmemoryPool handle, size_t keep)
{
    ENTER();
    struct pool *pool = pool_get(handle);
    NEED(pool);
    pool_trim(pool, keep);
    object_put(&pool->object);
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetDefaultMemPool(CUmemoryPool *out, CUdevice dev)
{
    struct pool *pool = NULL;
    ENTER();
    NEED(out);
    struct device *device = device_get(dev);
    if (!device)
        return CUDA_ERROR_INVALID_DEVICE;
    TRY(default_pool(device, &pool));
    *out = AS_HANDLE(CUmemoryPool, pool);
    object_put(&pool->object);
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetMemPool(CUmemoryPool *out, CUdevice dev)
{
    struct pool *pool = NULL;
    ENTER();
    NEED(out);
    struct device *device = device_get(dev);
    if (!device)
        return CUDA_ERROR_INVALID_DEVICE;
    TRY(pool_current(device, &pool));
    *out = AS_HANDLE(CUmemoryPool, pool);
    object_put(&pool->object);
    return CUDA_SUCCESS;
}

CUresult cuDeviceSetMemPool(CUdevice dev, CUmemoryPool handle)
{
    ENTER();
    TRY(capture_forbid_unsafe());
    struct device *device = device_get(dev);
    if (!device)
        return CUDA_ERROR_INVALID_DEVICE;
    struct pool *pool = pool_get(handle);
    NEED(pool);
    CUresult result = pool->device == device ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_lock(&device->lock);
    if (!result)
        device->current_pool = HANDLE(handle);
    pthread_mutex_unlock(&device->lock);
    object_put(&pool->object);
    return result;
}
