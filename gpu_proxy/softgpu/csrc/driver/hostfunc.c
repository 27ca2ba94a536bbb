/* SPDX-License-Identifier: Apache-2.0
 *
 * The thread that runs host functions and stream callbacks, one at a time and in order.
 */
#include <stdlib.h>

#include "stream.h"

struct host_call {
    struct host_call *next;
    struct stream *stream;
    struct work work;
    CUresult status;
};

/* At most one call a stream is in this list, so it is as long as there are streams. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct host_call *head, *tail;
    int started;
} host = {.lock = PTHREAD_MUTEX_INITIALIZER, .more = PTHREAD_COND_INITIALIZER};

static struct host_call *next_call(void)
{
    pthread_mutex_lock(&host.lock);
    while (!host.head)
        pthread_cond_wait(&host.more, &host.lock);
    struct host_call *call = host.head;
    host.head = call->next;
    if (!host.head)
        host.tail = NULL;
    pthread_mutex_unlock(&host.lock);
    return call;
}

static void make_call(const struct host_call *call)
{
    const struct work *work = &call->work;
    if (work->kind == WORK_HOST)
        work->host.fn(work->host.data);
    else
        work->callback.fn(work->callback.stream, call->status, work->callback.data);
}

static void resume(struct stream *stream)
{
    stream->resumed = 1;
    exec_ready(stream);
}

static void *host_thread(void *unused)
{
    thread_self()->in_host_function = 1;
    for (;;) {
        struct host_call *call = next_call();
        make_call(call);
        resume(call->stream);
        free(call);
    }
    return unused;
}

static int start(void)
{
    if (!host.started)
        host.started = exec_start_thread(host_thread, NULL) == 0;
    return host.started;
}

static void append(struct host_call *call)
{
    if (host.tail)
        host.tail->next = call;
    else
        host.head = call;
    host.tail = call;
    pthread_cond_signal(&host.more);
}

void exec_host(struct stream *stream, const struct work *work, CUresult status)
{
    struct host_call *call = malloc(sizeof(*call));
    pthread_mutex_lock(&host.lock);
    int ready = call && start();
    if (ready) {
        *call = (struct host_call){.stream = stream, .work = *work, .status = status};
        append(call);
    }
    pthread_mutex_unlock(&host.lock);
    if (ready)
        return;
    driver_log("no memory or thread for a host function");
    free(call);
    context_fault(stream->object.context, CUDA_ERROR_OUT_OF_MEMORY);
    resume(stream);
}
