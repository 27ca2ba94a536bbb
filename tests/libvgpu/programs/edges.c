/* SPDX-License-Identifier: Apache-2.0
 *
 * What is at the edges: linking, listing kernels, occupancy, textures, user objects, other processes.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

static int destroyed;

static void link_and_run(void)
{
    char log[512] = "";
    CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
    void *values[] = {log, (void *)(uintptr_t)sizeof log}, *image = NULL;
    size_t bytes = 0;
    CUlinkState link;
    CUmodule module;
    CUfunction add;

    OK(cuLinkCreate_v2(2, options, values, &link));
    CUresult result = cuLinkAddData_v2(link, CU_JIT_INPUT_PTX, (void *)(uintptr_t)kernels, sizeof kernels, "kernels", 0,
                                       NULL, NULL);
    OK(result);
    OK(cuLinkComplete(link, &image, &bytes));
    HOLDS(image && bytes > 0);
    OK(cuModuleLoadData(&module, image));
    OK(cuLinkDestroy(link));
    OK(cuModuleGetFunction(&add, module, "add_to"));
    CUdeviceptr memory = device_memory(4);
    unsigned value = 6;
    void *parameters[] = {&memory, &value};
    OK(cuLaunchKernel(add, 1, 1, 1, 1, 1, 1, 0, NULL, parameters, NULL));
    EXPECT(6, value_at(memory));
    OK(cuMemFree_v2(memory));
    OK(cuModuleUnload(module));
}

static void list_kernels(void)
{
    CUlibrary library;
    CUkernel found[2];
    unsigned count = 0;
    const char *name;
    int adds = 0;

    OK(cuLibraryLoadData(&library, kernels, NULL, NULL, 0, NULL, NULL, 0));
    OK(cuLibraryGetKernelCount(&count, library));
    EXPECT(2, count);
    OK(cuLibraryEnumerateKernels(found, 2, library));
    CUdeviceptr memory = device_memory(4);
    for (int i = 0; i < 2; i++) {
        OK(cuKernelGetName(&name, found[i]));
        if (strcmp(name, "add_to"))
            continue;
        unsigned value = 8;
        void *parameters[] = {&memory, &value};
        OK(cuLaunchKernel((CUfunction)found[i], 1, 1, 1, 1, 1, 1, 0, NULL, parameters, NULL));
        adds++;
    }
    EXPECT(1, adds);
    EXPECT(8, value_at(memory));
    OK(cuMemFree_v2(memory));
    OK(cuLibraryUnload(library));
}

static size_t shared_for(int block)
{
    return (size_t)block * 4;
}

static void occupancy(void)
{
    int grid = 0, block = 0, blocks = 0;

    OK(cuOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, function("add_to"), 128, 0));
    HOLDS(blocks > 0);
    OK(cuOccupancyMaxPotentialBlockSize(&grid, &block, function("add_to"), NULL, 0, 0));
    HOLDS(grid > 0 && block > 0 && block <= 1024);
    OK(cuOccupancyMaxPotentialBlockSizeWithFlags(&grid, &block, function("add_to"), shared_for, 0, 96, 0));
    HOLDS(grid > 0 && block > 0 && block <= 96);
}

static void textures(void)
{
    CUDA_ARRAY_DESCRIPTOR plane = {.Width = 64, .Height = 8, .Format = CU_AD_FORMAT_FLOAT, .NumChannels = 1};
    CUDA_RESOURCE_DESC resource = {.resType = CU_RESOURCE_TYPE_ARRAY}, found;
    CUDA_TEXTURE_DESC description = {.filterMode = CU_TR_FILTER_MODE_POINT};
    CUtexObject texture;
    CUarray array;

    OK(cuArrayCreate_v2(&array, &plane));
    resource.res.array.hArray = array;
    CUresult result = cuTexObjectCreate(&texture, &resource, &description, NULL);
    if (result == CUDA_SUCCESS) {
        OK(cuTexObjectGetResourceDesc(&found, texture));
        HOLDS(found.resType == CU_RESOURCE_TYPE_ARRAY && found.res.array.hArray == array);
        OK(cuTexObjectDestroy(texture));
    } else {
        EXPECT(CUDA_ERROR_NOT_SUPPORTED, result);
    }
    OK(cuArrayDestroy(array));
}

static void count_destroyed(void *data)
{
    destroyed += *(int *)data;
}

static void user_objects(void)
{
    int step = 1;
    CUuserObject object;
    CUgraph graph;

    CUresult result = cuUserObjectCreate(&object, &step, count_destroyed, 1, CU_USER_OBJECT_NO_DESTRUCTOR_SYNC);
    if (result == CUDA_ERROR_NOT_SUPPORTED)
        return;
    OK(result);
    OK(cuGraphCreate(&graph, 0));
    OK(cuGraphRetainUserObject(graph, object, 1, CU_GRAPH_USER_OBJECT_MOVE));
    EXPECT(0, destroyed);
    OK(cuGraphDestroy(graph));
    OK(cuCtxSynchronize());
    for (int i = 0; i < 500 && !*(volatile int *)&destroyed; i++)
        nanosleep(&(struct timespec){0, 10000000}, NULL);
    EXPECT(1, destroyed);
}

/* A name for another process may be had; opening one is refused. */
static void name_for_others(void)
{
    CUipcMemHandle handle;
    CUdeviceptr memory = device_memory(4 << 20);
    CUresult result = cuIpcGetMemHandle(&handle, memory);

    HOLDS(result == CUDA_SUCCESS || result == CUDA_ERROR_NOT_SUPPORTED);
    result = cuIpcGetMemHandle(&handle, memory + 512);
    HOLDS(result == CUDA_ERROR_INVALID_VALUE || result == CUDA_ERROR_NOT_SUPPORTED);
}

int main(void)
{
    start();
    list_kernels();
    occupancy();
    textures();
    user_objects();
    name_for_others();
    link_and_run();
    return 0;
}
