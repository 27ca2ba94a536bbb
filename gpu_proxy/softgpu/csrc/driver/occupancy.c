/* SPDX-License-Identifier: Apache-2.0
 *
 * Occupancy: how many blocks a multiprocessor of the reported size would hold. It is the arithmetic that
 * applications expect for the attributes that the device reports.
 */
#include "memory.h"
#include "module.h"

enum { REGISTER_UNIT = 256, SHARED_UNIT = 128 };

static int smaller(int a, int b)
{
    return a < b ? a : b;
}

int occupancy_blocks(const struct sg_kernel *kernel, int block_threads, size_t dynamic_shared)
{
    if (block_threads < 1 || block_threads > (int)kernel->max_threads)
        return 0;
    int warps = (block_threads + SG_WARP - 1) / SG_WARP;
    int blocks = smaller(BLOCKS_PER_SM, THREADS_PER_SM / (warps * SG_WARP));
    int warp_registers = (REGISTERS_PER_THREAD * SG_WARP + REGISTER_UNIT - 1) / REGISTER_UNIT * REGISTER_UNIT;
    blocks = smaller(blocks, REGISTERS_PER_SM / (warp_registers * warps));
    size_t shared = kernel->static_shared_bytes + dynamic_shared + SHARED_RESERVED;
    shared = (shared + SHARED_UNIT - 1) / SHARED_UNIT * SHARED_UNIT;
    size_t by_shared = SHARED_PER_SM / shared;
    return by_shared < (size_t)blocks ? (int)by_shared : blocks;
}

static void put_function(struct function **function)
{
    if (*function)
        object_put(&(*function)->object);
}

#define ENTER_FUNCTION(name, handle)                                                                         \
    ENTER_CONTEXT(context);                                                                                  \
    struct function *name __attribute__((cleanup(put_function))) = NULL;                                     \
    TRY(function_from_handle(context, handle, &name))

CUresult cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *blocks, CUfunction handle, int block_threads,
                                                              size_t dynamic_shared, unsigned int flags)
{
    ENTER_FUNCTION(function, handle);
    NEED(blocks && block_threads > 0 && !(flags & ~(unsigned)CU_OCCUPANCY_DISABLE_CACHING_OVERRIDE));
    *blocks = occupancy_blocks(function->kernel, block_threads, dynamic_shared);
    return CUDA_SUCCESS;
}

CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, CUfunction handle, int block_threads,
                                                     size_t dynamic_shared)
{
    return cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(blocks, handle, block_threads, dynamic_shared, 0);
}

CUresult cuOccupancyMaxPotentialBlockSizeWithFlags(int *min_grid, int *block, CUfunction handle,
                                                   CUoccupancyB2DSize shared_of, size_t shared, int limit,
                                                   unsigned int flags)
{
    int best = 0, best_blocks = 0, best_threads = 0;
    ENTER_FUNCTION(function, handle);
    NEED(min_grid && block && limit >= 0 && !(flags & ~(unsigned)CU_OCCUPANCY_DISABLE_CACHING_OVERRIDE));
    int largest = (int)function->kernel->max_threads;
    if (limit && limit < largest)
        largest = limit;
    for (int threads = largest; threads > 0; threads = threads % SG_WARP ? threads - threads % SG_WARP : threads - SG_WARP) {
        int blocks = occupancy_blocks(function->kernel, threads, shared_of ? shared_of(threads) : shared);
        if (blocks * threads > best) {
            best = blocks * threads;
            best_blocks = blocks;
            best_threads = threads;
        }
    }
    *block = best_threads;
    *min_grid = best_blocks * context->device->multiprocessors;
    return CUDA_SUCCESS;
}

CUresult cuOccupancyMaxPotentialBlockSize(int *min_grid, int *block, CUfunction handle, CUoccupancyB2DSize shared_of,
                                          size_t shared, int limit)
{
    return cuOccupancyMaxPotentialBlockSizeWithFlags(min_grid, block, handle, shared_of, shared, limit, 0);
}

CUresult cuOccupancyAvailableDynamicSMemPerBlock(size_t *bytes, CUfunction handle, int blocks, int block_threads)
{
    ENTER_FUNCTION(function, handle);
    NEED(bytes && blocks > 0 && block_threads > 0);
    NEED(occupancy_blocks(function->kernel, block_threads, 0) >= blocks);
    size_t share = SHARED_PER_SM / (size_t)blocks / SHARED_UNIT * SHARED_UNIT;
    size_t taken = SHARED_RESERVED + function->kernel->static_shared_bytes;
    size_t room = share > taken ? share - taken : 0;
    size_t most = SHARED_OPTIN - function->kernel->static_shared_bytes;
    *bytes = room < most ? room : most;
    return CUDA_SUCCESS;
}

CUresult cuOccupancyMaxActiveClusters(int *clusters, CUfunction handle, const CUlaunchConfig *config)
{
    ENTER_FUNCTION(function, handle);
    NEED(clusters && config);
    for (unsigned i = 0; config->attrs && i < config->numAttrs; i++) {
        const CUlaunchAttribute *attribute = &config->attrs[i];
        if (attribute->id == CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION &&
            (attribute->value.clusterDim.x > 1 || attribute->value.clusterDim.y > 1 ||
             attribute->value.clusterDim.z > 1)) {
            *clusters = 0; /* none: they are not supported */
            return CUDA_SUCCESS;
        }
    }
    int threads = (int)(config->blockDimX * config->blockDimY * config->blockDimZ);
    *clusters = occupancy_blocks(function->kernel, threads, config->sharedMemBytes) * context->device->multiprocessors;
    return CUDA_SUCCESS;
}

CUresult cuOccupancyMaxPotentialClusterSize(int *size, CUfunction handle, const CUlaunchConfig *config)
{
    ENTER_FUNCTION(function, handle);
    NEED(size && config);
    *size = 1;
    return CUDA_SUCCESS;
}
