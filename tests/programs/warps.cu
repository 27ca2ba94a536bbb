/* SPDX-License-Identifier: Apache-2.0
 *
 * Warp functions: shuffles, votes, and shared memory whose size the launch gives.
 */
#include "check.h"

enum { BLOCKS = 32, THREADS = 256, N = BLOCKS * THREADS };

__global__ void block_sums(const int *values, int *sums, unsigned *odd)
{
    extern __shared__ int of_warps[];
    const int i = blockIdx.x * blockDim.x + threadIdx.x, lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    int sum = values[i];
    unsigned votes = __ballot_sync(0xFFFFFFFFu, values[i] & 1);

    for (int step = 16; step > 0; step /= 2)
        sum += __shfl_xor_sync(0xFFFFFFFFu, sum, step);
    if (lane == 0) {
        of_warps[warp] = sum;
        odd[i / 32] = votes;
    }
    __syncthreads();
    if (warp == 0) {
        sum = lane < THREADS / 32 ? of_warps[lane] : 0;
        for (int step = 16; step > 0; step /= 2)
            sum += __shfl_down_sync(0xFFFFFFFFu, sum, step);
        if (lane == 0)
            sums[blockIdx.x] = sum;
    }
}

int main()
{
    static int values[N];
    int sums[BLOCKS], *device_values, *device_sums;
    unsigned odd[N / 32], *device_odd;
    long right = 0;

    for (int i = 0; i < N; i++)
        values[i] = (i * 2654435761u) >> 20;
    CUDA(cudaMalloc(&device_values, sizeof(values)));
    CUDA(cudaMalloc(&device_sums, sizeof(sums)));
    CUDA(cudaMalloc(&device_odd, sizeof(odd)));
    CUDA(cudaMemcpy(device_values, values, sizeof(values), cudaMemcpyHostToDevice));
    block_sums<<<BLOCKS, THREADS, THREADS / 32 * sizeof(int)>>>(device_values, device_sums, device_odd);
    CUDA(cudaGetLastError());
    CUDA(cudaMemcpy(sums, device_sums, sizeof(sums), cudaMemcpyDeviceToHost));
    CUDA(cudaMemcpy(odd, device_odd, sizeof(odd), cudaMemcpyDeviceToHost));
    for (int block = 0; block < BLOCKS; block++) {
        int sum = 0;

        for (int i = 0; i < THREADS; i++)
            sum += values[block * THREADS + i];
        right += sums[block] == sum;
    }
    for (int i = 0; i < N; i++)
        right += (int)(odd[i / 32] >> (i % 32) & 1) == (values[i] & 1);
    CUDA(cudaFree(device_values));
    CUDA(cudaFree(device_sums));
    CUDA(cudaFree(device_odd));
    return report("warps", right, BLOCKS + N);
}
