/* SPDX-License-Identifier: Apache-2.0
 *
 * Stream memory operations: writing a value in stream order, and waiting until memory holds one. Nobody
 * tells us when the memory changes, so one thread looks at all values that are waited for.
 */
#include <sched.h>
#include <stdlib.h>
#include <time.h>

#include "stream.h"

#define QUICK_ROUNDS 64     /* rounds without a pause after something happened */
#define PAUSE_MIN_NS 5000
#define PAUSE_MAX_NS 200000

struct poll_entry {
    struct poll_entry *next;
    struct stream *stream;
    const CUstreamBatchMemOpParams *operation; /* inside the stream's current work */
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct poll_entry *entries;
    int started;
} poller = {.lock = PTHREAD_MUTEX_INITIALIZER, .more = PTHREAD_COND_INITIALIZER};

static int compare(uint64_t memory, uint64_t value, int64_t difference, unsigned flags)
{
    switch (flags & 3u) {
    case CU_STREAM_WAIT_VALUE_GEQ:
        return difference >= 0; /* cyclic, as CUDA has it */
    case CU_STREAM_WAIT_VALUE_EQ:
        return memory == value;
    case CU_STREAM_WAIT_VALUE_AND:
        return (memory & value) != 0;
    default:
        return ~(memory | value) != 0;
    }
}

static int reached32(const CUstreamBatchMemOpParams *operation)
{
    const uint32_t *word = (const uint32_t *)(uintptr_t)operation->waitValue.address;
    uint32_t memory = __atomic_load_n(word, __ATOMIC_ACQUIRE);
    uint32_t value = operation->waitValue.value;
    if ((operation->waitValue.flags & 3u) == CU_STREAM_WAIT_VALUE_NOR)
        return (uint32_t) ~(memory | value) != 0;
    return compare(memory, value, (int32_t)(memory - value), operation->waitValue.flags);
}

static int reached64(const CUstreamBatchMemOpParams *operation)
{
    const uint64_t *word = (const uint64_t *)(uintptr_t)operation->waitValue.address;
    uint64_t memory = __atomic_load_n(word, __ATOMIC_ACQUIRE);
    uint64_t value = operation->waitValue.value64;
    return compare(memory, value, (int64_t)(memory - value), operation->waitValue.flags);
}

int value_run(const CUstreamBatchMemOpParams *operation)
{
    switch (operation->operation) {
    case CU_STREAM_MEM_OP_WAIT_VALUE_32:
        return reached32(operation);
    case CU_STREAM_MEM_OP_WAIT_VALUE_64:
        return reached64(operation);
    case CU_STREAM_MEM_OP_WRITE_VALUE_32:
        __atomic_store_n((uint32_t *)(uintptr_t)operation->writeValue.address, operation->writeValue.value,
                         __ATOMIC_RELEASE);
        return 1;
    case CU_STREAM_MEM_OP_WRITE_VALUE_64:
        __atomic_store_n((uint64_t *)(uintptr_t)operation->writeValue.address, operation->writeValue.value64,
                         __ATOMIC_RELEASE);
        return 1;
    default: /* barriers: work of one stream is in order anyway */
        return 1;
    }
}

static int is_over(const struct poll_entry *entry)
{
    struct context *context = entry->stream->object.context;
    return context->cancel || atomic_load(&context->sticky) || value_run(entry->operation);
}

/* Called with the lock held. True if something was found. */
static int look_once(void)
{
    int found = 0;
    for (struct poll_entry **link = &poller.entries; *link;) {
        struct poll_entry *entry = *link;
        if (!is_over(entry)) {
            link = &entry->next;
            continue;
        }
        *link = entry->next;
        entry->stream->resumed = 1;
        exec_ready(entry->stream);
        free(entry);
        found = 1;
    }
    return found;
}

static long pause_after(unsigned rounds)
{
    if (rounds < QUICK_ROUNDS)
        return 0;
    long pause = PAUSE_MIN_NS * (1L + (long)(rounds - QUICK_ROUNDS) / 8);
    return pause < PAUSE_MAX_NS ? pause : PAUSE_MAX_NS;
}

static void *poll_thread(void *unused)
{
    unsigned rounds = 0;
    for (;;) {
        pthread_mutex_lock(&poller.lock);
        while (!poller.entries) {
            pthread_cond_wait(&poller.more, &poller.lock);
            rounds = 0;
        }
        rounds = look_once() ? 0 : rounds + 1;
        pthread_mutex_unlock(&poller.lock);
        struct timespec pause = {0, pause_after(rounds)};
        if (pause.tv_nsec)
            nanosleep(&pause, NULL);
        else
            sched_yield();
    }
    return unused;
}

void exec_poll(struct stream *stream, const CUstreamBatchMemOpParams *operation)
{
    struct poll_entry *entry = malloc(sizeof(*entry));
    pthread_mutex_lock(&poller.lock);
    if (entry && !poller.started)
        poller.started = exec_start_thread(poll_thread, NULL) == 0;
    if (entry && poller.started) {
        *entry = (struct poll_entry){poller.entries, stream, operation};
        poller.entries = entry;
        pthread_cond_signal(&poller.more);
        pthread_mutex_unlock(&poller.lock);
        return;
    }
    pthread_mutex_unlock(&poller.lock);
    free(entry);
    driver_log("no memory or thread to wait for a value");
    context_fault(stream->object.context, CUDA_ERROR_OUT_OF_MEMORY);
    exec_ready(stream);
}
