/* SPDX-License-Identifier: Apache-2.0
 *
 * Mapping physical allocations at reserved addresses.
 */
#include "vmm.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "capture.h"

struct allocation *mapping_allocation(struct mapping *mapping)
{
    return &mapping->allocation;
}

/* Called with the lock held: are these whole chunks of a reservation? `mapped`: 1 all, 0 none of them. */
static int all_chunks(uint64_t address, uint64_t bytes, int mapped)
{
    if (!bytes || address % CHUNK_BYTES || bytes % CHUNK_BYTES || bytes > arena_bytes())
        return 0;
    for (uint64_t at = address; at < address + bytes; at += CHUNK_BYTES) {
        if (!arena_contains(at))
            return 0;
        const struct chunk *chunk = arena_chunk(at);
        if (chunk->kind != CHUNK_RESERVED || (chunk->mapping != NULL) != mapped)
            return 0;
    }
    return 1;
}

/* Called with the lock held: mappings may only be changed as a whole. */
static int whole_mappings(uint64_t address, uint64_t bytes)
{
    if (!all_chunks(address, bytes, 1))
        return 0;
    const struct allocation *first = &arena_chunk(address)->mapping->allocation;
    const struct allocation *last = &arena_chunk(address + bytes - 1)->mapping->allocation;
    return first->address == address && last->address + last->bytes == address + bytes;
}

static void set_chunks(uint64_t address, uint64_t bytes, struct mapping *mapping)
{
    for (uint64_t at = address; at < address + bytes; at += CHUNK_BYTES)
        *arena_chunk(at) = (struct chunk){.kind = CHUNK_RESERVED, .mapping = mapping};
}

CUresult cuMemAddressReserve(CUdeviceptr *dptr, size_t bytes, size_t alignment, CUdeviceptr wanted,
                             unsigned long long flags)
{
    uint64_t address = 0;
    ENTER();
    NEED(dptr && bytes && bytes % CHUNK_BYTES == 0 && (alignment & (alignment - 1)) == 0 && !flags);
    pthread_rwlock_wrlock(&memory_lock);
    int result = arena_take(bytes, alignment, wanted, &address);
    if (!result)
        set_chunks(address, bytes, NULL);
    pthread_rwlock_unlock(&memory_lock);
    if (result)
        return CUDA_ERROR_OUT_OF_MEMORY;
    *dptr = address;
    return CUDA_SUCCESS;
}

CUresult cuMemAddressFree(CUdeviceptr dptr, size_t bytes)
{
    ENTER();
    pthread_rwlock_wrlock(&memory_lock);
    int good = all_chunks(dptr, bytes, 0);
    if (good)
        arena_give(dptr, bytes);
    pthread_rwlock_unlock(&memory_lock);
    return good ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

static CUresult map(uint64_t address, uint64_t bytes, uint64_t offset, struct physical *physical)
{
    struct mapping *mapping = calloc(1, sizeof(*mapping));
    if (!mapping)
        return CUDA_ERROR_OUT_OF_MEMORY;
    void *got = mmap((void *)(uintptr_t)address, bytes, PROT_NONE, MAP_SHARED | MAP_FIXED, physical_fd(),
                     (off_t)(physical->offset + offset));
    if (got == MAP_FAILED) {
        free(mapping);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    madvise(got, bytes, MADV_DONTFORK);
    mapping->allocation = (struct allocation){.address = address, .bytes = bytes, .kind = MEMORY_MAPPED,
                                              .id = memory_next_id(), .device = physical->device};
    mapping->physical = physical;
    physical->mappings++;
    set_chunks(address, bytes, mapping);
    return CUDA_SUCCESS;
}

CUresult cuMemMap(CUdeviceptr dptr, size_t bytes, size_t offset, CUmemGenericAllocationHandle handle,
                  unsigned long long flags)
{
    ENTER();
    NEED(!flags && offset % CHUNK_BYTES == 0);
    struct physical *physical = object_get(handle, KIND_PHYSICAL);
    NEED(physical);
    CUresult result = CUDA_ERROR_INVALID_VALUE;
    pthread_rwlock_wrlock(&memory_lock);
    if (physical->handles && offset <= physical->bytes && bytes <= physical->bytes - offset && all_chunks(dptr, bytes, 0))
        result = map(dptr, bytes, offset, physical);
    pthread_rwlock_unlock(&memory_lock);
    object_put(&physical->object);
    return result;
}

/* Called with the lock held for writing. */
static void unmap(struct mapping *mapping)
{
    struct physical *physical = mapping->physical;
    uint64_t address = mapping->allocation.address, bytes = mapping->allocation.bytes;
    void *got = mmap((void *)(uintptr_t)address, bytes, PROT_NONE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    if (got != MAP_FAILED)
        madvise(got, bytes, MADV_DONTFORK);
    set_chunks(address, bytes, NULL);
    free(mapping);
    physical->mappings--;
    physical_drop_if_unused(physical);
}

CUresult cuMemUnmap(CUdeviceptr dptr, size_t bytes)
{
    ENTER();
    TRY(context_wait_all_idle()); /* queued work may still use it */
    pthread_rwlock_wrlock(&memory_lock);
    int good = whole_mappings(dptr, bytes);
    for (uint64_t at = dptr; good && at < dptr + bytes;) {
        struct mapping *mapping = arena_chunk(at)->mapping;
        at += mapping->allocation.bytes;
        unmap(mapping);
    }
    pthread_rwlock_unlock(&memory_lock);
    return good ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

static CUresult set_access(struct mapping *mapping, CUmemAccess_flags access)
{
    struct allocation *allocation = &mapping->allocation;
    int protection = access == CU_MEM_ACCESS_FLAGS_PROT_READWRITE ? PROT_READ | PROT_WRITE
                     : access == CU_MEM_ACCESS_FLAGS_PROT_READ    ? PROT_READ
                                                                  : PROT_NONE;
    if (mprotect((void *)(uintptr_t)allocation->address, allocation->bytes, protection) != 0)
        return CUDA_ERROR_OUT_OF_MEMORY;
    mapping->access = access;
    allocation->readable = access != CU_MEM_ACCESS_FLAGS_PROT_NONE;
    allocation->writable = access == CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
    return CUDA_SUCCESS;
}

CUresult cuMemSetAccess(CUdeviceptr dptr, size_t bytes, const CUmemAccessDesc *access, size_t count)
{
    ENTER();
    NEED(access && count);
    CUmemAccess_flags wanted = access[0].flags;
    for (size_t i = 0; i < count; i++) {
        NEED(access[i].location.type == CU_MEM_LOCATION_TYPE_DEVICE);
        if (!device_get(access[i].location.id))
            return CUDA_ERROR_INVALID_DEVICE;
        NEED(access[i].flags == CU_MEM_ACCESS_FLAGS_PROT_NONE || access[i].flags == CU_MEM_ACCESS_FLAGS_PROT_READ ||
             access[i].flags == CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
        if (access[i].flags > wanted)
            wanted = access[i].flags; /* all devices see the same pages */
    }
    pthread_rwlock_wrlock(&memory_lock);
    CUresult result = whole_mappings(dptr, bytes) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
    for (uint64_t at = dptr; !result && at < dptr + bytes;) {
        struct mapping *mapping = arena_chunk(at)->mapping;
        result = set_access(mapping, wanted);
        at += mapping->allocation.bytes;
    }
    pthread_rwlock_unlock(&memory_lock);
    return result;
}

CUresult cuMemGetAccess(unsigned long long *flags, const CUmemLocation *location, CUdeviceptr dptr)
{
    ENTER();
    NEED(flags && location && location->type == CU_MEM_LOCATION_TYPE_DEVICE);
    if (!device_get(location->id))
        return CUDA_ERROR_INVALID_DEVICE;
    pthread_rwlock_rdlock(&memory_lock);
    const struct chunk *chunk = arena_contains(dptr) ? arena_chunk(dptr) : NULL;
    int good = chunk && chunk->kind == CHUNK_RESERVED && chunk->mapping;
    if (good)
        *flags = chunk->mapping->access;
    pthread_rwlock_unlock(&memory_lock);
    return good ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

static CUresult check_properties(const CUmemAllocationProp *properties)
{
    NEED(properties && properties->type == CU_MEM_ALLOCATION_TYPE_PINNED);
    if (properties->location.type != CU_MEM_LOCATION_TYPE_DEVICE || properties->requestedHandleTypes)
        return CUDA_ERROR_NOT_SUPPORTED;
    return device_get(properties->location.id) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}

CUresult cuMemGetAllocationGranularity(size_t *granularity, const CUmemAllocationProp *properties,
                                       CUmemAllocationGranularity_flags option)
{
    ENTER();
    NEED(granularity && (unsigned)option <= CU_MEM_ALLOC_GRANULARITY_RECOMMENDED);
    TRY(check_properties(properties));
    *granularity = CHUNK_BYTES;
    return CUDA_SUCCESS;
}

CUresult cuMemCreate(CUmemGenericAllocationHandle *handle, size_t bytes, const CUmemAllocationProp *properties,
                     unsigned long long flags)
{
    struct physical *physical = NULL;
    ENTER();
    NEED(handle && bytes && bytes % CHUNK_BYTES == 0 && !flags);
    TRY(check_properties(properties));
    TRY(physical_make(device_get(properties->location.id), bytes, properties, &physical));
    *handle = physical->object.handle;
    return CUDA_SUCCESS;
}

CUresult cuMemRelease(CUmemGenericAllocationHandle handle)
{
    ENTER();
    struct physical *physical = object_get(handle, KIND_PHYSICAL);
    NEED(physical);
    pthread_rwlock_wrlock(&memory_lock);
    int good = physical->handles > 0;
    if (good) {
        physical->handles--;
        physical_drop_if_unused(physical);
    }
    pthread_rwlock_unlock(&memory_lock);
    object_put(&physical->object);
    return good ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuMemRetainAllocationHandle(CUmemGenericAllocationHandle *handle, void *address)
{
    uint64_t at = (uint64_t)(uintptr_t)address;
    ENTER();
    NEED(handle);
    pthread_rwlock_wrlock(&memory_lock);
    const struct chunk *chunk = arena_contains(at) ? arena_chunk(at) : NULL;
    int good = chunk && chunk->kind == CHUNK_RESERVED && chunk->mapping;
    if (good) {
        chunk->mapping->physical->handles++;
        *handle = chunk->mapping->physical->object.handle;
    }
    pthread_rwlock_unlock(&memory_lock);
    return good ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuMemGetAllocationPropertiesFromHandle(CUmemAllocationProp *properties, CUmemGenericAllocationHandle handle)
{
    ENTER();
    NEED(properties);
    struct physical *physical = object_get(handle, KIND_PHYSICAL);
    NEED(physical);
    *properties = physical->properties;
    object_put(&physical->object);
    return CUDA_SUCCESS;
}
