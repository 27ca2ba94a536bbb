/* SPDX-License-Identifier: Apache-2.0
 *
 * Two streams that wait for each other through events, with pinned memory and asynchronous copies.
 */
#include "check.h"

enum { N = 1 << 18, ROUNDS = 20 };

__global__ void scale_add(int *values, int factor, int term, int n)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;

    if (i < n)
        values[i] = values[i] * factor + term;
}

int main()
{
    int *host, *device;
    cudaStream_t first, second;
    cudaEvent_t after_first, after_second, start, end;

    CUDA(cudaMallocHost(&host, N * sizeof(int)));
    CUDA(cudaMalloc(&device, N * sizeof(int)));
    CUDA(cudaStreamCreate(&first));
    CUDA(cudaStreamCreateWithFlags(&second, cudaStreamNonBlocking));
    CUDA(cudaEventCreateWithFlags(&after_first, cudaEventDisableTiming));
    CUDA(cudaEventCreateWithFlags(&after_second, cudaEventDisableTiming));
    CUDA(cudaEventCreate(&start));
    CUDA(cudaEventCreate(&end));
    for (int i = 0; i < N; i++)
        host[i] = i;

    CUDA(cudaEventRecord(start, first));
    CUDA(cudaMemcpyAsync(device, host, N * sizeof(int), cudaMemcpyHostToDevice, first));
    for (int round = 0; round < ROUNDS; round++) {
        scale_add<<<N / 256, 256, 0, first>>>(device, 3, 1, N);
        CUDA(cudaGetLastError());
        CUDA(cudaEventRecord(after_first, first));
        CUDA(cudaStreamWaitEvent(second, after_first, 0));
        scale_add<<<N / 256, 256, 0, second>>>(device, 1, round, N);
        CUDA(cudaGetLastError());
        CUDA(cudaEventRecord(after_second, second));
        CUDA(cudaStreamWaitEvent(first, after_second, 0));
    }
    CUDA(cudaMemcpyAsync(host, device, N * sizeof(int), cudaMemcpyDeviceToHost, first));
    CUDA(cudaEventRecord(end, first));
    CUDA(cudaStreamSynchronize(first));
    CUDA(cudaStreamQuery(second));
    CUDA(cudaEventQuery(end));

    float milliseconds = -1;
    long right = 0;

    CUDA(cudaEventElapsedTime(&milliseconds, start, end));
    for (int i = 0; i < N; i++) {
        unsigned expected = (unsigned)i;

        for (unsigned round = 0; round < ROUNDS; round++)
            expected = expected * 3 + 1 + round;
        right += (unsigned)host[i] == expected;
    }
    right += milliseconds >= 0;
    CUDA(cudaEventDestroy(after_first));
    CUDA(cudaEventDestroy(after_second));
    CUDA(cudaEventDestroy(start));
    CUDA(cudaEventDestroy(end));
    CUDA(cudaStreamDestroy(first));
    CUDA(cudaStreamDestroy(second));
    CUDA(cudaFree(device));
    CUDA(cudaFreeHost(host));
    return report("streams", right, N + 1);
}
