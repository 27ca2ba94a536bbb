/* SPDX-License-Identifier: Apache-2.0
 *
 * Host functions in a stream: they run in order with the copies and kernels around them.
 */
#include "check.h"

enum { ROUNDS = 50 };

struct step {
    int *value;
    int number, seen;
};

__global__ void add_one(int *value)
{
    ++*value;
}

/* Reads what the copy before it brought, and gives the copy behind it something else. */
static void CUDART_CB on_host(void *data)
{
    step *current = (step *)data;

    current->seen = *current->value;
    *current->value += 100;
}

int main()
{
    int *host, *device;
    static step steps[ROUNDS];
    cudaStream_t stream;
    long right = 0;

    CUDA(cudaMallocHost(&host, sizeof(int)));
    CUDA(cudaMalloc(&device, sizeof(int)));
    CUDA(cudaStreamCreate(&stream));
    *host = 0;
    CUDA(cudaMemcpyAsync(device, host, sizeof(int), cudaMemcpyHostToDevice, stream));
    for (int i = 0; i < ROUNDS; i++) {
        steps[i].value = host;
        steps[i].number = i;
        add_one<<<1, 1, 0, stream>>>(device);
        CUDA(cudaGetLastError());
        CUDA(cudaMemcpyAsync(host, device, sizeof(int), cudaMemcpyDeviceToHost, stream));
        CUDA(cudaLaunchHostFunc(stream, on_host, &steps[i]));
        CUDA(cudaMemcpyAsync(device, host, sizeof(int), cudaMemcpyHostToDevice, stream));
    }
    CUDA(cudaStreamSynchronize(stream));
    for (int i = 0; i < ROUNDS; i++)
        right += steps[i].seen == 101 * i + 1;
    right += *host == 101 * ROUNDS;
    CUDA(cudaStreamDestroy(stream));
    CUDA(cudaFree(device));
    CUDA(cudaFreeHost(host));
    return report("hostfunc", right, ROUNDS + 1);
}
