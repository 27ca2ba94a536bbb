/* SPDX-License-Identifier: Apache-2.0
 *
 * Multiplies two matrices, tile by tile through shared memory.
 */
#include "check.h"

#include <vector>

enum { N = 256, TILE = 16 };

__global__ void matmul(const float *a, const float *b, float *c)
{
    __shared__ float tile_a[TILE][TILE], tile_b[TILE][TILE];
    const int row = blockIdx.y * TILE + threadIdx.y, column = blockIdx.x * TILE + threadIdx.x;
    float sum = 0;

    for (int start = 0; start < N; start += TILE) {
        tile_a[threadIdx.y][threadIdx.x] = a[row * N + start + threadIdx.x];
        tile_b[threadIdx.y][threadIdx.x] = b[(start + threadIdx.y) * N + column];
        __syncthreads();
        for (int k = 0; k < TILE; k++)
            sum += tile_a[threadIdx.y][k] * tile_b[k][threadIdx.x];
        __syncthreads();
    }
    c[row * N + column] = sum;
}

/* Small whole numbers, so that the products are exact in any order of summing. */
static float element(int i, int modulus)
{
    return (float)((i * 7) % modulus - modulus / 2);
}

static long count_right(const std::vector<float> &a, const std::vector<float> &b,
                        const std::vector<float> &c)
{
    long right = 0;

    for (int row = 0; row < N; row++)
        for (int column = 0; column < N; column++) {
            float sum = 0;

            for (int k = 0; k < N; k++)
                sum += a[row * N + k] * b[k * N + column];
            right += c[row * N + column] == sum;
        }
    return right;
}

int main()
{
    const size_t bytes = N * N * sizeof(float);
    std::vector<float> a(N * N), b(N * N), c(N * N);
    float *da, *db, *dc;

    for (int i = 0; i < N * N; i++) {
        a[i] = element(i, 11);
        b[i] = element(i, 13);
    }
    CUDA(cudaMalloc(&da, bytes));
    CUDA(cudaMalloc(&db, bytes));
    CUDA(cudaMalloc(&dc, bytes));
    CUDA(cudaMemcpy(da, a.data(), bytes, cudaMemcpyHostToDevice));
    CUDA(cudaMemcpy(db, b.data(), bytes, cudaMemcpyHostToDevice));
    matmul<<<dim3(N / TILE, N / TILE), dim3(TILE, TILE)>>>(da, db, dc);
    CUDA(cudaGetLastError());
    CUDA(cudaMemcpy(c.data(), dc, bytes, cudaMemcpyDeviceToHost));
    CUDA(cudaFree(da));
    CUDA(cudaFree(db));
    CUDA(cudaFree(dc));
    return report("matmul", count_right(a, b, c), N * N);
}
