/* SPDX-License-Identifier: Apache-2.0
 *
 * Several threads at once: each captures, launches with host functions, and copies boxes on its own stream.
 */
#include <pthread.h>

#include "check.h"

enum { THREADS = 6, ROUNDS = 20, PITCH = 300, ROWS = 50 };

static CUcontext context;

struct one {
    CUfunction add;
    unsigned index, called;
    CUdeviceptr memory, box;
};

static void count_call(void *data)
{
    ((struct one *)data)->called++;
}

static CUgraphExec make_graph(struct one *one, CUstream stream, CUdeviceptr memory)
{
    unsigned value = one->index + 1;
    void *parameters[] = {&memory, &value};
    CUstreamCaptureStatus status;
    CUgraphExec executable;
    const CUgraphNode *waits;
    CUgraph graph;
    size_t count;

    OK(cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_RELAXED));
    OK(cuLaunchKernel(one->add, 1, 1, 1, 1, 1, 1, 0, stream, parameters, NULL));
    OK(cuLaunchHostFunc(stream, count_call, one));
    OK(cuStreamGetCaptureInfo_v2(stream, &status, NULL, &graph, &waits, &count));
    HOLDS(status == CU_STREAM_CAPTURE_STATUS_ACTIVE && count == 1 && waits[0]);
    OK(cuStreamEndCapture(stream, &graph));
    OK(cuGraphInstantiateWithFlags(&executable, graph, 0));
    OK(cuGraphDestroy(graph));
    return executable;
}

static void copy_box(CUstream stream, CUdeviceptr memory, unsigned seed)
{
    static _Thread_local uint8_t from[PITCH * ROWS], to[PITCH * ROWS];
    CUDA_MEMCPY2D in = {.srcMemoryType = CU_MEMORYTYPE_HOST, .srcHost = from, .srcPitch = PITCH,
                        .dstMemoryType = CU_MEMORYTYPE_DEVICE, .dstDevice = memory, .dstPitch = 512,
                        .WidthInBytes = 200, .Height = ROWS};
    CUDA_MEMCPY2D out = {.srcMemoryType = CU_MEMORYTYPE_DEVICE, .srcDevice = memory, .srcPitch = 512,
                         .dstMemoryType = CU_MEMORYTYPE_HOST, .dstHost = to, .dstPitch = PITCH,
                         .WidthInBytes = 200, .Height = ROWS};

    fill(from, sizeof from, seed);
    OK(cuMemcpy2DAsync_v2(&in, stream));
    OK(cuMemcpy2DAsync_v2(&out, stream));
    for (int y = 0; y < ROWS; y++)
        HOLDS(memcmp(to + PITCH * y, from + PITCH * y, 200) == 0);
}

static void *work(void *data)
{
    struct one *one = data;
    CUstream stream;
    unsigned sum = 0;

    OK(cuCtxSetCurrent(context));
    OK(cuStreamCreate(&stream, 1));
    CUdeviceptr memory = one->memory, box = one->box;
    for (unsigned round = 0; round < ROUNDS; round++) {
        CUgraphExec executable = make_graph(one, stream, memory);
        OK(cuGraphLaunch(executable, stream));
        OK(cuGraphLaunch(executable, stream));
        copy_box(stream, box, round * THREADS + one->index);
        OK(cuStreamSynchronize(stream));
        EXPECT(2 * (round + 1), one->called);
        OK(cuGraphExecDestroy(executable));
    }
    /* Not cuCtxSynchronize: other threads may be capturing, and then it is an error. */
    OK(cuMemcpyDtoHAsync_v2(&sum, memory, sizeof sum, stream));
    OK(cuStreamSynchronize(stream));
    EXPECT(2 * ROUNDS * (one->index + 1), sum);
    OK(cuMemFree_v2(memory));
    OK(cuMemFree_v2(box));
    return NULL;
}

int main(void)
{
    pthread_t threads[THREADS];
    struct one all[THREADS] = {0};

    context = start();
    for (unsigned i = 0; i < THREADS; i++) {
        /* Before any thread captures: making memory waits for the context. */
        all[i] = (struct one){.add = function("add_to"), .index = i, .memory = device_memory(4),
                              .box = device_memory(512 * ROWS)};
    }
    for (unsigned i = 0; i < THREADS; i++) {
        HOLDS(pthread_create(&threads[i], NULL, work, &all[i]) == 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        HOLDS(pthread_join(threads[i], NULL) == 0);
    return 0;
}
