/* SPDX-License-Identifier: Apache-2.0
 *
 * Forks while other threads are inside calls: a child gets errors and ends, whatever was locked, and the
 * parent goes on.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

enum { THREADS = 3, MANY = 4000, FORKS = 60, CHILD_SECONDS = 60 };

static CUcontext context;
static CUdeviceptr kept[MANY];
static void *pinned;
static CUmodule module;
static CUstream stream;
static _Atomic int done;

/* Every lock of the front end is taken all the time. */
static void *hammer(void *unused)
{
    OK(cuCtxSetCurrent(context));
    while (!atomic_load(&done)) {
        CUdeviceptr memory;
        CUstream mine;
        CUevent event;
        void *host;

        OK(cuMemAlloc_v2(&memory, 64));
        OK(cuStreamCreate(&mine, 1));
        OK(cuEventCreate(&event, 0));
        OK(cuMemHostAlloc(&host, 4096, 0));
        OK(cuMemsetD8Async(memory, 1, 64, mine));
        OK(cuStreamSynchronize(mine));
        OK(cuMemFreeHost(host));
        OK(cuEventDestroy_v2(event));
        OK(cuStreamDestroy_v2(mine));
        OK(cuMemFree_v2(memory));
    }
    return unused;
}

static void called(void *unused)
{
    (void)unused;
}

static void in_child(void)
{
    CUdeviceptr memory, copy = kept[7];
    CUcontext found;
    CUstream made;
    CUgraph graph;
    CUgreenCtx green = NULL;
    CUmodule loaded;
    unsigned flags;
    size_t bytes;
    char data[64];
    void *host;

    alarm(CHILD_SECONDS); /* a child that waits for a lock is killed, and its parent sees that */
    EXPECT(CUDA_ERROR_NOT_INITIALIZED, cuInit(0));
    EXPECT(CUDA_ERROR_NOT_INITIALIZED, cuCtxGetCurrent(&found));
    EXPECT(CUDA_ERROR_NOT_INITIALIZED, cuMemAlloc_v2(&memory, 64));
    const CUresult refused[] = {
        cuMemFree_v2(copy), cuMemGetAddressRange_v2(&memory, &bytes, copy), cuMemHostGetFlags(&flags, pinned),
        cuMemHostGetDevicePointer_v2(&memory, pinned, 0), cuMemcpyDtoH_v2(data, copy, sizeof data),
        cuMemcpyHtoD_v2(copy, data, sizeof data), cuMemHostAlloc(&host, 4096, 0), cuMemFreeHost(pinned),
        cuStreamCreate(&made, 0), cuStreamSynchronize(stream), cuStreamDestroy_v2(stream),
        cuLaunchHostFunc(stream, called, NULL), cuModuleLoadData(&loaded, kernels), cuModuleUnload(module),
        cuGraphCreate(&graph, 0), cuGreenCtxDestroy(green), cuDevicePrimaryCtxRelease_v2(0),
        cuDevicePrimaryCtxRetain(&found, 0), cuCtxDestroy_v2(context), cuCtxSynchronize(),
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        expect_at(1, refused[i] != CUDA_SUCCESS, "a call of a forked child fails, number", (int)i);
    exit(0); /* with all that libraries do at the end of a process */
}

static void fork_once(void)
{
    pid_t child = fork();
    int status = -1;

    HOLDS(child >= 0);
    if (child == 0)
        in_child();
    HOLDS(waitpid(child, &status, 0) == child);
    HOLDS(WIFEXITED(status));
    EXPECT(0, WEXITSTATUS(status));
}

int main(void)
{
    pthread_t threads[THREADS];
    unsigned value = 11;

    context = start();
    for (int i = 0; i < MANY; i++)
        OK(cuMemAlloc_v2(&kept[i], 64));
    OK(cuMemHostAlloc(&pinned, 4096, 0));
    OK(cuModuleLoadData(&module, kernels));
    OK(cuStreamCreate(&stream, 1));
    for (int i = 0; i < THREADS; i++)
        HOLDS(pthread_create(&threads[i], NULL, hammer, NULL) == 0);
    for (int i = 0; i < FORKS; i++)
        fork_once();
    atomic_store(&done, 1);
    for (int i = 0; i < THREADS; i++)
        HOLDS(pthread_join(threads[i], NULL) == 0);
    OK(cuMemcpyHtoD_v2(kept[0], &value, sizeof value));
    EXPECT(11, value_at(kept[0]));
    return 0;
}
