/* SPDX-License-Identifier: Apache-2.0
 *
 * A graph captured from two streams, launched again and again.
 */
#include "check.h"

enum { N = 4096, LAUNCHES = 10 };

__global__ void add(int *values, int term)
{
    values[blockIdx.x * blockDim.x + threadIdx.x] += term;
}

__global__ void combine(int *to, const int *from)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;

    to[i] += from[i];
}

int main()
{
    static int host[N];
    int *left, *right_side;
    cudaStream_t first, second;
    cudaEvent_t fork, join;
    cudaGraph_t graph;
    cudaGraphExec_t executable;
    cudaStreamCaptureStatus status;
    size_t nodes = 0;
    long right = 0;

    CUDA(cudaMalloc(&left, sizeof(host)));
    CUDA(cudaMalloc(&right_side, sizeof(host)));
    CUDA(cudaMemset(left, 0, sizeof(host)));
    CUDA(cudaMemset(right_side, 0, sizeof(host)));
    CUDA(cudaStreamCreate(&first));
    CUDA(cudaStreamCreate(&second));
    CUDA(cudaEventCreate(&fork));
    CUDA(cudaEventCreate(&join));

    CUDA(cudaStreamBeginCapture(first, cudaStreamCaptureModeGlobal));
    CUDA(cudaStreamIsCapturing(first, &status));
    right += status == cudaStreamCaptureStatusActive;
    CUDA(cudaEventRecord(fork, first));
    CUDA(cudaStreamWaitEvent(second, fork, 0));
    add<<<N / 128, 128, 0, first>>>(left, 1);
    CUDA(cudaGetLastError());
    add<<<N / 128, 128, 0, second>>>(right_side, 2);
    CUDA(cudaGetLastError());
    CUDA(cudaEventRecord(join, second));
    CUDA(cudaStreamWaitEvent(first, join, 0));
    combine<<<N / 128, 128, 0, first>>>(left, right_side);
    CUDA(cudaGetLastError());
    CUDA(cudaStreamEndCapture(first, &graph));
    CUDA(cudaGraphGetNodes(graph, NULL, &nodes));
    right += nodes == 3;
    CUDA(cudaMemcpy(host, left, sizeof(host), cudaMemcpyDeviceToHost));
    right += host[0] == 0; /* capturing runs nothing */

    CUDA(cudaGraphInstantiateWithFlags(&executable, graph, 0));
    for (int i = 0; i < LAUNCHES; i++)
        CUDA(cudaGraphLaunch(executable, first));
    CUDA(cudaStreamSynchronize(first));
    CUDA(cudaMemcpy(host, left, sizeof(host), cudaMemcpyDeviceToHost));
    for (int i = 0; i < N; i++)
        right += host[i] == LAUNCHES + LAUNCHES * (LAUNCHES + 1);
    CUDA(cudaGraphExecDestroy(executable));
    CUDA(cudaGraphDestroy(graph));
    CUDA(cudaEventDestroy(fork));
    CUDA(cudaEventDestroy(join));
    CUDA(cudaStreamDestroy(first));
    CUDA(cudaStreamDestroy(second));
    CUDA(cudaFree(left));
    CUDA(cudaFree(right_side));
    return report("graph", right, N + 3);
}
