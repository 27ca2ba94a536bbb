/* SPDX-License-Identifier: Apache-2.0
 *
 * Order within and between streams, events, host functions, stream memory operations.
 */
#include "check.h"

static CUfunction fill_, wait_flag, sleeper, empty;
static uint32_t *flag; /* pinned: a kernel waits for it */

static void raise_flag(uint32_t value)
{
    __atomic_store_n(flag, value, __ATOMIC_RELEASE);
}

/* Keep a stream busy until the flag is raised. */
static void hold(CUstream stream)
{
    CUdeviceptr at = (CUdeviceptr)(uintptr_t)flag;
    raise_flag(0);
    OK(launch1(wait_flag, stream, &at));
}

static void asynchronous(void)
{
    CUstream stream = NULL;
    CUevent event = NULL;
    OK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    OK(cuEventCreate(&event, 0));
    OK(cuEventQuery(event)); /* never recorded: nothing to wait for */
    hold(stream);
    OK(cuEventRecord(event, stream));
    WANT(CUDA_ERROR_NOT_READY, cuStreamQuery(stream));
    WANT(CUDA_ERROR_NOT_READY, cuEventQuery(event));
    raise_flag(1);
    OK(cuEventSynchronize(event));
    OK(cuStreamQuery(stream));
    OK(cuEventDestroy_v2(event));
    WANT(CUDA_ERROR_INVALID_HANDLE, cuEventDestroy_v2(event));
    OK(cuStreamDestroy_v2(stream));
    WANT(CUDA_ERROR_INVALID_HANDLE, cuStreamSynchronize(stream));
}

static void pageable_source(CUdeviceptr d)
{
    CUstream stream = NULL;
    uint32_t value = 11;
    OK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    hold(stream);
    OK(cuMemcpyHtoDAsync_v2(d, &value, 4, stream));
    value = 12; /* consumed already */
    raise_flag(1);
    OK(cuStreamSynchronize(stream));
    CHECK(word_at(d) == 11);
    OK(cuStreamDestroy_v2(stream));
}

static void waits(CUdeviceptr d)
{
    CUstream a = NULL, b = NULL;
    CUevent event = NULL;
    OK(cuStreamCreate(&a, CU_STREAM_NON_BLOCKING));
    OK(cuStreamCreate(&b, CU_STREAM_NON_BLOCKING));
    OK(cuEventCreate(&event, CU_EVENT_DISABLE_TIMING));
    for (uint32_t i = 0; i < 200; i++) {
        OK(fill(fill_, a, d, i, 1));
        OK(cuEventRecord(event, a));
        OK(cuStreamWaitEvent(b, event, 0));
        OK(cuMemcpyDtoDAsync_v2(d + 4 + 4 * i, d, 4, b));
        OK(cuEventRecord(event, b));
        OK(cuStreamWaitEvent(a, event, 0));
    }
    OK(cuCtxSynchronize());
    for (uint32_t i = 0; i < 200; i++)
        CHECK(word_at(d + 4 + 4 * i) == i);
    OK(cuEventDestroy_v2(event));
    OK(cuStreamDestroy_v2(a));
    OK(cuStreamDestroy_v2(b));
}

static void legacy(CUdeviceptr d)
{
    CUstream blocking = NULL, other = NULL;
    OK(cuStreamCreate(&blocking, CU_STREAM_DEFAULT));
    OK(cuStreamCreate(&other, CU_STREAM_NON_BLOCKING));
    hold(blocking);
    OK(fill(fill_, NULL, d, 5, 1)); /* waits for the blocking stream */
    WANT(CUDA_ERROR_NOT_READY, cuStreamQuery(NULL));
    OK(cuStreamQuery(other));
    OK(fill(fill_, other, d + 4, 6, 1)); /* does not */
    OK(cuStreamSynchronize(other));
    raise_flag(1);
    OK(cuStreamSynchronize(NULL));
    hold(NULL);
    OK(fill(fill_, blocking, d, 7, 1));
    WANT(CUDA_ERROR_NOT_READY, cuStreamQuery(blocking));
    raise_flag(1);
    OK(cuStreamSynchronize(blocking));
    CHECK(word_at(d) == 7 && word_at(d + 4) == 6);
    OK(cuStreamDestroy_v2(blocking));
    OK(cuStreamDestroy_v2(other));
}

static void timing(void)
{
    CUstream stream = NULL;
    CUevent first = NULL, second = NULL, untimed = NULL;
    uint32_t ms = 30;
    float elapsed = 0;
    OK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    OK(cuEventCreate(&first, 0));
    OK(cuEventCreate(&second, 0));
    OK(cuEventCreate(&untimed, CU_EVENT_DISABLE_TIMING));
    WANT(CUDA_ERROR_INVALID_HANDLE, cuEventElapsedTime(&elapsed, first, second));
    OK(cuEventRecord(first, stream));
    OK(launch1(sleeper, stream, &ms));
    OK(cuEventRecord(second, stream));
    OK(cuEventRecord(untimed, stream));
    WANT(CUDA_ERROR_NOT_READY, cuEventElapsedTime(&elapsed, first, second));
    OK(cuEventSynchronize(second));
    OK(cuEventElapsedTime(&elapsed, first, second));
    CHECK(elapsed >= 29 && elapsed < 2000);
    OK(cuStreamSynchronize(stream));
    WANT(CUDA_ERROR_INVALID_HANDLE, cuEventElapsedTime(&elapsed, first, untimed));
    OK(cuStreamDestroy_v2(stream));
}

static int seen[100], seen_count;

static void note(void *data)
{
    seen[seen_count++] = (int)(intptr_t)data;
}

static void note_stream(CUstream stream, CUresult status, void *data)
{
    (void)stream;
    CHECK(status == CUDA_SUCCESS);
    note(data);
}

static void host_functions(void)
{
    CUstream stream = NULL;
    OK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    for (intptr_t i = 0; i < 100; i += 2) {
        OK(cuLaunchHostFunc(stream, note, (void *)i));
        OK(cuLaunchKernel(empty, 1, 1, 1, 1, 1, 1, 0, stream, NULL, NULL));
        OK(cuStreamAddCallback(stream, note_stream, (void *)(i + 1), 0));
    }
    OK(cuStreamSynchronize(stream));
    CHECK(seen_count == 100);
    for (int i = 0; i < 100; i++)
        CHECK(seen[i] == i);
    OK(cuStreamDestroy_v2(stream));
}

static void values(CUdeviceptr d)
{
    CUstream a = NULL, b = NULL;
    CUdeviceptr at = (CUdeviceptr)(uintptr_t)flag;
    OK(cuStreamCreate(&a, CU_STREAM_NON_BLOCKING));
    OK(cuStreamCreate(&b, CU_STREAM_NON_BLOCKING));
    raise_flag(0);
    OK(cuStreamWaitValue32_v2(a, at, 3, CU_STREAM_WAIT_VALUE_GEQ));
    OK(fill(fill_, a, d, 21, 1));
    OK(cuStreamWriteValue32_v2(b, at, 2, 0));
    OK(cuStreamSynchronize(b));
    sleep_ms(5);
    WANT(CUDA_ERROR_NOT_READY, cuStreamQuery(a));
    OK(cuStreamWriteValue32_v2(b, at, 3, 0));
    OK(cuStreamSynchronize(a));
    CHECK(word_at(d) == 21);
    OK(cuStreamWaitValue64_v2(a, at, 1, CU_STREAM_WAIT_VALUE_EQ));
    raise_flag(1);
    OK(cuStreamSynchronize(a));
    WANT(CUDA_ERROR_INVALID_VALUE, cuStreamWaitValue32_v2(a, 0x1000, 1, 0));
    WANT(CUDA_ERROR_INVALID_VALUE, cuStreamWriteValue32_v2(a, at + 1, 1, 0));
    OK(cuStreamDestroy_v2(a));
    OK(cuStreamDestroy_v2(b));
}

/* Destroying a busy stream lets its work finish; an event recorded in it stays good. */
static void destroyed_busy(CUdeviceptr d)
{
    CUstream stream = NULL;
    CUevent event = NULL;
    OK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    OK(cuEventCreate(&event, 0));
    hold(stream);
    OK(fill(fill_, stream, d, 99, 1));
    OK(cuEventRecord(event, stream));
    OK(cuStreamDestroy_v2(stream));
    WANT(CUDA_ERROR_NOT_READY, cuEventQuery(event));
    raise_flag(1);
    OK(cuEventSynchronize(event));
    CHECK(word_at(d) == 99);
    OK(cuEventDestroy_v2(event));
}

static void per_thread(CUdeviceptr d)
{
    CUstream stream = CU_STREAM_PER_THREAD;
    unsigned long long first = 0, second = 0;
    OK(cuStreamGetId(stream, &first));
    OK(cuStreamGetId(NULL, &second));
    CHECK(first != second);
    OK(cuStreamGetId_ptsz(NULL, &second));
    CHECK(first == second);
    OK(cuMemsetD32Async_ptsz(d, 31, 1, NULL));
    OK(cuStreamSynchronize_ptsz(NULL));
    CHECK(word_at(d) == 31);
}

int main(void)
{
    CUdeviceptr d = 0;
    (void)start();
    CUmodule module = load_module();
    fill_ = get(module, "fill");
    wait_flag = get(module, "wait_flag");
    sleeper = get(module, "sleep_ms");
    empty = get(module, "empty");
    OK(cuMemHostAlloc((void **)&flag, 4096, 0));
    OK(cuMemAlloc_v2(&d, 4096));
    asynchronous();
    pageable_source(d);
    waits(d);
    legacy(d);
    timing();
    host_functions();
    values(d);
    destroyed_busy(d);
    per_thread(d);
    OK(cuModuleUnload(module));
    return 0;
}
