/* SPDX-License-Identifier: Apache-2.0
 *
 * The executor threads: they take ready streams and run their work in order.
 */
#include "stream.h"

#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SPIN_ROUNDS 500 /* an idle executor looks around for some tens of microseconds before it sleeps */

static struct {
    pthread_mutex_t lock;
    struct stream *head, *tail;
    unsigned threads;
    unsigned busy;
    _Atomic unsigned ready;    /* streams in the list */
    _Atomic unsigned spinning;
    _Atomic unsigned sleeping;
    _Atomic uint32_t tick;     /* futex word of the sleeping threads */
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Signals of the application are none of our business; faults of kernels are delivered all the same. */
static void block_signals(sigset_t *previous)
{
    sigset_t set;
    sigfillset(&set);
    sigdelset(&set, SIGSEGV);
    sigdelset(&set, SIGBUS);
    sigdelset(&set, SIGFPE);
    sigdelset(&set, SIGILL);
    sigdelset(&set, SIGTRAP);
    pthread_sigmask(SIG_SETMASK, &set, previous);
}

int exec_start_thread(void *(*body)(void *), void *argument)
{
    pthread_attr_t attributes;
    pthread_t thread;
    sigset_t previous;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    block_signals(&previous);
    int result = pthread_create(&thread, &attributes, body, argument);
    pthread_sigmask(SIG_SETMASK, &previous, NULL);
    pthread_attr_destroy(&attributes);
    return -result;
}

static struct stream *take_ready(void)
{
    pthread_mutex_lock(&pool.lock);
    struct stream *stream = pool.head;
    if (stream) {
        pool.head = stream->ready_next;
        if (!pool.head)
            pool.tail = NULL;
        atomic_fetch_sub(&pool.ready, 1);
        pool.busy++;
    }
    pthread_mutex_unlock(&pool.lock);
    return stream;
}

static void spin_for_work(void)
{
    if (atomic_fetch_add(&pool.spinning, 1) == 0) /* one is enough */
        for (int i = 0; i < SPIN_ROUNDS && !atomic_load(&pool.ready); i++)
            __builtin_ia32_pause();
    atomic_fetch_sub(&pool.spinning, 1);
}

static void sleep_for_work(void)
{
    atomic_fetch_add(&pool.sleeping, 1);
    uint32_t tick = atomic_load(&pool.tick);
    /* A submitter adds to `ready` before it reads `sleeping`, we the other way round: one sees the other. */
    if (!atomic_load(&pool.ready))
        syscall(SYS_futex, &pool.tick, FUTEX_WAIT_PRIVATE, tick, NULL, NULL, 0);
    atomic_fetch_sub(&pool.sleeping, 1);
}

static void *executor(void *unused)
{
    for (;;) {
        struct stream *stream = take_ready();
        if (stream) {
            exec_run(stream);
            pthread_mutex_lock(&pool.lock);
            pool.busy--;
            pthread_mutex_unlock(&pool.lock);
            continue;
        }
        spin_for_work();
        if (!atomic_load(&pool.ready))
            sleep_for_work();
    }
    return unused;
}

/* Called with the pool's lock held: does the list need one more thread? */
static int too_few(void)
{
    unsigned ready = atomic_load(&pool.ready);
    if (pool.threads - pool.busy >= ready || pool.threads == EXECUTORS_MAX)
        return 0;
    pool.threads++;
    return 1;
}

static void add_thread(void)
{
    if (!exec_start_thread(executor, NULL))
        return;
    pthread_mutex_lock(&pool.lock);
    unsigned left = --pool.threads;
    pthread_mutex_unlock(&pool.lock);
    if (!left)
        driver_log("no thread could be started to run streams");
}

void exec_ready(struct stream *stream)
{
    pthread_mutex_lock(&pool.lock);
    stream->ready_next = NULL;
    if (pool.tail)
        pool.tail->ready_next = stream;
    else
        pool.head = stream;
    pool.tail = stream;
    atomic_fetch_add(&pool.ready, 1);
    int grow = too_few();
    pthread_mutex_unlock(&pool.lock);
    if (grow) {
        add_thread();
        return;
    }
    if (atomic_load(&pool.spinning) >= atomic_load(&pool.ready) || !atomic_load(&pool.sleeping))
        return;
    atomic_fetch_add(&pool.tick, 1);
    syscall(SYS_futex, &pool.tick, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void give_back(struct stream *stream, struct op *op)
{
    if (stream->spare_count >= STREAM_SPARES_MAX) {
        free(op);
        return;
    }
    op->next = stream->spare;
    stream->spare = op;
    stream->spare_count++;
}

/* Give finished ops back and take what has been queued. 0: nothing left, and the stream is idle. */
static int refill(struct stream *stream)
{
    pthread_mutex_lock(&stream->lock);
    while (stream->finished) {
        struct op *op = stream->finished;
        stream->finished = op->next;
        give_back(stream, op);
    }
    stream->current = stream->head;
    stream->head = stream->tail = NULL;
    stream->state = stream->current ? STREAM_RUNNING : STREAM_IDLE;
    int more = stream->current != NULL;
    pthread_mutex_unlock(&stream->lock);
    return more;
}

static void finish(struct stream *stream, struct op *op)
{
    uint64_t sequence = op->sequence;
    stream->current = op->next;
    work_release(&op->work);
    if (op->counts)
        atomic_store(&stream->calls_out, atomic_load_explicit(&stream->calls_out, memory_order_relaxed) + 1);
    op->next = stream->finished;
    stream->finished = op;
    stream_complete(stream, sequence);
}

void exec_run(struct stream *stream)
{
    for (unsigned count = 0;; count++) {
        if (!stream->current && !refill(stream)) {
            object_put(&stream->object); /* the reference of being busy */
            return;
        }
        if (count >= STREAM_BATCH && atomic_load(&pool.ready)) {
            exec_ready(stream);
            return;
        }
        struct op *op = stream->current;
        if (work_run(stream, &op->work, op->sequence) == WORK_PARKED)
            return;
        finish(stream, op);
    }
}
