/* SPDX-License-Identifier: Apache-2.0
 *
 * Host memory that the application and the worker have at one address: pinned, managed and registered.
 * Its pages are a sealed memfd that the supervisor makes and charges to the zone.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fronts.h"
#include "vgpu.h"

enum { PAGE = 4096, FLAG_PORTABLE = 1, FLAG_DEVICEMAP = 2, FLAG_WRITECOMBINED = 4, SPANS_MAX = 4096 };

VGPU_LOCK(window_lock);
static struct span { uint64_t address, bytes; } spans[SPANS_MAX]; /* freed pieces of the window */
static unsigned span_count;
static uint64_t window_used;
static _Atomic uint64_t last_token;

uint64_t vgpu_token(void)
{
    return atomic_fetch_add(&last_token, 1) + 1;
}

uint64_t vgpu_window_take(uint64_t bytes)
{
    uint64_t address = 0;

    pthread_mutex_lock(&window_lock);
    for (unsigned i = 0; i < span_count && !address; i++)
        if (spans[i].bytes >= bytes) {
            address = spans[i].address;
            spans[i].address += bytes;
            spans[i].bytes -= bytes;
            if (spans[i].bytes == 0)
                spans[i] = spans[--span_count];
        }
    if (!address && bytes <= VGPU_WINDOW_BYTES - window_used) {
        address = vgpu.window_base + window_used;
        window_used += bytes;
    }
    pthread_mutex_unlock(&window_lock);
    return address;
}

void vgpu_window_give(uint64_t address, uint64_t bytes)
{
    pthread_mutex_lock(&window_lock);
    /* A full list only loses address space, of which there is a terabyte. */
    if (span_count < SPANS_MAX)
        spans[span_count++] = (struct span){address, bytes};
    pthread_mutex_unlock(&window_lock);
}

/* Have the worker map new shared pages at `address`; the descriptor of the same pages, or -errno. */
static int shared_pages(uint64_t address, uint64_t bytes, unsigned flags, CUresult *status)
{
    uint64_t token = vgpu_token();
    void *const args[] = {&address, &bytes, &flags, &token};

    *status = vgpu_send(&vgpuHostAlloc_call, 0, args);
    if (*status != CUDA_SUCCESS)
        return -EIO;
    int fd = vgpu_receive_memory(token, bytes);
    if (fd < 0)
        *status = vgpu_died("a shared memory message is malformed");
    return fd;
}

static CUresult worker_frees(uint64_t address)
{
    void *const args[] = {&address};

    return vgpu_send(&vgpuHostFree_call, 0, args);
}

static CUresult allocate(uint64_t bytes, unsigned flags, uint32_t kind, uint64_t *result)
{
    struct vgpu_thread *thread = vgpu_self();
    CUresult status = vgpu_may_call(thread);
    uint64_t rounded = (bytes + PAGE - 1) & ~(uint64_t)(PAGE - 1);

    if (status != CUDA_SUCCESS)
        return status;
    if (!vgpu_current(thread))
        return CUDA_ERROR_INVALID_CONTEXT;
    if (bytes == 0 || rounded < bytes || rounded > VGPU_WINDOW_BYTES)
        return bytes == 0 ? CUDA_ERROR_INVALID_VALUE : CUDA_ERROR_OUT_OF_MEMORY;
    uint64_t address = vgpu_window_take(rounded);
    if (!address)
        return CUDA_ERROR_OUT_OF_MEMORY;
    int fd = shared_pages(address, rounded, flags, &status);
    if (fd < 0) {
        vgpu_window_give(address, rounded);
        return status;
    }
    void *mapped = mmap((void *)(uintptr_t)address, rounded, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
    close(fd);
    struct vgpu_range range = {.base = address, .bytes = bytes, .context = vgpu_current(thread),
                               .kind = kind, .flags = flags};
    if (mapped == MAP_FAILED || vgpu_range_add(&range)) {
        worker_frees(address);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    *result = address;
    return CUDA_SUCCESS;
}

CUresult vgpu_front_mem_host_alloc(const struct vgpu_entry *entry, void *const args[])
{
    uint64_t *host = *(uint64_t **)args[0];
    unsigned flags = *(const unsigned *)args[2];

    (void)entry;
    if (!host || flags & ~7u)
        return CUDA_ERROR_INVALID_VALUE;
    return allocate(*(const uint64_t *)args[1], flags, VGPU_PINNED, host);
}

CUresult vgpu_front_mem_alloc_host(const struct vgpu_entry *entry, void *const args[])
{
    unsigned flags = FLAG_DEVICEMAP;
    void *const with_flags[] = {args[0], args[1], &flags};

    return vgpu_front_mem_host_alloc(entry, with_flags);
}

/* Managed memory is host memory that both sides see: correct, and as fast as the bus. */
CUresult vgpu_front_mem_alloc_managed(const struct vgpu_entry *entry, void *const args[])
{
    uint64_t *address = *(uint64_t **)args[0];
    unsigned flags = *(const unsigned *)args[2];

    (void)entry;
    if (!address || (flags != 1 && flags != 2))
        return CUDA_ERROR_INVALID_VALUE;
    return allocate(*(const uint64_t *)args[1], FLAG_PORTABLE | FLAG_DEVICEMAP, VGPU_MANAGED, address);
}

CUresult vgpu_front_mem_free_host(const struct vgpu_entry *entry, void *const args[])
{
    uint64_t address = *(const uint64_t *)args[0];
    struct vgpu_range range;
    CUresult status = vgpu_may_call(vgpu_self());

    (void)entry;
    if (status != CUDA_SUCCESS)
        return status;
    if (vgpu_range_find(address, &range) || range.base != address ||
        (range.kind != VGPU_PINNED && range.kind != VGPU_MANAGED) || vgpu_range_remove(address, &range))
        return CUDA_ERROR_INVALID_VALUE;
    uint64_t rounded = (range.bytes + PAGE - 1) & ~(uint64_t)(PAGE - 1);
    status = worker_frees(address);
    mmap((void *)(uintptr_t)address, rounded, PROT_NONE,
         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    vgpu_window_give(address, rounded);
    return status;
}

/* Registering: the pages move into shared memory, at the address where they are. Nothing else in the
 * process notices, but another thread must not write to them while the call runs. */
CUresult vgpu_front_mem_host_register(const struct vgpu_entry *entry, void *const args[])
{
    uint64_t address = *(const uint64_t *)args[0], bytes = *(const uint64_t *)args[1];
    unsigned flags = *(const unsigned *)args[2];
    uint64_t first = address & ~(uint64_t)(PAGE - 1), end = (address + bytes + PAGE - 1) & ~(uint64_t)(PAGE - 1);
    struct vgpu_range known;
    CUresult status = vgpu_may_call(vgpu_self());

    if (status != CUDA_SUCCESS)
        return status;
    if (!vgpu_current(vgpu_self()))
        return CUDA_ERROR_INVALID_CONTEXT;
    if (address == 0 || bytes == 0 || end <= first || flags & ~0xfu)
        return CUDA_ERROR_INVALID_VALUE;
    if (flags & 4) {
        vgpu_log(VGPU_WARNING, "%s: I/O memory cannot be registered", entry->call->symbol);
        return CUDA_ERROR_NOT_SUPPORTED;
    }
    if (vgpu_range_find(address, &known) == 0 || vgpu_range_find(end - 1, &known) == 0)
        return CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED;
    int fd = shared_pages(first, end - first, flags, &status);
    if (fd < 0)
        return status;
    uint8_t *copy = mmap(NULL, end - first, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    struct vgpu_range range = {.base = first, .bytes = end - first, .context = vgpu_current(vgpu_self()),
                               .kind = VGPU_REGISTERED, .flags = flags};
    if (copy == MAP_FAILED || vgpu_range_add(&range)) {
        worker_frees(first);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    memcpy(copy, (const void *)(uintptr_t)first, end - first);
    if (mremap(copy, end - first, end - first, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)(uintptr_t)first) == MAP_FAILED) {
        vgpu_range_remove(first, &range);
        worker_frees(first);
        return CUDA_ERROR_INVALID_VALUE;
    }
    return CUDA_SUCCESS;
}

CUresult vgpu_front_mem_host_unregister(const struct vgpu_entry *entry, void *const args[])
{
    uint64_t first = *(const uint64_t *)args[0] & ~(uint64_t)(PAGE - 1);
    struct vgpu_range range;
    CUresult status = vgpu_may_call(vgpu_self());

    (void)entry;
    if (status != CUDA_SUCCESS)
        return status;
    if (vgpu_range_find(first, &range) || range.base != first || range.kind != VGPU_REGISTERED)
        return CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED;
    /* The pages become private again before anything else may happen to them. */
    void *copy = mmap(NULL, range.bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (copy == MAP_FAILED)
        return CUDA_ERROR_OUT_OF_MEMORY;
    /* The shared pages are gone once the worker has freed them, so what is under way must end first. */
    status = vgpu_send(&vgpuIdle_call, 0, NULL);
    memcpy(copy, (const void *)(uintptr_t)first, range.bytes);
    CUresult freed = worker_frees(first);
    status = status == CUDA_SUCCESS ? freed : status;
    mremap(copy, range.bytes, range.bytes, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)(uintptr_t)first);
    vgpu_range_remove(first, &range);
    return status;
}

CUresult vgpu_front_mem_host_get_device_pointer(const struct vgpu_entry *entry, void *const args[])
{
    uint64_t *address = *(uint64_t **)args[0], host = *(const uint64_t *)args[1];

    (void)entry;
    if (!atomic_load(&vgpu.initialised))
        return CUDA_ERROR_NOT_INITIALIZED;
    if (!address)
        return CUDA_ERROR_INVALID_VALUE;
    if (!vgpu_is_shared((const void *)(uintptr_t)host, 1))
        return CUDA_ERROR_INVALID_VALUE;
    *address = host;
    return CUDA_SUCCESS;
}

CUresult vgpu_front_mem_host_get_flags(const struct vgpu_entry *entry, void *const args[])
{
    unsigned *flags = *(unsigned **)args[0];
    struct vgpu_range range;

    (void)entry;
    if (!atomic_load(&vgpu.initialised))
        return CUDA_ERROR_NOT_INITIALIZED;
    if (!flags || vgpu_range_find(*(const uint64_t *)args[1], &range) ||
        (range.kind != VGPU_PINNED && range.kind != VGPU_REGISTERED))
        return CUDA_ERROR_INVALID_VALUE;
    *flags = range.flags | FLAG_DEVICEMAP; /* Unified addressing maps everything. */
    return CUDA_SUCCESS;
}
