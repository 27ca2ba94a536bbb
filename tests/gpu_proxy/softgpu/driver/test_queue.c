/* SPDX-License-Identifier: Apache-2.0
 *
 * A full queue: it blocks the thread that submits, and nothing else.
 */
#include "check.h"

enum { QUEUE = 64, CALLS = 5 * QUEUE, STREAMS = 8 };

static CUcontext context;
static CUfunction fill_, wait_flag;
static uint32_t *flag; /* pinned: a kernel waits for it */
static _Atomic int submitted;

static void hold(CUstream stream)
{
    CUdeviceptr at = (CUdeviceptr)(uintptr_t)flag;
    __atomic_store_n(flag, 0, __ATOMIC_RELEASE);
    OK(launch1(wait_flag, stream, &at));
}

static void release(void)
{
    __atomic_store_n(flag, 1, __ATOMIC_RELEASE);
}

struct job {
    CUstream stream;
    CUdeviceptr memory;
};

static void *submit(void *data)
{
    const struct job *job = data;
    OK(cuCtxSetCurrent(context));
    for (uint32_t i = 1; i <= CALLS; i++) {
        OK(fill(fill_, job->stream, job->memory, i, 1));
        submitted++;
    }
    return NULL;
}

static void wait_until_full(void)
{
    struct timespec pause = {0, 1000000};
    for (int i = 0; submitted < QUEUE - 1; i++) {
        CHECK(i < 30000);
        nanosleep(&pause, NULL);
    }
}

static void others_go_on(CUdeviceptr d)
{
    CUstream other = NULL;
    pthread_t thread;
    struct job job = {.memory = d};
    OK(cuStreamCreate(&job.stream, CU_STREAM_NON_BLOCKING));
    hold(job.stream);
    CHECK(pthread_create(&thread, NULL, submit, &job) == 0);
    wait_until_full();
    OK(cuStreamCreate(&other, CU_STREAM_NON_BLOCKING));
    OK(fill(fill_, other, d + 4, 7, 1));
    OK(cuStreamSynchronize(other));
    CHECK(word_at(d + 4) == 7);
    CHECK(submitted < CALLS);
    WANT(CUDA_ERROR_NOT_READY, cuStreamQuery(job.stream));
    release();
    CHECK(pthread_join(thread, NULL) == 0);
    OK(cuStreamSynchronize(job.stream));
    CHECK(word_at(d) == CALLS);
    OK(cuStreamDestroy_v2(other));
    OK(cuStreamDestroy_v2(job.stream));
}

/* Each call on the legacy stream waits for all streams that block, and those waits are no calls. */
static void waits_do_not_count(CUdeviceptr d)
{
    CUstream streams[STREAMS];
    for (int i = 0; i < STREAMS; i++)
        OK(cuStreamCreate(&streams[i], CU_STREAM_DEFAULT));
    hold(streams[0]);
    for (uint32_t round = 1; round <= QUEUE / 2; round++) {
        for (int i = 0; i < STREAMS; i++)
            OK(fill(fill_, streams[i], d + 4 * (CUdeviceptr)i, round, 1));
        OK(fill(fill_, NULL, d + 4 * STREAMS, round, 1));
    }
    release();
    OK(cuStreamSynchronize(NULL));
    for (int i = 0; i <= STREAMS; i++)
        CHECK(word_at(d + 4 * (CUdeviceptr)i) == QUEUE / 2);
    for (int i = 0; i < STREAMS; i++)
        OK(cuStreamDestroy_v2(streams[i]));
}

/* Operations of one batch are one call. */
static void batch_is_one_call(CUdeviceptr d)
{
    CUstreamBatchMemOpParams writes[QUEUE + 1] = {0};
    CUstream stream = NULL;
    for (uint32_t i = 0; i <= QUEUE; i++) {
        writes[i].writeValue.operation = CU_STREAM_MEM_OP_WRITE_VALUE_32;
        writes[i].writeValue.address = d;
        writes[i].writeValue.value = i;
    }
    OK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    hold(stream);
    OK(cuStreamBatchMemOp_v2(stream, QUEUE + 1, writes, 0));
    release();
    OK(cuStreamSynchronize(stream));
    CHECK(word_at(d) == QUEUE);
    OK(cuStreamDestroy_v2(stream));
}

int main(void)
{
    CUdeviceptr d = 0;
    setenv("VGPU_SOFTGPU_QUEUE", "64", 1);
    (void)start();
    OK(cuCtxGetCurrent(&context));
    CUmodule module = load_module();
    fill_ = get(module, "fill");
    wait_flag = get(module, "wait_flag");
    OK(cuMemHostAlloc((void **)&flag, 4096, 0));
    OK(cuMemAlloc_v2(&d, 4096));
    others_go_on(d);
    waits_do_not_count(d);
    batch_is_one_call(d);
    OK(cuModuleUnload(module));
    return 0;
}
