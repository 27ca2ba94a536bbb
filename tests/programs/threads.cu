/* SPDX-License-Identifier: Apache-2.0
 *
 * Eight host threads at once, each with its own stream and memory.
 */
#include "check.h"

#include <atomic>
#include <thread>
#include <vector>

enum { THREADS = 8, ROUNDS = 40, N = 2048 };

static std::atomic<long> right;

__global__ void step(int *values, int term)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;

    values[i] = values[i] * 5 + term;
}

static void run(int number)
{
    std::vector<int> host(N);
    int *device;
    cudaStream_t stream;

    CUDA(cudaSetDevice(0));
    CUDA(cudaStreamCreate(&stream));
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < N; i++)
            host[i] = i + number;
        CUDA(cudaMalloc(&device, N * sizeof(int)));
        CUDA(cudaMemcpyAsync(device, host.data(), N * sizeof(int), cudaMemcpyHostToDevice, stream));
        step<<<N / 128, 128, 0, stream>>>(device, round);
        CUDA(cudaGetLastError());
        CUDA(cudaMemcpyAsync(host.data(), device, N * sizeof(int), cudaMemcpyDeviceToHost, stream));
        CUDA(cudaStreamSynchronize(stream));
        CUDA(cudaFree(device));
        for (int i = 0; i < N; i++)
            right += host[i] == (i + number) * 5 + round;
    }
    CUDA(cudaStreamDestroy(stream));
}

int main()
{
    std::vector<std::thread> threads;

    for (int i = 0; i < THREADS; i++)
        threads.emplace_back(run, i);
    for (std::thread &thread : threads)
        thread.join();
    return report("threads", right, (long)THREADS * ROUNDS * N);
}
