/* SPDX-License-Identifier: Apache-2.0
 *
 * Executing one piece of work.
 */
#include "work.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"
#include "graph.h"
#include "memory.h"
#include "module.h"
#include "stream.h"

static CUresult result_of_fault(enum sg_fault_kind kind)
{
    switch (kind) {
    case SG_FAULT_ILLEGAL_ADDRESS:
        return CUDA_ERROR_ILLEGAL_ADDRESS;
    case SG_FAULT_MISALIGNED:
        return CUDA_ERROR_MISALIGNED_ADDRESS;
    case SG_FAULT_ILLEGAL_INSTRUCTION:
        return CUDA_ERROR_ILLEGAL_INSTRUCTION;
    case SG_FAULT_ASSERT:
        return CUDA_ERROR_ASSERT;
    default:
        return CUDA_ERROR_LAUNCH_FAILED;
    }
}

static void run_kernel(struct context *context, const struct work_kernel *work)
{
    struct sg_fault fault = {.kind = SG_FAULT_NONE};
    struct sg_launch launch = {
        .kernel = work->function->kernel,
        .dynamic_shared_bytes = work->dynamic_shared,
        .params = work->params,
        .cooperative = work->cooperative,
        .cancel = &context->cancel,
    };
    memcpy(launch.grid, work->grid, sizeof(launch.grid));
    memcpy(launch.block, work->block, sizeof(launch.block));
    if (sg_run(&launch, &fault) == 0)
        return;
    if (fault.kind == SG_FAULT_CANCELLED && context->cancel)
        return;
    driver_log("%s", fault.text[0] ? fault.text : work->function->kernel->name);
    context_fault(context, result_of_fault(fault.kind));
}

static enum outcome wait_point(struct stream *stream, struct stream *on, uint64_t sequence)
{
    if (on == stream || !stream_park(stream, on, sequence))
        return WORK_DONE;
    return WORK_PARKED;
}

static enum outcome wait_event(struct stream *stream, struct event *event)
{
    struct stream *on = NULL;
    uint64_t sequence = 0;
    event_point(event, &on, &sequence);
    if (!on)
        return WORK_DONE;
    /* The graph's event keeps the stream alive; a record in between only lengthens the wait. */
    enum outcome outcome = on == stream ? WORK_DONE : wait_point(stream, on, sequence);
    object_put(&on->object);
    return outcome;
}

/* The host thread resumes the stream when the function has returned. */
static enum outcome run_host(struct stream *stream, struct work *work, CUresult status)
{
    if (stream->resumed) {
        stream->resumed = 0;
        return WORK_DONE;
    }
    exec_host(stream, work, status);
    return WORK_PARKED;
}

static enum outcome run_value(struct stream *stream, const struct work *work)
{
    if (stream->resumed) { /* the poller has seen the value, which may have changed since */
        stream->resumed = 0;
        return WORK_DONE;
    }
    if (value_run(&work->value))
        return WORK_DONE;
    exec_poll(stream, &work->value);
    return WORK_PARKED;
}

enum outcome work_skip(struct stream *stream, struct work *work)
{
    struct context *context = stream->object.context;
    if (work->kind == WORK_CALLBACK && !context->cancel)
        return run_host(stream, work, (CUresult)atomic_load(&context->sticky));
    if (work->kind == WORK_RECORD)
        event_stamp(work->record.event, work->record.generation);
    if (work->kind == WORK_FREE)
        (void)memory_release(work->free.address, work->free.id);
    return WORK_DONE;
}

static enum outcome run(struct stream *stream, struct work *work, uint64_t sequence)
{
    switch (work->kind) {
    case WORK_EMPTY:
        return WORK_DONE;
    case WORK_KERNEL:
        run_kernel(stream->object.context, &work->kernel);
        return WORK_DONE;
    case WORK_COPY:
        copy_run(&work->copy);
        return WORK_DONE;
    case WORK_SET:
        set_run(&work->set);
        return WORK_DONE;
    case WORK_HOST:
    case WORK_CALLBACK:
        return run_host(stream, work, CUDA_SUCCESS);
    case WORK_RECORD:
        if (!work->record.generation) { /* a graph's node: which record it is shows only now */
            CUresult ignored = event_set_point(work->record.event, 0, stream, sequence);
            (void)ignored;
        }
        event_stamp(work->record.event, work->record.generation);
        return WORK_DONE;
    case WORK_WAIT_POINT:
        return wait_point(stream, work->point.stream, work->point.sequence);
    case WORK_WAIT_EVENT:
        return wait_event(stream, work->record.event);
    case WORK_VALUE:
        return run_value(stream, work);
    case WORK_FREE:
        (void)memory_release(work->free.address, work->free.id);
        return WORK_DONE;
    case WORK_GRAPH:
        return plan_run(stream, &work->graph, sequence);
    }
    return WORK_DONE;
}

enum outcome work_run(struct stream *stream, struct work *work, uint64_t sequence)
{
    struct context *context = stream->object.context;
    if (stream->parked_on)
        stream_unpark(stream);
    if (atomic_load(&context->sticky) || context->cancel) {
        stream->resumed = 0;
        return work_skip(stream, work);
    }
    return run(stream, work, sequence);
}

void work_release(struct work *work)
{
    switch (work->kind) {
    case WORK_KERNEL:
        if (work->owns_params)
            free((void *)(uintptr_t)work->kernel.params);
        object_put(&work->kernel.function->object);
        break;
    case WORK_COPY:
        free(work->copy.owned);
        break;
    case WORK_RECORD:
    case WORK_WAIT_EVENT:
        object_put(&work->record.event->object);
        break;
    case WORK_WAIT_POINT:
        object_put(&work->point.stream->object);
        break;
    case WORK_GRAPH:
        plan_put(work->graph.plan);
        break;
    default:
        break;
    }
    work->kind = WORK_EMPTY;
}

int work_copy_of(struct work *target, const struct work *source)
{
    *target = *source;
    if (source->kind == WORK_RECORD || source->kind == WORK_WAIT_EVENT)
        object_hold(&source->record.event->object);
    if (source->kind != WORK_KERNEL)
        return 0;
    void *params = malloc(source->kernel.param_bytes ? source->kernel.param_bytes : 1);
    if (!params) {
        target->kind = WORK_EMPTY;
        return -ENOMEM;
    }
    memcpy(params, source->kernel.params, source->kernel.param_bytes);
    target->kernel.params = params;
    target->owns_params = 1;
    object_hold(&source->kernel.function->object);
    return 0;
}
