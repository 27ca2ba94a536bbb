/* SPDX-License-Identifier: Apache-2.0
 *
 * A kernel that writes where nothing is allocated: the error stays until the process ends.
 */
#include "check.h"

__global__ void store(int *out)
{
    *out = 1;
}

static int is_illegal(const char *what, cudaError_t found)
{
    if (found != cudaErrorIllegalAddress)
        std::fprintf(stderr, "%s: %s\n", what, cudaGetErrorName(found));
    return found == cudaErrorIllegalAddress;
}

int main()
{
    int *memory = NULL, host = 0;
    long right = 0;

    CUDA(cudaMalloc(&memory, sizeof(int)));
    store<<<1, 1>>>((int *)0x10);
    right += is_illegal("waiting for the kernel", cudaDeviceSynchronize());
    right += is_illegal("copying later", cudaMemcpy(&host, memory, 4, cudaMemcpyDeviceToHost));
    right += is_illegal("allocating later", cudaMalloc(&memory, 4));
    return report("illegal", right, 3);
}
