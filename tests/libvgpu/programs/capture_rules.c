/* SPDX-License-Identifier: Apache-2.0
 *
 * How captures spread, end and fail; what threads see of each other's, and what a capture leaves behind.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "check.h"

static CUcontext context;
static CUstream stream, other, blocking;
static CUevent event, more;
static CUdeviceptr memory;

static void launch(CUresult wanted, CUstream on)
{
    unsigned value = 1;
    void *parameters[] = {&memory, &value};

    EXPECT(wanted, cuLaunchKernel(function("add_to"), 1, 1, 1, 1, 1, 1, 0, on, parameters, NULL));
}

static void begin(CUstream on, CUstreamCaptureMode mode) { OK(cuStreamBeginCapture_v2(on, mode)); }

static void status_is(CUstreamCaptureStatus wanted, CUstream of)
{
    CUstreamCaptureStatus status = 9, again = 9;
    cuuint64_t identifier;

    OK(cuStreamIsCapturing(of, &status));
    EXPECT(wanted, status);
    OK(cuStreamGetCaptureInfo(of, &again, &identifier));
    EXPECT(wanted, again);
}

static void ends_with(CUresult wanted, CUstream of)
{
    CUgraph graph = (CUgraph)&graph; /* no graph's handle: a failure must clear it */

    EXPECT(wanted, cuStreamEndCapture(of, &graph));
    HOLDS((graph != NULL) == (wanted == CUDA_SUCCESS));
    if (graph)
        OK(cuGraphDestroy(graph));
    status_is(CU_STREAM_CAPTURE_STATUS_NONE, of);
}

/* The capture is worth nothing until it ends; then the stream is as good as new. */
static void invalidated(CUstream on)
{
    status_is(CU_STREAM_CAPTURE_STATUS_INVALIDATED, on);
    launch(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, on);
    EXPECT(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, cuMemsetD32Async(memory, 1, 1, on));
    EXPECT(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, cuEventRecord(more, on));
    EXPECT(CUDA_ERROR_ILLEGAL_STATE, cuStreamBeginCapture_v2(on, CU_STREAM_CAPTURE_MODE_RELAXED));
    ends_with(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, on);
    begin(on, CU_STREAM_CAPTURE_MODE_GLOBAL);
    launch(CUDA_SUCCESS, on);
    ends_with(CUDA_SUCCESS, on);
    OK(cuStreamSynchronize(on));
}

struct task {
    void (*run)(void);
};

static void *run_task(void *data)
{
    OK(cuCtxSetCurrent(context));
    ((struct task *)data)->run();
    return NULL;
}

static void elsewhere(void (*run)(void))
{
    struct task task = {run};
    pthread_t thread;

    HOLDS(pthread_create(&thread, NULL, run_task, &task) == 0);
    HOLDS(pthread_join(thread, NULL) == 0);
}

static void exchange(CUstreamCaptureMode mode) { OK(cuThreadExchangeStreamCaptureMode(&mode)); }

static void allocate(CUresult wanted)
{
    CUdeviceptr made;

    EXPECT(wanted, cuMemAlloc_v2(&made, 64));
    if (wanted == CUDA_SUCCESS)
        OK(cuMemFree_v2(made));
}

static void alloc_good(void) { allocate(CUDA_SUCCESS); }
static void alloc_bad(void) { allocate(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED); }

static void wrong_thread(void)
{
    CUgraph graph;

    EXPECT(CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD, cuStreamEndCapture(stream, &graph));
}

static void end_here(void) { ends_with(CUDA_SUCCESS, stream); }

static void who_may_end(void)
{
    for (int mode = 0; mode < 2; mode++) {
        begin(stream, (CUstreamCaptureMode)mode);
        elsewhere(wrong_thread);
        status_is(CU_STREAM_CAPTURE_STATUS_ACTIVE, stream);
        launch(CUDA_SUCCESS, stream);
        ends_with(CUDA_SUCCESS, stream);
    }
    begin(stream, CU_STREAM_CAPTURE_MODE_RELAXED);
    elsewhere(end_here);
    OK(cuStreamBeginCapture(stream)); /* without a mode it is global */
    elsewhere(wrong_thread);
    elsewhere(alloc_bad);
    invalidated(stream);
    EXPECT(CUDA_ERROR_INVALID_VALUE, cuStreamBeginCapture_v2(stream, (CUstreamCaptureMode)3));
    EXPECT(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, cuStreamBeginCapture_v2(NULL, CU_STREAM_CAPTURE_MODE_GLOBAL));
}

/* Into a graph that is there already, so none need be given back. */
static void into_a_graph(void)
{
    CUgraph graph;
    size_t count = 0;

    OK(cuGraphCreate(&graph, 0));
    OK(cuStreamBeginCaptureToGraph(stream, graph, NULL, NULL, 0, CU_STREAM_CAPTURE_MODE_GLOBAL));
    elsewhere(wrong_thread);
    launch(CUDA_SUCCESS, stream);
    OK(cuStreamEndCapture(stream, NULL));
    OK(cuGraphGetNodes(graph, NULL, &count));
    EXPECT(1, count);
    EXPECT(CUDA_ERROR_INVALID_VALUE,
           cuStreamBeginCaptureToGraph(stream, graph, NULL, NULL, 0, (CUstreamCaptureMode)3));
    OK(cuGraphDestroy(graph));
    alloc_good();
}

static void fork_from(CUstream from, CUstream to)
{
    OK(cuEventRecord(event, from));
    OK(cuStreamWaitEvent(to, event, 0));
}

static void forks(void)
{
    CUgraph graph;

    begin(stream, CU_STREAM_CAPTURE_MODE_GLOBAL);
    fork_from(stream, other);
    status_is(CU_STREAM_CAPTURE_STATUS_ACTIVE, other);
    launch(CUDA_SUCCESS, other);
    EXPECT(CUDA_ERROR_STREAM_CAPTURE_UNMATCHED, cuStreamEndCapture(other, &graph));
    fork_from(other, stream);
    ends_with(CUDA_SUCCESS, stream);
    status_is(CU_STREAM_CAPTURE_STATUS_NONE, other);

    begin(stream, CU_STREAM_CAPTURE_MODE_GLOBAL);
    fork_from(stream, other);
    launch(CUDA_SUCCESS, other);
    ends_with(CUDA_ERROR_STREAM_CAPTURE_UNJOINED, stream);
    launch(CUDA_SUCCESS, other);
    OK(cuStreamSynchronize(other));

    begin(stream, CU_STREAM_CAPTURE_MODE_RELAXED);
    fork_from(stream, other);
    EXPECT(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, cuStreamSynchronize(other));
    status_is(CU_STREAM_CAPTURE_STATUS_INVALIDATED, other);
    invalidated(stream);

    begin(stream, CU_STREAM_CAPTURE_MODE_RELAXED); /* a stream that the legacy one waits for joins */
    OK(cuMemsetD32_v2(memory, 1, 1));
    fork_from(stream, blocking);
    EXPECT(CUDA_ERROR_STREAM_CAPTURE_IMPLICIT, cuMemsetD32_v2(memory, 1, 1));
    invalidated(stream);
}

static void dependencies_on_others(void)
{
    OK(cuEventRecord(event, other));
    begin(stream, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
    EXPECT(CUDA_ERROR_STREAM_CAPTURE_ISOLATION, cuStreamWaitEvent(stream, event, 0));
    invalidated(stream);
    begin(stream, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
    begin(other, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
    OK(cuEventRecord(event, other));
    EXPECT(CUDA_ERROR_STREAM_CAPTURE_MERGE, cuStreamWaitEvent(stream, event, 0));
    ends_with(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, other);
    invalidated(stream);
    EXPECT(CUDA_ERROR_CAPTURED_EVENT, cuEventQuery(event)); /* long after the capture */
    EXPECT(CUDA_ERROR_CAPTURED_EVENT, cuEventSynchronize(event));
    OK(cuEventRecord(event, other));
    OK(cuEventSynchronize(event));
}

/* A capture that nobody ended forbids until its stream is gone. */
static void begin_and_leave(void) { begin(blocking, CU_STREAM_CAPTURE_MODE_GLOBAL); }

static void lost_captures(void)
{
    elsewhere(begin_and_leave);
    allocate(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    exchange(CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
    alloc_good();
    exchange(CU_STREAM_CAPTURE_MODE_GLOBAL);
    EXPECT(CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD, cuStreamEndCapture(blocking, &(CUgraph){0}));
    OK(cuStreamDestroy_v2(blocking));
    alloc_good();
    OK(cuCtxSynchronize());
    OK(cuStreamCreate(&blocking, CU_STREAM_DEFAULT));
}

static void contexts_and_legacy_streams(void)
{
    CUstreamCaptureStatus status;
    CUcontext second;
    CUstream of_second;

    begin(blocking, CU_STREAM_CAPTURE_MODE_RELAXED);
    EXPECT(CUDA_ERROR_STREAM_CAPTURE_IMPLICIT, cuStreamIsCapturing(NULL, &status)); /* asking does no harm */
    EXPECT(CUDA_ERROR_STREAM_CAPTURE_IMPLICIT, cuStreamGetCaptureInfo(NULL, &status, NULL));
    ends_with(CUDA_SUCCESS, blocking);
    begin(stream, CU_STREAM_CAPTURE_MODE_RELAXED);
    begin(blocking, CU_STREAM_CAPTURE_MODE_RELAXED);
    OK(cuCtxCreate_v2(&second, 0, 0)); /* with streams of its own, the legacy one included */
    OK(cuMemsetD32_v2(memory, 1, 1));
    OK(cuCtxSynchronize());
    OK(cuStreamCreate(&of_second, CU_STREAM_NON_BLOCKING));
    begin(of_second, CU_STREAM_CAPTURE_MODE_GLOBAL);
    OK(cuCtxSetCurrent(context));
    alloc_bad(); /* captures forbid in every context, by their modes */
    status_is(CU_STREAM_CAPTURE_STATUS_ACTIVE, stream); /* which this one does not */
    OK(cuCtxSetCurrent(second));
    ends_with(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, of_second);
    OK(cuCtxDestroy_v2(second));
    OK(cuCtxSetCurrent(context));
    EXPECT(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, cuCtxSynchronize());
    invalidated(stream);
    ends_with(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, blocking);
}

/* Contexts that end take their captures with them. */
static void captures_end_with_their_context(void)
{
    CUcontext second;
    CUstream of_second;

    OK(cuCtxCreate_v2(&second, 0, 0));
    OK(cuStreamCreate(&of_second, CU_STREAM_DEFAULT));
    begin(of_second, CU_STREAM_CAPTURE_MODE_GLOBAL);
    begin(CU_STREAM_PER_THREAD, CU_STREAM_CAPTURE_MODE_GLOBAL);
    alloc_bad();
    OK(cuCtxDestroy_v2(second));
    OK(cuCtxSetCurrent(context));
    alloc_good();
    OK(cuCtxSynchronize());
}

static void per_thread_stream(void)
{
    begin(CU_STREAM_PER_THREAD, CU_STREAM_CAPTURE_MODE_GLOBAL);
    launch(CUDA_SUCCESS, CU_STREAM_PER_THREAD);
    launch(CUDA_ERROR_STREAM_CAPTURE_IMPLICIT, NULL);
    invalidated(CU_STREAM_PER_THREAD);
    begin(CU_STREAM_PER_THREAD, CU_STREAM_CAPTURE_MODE_GLOBAL);
    elsewhere(alloc_bad);
    invalidated(CU_STREAM_PER_THREAD);
}

/* As PyTorch has it: one thread captures, another looks after the events of earlier work. */
static atomic_int watching, stop_watching;
static CUstreamCaptureMode watch_mode;
static CUresult watched;

static void watch(void)
{
    exchange(watch_mode);
    do {
        watched = cuEventQuery(event);
        atomic_store(&watching, 1);
    } while (watched == CUDA_SUCCESS && !atomic_load(&stop_watching));
}

static void watchdog(CUstreamCaptureMode capture, CUstreamCaptureMode thread, CUresult wanted)
{
    struct task task = {watch};
    pthread_t watcher;

    OK(cuEventRecord(event, other));
    OK(cuStreamSynchronize(other));
    watch_mode = thread;
    atomic_store(&watching, 0);
    atomic_store(&stop_watching, 0);
    begin(stream, capture);
    HOLDS(pthread_create(&watcher, NULL, run_task, &task) == 0);
    while (!atomic_load(&watching))
        continue;
    if (wanted == CUDA_SUCCESS)
        for (int i = 0; i < 200; i++)
            launch(CUDA_SUCCESS, stream);
    atomic_store(&stop_watching, 1);
    HOLDS(pthread_join(watcher, NULL) == 0);
    EXPECT(wanted, watched);
    ends_with(wanted ? CUDA_ERROR_STREAM_CAPTURE_INVALIDATED : CUDA_SUCCESS, stream);
}

int main(void)
{
    context = start();
    memory = device_memory(64);
    function("add_to");
    OK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    OK(cuStreamCreate(&other, CU_STREAM_NON_BLOCKING));
    OK(cuStreamCreate(&blocking, CU_STREAM_DEFAULT));
    OK(cuEventCreate(&event, 0));
    OK(cuEventCreate(&more, 0));
    who_may_end();
    into_a_graph();
    forks();
    dependencies_on_others();
    lost_captures();
    contexts_and_legacy_streams();
    captures_end_with_their_context();
    per_thread_stream();
    watchdog(CU_STREAM_CAPTURE_MODE_GLOBAL, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL, CUDA_SUCCESS);
    watchdog(CU_STREAM_CAPTURE_MODE_THREAD_LOCAL, CU_STREAM_CAPTURE_MODE_GLOBAL, CUDA_SUCCESS);
    watchdog(CU_STREAM_CAPTURE_MODE_GLOBAL, CU_STREAM_CAPTURE_MODE_GLOBAL, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    elsewhere(alloc_good);
    EXPECT(CUDA_ERROR_INVALID_VALUE, cuThreadExchangeStreamCaptureMode(&(CUstreamCaptureMode){3}));
    return 0;
}
