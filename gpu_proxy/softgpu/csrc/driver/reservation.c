/* SPDX-License-Identifier: Apache-2.0
 *
 * What pools reserve. The device is charged for a pool's reservation, not for its allocations, so a pool that
 * frees and allocates again asks nobody.
 *
 * Locks: the list's is outside a pool's. Both are leaves to everything else.
 */
#include "memory.h"
#include "pool.h"

static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static struct pool *list;

void pool_enter(struct pool *pool)
{
    pthread_mutex_lock(&list_lock);
    pool->next = list;
    list = pool;
    pthread_mutex_unlock(&list_lock);
}

void pool_leave(struct pool *pool)
{
    pthread_mutex_lock(&list_lock);
    struct pool **link = &list;
    while (*link != pool)
        link = &(*link)->next;
    *link = pool->next;
    pthread_mutex_unlock(&list_lock);
    memory_uncharge(pool->device, pool->reserved);
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* Called with the pool's lock held. */
static CUresult grow(struct pool *pool, size_t bytes)
{
    if (pool->limit && (bytes > pool->limit || pool->used > pool->limit - bytes))
        return CUDA_ERROR_OUT_OF_MEMORY;
    uint64_t used = pool->used + bytes;
    if (used > pool->reserved) {
        TRY(memory_try_charge(pool->device, used - pool->reserved));
        pool->reserved = used;
    }
    pool->used = used;
    pool->used_high = larger(pool->used_high, pool->used);
    pool->reserved_high = larger(pool->reserved_high, pool->reserved);
    return CUDA_SUCCESS;
}

static CUresult try_charge(struct pool *pool, size_t bytes)
{
    pthread_mutex_lock(&pool->lock);
    CUresult result = grow(pool, bytes);
    pthread_mutex_unlock(&pool->lock);
    return result;
}

/* Each allocation holds its pool, so that a pool that was destroyed lives until the last one is freed. */
CUresult pool_charge(struct pool *pool, size_t bytes)
{
    CUresult result = try_charge(pool, bytes);
    if (result) {
        pools_trim(pool->device);
        result = try_charge(pool, bytes);
    }
    if (!result)
        object_hold(&pool->object);
    return result;
}

void pool_uncharge(struct pool *pool, size_t bytes)
{
    pthread_mutex_lock(&pool->lock);
    pool->used -= bytes;
    pthread_mutex_unlock(&pool->lock);
    if (!object_is_alive(&pool->object))
        pool_trim(pool, 0);
    object_put(&pool->object);
}

void pool_trim(struct pool *pool, uint64_t keep)
{
    pthread_mutex_lock(&pool->lock);
    uint64_t floor = larger(pool->used, keep);
    uint64_t surplus = pool->reserved > floor ? pool->reserved - floor : 0;
    pool->reserved -= surplus;
    pthread_mutex_unlock(&pool->lock);
    memory_uncharge(pool->device, surplus);
}

void pools_trim(const struct device *device)
{
    pthread_mutex_lock(&list_lock);
    for (struct pool *pool = list; pool; pool = pool->next)
        if (pool->device == device)
            pool_trim(pool, 0);
    pthread_mutex_unlock(&list_lock);
}

void pools_synchronized(const struct device *device)
{
    pthread_mutex_lock(&list_lock);
    for (struct pool *pool = list; pool; pool = pool->next)
        if (pool->device == device)
            pool_trim(pool, pool->threshold);
    pthread_mutex_unlock(&list_lock);
}
