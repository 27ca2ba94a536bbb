/* SPDX-License-Identifier: Apache-2.0
 *
 * Occupancy. The block size that fills a multiprocessor best is searched for here, because how much shared
 * memory a block needs may be a function of the application.
 */
#include <string.h>

#include "fronts.h"
#include "vgpu.h"

enum {
    KIND_FUNCTION = 5, KIND_STREAM = 2, ATTRIBUTES_MAX = 32,
    /* CUdevice_attribute numbers */
    BLOCK_THREADS = 1, WARP = 10, MULTIPROCESSORS = 16, MULTIPROCESSOR_THREADS = 39,
    /* CUfunction_attribute number */
    FUNCTION_THREADS = 0,
};

extern const struct idm_call cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags_call, cuCtxGetDevice_call,
    vgpuOccupancyClusters_call;

static CUresult find_function(uint64_t handle, const struct vgpu_function **function)
{
    struct vgpu_thread *thread = vgpu_self();
    CUresult status = vgpu_may_call(thread);
    const struct vgpu_object *object = vgpu_object_find(handle, KIND_FUNCTION);

    if (status != CUDA_SUCCESS)
        return status;
    if (!vgpu_current(thread))
        return CUDA_ERROR_INVALID_CONTEXT;
    *function = object ? object->info : NULL;
    return *function ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

static const int32_t *device_attributes(void)
{
    int device = 0, *where = &device;
    void *const args[] = {&where};
    const struct vgpu_entry entry = {.call = &cuCtxGetDevice_call};

    return vgpu_front_ctx_get_device(&entry, args) == CUDA_SUCCESS ? vgpu_device(device)->attributes : NULL;
}

struct search {
    uint64_t function;
    CUoccupancyB2DSize block_to_shared;
    size_t shared;
    unsigned flags;
    int limit;                      /* threads a block may have at most */
    int blocks, block_size;         /* the best so far */
};

static CUresult try_block(struct search *search, int block_size)
{
    size_t shared = search->block_to_shared ? search->block_to_shared(block_size) : search->shared;
    int blocks = 0, *where = &blocks;
    void *const args[] = {&where, &search->function, &block_size, &shared, &search->flags};
    CUresult status = vgpu_send(&cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags_call, 0, args);

    if (status == CUDA_SUCCESS && blocks * block_size > search->blocks * search->block_size) {
        search->blocks = blocks;
        search->block_size = block_size;
    }
    return status;
}

/* From the largest size down, in warps; nothing beats a full multiprocessor. */
static CUresult search_sizes(struct search *search, const int32_t *attributes)
{
    int warp = attributes[WARP] > 0 ? attributes[WARP] : 32;
    int aligned = (search->limit + warp - 1) / warp * warp;
    CUresult status = CUDA_SUCCESS;

    for (; aligned > 0 && status == CUDA_SUCCESS; aligned -= warp) {
        status = try_block(search, aligned < search->limit ? aligned : search->limit);
        if (search->blocks * search->block_size == attributes[MULTIPROCESSOR_THREADS])
            break;
    }
    return status;
}

static CUresult potential_block_size(void *const args[], unsigned flags)
{
    int *min_grid = *(int **)args[0], *block_size = *(int **)args[1], limit = *(const int *)args[5];
    struct search search = {.function = *(const uint64_t *)args[2], .shared = *(const size_t *)args[4],
                            .flags = flags};
    const struct vgpu_function *function;
    CUresult status = find_function(search.function, &function);

    memcpy(&search.block_to_shared, args[3], sizeof search.block_to_shared);
    if (status != CUDA_SUCCESS)
        return status;
    if (!min_grid || !block_size || limit < 0)
        return CUDA_ERROR_INVALID_VALUE;
    const int32_t *attributes = device_attributes();
    if (!attributes)
        return CUDA_ERROR_INVALID_CONTEXT;
    search.limit = attributes[BLOCK_THREADS];
    if (function->attribute_valid >> FUNCTION_THREADS & 1 && function->attributes[FUNCTION_THREADS] < search.limit)
        search.limit = function->attributes[FUNCTION_THREADS];
    if (limit > 0 && limit < search.limit)
        search.limit = limit;
    status = search_sizes(&search, attributes);
    if (status != CUDA_SUCCESS)
        return status;
    *min_grid = search.blocks * attributes[MULTIPROCESSORS];
    *block_size = search.block_size;
    return CUDA_SUCCESS;
}

CUresult vgpu_front_occupancy_max_potential_block_size(const struct vgpu_entry *entry, void *const args[])
{
    (void)entry;
    return potential_block_size(args, 0);
}

CUresult vgpu_front_occupancy_max_potential_block_size_with_flags(const struct vgpu_entry *entry,
                                                                  void *const args[])
{
    (void)entry;
    return potential_block_size(args, *(const unsigned *)args[6]);
}

static CUresult clusters(const struct vgpu_entry *entry, void *const args[], unsigned largest)
{
    uint64_t handle = *(const uint64_t *)args[1];
    const CUlaunchConfig *config = *(const CUlaunchConfig **)args[2];
    int *answer = *(int **)args[0];
    const struct vgpu_function *function;
    CUresult status = find_function(handle, &function);

    if (status != CUDA_SUCCESS)
        return status;
    if (!answer || !config || config->numAttrs > ATTRIBUTES_MAX || (config->numAttrs && !config->attrs))
        return CUDA_ERROR_INVALID_VALUE;
    uint64_t stream = (uint64_t)(uintptr_t)config->hStream;
    if (stream > 2 && !vgpu_is_alive(stream, KIND_STREAM))
        return CUDA_ERROR_INVALID_HANDLE;
    CUlaunchConfig c = *config;
    const void *attributes = c.numAttrs ? c.attrs : NULL;
    void *const sent[] = {&handle, &c.gridDimX, &c.gridDimY, &c.gridDimZ, &c.blockDimX, &c.blockDimY,
                          &c.blockDimZ, &c.sharedMemBytes, &c.hStream, &c.numAttrs, &attributes, &largest,
                          &answer};
    return vgpu_send(&vgpuOccupancyClusters_call, entry->flags, sent);
}

CUresult vgpu_front_occupancy_max_active_clusters(const struct vgpu_entry *entry, void *const args[])
{
    return clusters(entry, args, 0);
}

CUresult vgpu_front_occupancy_max_potential_cluster_size(const struct vgpu_entry *entry, void *const args[])
{
    return clusters(entry, args, 1);
}
