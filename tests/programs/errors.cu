/* SPDX-License-Identifier: Apache-2.0
 *
 * Calls that must fail, with the error that CUDA documents, and leave the context usable.
 */
#include "check.h"

__global__ void store(int *out, int value)
{
    *out = value;
}

static int is(const char *what, cudaError_t found, cudaError_t expected)
{
    if (found != expected)
        std::fprintf(stderr, "%s: %s, not %s\n", what, cudaGetErrorName(found),
                     cudaGetErrorName(expected));
    (void)cudaGetLastError();
    return found == expected;
}

int main()
{
    int *memory = NULL, host = 0;
    void *too_much = NULL;
    cudaPointerAttributes attributes;
    long right = 0;

    CUDA(cudaMalloc(&memory, sizeof(int)));
    right += is("more memory than any device has", cudaMalloc(&too_much, (size_t)1 << 50),
                cudaErrorMemoryAllocation);
    right += is("a device that is not there", cudaSetDevice(1000), cudaErrorInvalidDevice);
    right += is("freeing the middle of an allocation", cudaFree((char *)memory + 1),
                cudaErrorInvalidValue);
    right += is("copying from nowhere", cudaMemcpy(memory, NULL, 4, cudaMemcpyHostToDevice),
                cudaErrorInvalidValue);
    store<<<1, 4096>>>(memory, 1);
    right += is("a block of 4096 threads", cudaGetLastError(), cudaErrorInvalidConfiguration);
    store<<<0, 1>>>(memory, 1);
    right += is("a grid of no blocks", cudaGetLastError(), cudaErrorInvalidConfiguration);
    store<<<1, 1, 1 << 24>>>(memory, 1);
    right += is("16 MiB of shared memory", cudaGetLastError(), cudaErrorInvalidValue);
    right += is("attributes of host memory", cudaPointerGetAttributes(&attributes, &host), cudaSuccess);
    right += attributes.type == cudaMemoryTypeUnregistered;

    store<<<1, 1>>>(memory, 42);
    CUDA(cudaMemcpy(&host, memory, sizeof(int), cudaMemcpyDeviceToHost));
    right += host == 42;
    CUDA(cudaFree(memory));
    right += is("freeing twice", cudaFree(memory), cudaErrorInvalidValue);
    return report("errors", right, 11);
}
