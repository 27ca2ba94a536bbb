/* SPDX-License-Identifier: Apache-2.0
 *
 * Copies of every direction, odd sizes and offsets, pitched memory, and one that is larger than any buffer
 * on the way.
 */
#include "check.h"

#include <cstring>
#include <vector>

static unsigned char pattern(size_t i)
{
    return (unsigned char)(i * 131 + (i >> 11));
}

static int large_copy()
{
    const size_t bytes = ((size_t)64 << 20) + 13;
    std::vector<unsigned char> in(bytes), out(bytes);
    unsigned char *first, *second;

    for (size_t i = 0; i < bytes; i++)
        in[i] = pattern(i);
    CUDA(cudaMalloc(&first, bytes));
    CUDA(cudaMalloc(&second, bytes));
    CUDA(cudaMemcpy(first, in.data(), bytes, cudaMemcpyHostToDevice));
    CUDA(cudaMemcpy(second, first, bytes, cudaMemcpyDeviceToDevice));
    CUDA(cudaMemcpy(out.data(), second, bytes, cudaMemcpyDeviceToHost));
    CUDA(cudaFree(first));
    CUDA(cudaFree(second));
    return in == out;
}

/* Every size from 0 to 300 at an odd offset; nothing beside it may change. */
static long small_copies()
{
    unsigned char in[320], out[320], *device;
    long right = 0;

    CUDA(cudaMalloc(&device, sizeof(in)));
    for (size_t bytes = 0; bytes <= 300; bytes++) {
        for (size_t i = 0; i < sizeof(in); i++)
            in[i] = pattern(i + bytes);
        CUDA(cudaMemset(device, 0xEE, sizeof(in)));
        CUDA(cudaMemcpy(device + 7, in + 3, bytes, cudaMemcpyHostToDevice));
        CUDA(cudaMemcpy(out, device, sizeof(out), cudaMemcpyDefault));
        right += std::memcmp(out + 7, in + 3, bytes) == 0 && out[6] == 0xEE && out[7 + bytes] == 0xEE;
    }
    CUDA(cudaFree(device));
    return right;
}

static int pitched_copy()
{
    const size_t width = 1000, height = 37;
    std::vector<unsigned char> in(width * height), out(width * height, 0);
    unsigned char *device;
    size_t pitch = 0;
    int right = 1;

    for (size_t i = 0; i < in.size(); i++)
        in[i] = pattern(i);
    CUDA(cudaMallocPitch(&device, &pitch, width, height));
    CUDA(cudaMemset2D(device, pitch, 0x11, width, height));
    CUDA(cudaMemcpy2D(device, pitch, in.data(), width, width, height - 1, cudaMemcpyHostToDevice));
    CUDA(cudaMemcpy2D(out.data(), width, device, pitch, width, height, cudaMemcpyDeviceToHost));
    CUDA(cudaFree(device));
    for (size_t i = 0; i < in.size(); i++)
        right &= out[i] == (i < width * (height - 1) ? in[i] : 0x11);
    return right && pitch >= width;
}

int main()
{
    long right = large_copy();

    right += small_copies();
    right += pitched_copy();
    return report("copies", right, 303);
}
