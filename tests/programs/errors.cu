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

/* A launch that no device can do. Since CUDA 13 the runtime leaves the check to the driver, which has one
 * error less. */
static int is_refused(const char *what, cudaError_t found)
{
    int runtime = 0;

    CUDA(cudaRuntimeGetVersion(&runtime));
    if (runtime >= 13000 && found == cudaErrorInvalidValue)
        return 1;
    return is(what, found, cudaErrorInvalidConfiguration);
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
    right += is_refused("a block of 4096 threads", cudaGetLastError());
    store<<<0, 1>>>(memory, 1);
    right += is_refused("a grid of no blocks", cudaGetLastError());
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
