/* SPDX-License-Identifier: Apache-2.0
 *
 * Capture: what it tells about itself, host functions in it, and what cannot be captured.
 */
#include "check.h"

static int called;

static void count_call(void *data)
{
    called += *(int *)data;
}

static void launch(CUdeviceptr memory, unsigned value, CUstream stream)
{
    void *parameters[] = {&memory, &value};

    OK(cuLaunchKernel(function("add_to"), 1, 1, 1, 1, 1, 1, 0, stream, parameters, NULL));
}

static void not_capturing(CUstream stream)
{
    CUstreamCaptureStatus status = 9;
    cuuint64_t identifier;

    OK(cuStreamIsCapturing(stream, &status));
    EXPECT(CU_STREAM_CAPTURE_STATUS_NONE, status);
    status = 9;
    OK(cuStreamGetCaptureInfo(stream, &status, &identifier));
    EXPECT(CU_STREAM_CAPTURE_STATUS_NONE, status);
    status = 9;
    OK(cuStreamGetCaptureInfo_v3(stream, &status, NULL, NULL, NULL, NULL, NULL));
    EXPECT(CU_STREAM_CAPTURE_STATUS_NONE, status);
}

/* What the graph would lack must not go unnoticed. */
static void pageable_copies_are_refused(CUstream stream, CUdeviceptr memory)
{
    static char many[100000];
    CUgraph graph;

    if (!getenv("VGPU_SOCKET"))
        return; /* natively these are captured */
    for (int i = 0; i < 3; i++) {
        OK(cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_RELAXED));
        launch(memory, 1, stream);
        EXPECT(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED,
               i == 2 ? cuMemcpyDtoHAsync_v2(many, memory, 4, stream)
                      : cuMemcpyHtoDAsync_v2(memory, many, i ? sizeof many : 4, stream));
        EXPECT(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, cuStreamEndCapture(stream, &graph));
    }
}

int main(void)
{
    int step = 2;
    CUstream stream;
    CUstreamCaptureStatus status;
    cuuint64_t identifier = 0;
    CUgraph graph = NULL, seen = NULL;
    const CUgraphNode *waits = NULL;
    CUgraphNode nodes[8];
    CUgraphNodeType type;
    size_t count = 0, listed = 8;
    CUgraphExec executable;

    start();
    CUdeviceptr memory = device_memory(100000);
    OK(cuStreamCreate(&stream, 1));
    not_capturing(stream);
    OK(cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_GLOBAL));
    OK(cuStreamIsCapturing(stream, &status));
    EXPECT(CU_STREAM_CAPTURE_STATUS_ACTIVE, status);
    launch(memory, 3, stream);
    OK(cuStreamGetCaptureInfo_v2(stream, &status, &identifier, &seen, &waits, &count));
    EXPECT(CU_STREAM_CAPTURE_STATUS_ACTIVE, status);
    HOLDS(identifier != 0 && seen && count == 1 && waits);
    OK(cuGraphNodeGetType(waits[0], &type));
    EXPECT(CU_GRAPH_NODE_TYPE_KERNEL, type);
    OK(cuLaunchHostFunc(stream, count_call, &step));
    launch(memory, 4, stream);
    OK(cuStreamEndCapture(stream, &graph));
    not_capturing(stream);
    OK(cuGraphGetNodes(graph, nodes, &listed));
    EXPECT(3, listed);
    EXPECT(0, value_at(memory)); /* capturing runs nothing */
    EXPECT(0, called);

    OK(cuGraphInstantiate_v2(&executable, graph, NULL, NULL, 0));
    for (int i = 0; i < 5; i++)
        OK(cuGraphLaunch(executable, stream));
    OK(cuStreamSynchronize(stream));
    EXPECT(35, value_at(memory));
    EXPECT(10, called);
    OK(cuLaunchHostFunc(stream, count_call, &step));
    OK(cuStreamSynchronize(stream));
    EXPECT(12, called);
    OK(cuGraphExecDestroy(executable));
    OK(cuGraphDestroy(graph));
    EXPECT(CUDA_ERROR_ILLEGAL_STATE, cuStreamEndCapture(stream, &graph));
    pageable_copies_are_refused(stream, memory);
    return 0;
}
