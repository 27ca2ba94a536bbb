/* SPDX-License-Identifier: Apache-2.0
 *
 * What may be called while a stream captures: every call that a rule is about, made by the thread that
 * captures and by another one, in every mode of the capture and of the calling thread, with a stream that
 * the legacy stream waits for and with one that it does not. CUDA's rule says what each must return, and
 * whether the capture is worth anything afterwards.
 */
#include <pthread.h>

#include "capture_calls.h"

static const char *const mode_names[] = {"global", "thread-local", "relaxed"};

struct place {
    int blocking;              /* the legacy stream waits for the stream that captures */
    CUstreamCaptureMode capture, thread;
    int is_owner;              /* the caller is the thread that captures */
};

/* cuThreadExchangeStreamCaptureMode states when a thread may not make a potentially unsafe call. */
static int is_prohibited(const struct place *place)
{
    if (place->thread == CU_STREAM_CAPTURE_MODE_RELAXED)
        return 0;
    if (place->is_owner)
        return place->capture != CU_STREAM_CAPTURE_MODE_RELAXED;
    return place->thread == CU_STREAM_CAPTURE_MODE_GLOBAL && place->capture == CU_STREAM_CAPTURE_MODE_GLOBAL;
}

static CUresult expected(const struct call *call, const struct place *place)
{
    switch (call->rule) {
    case UNSAFE:
        return is_prohibited(place) ? CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED : CUDA_SUCCESS;
    case NAMES_CAPTURE:
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    case NAMES_CAPTURED_EVENT:
        return CUDA_ERROR_CAPTURED_EVENT;
    case USES_LEGACY:
        return place->blocking ? CUDA_ERROR_STREAM_CAPTURE_IMPLICIT : CUDA_SUCCESS;
    default:
        return CUDA_SUCCESS;
    }
}

struct made {
    const struct call *call;
    CUstreamCaptureMode mode;
    CUresult result;
};

static void *make_call(void *data)
{
    struct made *made = data;
    CUstreamCaptureMode mode = made->mode;

    OK(cuCtxSetCurrent(context));
    OK(cuThreadExchangeStreamCaptureMode(&mode));
    EXPECT(CU_STREAM_CAPTURE_MODE_GLOBAL, mode); /* what each thread begins with */
    made->result = made->call->run();
    OK(cuThreadExchangeStreamCaptureMode(&mode));
    EXPECT(made->mode, mode);
    return NULL;
}

static CUresult call_from(const struct call *call, const struct place *place)
{
    struct made made = {.call = call, .mode = place->thread};
    pthread_t other;

    if (place->is_owner) {
        make_call(&made);
    } else {
        HOLDS(pthread_create(&other, NULL, make_call, &made) == 0);
        HOLDS(pthread_join(other, NULL) == 0);
    }
    return made.result;
}

static int wrong;

static void compare(const struct call *call, const struct place *place, const char *what, long want, long found)
{
    if (want == found)
        return;
    wrong++;
    fprintf(stderr, "%s by %s in %s mode, %s capture of a %s stream: %s %ld, not %ld\n", call->name,
            place->is_owner ? "the owner" : "another thread", mode_names[place->thread],
            mode_names[place->capture], place->blocking ? "blocking" : "non-blocking", what, found, want);
}

static void try_call(const struct call *call, const struct place *place)
{
    CUresult want = expected(call, place);
    CUstreamCaptureStatus status = 9;
    CUgraph graph = NULL;

    capturing = streams[place->blocking];
    if (call->prepare)
        call->prepare();
    OK(cuStreamBeginCapture_v2(capturing, place->capture));
    OK(cuEventRecord(captured, capturing));
    CUresult got = call_from(call, place);
    compare(call, place, "gave", want, got);
    OK(cuStreamIsCapturing(capturing, &status));
    compare(call, place, "left status", want ? CU_STREAM_CAPTURE_STATUS_INVALIDATED : CU_STREAM_CAPTURE_STATUS_ACTIVE,
            status);
    CUresult end = cuStreamEndCapture(capturing, &graph);
    compare(call, place, "let the capture end with", want ? CUDA_ERROR_STREAM_CAPTURE_INVALIDATED : CUDA_SUCCESS,
            end);
    compare(call, place, "left a graph", !want, graph != NULL);
    if (graph)
        OK(cuGraphDestroy(graph));
    if (call->undo)
        call->undo(got == CUDA_SUCCESS);
}

/* Every row of the call table that is unsafe is tried here, but for what the software GPU does not have. */
static void all_are_tried(void)
{
    for (size_t i = 0; i < sizeof unsafe_calls / sizeof *unsafe_calls; i++) {
        int tried = strncmp(unsafe_calls[i], "cuMipmappedArray", 16) == 0;
        for (int j = 0; j < CALLS; j++)
            tried |= calls[j].rule == UNSAFE && strcmp(calls[j].name, unsafe_calls[i]) == 0;
        if (!tried)
            fprintf(stderr, "%s is not tried\n", unsafe_calls[i]);
        HOLDS(tried);
    }
}

int main(void)
{
    all_are_tried();
    set_up();
    for (int i = 0; i < CALLS; i++)
        for (int blocking = 0; blocking < 2; blocking++)
            for (int capture = 0; capture < 3; capture++)
                for (int thread = 0; thread < 3; thread++)
                    for (int is_owner = 0; is_owner < 2; is_owner++) {
                        struct place place = {blocking, (CUstreamCaptureMode)capture, (CUstreamCaptureMode)thread,
                                              is_owner};
                        try_call(&calls[i], &place);
                    }
    return wrong ? 1 : 0;
}
