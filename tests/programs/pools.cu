/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory allocated and freed in the order of a stream.
 */
#include "check.h"

enum { N = 65536, ROUNDS = 20 };

__global__ void fill(int *values, int value)
{
    values[blockIdx.x * blockDim.x + threadIdx.x] = value;
}

int main()
{
    static int host[N];
    int supported = 0;
    cudaStream_t stream;
    long right = 0;

    CUDA(cudaDeviceGetAttribute(&supported, cudaDevAttrMemoryPoolsSupported, 0));
    if (!supported) {
        std::printf("pools: skipped: the device has no memory pools\n");
        return 77;
    }
    CUDA(cudaStreamCreate(&stream));
    for (int round = 0; round < ROUNDS; round++) {
        int *memory;

        CUDA(cudaMallocAsync(&memory, sizeof(host), stream));
        fill<<<N / 256, 256, 0, stream>>>(memory, round);
        CUDA(cudaGetLastError());
        CUDA(cudaMemcpyAsync(host, memory, sizeof(host), cudaMemcpyDeviceToHost, stream));
        CUDA(cudaFreeAsync(memory, stream));
        CUDA(cudaStreamSynchronize(stream));
        for (int i = 0; i < N; i++)
            right += host[i] == round;
    }
    CUDA(cudaStreamDestroy(stream));
    return report("pools", right, (long)N * ROUNDS);
}
