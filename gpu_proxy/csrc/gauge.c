/* SPDX-License-Identifier: Apache-2.0 */
#include "gauge.h"

#include <stdlib.h>

#include "executor.h"

enum { KIND_CONTEXT = 1, STREAMS_OF_CUDA = 3, SPARE = 8 /* one part in so many is for our own events */ };

int vx_open_gauges(struct vx *x)
{
    x->gauges.all = calloc(IDM_GAUGES, sizeof *x->gauges.all);
    return x->gauges.all ? 0 : -ENOMEM;
}

void vx_set_queue(struct vx *x, uint32_t works)
{
    uint32_t given = works - works / SPARE;

    x->gauges.part = given / VX_MARKS;
    atomic_store_explicit(&x->back->stream_works, given, memory_order_release);
}

static void publish(struct vx *x, unsigned number, uint32_t works)
{
    atomic_store_explicit(idm_gauge_at(x->region, number), works, memory_order_release);
}

static void leave_busy(struct vx *x, unsigned number)
{
    uint32_t at = 0;

    while (at < x->gauges.busy_count && x->gauges.busy[at] != number)
        at++;
    if (at < x->gauges.busy_count)
        x->gauges.busy[at] = x->gauges.busy[--x->gauges.busy_count];
}

/* Nobody waits for the marks any more. Where the context lives on, its events are used again. */
static void drop_marks(struct vx *x, unsigned number, int context_lives)
{
    struct vx_gauge *gauge = &x->gauges.all[number];

    for (; gauge->count; gauge->count--, gauge->first = (gauge->first + 1) % VX_MARKS)
        if (context_lives)
            vx_give_event(x, gauge->context, gauge->marks[gauge->first].event);
    leave_busy(x, number);
}

/* Work that no event of its own will tell of is finished with the last work that has one. */
static void cover(struct vx *x, unsigned number)
{
    struct vx_gauge *gauge = &x->gauges.all[number];

    gauge->marked = gauge->works;
    if (gauge->count)
        gauge->marks[(gauge->first + gauge->count - 1) % VX_MARKS].works = gauge->works;
    else
        publish(x, number, gauge->works);
}

/* What a capturing stream is given becomes nodes, and must not be mixed with ours. An error means so too. */
int vx_is_capturing(struct vx *x, uint64_t stream)
{
    int32_t status = 0;

    if (!atomic_load_explicit(&x->capture_count, memory_order_relaxed))
        return 0;
    return x->driver.stream_is_capturing(stream, &status) != VX_SUCCESS || status != 0;
}

static int record_mark(struct vx *x, uint64_t stream, void **event)
{
    *event = NULL;
    if (vx_is_capturing(x, stream) || vx_take_event(x, event) != VX_SUCCESS)
        return -1;
    if (x->driver.event_record(*event, stream) == VX_SUCCESS)
        return 0;
    vx_give_event(x, x->current, *event);
    return -1;
}

static void mark(struct vx *x, unsigned number, uint64_t stream)
{
    struct vx_gauge *gauge = &x->gauges.all[number];
    void *event;

    if (gauge->count == VX_MARKS || record_mark(x, stream, &event)) {
        cover(x, number);
        return;
    }
    if (!gauge->count)
        x->gauges.busy[x->gauges.busy_count++] = (uint16_t)number;
    gauge->context = x->current;
    gauge->marked = gauge->works;
    gauge->marks[(gauge->first + gauge->count++) % VX_MARKS] = (struct vx_mark){event, gauge->works};
}

/* The real stream behind the record that was just executed; its context is current. 0, or -1: the record did not
 * get that far. */
static int stream_of_record(struct vx *x, uint64_t *stream)
{
    uint64_t context = 0;

    *stream = x->call->stream ? x->stream : 0;
    if (x->call->stream)
        return x->stream_found ? 0 : -1;
    vx_lookup(x, x->request.record.context, KIND_CONTEXT, &context);
    return context && context == x->current ? 0 : -1;
}

void vx_count_works(struct vx *x)
{
    const struct idm_record *record = &x->request.record;
    unsigned number = record->gauge;
    struct vx_gauge *gauge = &x->gauges.all[number];
    uint64_t word = x->call->stream ? idm_words(record)[x->call->stream - 1] : 0, stream;
    uint64_t owner = word < STREAMS_OF_CUDA ? record->context : word;

    if (gauge->owner != owner) {
        /* The stream before it is gone, or has so little work that the front end does not count it. */
        drop_marks(x, number, 1);
        gauge->owner = owner;
    }
    gauge->works += idm_works(x->call, record->bytes);
    if (gauge->works - gauge->marked < x->gauges.part)
        return;
    if (stream_of_record(x, &stream) == 0)
        mark(x, number, stream);
    else if (gauge->works - gauge->marked >= 2 * x->gauges.part)
        cover(x, number);
}

/* The number of marks of one gauge that have happened. An error is an end too. */
static int poll_gauge(struct vx *x, unsigned number)
{
    struct vx_gauge *gauge = &x->gauges.all[number];
    int reached = 0;

    while (gauge->count && x->driver.event_query(gauge->marks[gauge->first].event) != VX_NOT_READY) {
        struct vx_mark *oldest = &gauge->marks[gauge->first];
        vx_give_event(x, gauge->context, oldest->event);
        publish(x, number, oldest->works);
        gauge->first = (gauge->first + 1) % VX_MARKS;
        gauge->count--;
        reached++;
    }
    return reached;
}

int vx_poll_gauges(struct vx *x)
{
    int reached = 0;

    for (uint32_t i = x->gauges.busy_count; i-- > 0;) {
        unsigned number = x->gauges.busy[i];
        reached += poll_gauge(x, number);
        if (!x->gauges.all[number].count)
            leave_busy(x, number);
    }
    return reached;
}

void vx_forget_gauges(struct vx *x, uint64_t context)
{
    for (uint32_t i = x->gauges.busy_count; i-- > 0;) {
        unsigned number = x->gauges.busy[i];
        if (x->gauges.all[number].context == context) {
            drop_marks(x, number, 0);
            publish(x, number, x->gauges.all[number].works);
        }
    }
}
