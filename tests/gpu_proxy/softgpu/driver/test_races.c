/* SPDX-License-Identifier: Apache-2.0
 *
 * Threads that use and destroy the same objects. Any result is allowed; crashing and hanging are not.
 */
#include "check.h"

enum { THREADS = 4, SLOTS = 8, ROUNDS = 3000 };

static CUcontext context;
static CUfunction empty;
static void *_Atomic streams[SLOTS];
static void *_Atomic events[SLOTS];
static void *_Atomic graphs[SLOTS];
static _Atomic uint64_t memory[SLOTS];

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 16;
}

static void replace_stream(int slot)
{
    CUstream stream = NULL;
    (void)cuStreamCreate(&stream, slot % 2);
    (void)cuStreamDestroy_v2(__atomic_exchange_n((void **)&streams[slot], stream, __ATOMIC_SEQ_CST));
}

static void replace_event(int slot)
{
    CUevent event = NULL;
    (void)cuEventCreate(&event, 0);
    (void)cuEventDestroy_v2(__atomic_exchange_n((void **)&events[slot], event, __ATOMIC_SEQ_CST));
}

static void replace_memory(int slot, CUstream stream)
{
    CUdeviceptr at = 0;
    (void)cuMemAllocAsync(&at, 4096, stream);
    (void)cuMemFreeAsync(__atomic_exchange_n((uint64_t *)&memory[slot], at, __ATOMIC_SEQ_CST), stream);
}

static void replace_graph(int slot, CUstream stream)
{
    CUgraph graph = NULL;
    CUgraphExec exec = NULL;
    if (cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_RELAXED))
        return;
    (void)cuLaunchKernel(empty, 1, 1, 1, 1, 1, 1, 0, stream, NULL, NULL);
    (void)cuEventRecord(events[slot], stream);
    (void)cuStreamEndCapture(stream, &graph);
    if (graph)
        (void)cuGraphInstantiateWithFlags(&exec, graph, 0);
    (void)cuGraphDestroy(graph);
    (void)cuGraphExecDestroy(__atomic_exchange_n((void **)&graphs[slot], exec, __ATOMIC_SEQ_CST));
}

static void act(uint32_t choice, int slot, int other)
{
    CUstream stream = streams[slot];
    CUevent event = events[other];
    switch (choice % 12) {
    case 0:
        replace_stream(slot);
        break;
    case 1:
        replace_event(slot);
        break;
    case 2:
        replace_memory(slot, stream);
        break;
    case 3:
        replace_graph(slot, stream);
        break;
    case 4:
        (void)cuEventRecord(event, stream);
        break;
    case 5:
        (void)cuStreamWaitEvent(stream, event, 0);
        break;
    case 6:
        (void)cuGraphLaunch(graphs[other], stream);
        break;
    case 7:
        (void)cuStreamSynchronize(stream);
        break;
    case 8:
        (void)cuEventQuery(event);
        break;
    case 9:
        (void)cuStreamQuery(NULL);
        break;
    default:
        (void)cuLaunchKernel(empty, 1, 1, 1, 1, 1, 1, 0, choice & 64 ? NULL : stream, NULL, NULL);
    }
}

static void *worker(void *argument)
{
    uint32_t state = (uint32_t)(uintptr_t)argument;
    OK(cuCtxSetCurrent(context));
    for (int i = 0; i < ROUNDS; i++) {
        uint32_t choice = next_random(&state);
        act(choice, (int)(next_random(&state) % SLOTS), (int)(next_random(&state) % SLOTS));
    }
    return NULL;
}

int main(void)
{
    pthread_t threads[THREADS];
    context = start();
    CUmodule module = load_module();
    empty = get(module, "empty");
    for (int i = 0; i < SLOTS; i++) {
        replace_stream(i);
        replace_event(i);
    }
    for (uintptr_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, worker, (void *)(i + 7)) == 0);
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    (void)cuCtxSynchronize();
    OK(cuDevicePrimaryCtxReset_v2(0));
    OK(cuCtxSynchronize());
    return 0;
}
