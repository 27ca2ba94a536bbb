/* SPDX-License-Identifier: Apache-2.0
 *
 * Graphs built by hand: every kind of node, parameters set and read back, updates, handles found by listing.
 */
#include "check.h"

static CUgraph graph;
static CUdeviceptr memory;
static unsigned *pinned;
static unsigned called;

static CUgraphNode kernel_node(CUgraph to, const CUgraphNode *waits, size_t count, unsigned value)
{
    CUdeviceptr where = memory;
    void *parameters[] = {&where, &value};
    CUDA_KERNEL_NODE_PARAMS params = {.func = function("add_to"), .gridDimX = 1, .gridDimY = 1, .gridDimZ = 1,
                                      .blockDimX = 1, .blockDimY = 1, .blockDimZ = 1,
                                      .kernelParams = parameters};
    CUgraphNode node;

    OK(cuGraphAddKernelNode_v2(&node, to, waits, count, &params));
    return node;
}

static void count_call(void *data)
{
    called += *(unsigned *)data;
}

static CUgraphNode copy_node(const CUgraphNode *waits, size_t count)
{
    CUDA_MEMCPY3D copy = {
        .srcMemoryType = CU_MEMORYTYPE_DEVICE, .srcDevice = memory, .srcPitch = 4, .srcHeight = 1,
        .dstMemoryType = CU_MEMORYTYPE_HOST, .dstHost = pinned, .dstPitch = 4, .dstHeight = 1,
        .WidthInBytes = 4, .Height = 1, .Depth = 1,
    };
    unsigned pageable;
    CUcontext context;
    CUgraphNode node;

    OK(cuCtxGetCurrent(&context));
    OK(cuGraphAddMemcpyNode(&node, graph, waits, count, &copy, context));
    copy.dstHost = &pageable;
    CUgraphNode refused;
    CUresult result = cuGraphAddMemcpyNode(&refused, graph, waits, count, &copy, context);
    HOLDS(result == CUDA_ERROR_NOT_SUPPORTED || result == CUDA_SUCCESS); /* natively it is no error */
    if (result == CUDA_SUCCESS)
        OK(cuGraphDestroyNode(refused));
    return node;
}

static CUgraphNode host_node(const CUgraphNode *waits, size_t count, unsigned *step)
{
    CUDA_HOST_NODE_PARAMS params = {count_call, step}, found;
    CUgraphNode node;

    OK(cuGraphAddHostNode(&node, graph, waits, count, &params));
    OK(cuGraphHostNodeGetParams(node, &found));
    HOLDS(found.fn == count_call && found.userData == step);
    return node;
}

static CUgraphNode memset_node(unsigned value)
{
    CUDA_MEMSET_NODE_PARAMS params = {.dst = memory, .value = value, .elementSize = 4, .width = 1, .height = 1},
                            found;
    CUcontext context;
    CUgraphNode node;

    OK(cuCtxGetCurrent(&context));
    OK(cuGraphAddMemsetNode(&node, graph, NULL, 0, &params, context));
    OK(cuGraphMemsetNodeGetParams(node, &found));
    HOLDS(found.dst == memory && found.value == value && found.elementSize == 4);
    return node;
}

/* Nodes that are listed are the ones that were added, by the same handles. */
static void check_listing(const CUgraphNode *added, size_t count)
{
    CUgraphNode nodes[16], from[16], to[16];
    size_t found = 16, edges = 16, none = 0;
    CUgraphNodeType type;

    OK(cuGraphGetNodes(graph, NULL, &none));
    EXPECT(count, none);
    OK(cuGraphGetNodes(graph, nodes, &found));
    EXPECT(count, found);
    for (size_t i = 0; i < count; i++) {
        size_t at = 0;
        while (at < count && nodes[at] != added[i])
            at++;
        HOLDS(at < count);
        OK(cuGraphNodeGetType(nodes[at], &type));
    }
    OK(cuGraphGetEdges(graph, from, to, &edges));
    EXPECT(count - 1, edges);
    OK(cuGraphNodeGetType(added[0], &type));
    EXPECT(CU_GRAPH_NODE_TYPE_MEMSET, type);
}

static unsigned run(CUgraphExec executable, CUstream stream, int times)
{
    for (int i = 0; i < times; i++)
        OK(cuGraphLaunch(executable, stream));
    OK(cuStreamSynchronize(stream));
    return *pinned;
}

static void check_kernel_params(CUgraphNode node, unsigned value)
{
    CUDA_KERNEL_NODE_PARAMS found;
    CUDA_KERNEL_NODE_PARAMS_v1 older;

    OK(cuGraphKernelNodeGetParams_v2(node, &found));
    HOLDS(found.kernelParams && found.gridDimX == 1);
    HOLDS(*(CUdeviceptr *)found.kernelParams[0] == memory && *(unsigned *)found.kernelParams[1] == value);
    OK(cuGraphKernelNodeGetParams(node, &older));
    HOLDS(older.func == function("add_to") || older.func != NULL);
}

static void change_kernel(CUgraphExec executable, CUgraphNode node, unsigned value)
{
    CUDA_KERNEL_NODE_PARAMS params;

    OK(cuGraphKernelNodeGetParams_v2(node, &params));
    void *parameters[] = {params.kernelParams[0], &value};
    params.kernelParams = parameters;
    params.extra = NULL;
    if (executable)
        OK(cuGraphExecKernelNodeSetParams_v2(executable, node, &params));
    else
        OK(cuGraphKernelNodeSetParams_v2(node, &params));
}

static void update(CUgraphExec executable, CUstream stream, CUgraphNode kernel)
{
    CUgraphExecUpdateResultInfo info;
    CUgraph other;

    change_kernel(NULL, kernel, 50);
    check_kernel_params(kernel, 50);
    OK(cuGraphExecUpdate_v2(executable, graph, &info));
    EXPECT(CU_GRAPH_EXEC_UPDATE_SUCCESS, info.result);
    EXPECT(100 + 50 + 7, run(executable, stream, 1));
    OK(cuGraphCreate(&other, 0));
    kernel_node(other, NULL, 0, 1);
    EXPECT(CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE, cuGraphExecUpdate_v2(executable, other, &info));
    EXPECT(CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED, info.result);
    OK(cuGraphDestroy(other));
}

static void generic_nodes(void)
{
    CUgraph other;
    CUgraphNode nodes[3];
    unsigned value = 9;
    CUdeviceptr where = memory;
    void *parameters[] = {&where, &value};
    CUgraphNodeParams kernel = {.type = CU_GRAPH_NODE_TYPE_KERNEL};
    CUgraphNodeParams fill = {.type = CU_GRAPH_NODE_TYPE_MEMSET};
    CUgraphNodeParams unknown = {.type = CU_GRAPH_NODE_TYPE_EXT_SEMAS_WAIT};
    CUgraphExec executable;

    kernel.kernel = (CUDA_KERNEL_NODE_PARAMS){.func = function("add_to"), .gridDimX = 1, .gridDimY = 1,
                                              .gridDimZ = 1, .blockDimX = 1, .blockDimY = 1, .blockDimZ = 1,
                                              .kernelParams = parameters};
    fill.memset = (CUDA_MEMSET_NODE_PARAMS_v2){.dst = memory, .value = 4, .elementSize = 4, .width = 1,
                                               .height = 1};
    OK(cuGraphCreate(&other, 0));
    OK(cuGraphAddNode(&nodes[0], other, NULL, 0, &fill));
    OK(cuGraphAddNode_v2(&nodes[1], other, &nodes[0], NULL, 1, &kernel));
    HOLDS(cuGraphAddNode(&nodes[2], other, NULL, 0, &unknown) != CUDA_SUCCESS);
    OK(cuGraphInstantiateWithFlags(&executable, other, 0));
    OK(cuGraphLaunch(executable, NULL));
    OK(cuCtxSynchronize());
    EXPECT(13, value_at(memory));
    value = 5;
    OK(cuGraphExecNodeSetParams(executable, nodes[1], &kernel));
    OK(cuGraphLaunch(executable, NULL));
    OK(cuCtxSynchronize());
    EXPECT(9, value_at(memory));
    OK(cuGraphExecDestroy(executable));
    OK(cuGraphDestroy(other));
}

static void dead_handles(void)
{
    CUgraph other;
    CUgraphNode node;
    CUgraphNodeType type;

    OK(cuGraphCreate(&other, 0));
    OK(cuGraphAddEmptyNode(&node, other, NULL, 0));
    OK(cuGraphDestroyNode(node));
    node = kernel_node(other, NULL, 0, 1);
    OK(cuGraphNodeGetType(node, &type));
    OK(cuGraphDestroy(other));
    if (getenv("VGPU_SOCKET")) /* natively this is undefined */
        EXPECT(CUDA_ERROR_INVALID_HANDLE, cuGraphNodeGetType(node, &type));
}

int main(void)
{
    unsigned step = 1;
    CUgraphNode nodes[5];
    CUgraphExec executable;
    CUstream stream;
    CUgraph clone, child;

    start();
    memory = device_memory(4);
    OK(cuMemHostAlloc((void **)&pinned, 4096, 0));
    OK(cuStreamCreate(&stream, 1));
    OK(cuGraphCreate(&graph, 0));
    OK(cuGraphCreate(&child, 0));
    kernel_node(child, NULL, 0, 7);
    nodes[0] = memset_node(100);
    nodes[1] = kernel_node(graph, &nodes[0], 1, 20);
    OK(cuGraphAddChildGraphNode(&nodes[2], graph, &nodes[1], 1, child));
    nodes[3] = copy_node(&nodes[2], 1);
    nodes[4] = host_node(&nodes[3], 1, &step);
    OK(cuGraphDestroy(child));
    check_listing(nodes, 5);
    check_kernel_params(nodes[1], 20);

    OK(cuGraphInstantiateWithFlags(&executable, graph, 0));
    EXPECT(127, run(executable, stream, 1));
    EXPECT(1, called);
    EXPECT(127, run(executable, stream, 3));
    EXPECT(4, called);
    change_kernel(executable, nodes[1], 30);
    EXPECT(137, run(executable, stream, 1));
    update(executable, stream, nodes[1]);
    EXPECT(6, called);
    OK(cuGraphClone(&clone, graph));
    CUgraphNode cloned;
    OK(cuGraphNodeFindInClone(&cloned, nodes[1], clone));
    check_kernel_params(cloned, 50);
    OK(cuGraphDestroy(clone));
    OK(cuGraphExecDestroy(executable));
    OK(cuGraphDestroy(graph));
    generic_nodes();
    dead_handles();
    return 0;
}
