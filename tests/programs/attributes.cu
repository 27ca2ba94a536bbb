/* SPDX-License-Identifier: Apache-2.0
 *
 * What a program may ask of the device, of a kernel and of a pointer.
 */
#include "check.h"

#include <cstring>

__global__ void kernel(float *out, int n)
{
    __shared__ float tile[96];

    tile[threadIdx.x % 96] = (float)n;
    __syncthreads();
    out[threadIdx.x] = tile[(threadIdx.x + 1) % 96];
}

static int holds(const char *what, bool condition)
{
    if (!condition)
        std::fprintf(stderr, "%s: not so\n", what);
    return condition;
}

int main()
{
    int count = 0, driver = 0, runtime = 0, blocks = 0, grid = 0, block = 0, current = -1, major = 0;
    size_t free_before = 0, free_after = 0, total = 0;
    cudaDeviceProp properties;
    cudaFuncAttributes function;
    cudaPointerAttributes pointer;
    char *memory;
    long right = 0;

    CUDA(cudaGetDeviceCount(&count));
    CUDA(cudaDriverGetVersion(&driver));
    CUDA(cudaRuntimeGetVersion(&runtime));
    CUDA(cudaGetDeviceProperties(&properties, 0));
    CUDA(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0));
    CUDA(cudaGetDevice(&current));
    right += holds("there is a device", count > 0 && current == 0);
    right += holds("the driver is not older than the runtime", driver / 1000 >= runtime / 1000);
    right += holds("the device has a name", std::strlen(properties.name) > 0);
    right += holds("capabilities agree", properties.major == major && major >= 7);
    right += holds("a warp is 32 threads", properties.warpSize == 32);
    right += holds("a block has 1024 threads", properties.maxThreadsPerBlock == 1024);

    CUDA(cudaFuncGetAttributes(&function, kernel));
    right += holds("shared bytes of the kernel", function.sharedSizeBytes == 96 * sizeof(float));
    right += holds("threads of the kernel", function.maxThreadsPerBlock >= 96);
    CUDA(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, kernel, 128, 0));
    CUDA(cudaOccupancyMaxPotentialBlockSize(&grid, &block, kernel, 0, 0));
    right += holds("occupancy", blocks > 0 && grid > 0 && block >= 32);

    CUDA(cudaMemGetInfo(&free_before, &total));
    CUDA(cudaMalloc(&memory, (size_t)32 << 20));
    CUDA(cudaMemGetInfo(&free_after, &total));
    right += holds("memory is counted", free_before >= free_after + ((size_t)32 << 20)
                                            && total >= free_before);
    CUDA(cudaPointerGetAttributes(&pointer, memory + 100));
    right += holds("a device pointer", pointer.type == cudaMemoryTypeDevice && pointer.device == 0
                                           && pointer.devicePointer == memory + 100);
    CUDA(cudaFree(memory));
    CUDA(cudaMallocHost(&memory, 4096));
    CUDA(cudaPointerGetAttributes(&pointer, memory));
    right += holds("a pinned pointer", pointer.type == cudaMemoryTypeHost
                                           && pointer.hostPointer == memory);
    CUDA(cudaFreeHost(memory));
    return report("attributes", right, 12);
}
