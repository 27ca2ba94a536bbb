// SPDX-License-Identifier: Apache-2.0
// Capture as frameworks use it: one thread captures, another allocates and asks after its events.
#include <cstdio>
#include <cstdlib>
#include <thread>

#define OK(call) IS(cudaSuccess, call)
#define IS(wanted, call)                                                                           \
    do {                                                                                           \
        cudaError_t got = (call), want = (wanted);                                                 \
        (void)cudaGetLastError();                                                                  \
        if (got != want) {                                                                         \
            printf("%s:%d: %s gave %d, not %d\n", __FILE__, __LINE__, #call, (int)got, (int)want); \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

__global__ void add(int *to, int value)
{
    *to += value;
}

// First launched while a stream captures.
__global__ void late(int *to)
{
    *to *= 2;
}

static cudaEvent_t event;
static cudaStream_t stream, other;
static int *memory;

static void other_thread(cudaStreamCaptureMode mode, cudaError_t wanted)
{
    std::thread([=] {
        cudaStreamCaptureMode before = mode;
        int *made = nullptr;
        OK(cudaThreadExchangeStreamCaptureMode(&before));
        IS(wanted, cudaEventQuery(event));
        IS(wanted, cudaMalloc(&made, 1 << 20));
        if (made)
            IS(wanted, cudaFree(made));
    }).join();
}

static void capture(cudaStreamCaptureMode mode, cudaStreamCaptureMode thread, cudaError_t wanted)
{
    cudaGraph_t graph = nullptr;
    OK(cudaStreamBeginCapture(stream, mode));
    add<<<1, 1, 0, stream>>>(memory, 3);
    other_thread(thread, wanted);
    IS(wanted == cudaSuccess ? cudaSuccess : cudaErrorStreamCaptureInvalidated, cudaStreamEndCapture(stream, &graph));
    if (graph)
        OK(cudaGraphDestroy(graph));
}

// As an allocator does that is asked for memory during a capture.
static void allocate_meanwhile()
{
    cudaStreamCaptureMode mode = cudaStreamCaptureModeRelaxed;
    int *made = nullptr;
    OK(cudaThreadExchangeStreamCaptureMode(&mode));
    OK(cudaMalloc(&made, 64));
    OK(cudaFree(made));
    OK(cudaThreadExchangeStreamCaptureMode(&mode));
}

int main()
{
    int result = 0;
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t executable = nullptr;
    OK(cudaMalloc(&memory, sizeof(int)));
    OK(cudaMemset(memory, 0, sizeof(int)));
    OK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    OK(cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking));
    OK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
    OK(cudaEventRecord(event, other));
    OK(cudaDeviceSynchronize());

    capture(cudaStreamCaptureModeGlobal, cudaStreamCaptureModeGlobal, cudaErrorStreamCaptureUnsupported);
    capture(cudaStreamCaptureModeGlobal, cudaStreamCaptureModeThreadLocal, cudaSuccess);
    capture(cudaStreamCaptureModeGlobal, cudaStreamCaptureModeRelaxed, cudaSuccess);
    capture(cudaStreamCaptureModeThreadLocal, cudaStreamCaptureModeGlobal, cudaSuccess);
    capture(cudaStreamCaptureModeRelaxed, cudaStreamCaptureModeGlobal, cudaSuccess);

    OK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    IS(cudaErrorStreamCaptureUnsupported, cudaDeviceSynchronize());
    add<<<1, 1, 0, stream>>>(memory, 3);
    IS(cudaErrorStreamCaptureInvalidated, cudaGetLastError());
    IS(cudaErrorStreamCaptureInvalidated, cudaStreamEndCapture(stream, &graph));

    OK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
    add<<<1, 1, 0, stream>>>(memory, 3);
    late<<<1, 1, 0, stream>>>(memory);
    OK(cudaGetLastError());
    allocate_meanwhile();
    OK(cudaStreamEndCapture(stream, &graph));
    OK(cudaGraphInstantiate(&executable, graph, nullptr, nullptr, 0));
    OK(cudaGraphLaunch(executable, stream));
    OK(cudaGraphLaunch(executable, stream));
    OK(cudaStreamSynchronize(stream));
    OK(cudaMemcpy(&result, memory, sizeof result, cudaMemcpyDeviceToHost));
    printf("%d\n", result);
    return result == (3 * 2 + 3) * 2 ? 0 : 1;
}
