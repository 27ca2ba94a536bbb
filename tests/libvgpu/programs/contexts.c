/* SPDX-License-Identifier: Apache-2.0
 *
 * Several contexts: what ends with one of them leaves the others as they were.
 */
#include <pthread.h>
#include <semaphore.h>

#include "check.h"

enum { ROUNDS = 3, FUNCTIONS = 2000, COPIED = 1 << 20 };

static sem_t entered, released;
static unsigned called;

static void wait_inside(void *unused)
{
    (void)unused;
    sem_post(&entered);
    sem_wait(&released);
    called++;
}

static void count_call(void *unused)
{
    (void)unused;
    called++;
}

static CUcontext context(void)
{
    CUcontext made;

    OK(cuCtxCreate_v2(&made, 0, 0));
    return made;
}

static CUstream stream_of(CUcontext owner)
{
    CUstream made;

    OK(cuCtxSetCurrent(owner));
    OK(cuStreamCreate(&made, 1));
    return made;
}

/* A stream of one context is inside a host function while an older and a younger context end. */
static void others_end_during_a_host_function(void)
{
    for (int round = 0; round < ROUNDS; round++) {
        CUcontext older = context(), kept = context(), younger = context();
        CUstream first = stream_of(older), stream = stream_of(kept);
        CUdeviceptr memory = device_memory(4);

        called = 0;
        OK(cuLaunchHostFunc(first, count_call, NULL));
        OK(cuCtxSetCurrent(older));
        OK(cuStreamSynchronize(first));
        OK(cuCtxSetCurrent(kept));
        OK(cuLaunchHostFunc(stream, wait_inside, NULL));
        OK(cuMemsetD32Async(memory, 7, 1, stream));
        sem_wait(&entered);
        OK(cuCtxDestroy_v2(round % 2 ? older : younger));
        OK(cuCtxDestroy_v2(round % 2 ? younger : older));
        EXPECT(CUDA_ERROR_NOT_READY, cuStreamQuery(stream));
        sem_post(&released);
        OK(cuStreamSynchronize(stream));
        EXPECT(7, value_at(memory));
        /* And it goes on: more functions than can be announced at a time. */
        for (int i = 0; i < FUNCTIONS; i += FUNCTIONS / 8) {
            for (int j = 0; j < FUNCTIONS / 8; j++)
                OK(cuLaunchHostFunc(stream, count_call, NULL));
            OK(cuStreamSynchronize(stream));
        }
        EXPECT(2 + FUNCTIONS, called);
        OK(cuCtxDestroy_v2(kept));
    }
}

/* A context ends with a stream that waits for a host function; the next context's work as ever. */
static void the_waiting_context_ends(void)
{
    called = 0;
    for (int round = 0; round < ROUNDS; round++) {
        CUcontext ending = context();
        CUstream stream = stream_of(ending);

        OK(cuLaunchHostFunc(stream, wait_inside, NULL));
        for (int i = 0; i < FUNCTIONS / 4; i++)
            OK(cuLaunchHostFunc(stream, count_call, NULL));
        sem_wait(&entered);
        sem_post(&released);
        OK(cuCtxDestroy_v2(ending));
    }
}

/* Calls that name a stream work on it, whichever context of the process is current. */
static void streams_of_another_context(void)
{
    CUcontext owner = context(), other = context();
    CUstream stream = stream_of(owner);
    CUdeviceptr memory = device_memory(4);
    unsigned value = 0;

    OK(cuCtxSetCurrent(other));
    called = 0;
    OK(cuLaunchHostFunc(stream, count_call, NULL));
    OK(cuMemsetD32Async(memory, 9, 1, stream));
    OK(cuMemcpyDtoHAsync_v2(&value, memory, 4, stream));
    OK(cuStreamSynchronize(stream));
    EXPECT(9, value);
    EXPECT(1, called);
    OK(cuCtxDestroy_v2(other));
    OK(cuCtxSetCurrent(owner));
    OK(cuLaunchHostFunc(stream, count_call, NULL));
    OK(cuStreamSynchronize(stream));
    EXPECT(2, called);
    OK(cuCtxDestroy_v2(owner));
}

struct copy {
    CUcontext context;
    CUstream stream;
    CUdeviceptr memory;
    unsigned to[COPIED / 4];
};

static void *copy_out(void *data)
{
    struct copy *copy = data;

    OK(cuCtxSetCurrent(copy->context));
    sem_post(&entered);
    OK(cuMemcpyDtoHAsync_v2(copy->to, copy->memory, sizeof copy->to, copy->stream));
    OK(cuStreamSynchronize(copy->stream));
    return NULL;
}

/* A copy that waits delays nobody, also when the first context of the process is gone. */
static void copies_after_the_first_context(void)
{
    CUcontext first = context(), kept = context();
    static struct copy copy;
    pthread_t thread;

    OK(cuCtxDestroy_v2(first));
    copy = (struct copy){.context = kept, .stream = stream_of(kept), .memory = device_memory(COPIED)};
    CUstream other = stream_of(kept);
    CUdeviceptr flag = device_memory(4);
    for (unsigned round = 1; round <= 5; round++) {
        OK(cuStreamWaitValue32_v2(copy.stream, flag, round, 0));
        OK(cuMemsetD32Async(copy.memory, round, COPIED / 4, copy.stream));
        HOLDS(pthread_create(&thread, NULL, copy_out, &copy) == 0);
        sem_wait(&entered);
        for (int i = 0; i < 100; i++)
            EXPECT(CUDA_ERROR_NOT_READY, cuStreamQuery(copy.stream));
        OK(cuMemsetD32Async(flag, round, 1, other));
        HOLDS(pthread_join(thread, NULL) == 0);
        HOLDS(copy.to[0] == round && copy.to[COPIED / 4 - 1] == round);
    }
    OK(cuCtxDestroy_v2(kept));
}

int main(void)
{
    HOLDS(sem_init(&entered, 0, 0) == 0 && sem_init(&released, 0, 0) == 0);
    OK(cuInit(0));
    others_end_during_a_host_function();
    the_waiting_context_ends();
    streams_of_another_context();
    copies_after_the_first_context();
    return 0;
}
