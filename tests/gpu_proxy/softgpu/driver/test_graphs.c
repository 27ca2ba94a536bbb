/* SPDX-License-Identifier: Apache-2.0
 *
 * Stream capture and graphs.
 */
#include "check.h"

static CUfunction fill_;
static CUstream stream, other;
static CUdeviceptr d;
static int calls;

static void count_call(void *data)
{
    calls += (int)(intptr_t)data;
}

static CUgraphExec run(CUgraph graph)
{
    CUgraphExec exec = NULL;
    OK(cuGraphInstantiateWithFlags(&exec, graph, 0));
    OK(cuGraphLaunch(exec, stream));
    OK(cuStreamSynchronize(stream));
    return exec;
}

static void capture_chain(void)
{
    CUgraph graph = NULL;
    CUstreamCaptureStatus status = 0;
    size_t nodes = 0, edges = 0;
    OK(cuMemsetD8_v2(d, 0, 4096));
    OK(cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_GLOBAL));
    OK(cuStreamIsCapturing(stream, &status));
    CHECK(status == CU_STREAM_CAPTURE_STATUS_ACTIVE);
    OK(fill(fill_, stream, d, 4, 1));
    OK(cuMemcpyDtoDAsync_v2(d + 4, d, 4, stream));
    OK(cuMemsetD32Async(d, 8, 1, stream));
    OK(cuLaunchHostFunc(stream, count_call, (void *)1));
    OK(cuStreamEndCapture(stream, &graph));
    CHECK(calls == 0);
    OK(cuGraphGetNodes(graph, NULL, &nodes));
    OK(cuGraphGetEdges(graph, NULL, NULL, &edges));
    CHECK(nodes == 4 && edges == 3);
    CHECK(word_at(d) == 0); /* captured, not executed */
    CUgraphExec exec = run(graph);
    CHECK(word_at(d) == 8 && word_at(d + 4) == 4 && calls == 1);
    for (int i = 0; i < 50; i++)
        OK(cuGraphLaunch(exec, stream));
    OK(cuGraphExecDestroy(exec)); /* what was launched goes on */
    OK(cuGraphDestroy(graph));
    OK(cuStreamSynchronize(stream));
    CHECK(calls == 51);
    WANT(CUDA_ERROR_INVALID_VALUE, cuGraphLaunch(exec, stream));
    WANT(CUDA_ERROR_INVALID_VALUE, cuGraphDestroy(graph));
}

static void capture_fork(void)
{
    CUgraph graph = NULL;
    CUevent fork = NULL, back = NULL;
    size_t roots = 0;
    OK(cuEventCreate(&fork, 0));
    OK(cuEventCreate(&back, 0));
    OK(cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL));
    OK(fill(fill_, stream, d, 1, 1));
    OK(cuEventRecord(fork, stream));
    OK(cuStreamWaitEvent(other, fork, 0));
    OK(cuMemcpyDtoDAsync_v2(d + 4, d, 4, other));
    OK(cuMemcpyDtoDAsync_v2(d + 8, d, 4, stream));
    OK(cuEventRecord(back, other));
    OK(cuStreamWaitEvent(stream, back, 0));
    OK(fill(fill_, stream, d, 2, 1));
    OK(cuStreamEndCapture(stream, &graph));
    OK(cuGraphGetRootNodes(graph, NULL, &roots));
    CHECK(roots == 1);
    CUgraphExec exec = run(graph);
    CHECK(word_at(d) == 2 && word_at(d + 4) == 1 && word_at(d + 8) == 1);
    OK(cuGraphExecDestroy(exec));
    OK(cuGraphDestroy(graph));
    OK(cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_RELAXED));
    OK(cuEventRecord(fork, stream));
    OK(cuStreamWaitEvent(other, fork, 0));
    OK(cuMemsetD32Async(d, 1, 1, other));
    WANT(CUDA_ERROR_STREAM_CAPTURE_UNJOINED, cuStreamEndCapture(stream, &graph));
    OK(cuStreamSynchronize(other));
    WANT(CUDA_ERROR_CAPTURED_EVENT, cuEventQuery(fork)); /* it never happens, though the capture has ended */
    OK(cuEventRecord(fork, other));
    OK(cuEventSynchronize(fork));
    OK(cuEventDestroy_v2(fork));
    OK(cuEventDestroy_v2(back));
}

static void capture_errors(void)
{
    CUgraph graph = NULL;
    CUdeviceptr more = 0;
    CUstream blocking = NULL;
    WANT(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, cuStreamBeginCapture_v2(NULL, 0));
    WANT(CUDA_ERROR_ILLEGAL_STATE, cuStreamEndCapture(stream, &graph));
    OK(cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_GLOBAL));
    WANT(CUDA_ERROR_ILLEGAL_STATE, cuStreamBeginCapture_v2(stream, 0));
    WANT(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, cuStreamSynchronize(stream));
    WANT(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, fill(fill_, stream, d, 1, 1));
    WANT(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, cuStreamEndCapture(stream, &graph));
    CHECK(!graph);
    OK(cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_GLOBAL));
    WANT(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, cuMemAlloc_v2(&more, 16));
    WANT(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, cuStreamEndCapture(stream, &graph));
    OK(cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_RELAXED));
    OK(cuMemAlloc_v2(&more, 16));
    OK(cuStreamEndCapture(stream, &graph));
    OK(cuMemFree_v2(more));
    OK(cuGraphDestroy(graph));
    OK(cuStreamCreate(&blocking, 0));
    OK(cuStreamBeginCapture_v2(blocking, CU_STREAM_CAPTURE_MODE_RELAXED));
    WANT(CUDA_ERROR_STREAM_CAPTURE_IMPLICIT, cuMemcpyDtoD_v2(d, d + 16, 4));
    WANT(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, cuStreamEndCapture(blocking, &graph));
    OK(cuStreamBeginCapture_v2(blocking, CU_STREAM_CAPTURE_MODE_RELAXED));
    OK(cuStreamDestroy_v2(blocking));
    OK(cuMemcpyDtoD_v2(d, d + 16, 4));
}

static void capture_spoilt_by_events(void)
{
    CUgraph graph = NULL, given = NULL;
    CUevent event = NULL;
    CUgraphNode record = NULL;
    OK(cuEventCreate(&event, 0));
    OK(cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_RELAXED));
    OK(cuEventRecord(event, stream));
    WANT(CUDA_ERROR_CAPTURED_EVENT, cuEventQuery(event));
    WANT(CUDA_ERROR_INVALID_VALUE, cuStreamWaitEvent(other, event, 0)); /* that capture comes to nothing */
    WANT(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, cuStreamWaitEvent(stream, event, 0));
    WANT(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, cuStreamEndCapture(stream, &graph));
    WANT(CUDA_ERROR_CAPTURED_EVENT, cuEventSynchronize(event));
    OK(cuGraphCreate(&given, 0));
    OK(cuGraphAddEventRecordNode(&record, given, NULL, 0, event));
    CUgraphExec exec = run(given);
    OK(cuEventSynchronize(event)); /* the graph has recorded it since */
    OK(cuGraphExecDestroy(exec));
    OK(cuStreamBeginCaptureToGraph(stream, given, NULL, NULL, 0, CU_STREAM_CAPTURE_MODE_GLOBAL));
    OK(cuStreamEndCapture(stream, NULL));
    OK(cuGraphDestroy(given));
    OK(cuEventDestroy_v2(event));
}

static void legacy_stream_beside_a_capture(void)
{
    CUgraph graph = NULL;
    CUstream blocking = NULL;
    CUstreamCaptureStatus status = 0;
    int priority = 1;
    OK(cuStreamCreate(&blocking, 0));
    OK(cuStreamBeginCapture_v2(blocking, CU_STREAM_CAPTURE_MODE_GLOBAL));
    WANT(CUDA_ERROR_STREAM_CAPTURE_IMPLICIT, cuStreamIsCapturing(NULL, &status));
    WANT(CUDA_ERROR_STREAM_CAPTURE_IMPLICIT, cuStreamGetCaptureInfo(NULL, &status, NULL));
    WANT(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, cuStreamBeginCapture_v2(NULL, 0));
    OK(cuStreamGetPriority(NULL, &priority));
    OK(cuStreamIsCapturing(blocking, &status));
    CHECK(status == CU_STREAM_CAPTURE_STATUS_ACTIVE); /* asking does no harm */
    WANT(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, cuStreamAttachMemAsync(blocking, d, 0, 1));
    WANT(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, cuStreamEndCapture(blocking, &graph));
    OK(cuStreamDestroy_v2(blocking));
}

static void built_by_hand(void)
{
    CUgraph graph = NULL, copy = NULL, outer = NULL;
    CUgraphNode set = NULL, kernel = NULL, host = NULL, child = NULL, found = NULL;
    uint32_t value = 33, count = 1;
    CUdeviceptr at = d + 4;
    void *params[] = {&at, &value, &count};
    CUDA_MEMSET_NODE_PARAMS set_params = {.dst = d, .value = 5, .elementSize = 4, .width = 4, .height = 1};
    CUDA_KERNEL_NODE_PARAMS kernel_params = {.func = fill_, .gridDimX = 1, .gridDimY = 1, .gridDimZ = 1,
                                             .blockDimX = 1, .blockDimY = 1, .blockDimZ = 1, .kernelParams = params};
    CUDA_HOST_NODE_PARAMS host_params = {count_call, (void *)10};
    CUDA_KERNEL_NODE_PARAMS asked;
    calls = 0;
    OK(cuGraphCreate(&graph, 0));
    OK(cuGraphAddMemsetNode(&set, graph, NULL, 0, &set_params, NULL));
    OK(cuGraphAddKernelNode_v2(&kernel, graph, &set, 1, &kernel_params));
    OK(cuGraphAddHostNode(&host, graph, &kernel, 1, &host_params));
    WANT(CUDA_ERROR_INVALID_VALUE, cuGraphAddDependencies(graph, &kernel, &kernel, 1));
    OK(cuGraphKernelNodeGetParams_v2(kernel, &asked));
    CHECK(asked.func == fill_ && *(uint32_t *)asked.kernelParams[1] == 33);
    CUgraphExec exec = run(graph);
    CHECK(word_at(d) == 5 && word_at(d + 4) == 33 && calls == 10);
    value = 34;
    OK(cuGraphExecKernelNodeSetParams_v2(exec, kernel, &kernel_params));
    OK(cuGraphNodeSetEnabled(exec, set, 0));
    OK(cuMemsetD32_v2(d, 0, 8));
    OK(cuGraphLaunch(exec, stream));
    OK(cuStreamSynchronize(stream));
    CHECK(word_at(d) == 0 && word_at(d + 4) == 34);
    OK(cuGraphClone(&copy, graph));
    OK(cuGraphNodeFindInClone(&found, kernel, copy));
    CHECK(found != kernel);
    OK(cuGraphCreate(&outer, 0));
    OK(cuGraphAddChildGraphNode(&child, outer, NULL, 0, copy));
    OK(cuGraphDestroy(copy));
    CUgraphExec nested = run(outer);
    CHECK(word_at(d + 4) == 33 && calls == 30);
    CUgraphExecUpdateResultInfo info;
    WANT(CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE, cuGraphExecUpdate_v2(exec, outer, &info));
    CHECK(info.result == CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED);
    OK(cuGraphKernelNodeSetParams_v2(kernel, &kernel_params));
    OK(cuGraphExecUpdate_v2(exec, graph, &info));
    OK(cuGraphDestroyNode(host));
    WANT(CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE, cuGraphExecUpdate_v2(exec, graph, &info));
    /* A cycle is found when it would be executed. */
    OK(cuGraphAddDependencies(graph, &kernel, &set, 1));
    CUgraphExec cyclic = NULL;
    WANT(CUDA_ERROR_INVALID_VALUE, cuGraphInstantiateWithFlags(&cyclic, graph, 0));
    OK(cuGraphExecDestroy(nested));
    OK(cuGraphExecDestroy(exec));
    OK(cuGraphDestroy(outer));
    OK(cuGraphDestroy(graph));
}

static void memory_nodes(void)
{
    CUgraph graph = NULL;
    CUdeviceptr inside = 0;
    size_t before = 0, after = 0, total = 0;
    OK(cuMemGetInfo_v2(&before, &total));
    OK(cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_GLOBAL));
    OK(cuMemAllocAsync(&inside, 4096, stream));
    OK(fill(fill_, stream, inside, 61, 1024));
    OK(cuMemcpyDtoDAsync_v2(d, inside, 4, stream));
    OK(cuMemFreeAsync(inside, stream));
    OK(cuStreamEndCapture(stream, &graph));
    CUgraphExec exec = run(graph);
    OK(cuGraphLaunch(exec, stream));
    OK(cuStreamSynchronize(stream));
    CHECK(word_at(d) == 61);
    OK(cuGraphExecDestroy(exec));
    OK(cuGraphDestroy(graph));
    OK(cuMemGetInfo_v2(&after, &total));
    CHECK(before == after);
}

static cuuint64_t graph_bytes(CUgraphMem_attribute attribute)
{
    cuuint64_t bytes = 0;
    OK(cuDeviceGetGraphMemAttribute(0, attribute, &bytes));
    return bytes;
}

/* What a graph has allocated and not freed is reported until the application frees it. */
static void memory_that_outlives_its_graph(void)
{
    CUgraph graph = NULL;
    CUdeviceptr kept = 0;
    cuuint64_t zero = 0;
    OK(cuDeviceSetGraphMemAttribute(0, CU_GRAPH_MEM_ATTR_RESERVED_MEM_HIGH, &zero));
    OK(cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_GLOBAL));
    OK(cuMemAllocAsync(&kept, 1 << 20, stream));
    OK(cuStreamEndCapture(stream, &graph));
    CUgraphExec exec = run(graph);
    OK(cuGraphExecDestroy(exec));
    OK(cuGraphDestroy(graph));
    CHECK(graph_bytes(CU_GRAPH_MEM_ATTR_RESERVED_MEM_CURRENT) == 1 << 20);
    CHECK(graph_bytes(CU_GRAPH_MEM_ATTR_USED_MEM_CURRENT) == 1 << 20);
    OK(cuMemsetD8_v2(kept, 1, 1 << 20));
    OK(cuMemFree_v2(kept));
    CHECK(graph_bytes(CU_GRAPH_MEM_ATTR_RESERVED_MEM_CURRENT) == 0);
    CHECK(graph_bytes(CU_GRAPH_MEM_ATTR_RESERVED_MEM_HIGH) == 1 << 20);
}

static void events_in_graphs(void)
{
    CUgraph graph = NULL;
    CUgraphNode node = NULL, second = NULL;
    CUevent event = NULL;
    CUuserObject object = NULL;
    OK(cuEventCreate(&event, 0));
    OK(cuGraphCreate(&graph, 0));
    OK(cuGraphAddEventRecordNode(&node, graph, NULL, 0, event));
    OK(cuGraphAddEventWaitNode(&second, graph, &node, 1, event));
    calls = 0;
    OK(cuUserObjectCreate(&object, (void *)1, count_call, 1, CU_USER_OBJECT_NO_DESTRUCTOR_SYNC));
    OK(cuGraphRetainUserObject(graph, object, 1, CU_GRAPH_USER_OBJECT_MOVE));
    CUgraphExec exec = run(graph);
    OK(cuEventSynchronize(event));
    OK(cuGraphDestroy(graph));
    CHECK(calls == 0); /* the executable graph still holds it */
    OK(cuGraphExecDestroy(exec));
    sleep_ms(20);
    CHECK(calls == 1);
    OK(cuEventDestroy_v2(event));
}

/* Refused to applications, so the table has no prototypes. */
CUresult cuGraphAddBatchMemOpNode(CUgraphNode *node, CUgraph graph, const CUgraphNode *waits, size_t count,
                                  const CUDA_BATCH_MEM_OP_NODE_PARAMS *params);
CUresult cuGraphBatchMemOpNodeGetParams(CUgraphNode node, CUDA_BATCH_MEM_OP_NODE_PARAMS *params);
CUresult cuGraphBatchMemOpNodeSetParams(CUgraphNode node, const CUDA_BATCH_MEM_OP_NODE_PARAMS *params);
CUresult cuGraphExecBatchMemOpNodeSetParams(CUgraphExec exec, CUgraphNode node,
                                            const CUDA_BATCH_MEM_OP_NODE_PARAMS *params);

static volatile uint32_t *words;

static void operations(CUstreamBatchMemOpParams ops[3], uint32_t value)
{
    CUdeviceptr at = (CUdeviceptr)(uintptr_t)words;
    memset(ops, 0, 3 * sizeof(*ops));
    ops[0].writeValue.operation = ops[2].writeValue.operation = CU_STREAM_MEM_OP_WRITE_VALUE_32;
    ops[1].waitValue.operation = CU_STREAM_MEM_OP_WAIT_VALUE_32;
    ops[1].waitValue.flags = CU_STREAM_WAIT_VALUE_EQ;
    ops[0].writeValue.address = at;
    ops[1].waitValue.address = ops[2].writeValue.address = at + 4;
    ops[0].writeValue.value = value;
    ops[1].waitValue.value = 1;
}

/* Write, wait for an answer, take it back: what a launch says first must be answered once. */
static void let_go_on(uint32_t expected)
{
    for (int i = 0; !words[0]; i++) {
        CHECK(i < 30000);
        sleep_ms(1);
    }
    CHECK(words[0] == expected && !words[1]);
    words[0] = 0;
    words[1] = 1;
}

static void memory_operations(void)
{
    CUstreamBatchMemOpParams ops[3];
    CUDA_BATCH_MEM_OP_NODE_PARAMS params = {.count = 3, .paramArray = ops}, found;
    CUgraph graph = NULL;
    CUgraphNode node = NULL;
    CUgraphNodeType type = 0;
    CUgraphExec exec = NULL;
    OK(cuMemHostAlloc((void **)&words, 4096, 0));
    operations(ops, 7);
    OK(cuGraphCreate(&graph, 0));
    OK(cuGraphAddBatchMemOpNode(&node, graph, NULL, 0, &params));
    OK(cuGraphNodeGetType(node, &type));
    CHECK(type == CU_GRAPH_NODE_TYPE_BATCH_MEM_OP);
    OK(cuGraphInstantiateWithFlags(&exec, graph, 0));
    operations(ops, 8);
    OK(cuGraphBatchMemOpNodeSetParams(node, &params));
    OK(cuGraphBatchMemOpNodeGetParams(node, &found));
    CHECK(found.count == 3 && found.paramArray[0].writeValue.value == 8);
    OK(cuGraphLaunch(exec, stream));
    OK(cuGraphLaunch(exec, stream));
    let_go_on(7);
    let_go_on(7);
    OK(cuStreamSynchronize(stream));
    OK(cuGraphExecBatchMemOpNodeSetParams(exec, node, &params));
    OK(cuGraphLaunch(exec, stream));
    let_go_on(8);
    OK(cuStreamSynchronize(stream));
    CHECK(words[0] == 0 && words[1] == 0);
    params.count = 2;
    WANT(CUDA_ERROR_INVALID_VALUE, cuGraphExecBatchMemOpNodeSetParams(exec, node, &params));
    params.count = 3;
    ops[1].operation = CU_STREAM_MEM_OP_WAIT_VALUE_64;
    WANT(CUDA_ERROR_INVALID_VALUE, cuGraphExecBatchMemOpNodeSetParams(exec, node, &params));
    OK(cuGraphExecDestroy(exec));
    OK(cuGraphDestroy(graph));
}

int main(void)
{
    (void)start();
    CUmodule module = load_module();
    fill_ = get(module, "fill");
    OK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    OK(cuStreamCreate(&other, CU_STREAM_NON_BLOCKING));
    OK(cuMemAlloc_v2(&d, 4096));
    capture_chain();
    capture_fork();
    capture_errors();
    capture_spoilt_by_events();
    legacy_stream_beside_a_capture();
    built_by_hand();
    memory_nodes();
    memory_that_outlives_its_graph();
    events_in_graphs();
    memory_operations();
    return 0;
}
