/* SPDX-License-Identifier: Apache-2.0
 *
 * Allocations of device memory: taking, releasing, and finding out what an address belongs to.
 */
#include "memory.h"

#include <stdlib.h>
#include <string.h>

#include "pool.h"

uint64_t memory_next_id(void)
{
    static _Atomic uint64_t next = 1;
    return atomic_fetch_add(&next, 1);
}

CUresult memory_try_charge(struct device *device, size_t bytes)
{
    size_t used = atomic_load(&device->used_bytes);
    do {
        if (bytes > device->total_bytes - used)
            return CUDA_ERROR_OUT_OF_MEMORY;
    } while (!atomic_compare_exchange_weak(&device->used_bytes, &used, used + bytes));
    return CUDA_SUCCESS;
}

CUresult memory_charge(struct device *device, size_t bytes)
{
    if (memory_try_charge(device, bytes) == CUDA_SUCCESS)
        return CUDA_SUCCESS;
    pools_trim(device);
    return memory_try_charge(device, bytes);
}

void memory_uncharge(struct device *device, size_t bytes)
{
    atomic_fetch_sub(&device->used_bytes, bytes);
}

static size_t round_up(size_t bytes, size_t unit)
{
    return (bytes + unit - 1) / unit * unit;
}

static void mark_chunks(uint64_t address, size_t bytes, struct allocation *allocation)
{
    for (uint64_t at = address; at < address + bytes; at += CHUNK_BYTES)
        *arena_chunk(at) = (struct chunk){.kind = CHUNK_LARGE, .large = allocation};
}

/* Called with the lock held for writing. */
static int take_large(size_t bytes, struct allocation **out)
{
    struct allocation *allocation = calloc(1, sizeof(*allocation));
    if (!allocation || arena_take(bytes, CHUNK_BYTES, 0, &allocation->address)) {
        free(allocation);
        return -1;
    }
    if (arena_commit(allocation->address, bytes)) {
        arena_give(allocation->address, bytes);
        free(allocation);
        return -1;
    }
    mark_chunks(allocation->address, bytes, allocation);
    *out = allocation;
    return 0;
}

static int take(size_t bytes, size_t charged, struct allocation **out)
{
    return bytes <= SLAB_SLOT_MAX ? slab_take(bytes, out) : take_large(charged, out);
}

/* The pages and what is known about them; 0 when there are none. */
static uint64_t place(const struct allocation *facts)
{
    struct allocation *allocation = NULL;
    uint64_t address = 0;
    pthread_rwlock_wrlock(&memory_lock);
    if (take(facts->bytes, facts->charged, &allocation) == 0) {
        address = allocation->address;
        *allocation = *facts;
        allocation->address = address;
    }
    pthread_rwlock_unlock(&memory_lock);
    return address;
}

static void count_graph_bytes(struct device *device, size_t bytes)
{
    size_t now = atomic_fetch_add(&device->graph_bytes, bytes) + bytes;
    size_t high = atomic_load(&device->graph_bytes_high);
    while (now > high && !atomic_compare_exchange_weak(&device->graph_bytes_high, &high, now))
        continue;
}

static CUresult charge(const struct allocation *allocation)
{
    if (allocation->pool)
        return pool_charge(allocation->pool, allocation->charged);
    TRY(memory_charge(allocation->device, allocation->charged));
    if (allocation->kind == MEMORY_GRAPH)
        count_graph_bytes(allocation->device, allocation->charged);
    return CUDA_SUCCESS;
}

static void uncharge(const struct allocation *allocation)
{
    if (allocation->kind == MEMORY_GRAPH)
        atomic_fetch_sub(&allocation->device->graph_bytes, allocation->charged);
    if (allocation->pool)
        pool_uncharge(allocation->pool, allocation->charged);
    else
        memory_uncharge(allocation->device, allocation->charged);
}

CUresult memory_take(struct device *device, struct context *context, size_t bytes, enum memory_kind kind,
                     struct pool *pool, uint64_t *address)
{
    if (!bytes || bytes > device->total_bytes)
        return bytes ? CUDA_ERROR_OUT_OF_MEMORY : CUDA_ERROR_INVALID_VALUE;
    context = context ? context->owner : NULL;
    struct allocation facts = {
        .bytes = bytes, .charged = bytes <= SLAB_SLOT_MAX ? slab_slot_bytes(bytes) : round_up(bytes, PAGE_BYTES),
        .kind = kind, .readable = 1, .writable = 1, .id = memory_next_id(), .device = device, .context = context,
        .context_handle = context ? context->object.handle : 0, .pool_handle = pool ? pool->object.handle : 0,
        .pool = pool};
    TRY(charge(&facts));
    *address = place(&facts);
    if (*address)
        return CUDA_SUCCESS;
    uncharge(&facts);
    return CUDA_ERROR_OUT_OF_MEMORY;
}

/* What the arena knows about an address. Called with the lock held. */
static struct allocation *find_in_arena(uint64_t address)
{
    struct chunk *chunk = arena_chunk(address);
    switch (chunk->kind) {
    case CHUNK_SLAB:
        return slab_find(chunk->slab, address);
    case CHUNK_LARGE:
        return chunk->large;
    case CHUNK_RESERVED:
        return chunk->mapping ? mapping_allocation(chunk->mapping) : NULL;
    default:
        return NULL;
    }
}

int memory_find(uint64_t address, struct allocation *found)
{
    if (!arena_contains(address))
        return host_find(address, found);
    pthread_rwlock_rdlock(&memory_lock);
    const struct allocation *allocation = find_in_arena(address);
    int inside = allocation && address - allocation->address < allocation->bytes;
    if (inside)
        *found = *allocation;
    pthread_rwlock_unlock(&memory_lock);
    return inside;
}

/* Called with the lock held: how many bytes from `address` on may be used, 0 if none. */
static size_t usable(uint64_t address, int is_write)
{
    const struct allocation *allocation = find_in_arena(address);
    if (!allocation || address - allocation->address >= allocation->bytes)
        return 0;
    if (!allocation->readable || (is_write && !allocation->writable))
        return 0;
    return allocation->bytes - (address - allocation->address);
}

static int arena_check(uint64_t address, size_t bytes, int is_write)
{
    int good = 1;
    pthread_rwlock_rdlock(&memory_lock);
    /* More than one step only over neighbouring mappings of a reservation. */
    while (bytes && good) {
        size_t here = arena_contains(address) ? usable(address, is_write) : 0;
        good = here != 0 && (here >= bytes || arena_chunk(address)->kind == CHUNK_RESERVED);
        bytes -= here < bytes ? here : bytes;
        address += here;
    }
    pthread_rwlock_unlock(&memory_lock);
    return good;
}

CUresult memory_check(uint64_t address, size_t bytes, int is_write)
{
    if (!bytes)
        return CUDA_SUCCESS;
    int good = arena_contains(address) ? arena_check(address, bytes, is_write) : host_check(address, bytes, is_write);
    return good ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

/* Called with the lock held for writing. */
static void drop_large(struct allocation *allocation)
{
    if (arena_decommit(allocation->address, allocation->charged) == 0)
        arena_give(allocation->address, allocation->charged);
    free(allocation);
}

static int is_own(const struct allocation *allocation, uint64_t address)
{
    return allocation && allocation->address == address && allocation->kind != MEMORY_MAPPED;
}

CUresult memory_release(uint64_t address, uint64_t id)
{
    if (!arena_contains(address))
        return CUDA_ERROR_INVALID_VALUE;
    pthread_rwlock_wrlock(&memory_lock);
    struct allocation *allocation = find_in_arena(address);
    if (!is_own(allocation, address) || (id && allocation->id != id)) {
        pthread_rwlock_unlock(&memory_lock);
        return CUDA_ERROR_INVALID_VALUE;
    }
    struct allocation was = *allocation;
    struct chunk *chunk = arena_chunk(address);
    if (chunk->kind == CHUNK_SLAB)
        slab_release(chunk->slab, address);
    else
        drop_large(allocation);
    pthread_rwlock_unlock(&memory_lock);
    uncharge(&was);
    return CUDA_SUCCESS;
}

int memory_mark_freeing(uint64_t address)
{
    if (!arena_contains(address))
        return 0;
    pthread_rwlock_wrlock(&memory_lock);
    struct allocation *allocation = find_in_arena(address);
    int good = is_own(allocation, address) && !allocation->freeing;
    if (good)
        allocation->freeing = 1;
    pthread_rwlock_unlock(&memory_lock);
    return good;
}

/* The first allocation of a context at or after an address, 0 if none. */
static uint64_t next_of_context(const struct context *context, uint64_t from)
{
    uint64_t end = arena_base() + arena_bytes();
    for (uint64_t at = from; at < end; at = (at | (CHUNK_BYTES - 1)) + 1) {
        struct chunk *chunk = arena_chunk(at);
        if (chunk->kind == CHUNK_LARGE && chunk->large->context == context && chunk->large->address >= from)
            return chunk->large->address;
        if (chunk->kind != CHUNK_SLAB)
            continue;
        size_t step = DEVICE_ALIGN;
        for (uint64_t inner = at; inner >> CHUNK_SHIFT == at >> CHUNK_SHIFT; inner += step) {
            const struct allocation *found = slab_find(chunk->slab, inner);
            if (found && found->context == context && found->address >= from)
                return found->address;
        }
    }
    return 0;
}

void memory_release_context(struct context *context)
{
    uint64_t at = arena_base();
    for (;;) {
        pthread_rwlock_rdlock(&memory_lock);
        uint64_t address = next_of_context(context, at);
        pthread_rwlock_unlock(&memory_lock);
        if (!address)
            return;
        (void)memory_release(address, 0);
        at = address;
    }
}

CUresult memory_wait_owner(const struct allocation *allocation)
{
    struct context *owner = object_get(allocation->context_handle, KIND_CONTEXT);
    if (!owner)
        return CUDA_SUCCESS; /* it has gone, and its work with it */
    CUresult result = context_wait_idle(owner);
    object_put(&owner->object);
    return result;
}
