/* SPDX-License-Identifier: Apache-2.0
 *
 * Constant memory and device variables, written and read by name.
 */
#include "check.h"

enum { TERMS = 8, N = 4096 };

__constant__ int coefficients[TERMS];
__device__ unsigned long long total;
__device__ int initial = 41;

__global__ void polynomial(int *out)
{
    int x = blockIdx.x * blockDim.x + threadIdx.x, value = 0;

    for (int i = TERMS - 1; i >= 0; i--)
        value = value * x + coefficients[i];
    out[x] = value;
    atomicAdd(&total, (unsigned long long)x);
    if (x == 0)
        initial++;
}

int main()
{
    int host_coefficients[TERMS], found[N], after = 0, *out;
    unsigned long long sum = 7;
    size_t bytes = 0;
    void *address = NULL;
    long right = 0;

    for (int i = 0; i < TERMS; i++)
        host_coefficients[i] = 3 * i - 5;
    CUDA(cudaMalloc(&out, sizeof(found)));
    CUDA(cudaMemcpyToSymbol(coefficients, host_coefficients, sizeof(host_coefficients)));
    CUDA(cudaMemcpyToSymbol(total, &sum, sizeof(sum)));
    polynomial<<<N / 128, 128>>>(out);
    CUDA(cudaGetLastError());
    CUDA(cudaMemcpy(found, out, sizeof(found), cudaMemcpyDeviceToHost));
    CUDA(cudaMemcpyFromSymbol(&sum, total, sizeof(sum)));
    CUDA(cudaMemcpyFromSymbol(&after, initial, sizeof(after)));
    CUDA(cudaGetSymbolSize(&bytes, coefficients));
    CUDA(cudaGetSymbolAddress(&address, total));
    for (int x = 0; x < N; x++) {
        unsigned value = 0;

        for (int i = TERMS - 1; i >= 0; i--)
            value = value * (unsigned)x + (unsigned)host_coefficients[i];
        right += (unsigned)found[x] == value;
    }
    right += sum == 7 + (unsigned long long)N * (N - 1) / 2;
    right += after == 42;
    right += bytes == sizeof(host_coefficients) && address != NULL;
    CUDA(cudaFree(out));
    return report("symbols", right, N + 3);
}
