/* SPDX-License-Identifier: Apache-2.0
 *
 * Pinned, registered and managed host memory. Kernels run on the CPU, so its device address is its address.
 */
#include <stdlib.h>
#include <sys/mman.h>

#include "capture.h"
#include "memory.h"

#define HOST_ALLOC_FLAGS (CU_MEMHOSTALLOC_PORTABLE | CU_MEMHOSTALLOC_DEVICEMAP | CU_MEMHOSTALLOC_WRITECOMBINED)
#define HOST_REGISTER_FLAGS                                                                                  \
    (CU_MEMHOSTREGISTER_PORTABLE | CU_MEMHOSTREGISTER_DEVICEMAP | CU_MEMHOSTREGISTER_IOMEMORY |              \
     CU_MEMHOSTREGISTER_READ_ONLY)

static size_t whole_pages(size_t bytes)
{
    return (bytes + PAGE_BYTES - 1) & ~(size_t)(PAGE_BYTES - 1);
}

static CUresult add(struct context *context, void *address, size_t bytes, enum memory_kind kind, unsigned flags,
                    int writable)
{
    context = context->owner;
    struct allocation allocation = {
        .address = (uint64_t)(uintptr_t)address, .bytes = bytes, .kind = kind, .flags = flags, .readable = 1,
        .writable = writable, .id = memory_next_id(), .device = context->device, .context = context,
        .context_handle = context->object.handle};
    return host_add(&allocation);
}

static CUresult take(struct context *context, size_t bytes, enum memory_kind kind, unsigned flags, void **out)
{
    NEED(bytes != 0 && bytes <= SIZE_MAX / 2);
    void *address = mmap(NULL, whole_pages(bytes), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (address == MAP_FAILED)
        return CUDA_ERROR_OUT_OF_MEMORY;
    if (bytes >= CHUNK_BYTES) /* fewer page faults when it is first touched */
        madvise(address, whole_pages(bytes), MADV_HUGEPAGE);
    CUresult result = add(context, address, bytes, kind, flags, 1);
    if (result)
        munmap(address, whole_pages(bytes));
    else
        *out = address;
    return result;
}

static void drop(const struct allocation *allocation)
{
    if (allocation->kind != MEMORY_REGISTERED)
        munmap((void *)(uintptr_t)allocation->address, whole_pages(allocation->bytes));
}

void host_release_context(struct context *context)
{
    struct allocation removed;
    for (uint64_t address; (address = host_next_of_context(context)) != 0;)
        if (host_remove(address, &removed) == CUDA_SUCCESS)
            drop(&removed);
}

CUresult cuMemHostAlloc(void **pp, size_t bytes, unsigned int flags)
{
    ENTER_UNSAFE(context);
    NEED(pp && !(flags & ~(unsigned)HOST_ALLOC_FLAGS));
    return take(context, bytes, MEMORY_HOST, flags, pp);
}

CUresult cuMemAllocHost_v2(void **pp, size_t bytes)
{
    return cuMemHostAlloc(pp, bytes, 0);
}

CUresult host_free_any(uint64_t address, enum memory_kind kind)
{
    struct allocation found, removed;
    if (!host_find(address, &found) || found.address != address || found.kind != kind)
        return kind == MEMORY_REGISTERED ? CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED : CUDA_ERROR_INVALID_VALUE;
    /* Work that is queued may still use it. */
    TRY(context_wait_all_idle());
    TRY(host_remove(address, &removed));
    drop(&removed);
    return CUDA_SUCCESS;
}

CUresult cuMemFreeHost(void *p)
{
    ENTER_UNSAFE(context);
    return host_free_any((uint64_t)(uintptr_t)p, MEMORY_HOST);
}

CUresult cuMemHostRegister_v2(void *p, size_t bytes, unsigned int flags)
{
    ENTER_UNSAFE(context);
    NEED(p && bytes && !(flags & ~(unsigned)HOST_REGISTER_FLAGS));
    NEED((uint64_t)(uintptr_t)p + bytes > (uint64_t)(uintptr_t)p && !arena_contains((uint64_t)(uintptr_t)p));
    return add(context, p, bytes, MEMORY_REGISTERED, flags, !(flags & CU_MEMHOSTREGISTER_READ_ONLY));
}

CUresult cuMemHostUnregister(void *p)
{
    ENTER_UNSAFE(context);
    return host_free_any((uint64_t)(uintptr_t)p, MEMORY_REGISTERED);
}

CUresult cuMemHostGetDevicePointer_v2(CUdeviceptr *pdptr, void *p, unsigned int flags)
{
    struct allocation found;
    ENTER_CONTEXT(context);
    (void)context;
    NEED(pdptr && !flags);
    NEED(host_find((uint64_t)(uintptr_t)p, &found));
    *pdptr = (CUdeviceptr)(uintptr_t)p;
    return CUDA_SUCCESS;
}

CUresult cuMemHostGetFlags(unsigned int *flags, void *p)
{
    struct allocation found;
    ENTER_CONTEXT(context);
    (void)context;
    NEED(flags && host_find((uint64_t)(uintptr_t)p, &found) && found.kind == MEMORY_HOST);
    /* All of it is mapped, asked for or not. */
    *flags = found.flags | CU_MEMHOSTALLOC_DEVICEMAP;
    return CUDA_SUCCESS;
}

CUresult cuMemAllocManaged(CUdeviceptr *dptr, size_t bytesize, unsigned int flags)
{
    void *address = NULL;
    ENTER_UNSAFE(context);
    NEED(dptr && (flags == CU_MEM_ATTACH_GLOBAL || flags == CU_MEM_ATTACH_HOST));
    TRY(take(context, bytesize, MEMORY_MANAGED, flags, &address));
    *dptr = (CUdeviceptr)(uintptr_t)address;
    return CUDA_SUCCESS;
}
