/* SPDX-License-Identifier: Apache-2.0
 *
 * Starting the driver, the calling thread's state, and what fork means for both.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "capture.h"
#include "engine.h"
#include "interop.h"
#include "memory.h"
#include "stream.h"

enum driver_state { DRIVER_NEW = 0, DRIVER_READY, DRIVER_FORKED };

struct driver driver;

static _Atomic int state, starting;
static pthread_mutex_t start_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_key_t thread_key;
static pthread_once_t key_once = PTHREAD_ONCE_INIT;
static __thread struct thread *self __attribute__((tls_model("initial-exec")));

/* A child has none of our threads, and locks may be held for ever: it never gets past driver_enter. One that
 * was made in the middle of a start has half a driver, and never gets past cuInit either. */
static void in_child(void)
{
    interop_after_fork();
    if (atomic_load(&starting))
        atomic_store(&state, DRIVER_FORKED);
    pthread_mutex_init(&start_lock, NULL);
}

__attribute__((constructor)) static void at_load(void)
{
    (void)pthread_atfork(interop_before_fork, interop_after_fork, in_child);
}

static void thread_ends(void *value)
{
    struct thread *thread = value;
    if (atomic_load(&state) == DRIVER_READY) {
        for (unsigned i = 0; i < THREAD_STREAMS_MAX; i++) {
            if (!thread->streams[i].stream)
                continue;
            stream_kill(thread->streams[i].stream);
            object_put(&thread->streams[i].stream->object);
        }
        while (thread->depth)
            object_put(&thread->stack[--thread->depth]->object);
    }
    self = NULL;
    free(thread);
}

static void make_key(void)
{
    (void)pthread_key_create(&thread_key, thread_ends);
}

struct thread *thread_self(void)
{
    static struct thread out_of_memory; /* no context can become current in a thread without memory */
    if (self)
        return self;
    pthread_once(&key_once, make_key);
    static _Atomic uint64_t last_number;
    struct thread *made = calloc(1, sizeof(*made));
    if (!made)
        return &out_of_memory;
    made->number = atomic_fetch_add(&last_number, 1) + 1;
    made->capture_mode = CU_STREAM_CAPTURE_MODE_GLOBAL;
    pthread_setspecific(thread_key, made);
    self = made;
    return made;
}

CUresult driver_enter(void)
{
    return atomic_load_explicit(&state, memory_order_acquire) == DRIVER_READY ? CUDA_SUCCESS
                                                                              : CUDA_ERROR_NOT_INITIALIZED;
}

static CUresult start_all(void)
{
    if (config_load(&driver) || arena_open())
        return CUDA_ERROR_OUT_OF_MEMORY;
    struct sg_memory memory = {.arena_base = arena_base(), .arena_bytes = arena_bytes(), .check = host_check};
    int result = sg_engine_start(driver.engine_threads, &memory);
    if (result) {
        driver_log("the execution engine did not start: %s", strerror(-result));
        return CUDA_ERROR_SYSTEM_NOT_READY;
    }
    return CUDA_SUCCESS;
}

CUresult cuInit(unsigned int flags)
{
    NEED(!flags);
    if (atomic_load(&state) == DRIVER_FORKED)
        return CUDA_ERROR_NOT_INITIALIZED;
    pthread_mutex_lock(&start_lock);
    atomic_store(&starting, 1); /* for good: a child never has what was begun here */
    CUresult result = atomic_load(&state) == DRIVER_READY ? CUDA_SUCCESS : start_all();
    if (!result)
        atomic_store_explicit(&state, DRIVER_READY, memory_order_release);
    pthread_mutex_unlock(&start_lock);
    return result;
}

CUresult cuDriverGetVersion(int *version)
{
    NEED(version);
    *version = DRIVER_VERSION;
    return CUDA_SUCCESS;
}
