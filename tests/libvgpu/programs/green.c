/* SPDX-License-Identifier: Apache-2.0
 *
 * Green contexts: what belongs to one ends with it, and its memory stays with the primary context.
 */
#include <pthread.h>
#include <semaphore.h>

#include "check.h"

enum { GREEN_DEFAULT_STREAM = 1, NON_BLOCKING = 1, LEAST = 1, ROUNDS = 5 };

static unsigned called;
static sem_t may_return;

static void count_call(void *unused)
{
    (void)unused;
    called++;
}

/* Up to `wanted` parts of device 0 with at least LEAST multiprocessors each. */
static unsigned split(CUdevResource *parts, unsigned wanted)
{
    CUdevResource whole, rest = {.sm.smCount = 0};
    unsigned count = 0;

    OK(cuDeviceGetDevResource(0, &whole, CU_DEV_RESOURCE_TYPE_SM));
    OK(cuDevSmResourceSplitByCount(NULL, &count, &whole, NULL, 0, LEAST));
    HOLDS(count >= 1);
    if (wanted > count)
        wanted = count;
    OK(cuDevSmResourceSplitByCount(parts, &wanted, &whole, &rest, 0, LEAST));
    unsigned sum = rest.sm.smCount;
    for (unsigned i = 0; i < wanted; i++)
        sum += parts[i].sm.smCount;
    EXPECT(whole.sm.smCount, sum);
    return wanted;
}

static CUgreenCtx green_context(CUdevResource *part)
{
    CUdevResourceDesc description;
    CUgreenCtx green;

    OK(cuDevResourceGenerateDesc(&description, part, 1));
    EXPECT(CUDA_ERROR_INVALID_VALUE, cuGreenCtxCreate(&green, description, 0, 0));
    OK(cuGreenCtxCreate(&green, description, 0, GREEN_DEFAULT_STREAM));
    return green;
}

static void is_a_context(CUgreenCtx green, const CUdevResource *part)
{
    CUcontext context, again;
    CUdevResource found;
    CUdevice device = -1;
    unsigned long long id, other;

    OK(cuCtxFromGreenCtx(&context, green));
    OK(cuCtxFromGreenCtx(&again, green));
    HOLDS(context == again);
    OK(cuCtxSetCurrent(context));
    OK(cuCtxGetDevice(&device));
    EXPECT(0, device);
    OK(cuGreenCtxGetDevResource(green, &found, CU_DEV_RESOURCE_TYPE_SM));
    EXPECT(part->sm.smCount, found.sm.smCount);
    OK(cuCtxGetDevResource(context, &found, CU_DEV_RESOURCE_TYPE_SM));
    EXPECT(part->sm.smCount, found.sm.smCount);
    OK(cuGreenCtxGetId(green, &id));
    OK(cuCtxGetId(context, &other));
    HOLDS(id != 0 && other != 0);
    EXPECT(CUDA_ERROR_INVALID_CONTEXT, cuCtxDestroy_v2(context));
}

static void stream_knows_its_context(CUstream stream, CUgreenCtx green, CUcontext primary)
{
    CUcontext owner = NULL, context;
    CUgreenCtx found = NULL;

    OK(cuCtxFromGreenCtx(&context, green));
    OK(cuStreamGetGreenCtx(stream, &found));
    HOLDS(found == green);
    found = NULL;
    OK(cuStreamGetCtx_v2(stream, &owner, &found));
    HOLDS(found == green && owner == primary);
    OK(cuStreamGetCtx(stream, &owner));
    HOLDS(owner == context);
}

/* Work in a stream, named from `current`. Memory may be anybody's. */
static void work(CUcontext current, CUstream stream, CUdeviceptr memory)
{
    unsigned value = 3, before, result = 0;
    void *parameters[] = {&memory, &value};
    CUevent event;

    OK(cuCtxSetCurrent(current));
    CUfunction add = function("add_to");
    before = called;
    OK(cuMemsetD32Async(memory, 39, 1, stream));
    OK(cuLaunchKernel(add, 1, 1, 1, 1, 1, 1, 0, stream, parameters, NULL));
    OK(cuLaunchHostFunc(stream, count_call, NULL));
    OK(cuMemcpyDtoHAsync_v2(&result, memory, 4, stream));
    OK(cuStreamSynchronize(stream));
    EXPECT(42, result);
    EXPECT(before + 1, called);
    OK(cuEventCreate(&event, 0));
    OK(cuEventDestroy_v2(event));
}

static void lives_and_ends(CUcontext primary, CUdevResource *part)
{
    CUgreenCtx green = green_context(part);
    CUcontext context, again;
    CUstream stream, inside;
    CUdeviceptr memory, kept;
    unsigned count = 1;

    is_a_context(green, part);
    OK(cuCtxFromGreenCtx(&context, green));
    EXPECT(CUDA_ERROR_INVALID_VALUE, cuGreenCtxStreamCreate(&stream, green, 0, 0));
    OK(cuGreenCtxStreamCreate(&stream, green, NON_BLOCKING, 0));
    stream_knows_its_context(stream, green, primary);
    OK(cuCtxSetCurrent(context));
    OK(cuStreamCreate(&inside, NON_BLOCKING));
    kept = device_memory(4);
    OK(cuCtxSetCurrent(primary));
    memory = device_memory(4);
    work(primary, stream, memory);
    work(context, stream, kept);
    work(context, inside, memory);
    OK(cuCtxSetCurrent(primary));
    OK(cuGreenCtxDestroy(green));
    /* Everything of it is gone, */
    EXPECT(CUDA_ERROR_INVALID_HANDLE, cuStreamQuery(stream));
    EXPECT(CUDA_ERROR_INVALID_HANDLE, cuStreamQuery(inside));
    EXPECT(CUDA_ERROR_INVALID_CONTEXT, cuCtxSetCurrent(context));
    HOLDS(cuCtxFromGreenCtx(&again, green) != CUDA_SUCCESS);
    HOLDS(cuGreenCtxDestroy(green) != CUDA_SUCCESS);
    /* but for its memory. */
    OK(cuMemsetD32_v2(kept, count, 1));
    EXPECT(count, value_at(kept));
    OK(cuMemFree_v2(kept));
    OK(cuMemFree_v2(memory));
}

static CUdeviceptr freed;
static CUcontext freeing;

static void hold_up(void *data)
{
    sem_wait(data);
}

static void *release(void *data)
{
    OK(cuCtxSetCurrent(freeing));
    EXPECT(CUDA_ERROR_NOT_READY, cuStreamQuery(data));
    sem_post(&may_return);
    return NULL;
}

/* Freeing memory waits for the work of all green contexts. */
static void free_waits(CUcontext primary, CUdevResource *part)
{
    CUgreenCtx green = green_context(part);
    unsigned value = 3;
    void *parameters[] = {&freed, &value};
    CUstream stream;
    pthread_t thread;

    freeing = primary;
    OK(cuCtxSetCurrent(primary));
    OK(cuGreenCtxStreamCreate(&stream, green, NON_BLOCKING, 0));
    for (int round = 0; round < ROUNDS; round++) {
        CUfunction add = function("add_to");
        freed = device_memory(4 << 20);
        OK(cuLaunchHostFunc(stream, hold_up, &may_return));
        OK(cuLaunchKernel(add, 1, 1, 1, 1, 1, 1, 0, stream, parameters, NULL));
        HOLDS(pthread_create(&thread, NULL, release, stream) == 0);
        OK(cuMemFree_v2(freed));
        HOLDS(pthread_join(thread, NULL) == 0);
        OK(cuStreamSynchronize(stream));
    }
    OK(cuGreenCtxDestroy(green));
}

/* A green context keeps the primary one alive, and lets go of it. */
static void holds_the_primary_context(CUdevResource *part)
{
    unsigned flags;
    int active = -1;

    OK(cuDevicePrimaryCtxGetState(0, &flags, &active));
    EXPECT(0, active);
    CUgreenCtx green = green_context(part);
    OK(cuDevicePrimaryCtxGetState(0, &flags, &active));
    EXPECT(1, active);
    OK(cuGreenCtxDestroy(green));
    OK(cuDevicePrimaryCtxGetState(0, &flags, &active));
    EXPECT(0, active);
}

/* What the driver keeps inside a resource is the driver's: nothing else goes through. */
static void made_up_resources(const CUdevResource *part)
{
    CUdevResource made = *part, out[2];
    CUdevResourceDesc description;
    unsigned count = 2;

    memset(made._internal_padding, 0x41, sizeof made._internal_padding);
    HOLDS(cuDevResourceGenerateDesc(&description, &made, 1) != CUDA_SUCCESS);
    HOLDS(cuDevSmResourceSplitByCount(out, &count, &made, NULL, 0, LEAST) != CUDA_SUCCESS);
    made = *part;
    made.sm.smCount = 1 << 20;
    HOLDS(cuDevResourceGenerateDesc(&description, &made, 1) != CUDA_SUCCESS);
    memset(&made, 0, sizeof made);
    HOLDS(cuDevResourceGenerateDesc(&description, &made, 1) != CUDA_SUCCESS);
}

int main(void)
{
    CUdevResource parts[2];
    CUcontext primary = start();

    HOLDS(sem_init(&may_return, 0, 0) == 0);
    unsigned count = split(parts, 2);
    for (unsigned round = 0; round < ROUNDS; round++)
        lives_and_ends(primary, &parts[round % count]);
    free_waits(primary, &parts[0]);
    made_up_resources(&parts[0]);
    OK(cuDevicePrimaryCtxRelease_v2(0));
    holds_the_primary_context(&parts[0]);
    return 0;
}
