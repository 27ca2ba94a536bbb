/* SPDX-License-Identifier: Apache-2.0
 *
 * Host functions in graphs: nodes that keep what they are, executable graphs that do not mix up their calls, and
 * functions that wait while the rest of the process goes on.
 */
#include <pthread.h>
#include <unistd.h>

#include "check.h"

enum { MANY = 500 };

static CUcontext context;
static CUdeviceptr memory;
static volatile unsigned *pinned;       /* kernels see it at the same address */
static volatile unsigned calls[8];
static volatile unsigned may_return;    /* how many calls of `wait_call` may end */
static volatile unsigned waiting;       /* and how many have begun */

static void count_call(void *data)
{
    ++*(volatile unsigned *)data;
}

static void wait_until_equal(volatile unsigned *word, unsigned value)
{
    for (int i = 0; *word != value; i++) {
        HOLDS(i < 60000);
        usleep(1000);
    }
}

/* By the time that it returns, nothing behind it in its own graph may have happened. */
static void wait_call(void *data)
{
    unsigned number = ++waiting;

    (void)data;
    while (may_return < number)
        usleep(100);
    HOLDS(*pinned < number);
}

static CUgraphNode add_host(CUgraph graph, const CUgraphNode *waits, size_t count, CUhostFn function, void *data)
{
    CUDA_HOST_NODE_PARAMS params = {function, data};
    CUgraphNode node;

    OK(cuGraphAddHostNode(&node, graph, waits, count, &params));
    return node;
}

static CUgraphNode add_kernel(CUgraph graph, CUgraphNode wait, CUdeviceptr to, unsigned value)
{
    void *parameters[] = {&to, &value};
    CUDA_KERNEL_NODE_PARAMS params = {.func = function("add_to"), .gridDimX = 1, .gridDimY = 1, .gridDimZ = 1,
                                      .blockDimX = 1, .blockDimY = 1, .blockDimZ = 1,
                                      .kernelParams = parameters};
    CUgraphNode node;

    OK(cuGraphAddKernelNode_v2(&node, graph, &wait, 1, &params));
    return node;
}

static CUgraphExec instantiate(CUgraph graph)
{
    CUgraphExec executable;

    OK(cuGraphInstantiateWithFlags(&executable, graph, 0));
    return executable;
}

static void launch(CUgraphExec executable, CUstream stream, int times)
{
    for (int i = 0; i < times; i++)
        OK(cuGraphLaunch(executable, stream));
    OK(cuStreamSynchronize(stream));
}

static void expect_host(CUgraphNode node, CUhostFn function, volatile unsigned *data)
{
    CUDA_HOST_NODE_PARAMS params;
    CUgraphNodeType type;

    OK(cuGraphNodeGetType(node, &type));
    EXPECT(CU_GRAPH_NODE_TYPE_HOST, type);
    OK(cuGraphHostNodeGetParams(node, &params));
    HOLDS(params.fn == function && params.userData == (void *)data);
}

static void change(CUgraphExec executable, CUgraphNode node, volatile unsigned *data)
{
    CUDA_HOST_NODE_PARAMS params = {count_call, (void *)data};

    if (executable)
        OK(cuGraphExecHostNodeSetParams(executable, node, &params));
    else
        OK(cuGraphHostNodeSetParams(node, &params));
}

static void expect_calls(unsigned a, unsigned b, unsigned c)
{
    EXPECT(a, calls[0]);
    EXPECT(b, calls[1]);
    EXPECT(c, calls[2]);
    memset((void *)calls, 0, sizeof calls);
}

/* Handles, parameters, clones: nodes are host nodes all the time. */
static void nodes_keep_what_they_are(CUstream stream)
{
    CUgraph graph, clone;
    CUgraphNode node, cloned, nodes[4];
    size_t count = 4, edges = 4;

    OK(cuGraphCreate(&graph, 0));
    node = add_host(graph, NULL, 0, count_call, (void *)&calls[0]);
    CUgraphNode behind = add_host(graph, &node, 1, count_call, (void *)&calls[1]);
    OK(cuGraphClone(&clone, graph));
    OK(cuGraphNodeFindInClone(&cloned, node, clone));
    expect_host(cloned, count_call, &calls[0]);
    CUgraphExec executable = instantiate(graph);
    expect_host(node, count_call, &calls[0]);
    expect_host(behind, count_call, &calls[1]);
    change(NULL, node, &calls[2]);
    expect_host(node, count_call, &calls[2]);
    expect_host(cloned, count_call, &calls[0]);
    OK(cuGraphGetNodes(graph, nodes, &count));
    EXPECT(2, count);
    OK(cuGraphGetEdges(graph, NULL, NULL, &edges));
    EXPECT(1, edges);
    launch(executable, stream, 3);
    expect_calls(3, 3, 0);
    CUgraphExec of_clone = instantiate(clone), changed = instantiate(graph);
    launch(of_clone, stream, 1);
    expect_calls(1, 1, 0);
    launch(changed, stream, 1);
    expect_calls(0, 1, 1);
    OK(cuGraphDestroy(graph));
    OK(cuGraphDestroy(clone));
    launch(executable, stream, MANY);
    expect_calls(MANY, MANY, 0);
    OK(cuGraphExecDestroy(executable));
    OK(cuGraphExecDestroy(of_clone));
    OK(cuGraphExecDestroy(changed));
}

/* Single nodes, whole graphs, and both one after the other, any number of times. */
static void executables_change(CUstream stream)
{
    CUgraphExecUpdateResultInfo info;
    CUgraph graph, other;
    CUgraphNode first, second;

    OK(cuGraphCreate(&graph, 0));
    first = add_host(graph, NULL, 0, count_call, (void *)&calls[0]);
    second = add_host(graph, &first, 1, count_call, (void *)&calls[1]);
    OK(cuGraphCreate(&other, 0));
    CUgraphNode node = add_host(other, NULL, 0, count_call, (void *)&calls[1]);
    add_host(other, &node, 1, count_call, (void *)&calls[2]);
    CUgraphExec executable = instantiate(graph);
    for (int round = 0; round < 50; round++) {
        change(executable, first, &calls[2]);
        launch(executable, stream, 1);
        expect_calls(0, 1, 1);
        change(executable, second, &calls[0]);
        launch(executable, stream, 2);
        expect_calls(2, 0, 2);
        OK(cuGraphExecUpdate_v2(executable, other, &info));
        launch(executable, stream, 1);
        expect_calls(0, 1, 1);
        change(executable, second, &calls[0]);
        launch(executable, stream, 1);
        expect_calls(1, 1, 0);
        OK(cuGraphExecUpdate_v2(executable, graph, &info));
        launch(executable, stream, 1);
        expect_calls(1, 1, 0);
    }
    add_host(other, &node, 1, count_call, (void *)&calls[2]);
    EXPECT(CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE, cuGraphExecUpdate_v2(executable, other, &info));
    launch(executable, stream, 1);
    expect_calls(1, 1, 0);
    OK(cuGraphExecDestroy(executable));
    OK(cuGraphDestroy(graph));
    OK(cuGraphDestroy(other));
}

static CUgraph small_graph(volatile unsigned *data)
{
    CUgraph graph;

    OK(cuGraphCreate(&graph, 0));
    CUgraphNode node = add_host(graph, NULL, 0, count_call, (void *)data);
    add_host(graph, &node, 1, count_call, (void *)data);
    return graph;
}

static void graphs_in_graphs(CUstream stream)
{
    CUgraph inner = small_graph(&calls[0]), other = small_graph(&calls[1]), outer, seen;
    CUgraphNode child, again, nodes[2];
    size_t count = 2;

    OK(cuGraphCreate(&outer, 0));
    OK(cuGraphAddChildGraphNode(&child, outer, NULL, 0, inner));
    OK(cuGraphAddChildGraphNode(&again, outer, &child, 1, inner));
    add_host(outer, &again, 1, count_call, (void *)&calls[2]);
    OK(cuGraphChildGraphNodeGetGraph(child, &seen));
    OK(cuGraphGetNodes(seen, nodes, &count));
    EXPECT(2, count);
    expect_host(nodes[0], count_call, &calls[0]);
    CUgraphExec executable = instantiate(outer);
    launch(executable, stream, 2);
    expect_calls(8, 0, 2);
    for (int round = 0; round < 20; round++) {
        OK(cuGraphExecChildGraphNodeSetParams(executable, child, other));
        launch(executable, stream, 1);
        expect_calls(2, 2, 1);
        OK(cuGraphExecChildGraphNodeSetParams(executable, child, inner));
        launch(executable, stream, 1);
        expect_calls(4, 0, 1);
    }
    OK(cuGraphExecDestroy(executable));
    OK(cuGraphDestroy(outer));
    OK(cuGraphDestroy(inner));
    OK(cuGraphDestroy(other));
}

/* Two executable graphs of one graph run at the same time: the end of one call opens one of them. */
static void calls_are_not_mixed_up(CUstream one, CUstream two)
{
    CUgraph graph;

    *pinned = 0;
    waiting = may_return = 0;
    OK(cuGraphCreate(&graph, 0));
    CUgraphNode node = add_host(graph, NULL, 0, wait_call, NULL);
    add_kernel(graph, node, (CUdeviceptr)(uintptr_t)pinned, 1);
    CUgraphExec first = instantiate(graph), second = instantiate(graph);
    OK(cuGraphLaunch(first, one));
    OK(cuGraphLaunch(second, two));
    wait_until_equal(&waiting, 1);
    EXPECT(0, *pinned);
    may_return = 1;
    wait_until_equal(&waiting, 2);
    wait_until_equal(pinned, 1);
    may_return = 2;
    OK(cuStreamSynchronize(one));
    OK(cuStreamSynchronize(two));
    EXPECT(2, *pinned);
    OK(cuGraphExecDestroy(first));
    OK(cuGraphExecDestroy(second));
    OK(cuGraphDestroy(graph));
}

/* While a function waits, everything else in the process goes on; what it needs may be destroyed meanwhile. */
static void others_go_on(CUstream stuck, CUstream other)
{
    CUgraph graph, quick = small_graph(&calls[0]);
    CUdeviceptr to = memory;
    unsigned value = 1;
    void *parameters[] = {&to, &value};

    *pinned = 0;
    waiting = may_return = 0;
    OK(cuGraphCreate(&graph, 0));
    CUgraphNode node = add_host(graph, NULL, 0, wait_call, NULL);
    add_kernel(graph, node, (CUdeviceptr)(uintptr_t)pinned, 1);
    CUgraphExec executable = instantiate(graph), behind = instantiate(quick);
    OK(cuGraphLaunch(executable, stuck));
    OK(cuGraphLaunch(executable, stuck));
    OK(cuGraphLaunch(behind, other)); /* its functions have to wait for the one thread that calls them */
    OK(cuGraphExecDestroy(executable));
    OK(cuGraphExecDestroy(behind));
    OK(cuGraphDestroy(graph));
    OK(cuGraphDestroy(quick));
    wait_until_equal(&waiting, 1);
    unsigned before = value_at(memory);
    CUstream mine;
    OK(cuStreamCreate(&mine, CU_STREAM_NON_BLOCKING));
    for (int i = 0; i < 100; i++)
        OK(cuLaunchKernel(function("add_to"), 1, 1, 1, 1, 1, 1, 0, mine, parameters, NULL));
    OK(cuStreamSynchronize(mine));
    EXPECT(before + 100, value_at(memory));
    EXPECT(CUDA_ERROR_NOT_READY, cuStreamQuery(stuck));
    EXPECT(0, *pinned);
    may_return = 2;
    OK(cuStreamSynchronize(stuck));
    EXPECT(2, *pinned);
    OK(cuStreamSynchronize(other));
    expect_calls(2, 0, 0);
    OK(cuStreamDestroy_v2(mine));
}

static void captured(CUstream stream)
{
    CUgraph graph, clone;
    CUgraphExec executable, child;
    CUgraphNode nodes[4];
    size_t count = 4;

    OK(cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_RELAXED));
    OK(cuLaunchHostFunc(stream, count_call, (void *)&calls[0]));
    OK(cuLaunchHostFunc(stream, count_call, (void *)&calls[1]));
    OK(cuStreamEndCapture(stream, &graph));
    OK(cuGraphGetNodes(graph, nodes, &count));
    EXPECT(2, count);
    expect_host(nodes[0], count_call, &calls[0]);
    child = instantiate(graph);
    /* A launch that is captured becomes a node, and calls nothing before the new graph is launched. */
    OK(cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_RELAXED));
    OK(cuGraphLaunch(child, stream));
    OK(cuLaunchHostFunc(stream, count_call, (void *)&calls[2]));
    OK(cuStreamEndCapture(stream, &clone));
    executable = instantiate(clone);
    expect_calls(0, 0, 0);
    OK(cuGraphLaunch(child, stream));
    launch(executable, stream, 3);
    expect_calls(4, 4, 3);
    OK(cuGraphExecDestroy(executable));
    OK(cuGraphExecDestroy(child));
    OK(cuGraphDestroy(graph));
    OK(cuGraphDestroy(clone));
}

/* Their words are used again; there are only so many. */
static void many_come_and_go(CUstream stream)
{
    CUgraph graph = small_graph(&calls[0]);

    for (int i = 0; i < MANY; i++) {
        CUgraphExec executable = instantiate(graph);
        OK(cuGraphLaunch(executable, stream));
        OK(cuGraphExecDestroy(executable));
    }
    OK(cuStreamSynchronize(stream));
    expect_calls(2 * MANY, 0, 0);
    OK(cuGraphDestroy(graph));
}

/* A context takes its memory with it; what was made in it cannot be launched, and others are as before. */
static void contexts_end(CUstream stream)
{
    CUgraph graph = small_graph(&calls[0]);
    CUgraphExec executable = instantiate(graph);
    void *there;

    for (int i = 0; i < 3; i++) {
        CUcontext second;
        CUstream other;
        OK(cuCtxCreate_v2(&second, 0, 0));
        OK(cuStreamCreate(&other, CU_STREAM_NON_BLOCKING));
        CUgraph its_graph = small_graph(&calls[1]);
        CUgraphExec its = instantiate(its_graph);
        launch(its, other, 2);
        expect_calls(0, 4, 0);
        OK(cuGraphDestroy(its_graph));
        OK(cuCtxDestroy_v2(second));
        OK(cuCtxSetCurrent(context));
        OK(cuMemHostAlloc(&there, 1 << 16, 0)); /* perhaps where the words were */
        OK(cuMemFreeHost(there));
    }
    launch(executable, stream, 2);
    expect_calls(4, 0, 0);
    OK(cuGraphExecDestroy(executable));
    OK(cuGraphDestroy(graph));
}

int main(void)
{
    CUstream one, two;
    void *allocated;

    context = start();
    memory = device_memory(64);
    OK(cuMemHostAlloc(&allocated, 4096, 0));
    pinned = allocated;
    OK(cuStreamCreate(&one, CU_STREAM_NON_BLOCKING));
    OK(cuStreamCreate(&two, CU_STREAM_NON_BLOCKING));
    nodes_keep_what_they_are(one);
    executables_change(one);
    graphs_in_graphs(two);
    calls_are_not_mixed_up(one, two);
    others_go_on(one, two);
    captured(one);
    many_come_and_go(two);
    contexts_end(one);
    return 0;
}
