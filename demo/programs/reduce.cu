/* SPDX-License-Identifier: Apache-2.0
 *
 * Sums and finds the largest of a million numbers: each block in shared memory, all blocks with atomics.
 */
#include "check.h"

#include <vector>

enum { THREADS = 256, BLOCKS = 64 };

struct totals {
    unsigned long long sum;
    unsigned int largest;
    unsigned int blocks;
};

__global__ void reduce(const unsigned int *values, int n, totals *out)
{
    __shared__ unsigned long long sums[THREADS];
    __shared__ unsigned int largest[THREADS];
    unsigned long long sum = 0;
    unsigned int high = 0;

    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) {
        sum += values[i];
        high = max(high, values[i]);
    }
    sums[threadIdx.x] = sum;
    largest[threadIdx.x] = high;
    for (int step = THREADS / 2; step > 0; step /= 2) {
        __syncthreads();
        if (threadIdx.x < step) {
            sums[threadIdx.x] += sums[threadIdx.x + step];
            largest[threadIdx.x] = max(largest[threadIdx.x], largest[threadIdx.x + step]);
        }
    }
    if (threadIdx.x == 0) {
        atomicAdd(&out->sum, sums[0]);
        atomicMax(&out->largest, largest[0]);
        atomicAdd(&out->blocks, 1u);
    }
}

int main()
{
    const int n = 1 << 20;
    std::vector<unsigned int> values(n);
    totals expected = {0, 0, BLOCKS}, found;
    unsigned int *device_values, random = 12345;
    totals *device_totals;

    for (int i = 0; i < n; i++) {
        random = random * 1664525u + 1013904223u;
        values[i] = random;
        expected.sum += random;
        expected.largest = random > expected.largest ? random : expected.largest;
    }
    CUDA(cudaMalloc(&device_values, n * sizeof(unsigned int)));
    CUDA(cudaMalloc(&device_totals, sizeof(totals)));
    CUDA(cudaMemcpy(device_values, values.data(), n * sizeof(unsigned int), cudaMemcpyHostToDevice));
    CUDA(cudaMemset(device_totals, 0, sizeof(totals)));
    reduce<<<BLOCKS, THREADS>>>(device_values, n, device_totals);
    CUDA(cudaGetLastError());
    CUDA(cudaMemcpy(&found, device_totals, sizeof(found), cudaMemcpyDeviceToHost));
    CUDA(cudaFree(device_values));
    CUDA(cudaFree(device_totals));

    long right = (found.sum == expected.sum) + (found.largest == expected.largest)
                 + (found.blocks == expected.blocks);

    std::printf("sum %llu, largest %u\n", found.sum, found.largest);
    return report("reduce", right, 3);
}
