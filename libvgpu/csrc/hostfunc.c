/* SPDX-License-Identifier: Apache-2.0
 *
 * Host functions run in the application, on a thread of their own, in the order in which their streams
 * reach them. The stream waits in the worker until the acknowledgement.
 */
#include <stdlib.h>
#include <string.h>

#include "fronts.h"
#include "graph.h"

extern const struct idm_call vgpuCallbackCapture_call;

enum { OPEN_MAX = 1024 };

struct callback {
    uint64_t number;
    void (*function)(void *);
    void (*stream_function)(CUstream, CUresult, void *);
    CUstream stream;
    void *data;
};

VGPU_LOCK(lock);
static struct callback open_callbacks[OPEN_MAX]; /* by number modulo OPEN_MAX */
static uint64_t last_number;
static int thread_runs;

static void run(uint64_t number, int status)
{
    if (vgpu_run_lasting(number))
        return;
    pthread_mutex_lock(&lock);
    struct callback callback = open_callbacks[number % OPEN_MAX];
    int known = callback.number == number;
    if (known)
        open_callbacks[number % OPEN_MAX].number = 0;
    pthread_mutex_unlock(&lock);
    if (!known)
        return;
    if (callback.stream_function)
        callback.stream_function(callback.stream, (CUresult)status, callback.data);
    else if (status == CUDA_SUCCESS)
        callback.function(callback.data);
}

static void *callback_thread(void *unused)
{
    uint64_t number, *number_at = &number;
    int status, *status_at = &status;
    void *const wait_args[] = {&number_at, &status_at};
    void *const done_args[] = {&number};

    (void)unused;
    while (vgpu_send(&vgpuCallbackWait_call, 0, wait_args) == CUDA_SUCCESS) {
        run(number, status);
        /* What the function itself left behind is no reason to stop. */
        if (vgpu_post(&vgpuCallbackDone_call, 0, done_args) != CUDA_SUCCESS)
            break;
    }
    return NULL;
}

/* The caller holds the lock. */
static CUresult start_thread(void)
{
    pthread_t thread;
    pthread_attr_t attributes;

    if (thread_runs)
        return CUDA_SUCCESS;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    int result = pthread_create(&thread, &attributes, callback_thread, NULL);
    pthread_attr_destroy(&attributes);
    thread_runs = result == 0;
    return thread_runs ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult vgpu_start_callback_thread(void)
{
    pthread_mutex_lock(&lock);
    CUresult status = start_thread();
    pthread_mutex_unlock(&lock);
    return status;
}

/* A stream that captures puts the function into a graph, which may call it any number of times. */
static CUresult add_captured(const struct vgpu_entry *entry, const struct callback *callback)
{
    uint64_t number;

    if (callback->stream_function) {
        vgpu_log(VGPU_WARNING, "%s: a stream callback cannot be captured", entry->call->symbol);
        return vgpu_stream_synchronize(callback->stream, entry->flags); /* an error, too, and spoils the capture */
    }
    CUresult status = vgpu_lasting_callback(callback->function, callback->data, 0, &number);
    if (status != CUDA_SUCCESS)
        return status;
    void *const args[] = {(void *)&callback->stream, &number};
    status = vgpu_send(&vgpuCallbackCapture_call, entry->flags, args);
    if (status != CUDA_SUCCESS)
        vgpu_forget_callback(number);
    return status;
}

/* The stream did not take it, so it is never called. */
static void withdraw(uint64_t number)
{
    pthread_mutex_lock(&lock);
    if (open_callbacks[number % OPEN_MAX].number == number)
        open_callbacks[number % OPEN_MAX].number = 0;
    pthread_mutex_unlock(&lock);
}

static CUresult add(const struct vgpu_entry *entry, struct callback callback)
{
    struct vgpu_thread *thread = vgpu_self();
    uint64_t stream = (uint64_t)(uintptr_t)callback.stream;
    CUresult status = vgpu_may_call(thread);

    if (status != CUDA_SUCCESS)
        return status;
    if (!vgpu_current(thread))
        return CUDA_ERROR_INVALID_CONTEXT;
    if (!callback.function && !callback.stream_function)
        return CUDA_ERROR_INVALID_VALUE;
    if (stream > 2 && !vgpu_is_alive(stream, 2))
        return CUDA_ERROR_INVALID_HANDLE;
    if (vgpu_is_capturing(callback.stream, entry->flags))
        return add_captured(entry, &callback);
    pthread_mutex_lock(&lock);
    status = start_thread();
    uint64_t number = last_number + 1;
    struct callback *place = &open_callbacks[number % OPEN_MAX];
    if (status == CUDA_SUCCESS && place->number) {
        vgpu_log(VGPU_WARNING, "%s: more than %d host functions are waiting", entry->call->symbol, OPEN_MAX);
        status = CUDA_ERROR_OUT_OF_MEMORY;
    }
    if (status == CUDA_SUCCESS) {
        last_number = number;
        callback.number = number;
        *place = callback;
    }
    pthread_mutex_unlock(&lock);
    if (status != CUDA_SUCCESS)
        return status;
    void *const args[] = {&callback.stream, &number};
    status = vgpu_send(&vgpuCallback_call, entry->flags, args);
    if (status != CUDA_SUCCESS)
        withdraw(number);
    return status;
}

CUresult vgpu_front_launch_host_func(const struct vgpu_entry *entry, void *const args[])
{
    struct callback callback = {.stream = *(CUstream *)args[0], .data = *(void **)args[2]};

    memcpy(&callback.function, args[1], sizeof callback.function);
    return add(entry, callback);
}

CUresult vgpu_front_launch_host_func_v2(const struct vgpu_entry *entry, void *const args[])
{
    return vgpu_front_launch_host_func(entry, args);
}

CUresult vgpu_front_stream_add_callback(const struct vgpu_entry *entry, void *const args[])
{
    struct callback callback = {.stream = *(CUstream *)args[0], .data = *(void **)args[2]};

    memcpy(&callback.stream_function, args[1], sizeof callback.stream_function);
    if (*(const unsigned *)args[3] != 0)
        return CUDA_ERROR_INVALID_VALUE;
    return add(entry, callback);
}
