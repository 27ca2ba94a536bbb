/* SPDX-License-Identifier: Apache-2.0
 *
 * Many threads at once: each with streams, memory, events and graphs of its own, and some shared ones.
 */
#include "check.h"

enum { THREADS = 4, ROUNDS = 150 };

static CUcontext context;
static CUmodule module;
static CUevent shared_event;

static void one_round(CUfunction function, CUstream stream, uint32_t value)
{
    CUdeviceptr d = 0, more = 0;
    uint32_t out[64] = {0};
    OK(cuMemAlloc_v2(&d, 256));
    OK(cuMemAllocAsync(&more, 100000, stream));
    OK(fill(function, stream, d, value, 64));
    OK(cuMemcpyDtoDAsync_v2(more, d, 256, stream));
    OK(cuEventRecord(shared_event, stream));
    OK(cuStreamWaitEvent(stream, shared_event, 0));
    OK(cuMemcpyDtoHAsync_v2(out, more, 256, stream));
    OK(cuMemFreeAsync(more, stream));
    OK(cuStreamSynchronize(stream));
    CHECK(out[0] == value && out[63] == value);
    OK(cuMemsetD32_v2(d, value + 1, 64)); /* the legacy stream, shared by all */
    OK(cuMemcpyDtoH_v2(out, d, 256));
    CHECK(out[5] == value + 1);
    OK(cuMemFree_v2(d));
}

static void capture_round(CUfunction function, CUstream stream, uint32_t value)
{
    CUgraph graph = NULL;
    CUgraphExec exec = NULL;
    CUdeviceptr d = 0;
    OK(cuMemAlloc_v2(&d, 256));
    OK(cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_RELAXED));
    OK(fill(function, stream, d, value, 64));
    OK(cuStreamEndCapture(stream, &graph));
    OK(cuGraphInstantiateWithFlags(&exec, graph, 0));
    OK(cuGraphLaunch(exec, stream));
    OK(cuGraphExecDestroy(exec));
    OK(cuGraphDestroy(graph));
    OK(cuStreamSynchronize(stream));
    CHECK(word_at(d) == value);
    OK(cuMemFree_v2(d));
}

static void *worker(void *argument)
{
    CUstream stream = NULL, blocking = NULL;
    uint32_t value = (uint32_t)(uintptr_t)argument * 1000;
    OK(cuCtxSetCurrent(context));
    OK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    OK(cuStreamCreate(&blocking, CU_STREAM_DEFAULT));
    CUfunction function = get(module, "fill");
    for (uint32_t i = 0; i < ROUNDS; i++) {
        one_round(function, i % 3 == 0 ? blocking : i % 3 == 1 ? stream : CU_STREAM_PER_THREAD, value + i);
        if (i % 10 == 0)
            capture_round(function, stream, value + i);
    }
    OK(cuStreamDestroy_v2(stream));
    OK(cuStreamDestroy_v2(blocking));
    return NULL;
}

int main(void)
{
    pthread_t threads[THREADS];
    context = start();
    module = load_module();
    OK(cuEventCreate(&shared_event, 0));
    for (uintptr_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, worker, (void *)(i + 1)) == 0);
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    OK(cuCtxSynchronize());
    return 0;
}
