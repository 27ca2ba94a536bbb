/* SPDX-License-Identifier: Apache-2.0
 *
 * Mathematical functions, within the error that CUDA documents, and exact integer arithmetic.
 */
#include "check.h"

#include <cmath>
#include <cstdint>

enum { N = 4096, FUNCTIONS = 10 };

__global__ void floats(const float *in, float *out)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    float x = in[i], *results = out + i * FUNCTIONS;

    results[0] = expf(x);
    results[1] = logf(x);
    results[2] = sinf(x);
    results[3] = cosf(x);
    results[4] = tanhf(x);
    results[5] = sqrtf(x);
    results[6] = 1.0f / x;
    results[7] = powf(x, 1.5f);
    results[8] = (float)sin((double)x);
    results[9] = rintf(x * 10);
}

__global__ void integers(const int64_t *in, int64_t *out)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    int64_t a = in[i], b = (i % 97) + 3;

    out[i] = a / b + a % b + __popcll((unsigned long long)a) + __clz((int)a)
             + (int64_t)__umul64hi((uint64_t)a, (uint64_t)a);
}

static long check_floats()
{
    static float in[N], out[N * FUNCTIONS];
    float *device_in, *device_out;
    long right = 0;

    for (int i = 0; i < N; i++)
        in[i] = 0.01f + (float)i * 0.005f;
    CUDA(cudaMalloc(&device_in, sizeof(in)));
    CUDA(cudaMalloc(&device_out, sizeof(out)));
    CUDA(cudaMemcpy(device_in, in, sizeof(in), cudaMemcpyHostToDevice));
    floats<<<N / 128, 128>>>(device_in, device_out);
    CUDA(cudaGetLastError());
    CUDA(cudaMemcpy(out, device_out, sizeof(out), cudaMemcpyDeviceToHost));
    CUDA(cudaFree(device_in));
    CUDA(cudaFree(device_out));
    for (int i = 0; i < N; i++) {
        double x = in[i];
        double expected[FUNCTIONS] = {exp(x), log(x), sin(x), cos(x), tanh(x), sqrt(x), 1 / x,
                                      pow(x, 1.5), sin(x), rint(in[i] * 10.0f)};

        for (int k = 0; k < FUNCTIONS; k++)
            right += fabs(out[i * FUNCTIONS + k] - expected[k]) <= 1e-6 * (fabs(expected[k]) + 0.1) * 4;
    }
    return right;
}

static int64_t expected_integer(int64_t a, int i)
{
    int64_t b = (i % 97) + 3;
    int zeros = (int)a == 0 ? 32 : __builtin_clz((unsigned)a);
    int64_t high = (int64_t)(uint64_t)(((unsigned __int128)(uint64_t)a * (uint64_t)a) >> 64);

    return (int64_t)((uint64_t)(a / b + a % b + __builtin_popcountll((unsigned long long)a) + zeros)
                     + (uint64_t)high);
}

static long check_integers()
{
    static int64_t in[N], out[N];
    int64_t *device_in, *device_out;
    uint64_t random = 88172645463325252ull;
    long right = 0;

    for (int i = 0; i < N; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        in[i] = (int64_t)random >> (i % 60);
    }
    CUDA(cudaMalloc(&device_in, sizeof(in)));
    CUDA(cudaMalloc(&device_out, sizeof(out)));
    CUDA(cudaMemcpy(device_in, in, sizeof(in), cudaMemcpyHostToDevice));
    integers<<<N / 128, 128>>>(device_in, device_out);
    CUDA(cudaGetLastError());
    CUDA(cudaMemcpy(out, device_out, sizeof(out), cudaMemcpyDeviceToHost));
    CUDA(cudaFree(device_in));
    CUDA(cudaFree(device_out));
    for (int i = 0; i < N; i++)
        right += out[i] == expected_integer(in[i], i);
    return right;
}

int main()
{
    long right = check_floats();

    right += check_integers();
    return report("mathematics", right, (long)N * FUNCTIONS + N);
}
