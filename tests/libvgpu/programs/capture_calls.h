/* SPDX-License-Identifier: Apache-2.0
 *
 * The calls that capture_modes.c makes, and by which rule CUDA answers each while a stream captures.
 */
#ifndef CAPTURE_CALLS_H
#define CAPTURE_CALLS_H

#include <sys/mman.h>

#include "check.h"
#include "unsafe_calls.h" /* generated from the call table: static const char *const unsafe_calls[] */

enum rule {
    SAFE,                  /* always allowed */
    UNSAFE,                /* prohibited as the modes have it */
    NAMES_CAPTURE,         /* queries or waits for what is being captured */
    NAMES_CAPTURED_EVENT,
    USES_LEGACY,           /* the stream that waits for all blocking ones */
};

struct call {
    const char *name;
    enum rule rule;
    CUresult (*run)(void);
    void (*prepare)(void);         /* before the capture */
    void (*undo)(int succeeded);   /* after it */
};

enum { BYTES = 4096 };

static CUcontext context;
static CUstream streams[2]; /* the legacy stream waits for the second */
static CUstream capturing, idle, new_stream;
static CUevent captured, recorded, new_event;
static CUdeviceptr memory, new_memory;
static void *host;
static char pageable[BYTES];
static CUmodule module;
static CUlibrary library;
static CUarray array;
static CUmemoryPool pool, default_pool;
static CUgraph new_graph;
static CUgraphExec executable;
static CUDA_ARRAY_DESCRIPTOR flat = {.Width = 16, .Height = 1, .Format = CU_AD_FORMAT_UNSIGNED_INT32, .NumChannels = 1};
static CUDA_ARRAY3D_DESCRIPTOR deep = {.Width = 16, .Format = CU_AD_FORMAT_UNSIGNED_INT32, .NumChannels = 1};
static CUmemPoolProps properties = {.allocType = CU_MEM_ALLOCATION_TYPE_PINNED,
                                    .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE}};

static CUlaunchConfig plain(CUstream stream)
{
    return (CUlaunchConfig){.gridDimX = 1, .gridDimY = 1, .gridDimZ = 1, .blockDimX = 1, .blockDimY = 1,
                            .blockDimZ = 1, .hStream = stream};
}

static CUresult launch_on(CUstream stream)
{
    unsigned value = 1;
    void *parameters[] = {&memory, &value};
    CUlaunchConfig config = plain(stream);

    return cuLaunchKernelEx(&config, function("add_to"), parameters, NULL);
}

/* Device memory. */
static void take(void) { OK(cuMemAlloc_v2(&new_memory, BYTES)); }
static void give(int succeeded) { if (succeeded) OK(cuMemFree_v2(new_memory)); }
static void give_if_not(int succeeded) { give(!succeeded); }
static CUresult mem_alloc(void) { return cuMemAlloc_v2(&new_memory, BYTES); }
static CUresult mem_free(void) { return cuMemFree_v2(new_memory); }
static CUresult mem_alloc_managed(void) { return cuMemAllocManaged(&new_memory, BYTES, CU_MEM_ATTACH_GLOBAL); }
static CUresult mem_alloc_pitch(void)
{
    size_t pitch;

    return cuMemAllocPitch_v2(&new_memory, &pitch, 64, 4, 4);
}

/* Pinned memory. */
static void take_host(void) { OK(cuMemAllocHost_v2(&host, BYTES)); }
static void give_host(int succeeded) { if (succeeded) OK(cuMemFreeHost(host)); }
static void give_host_if_not(int succeeded) { give_host(!succeeded); }
static void give_host_if_any(int succeeded) { (void)succeeded; give_host(1); }
static CUresult mem_alloc_host(void) { return cuMemAllocHost_v2(&host, BYTES); }
static CUresult mem_host_alloc(void) { return cuMemHostAlloc(&host, BYTES, 0); }
static CUresult mem_free_host(void) { return cuMemFreeHost(host); }

/* Where neither a heap nor device memory is, in this process or another. */
static void take_pages(void)
{
    host = mmap((void *)0x600000000000, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    HOLDS(host != MAP_FAILED);
}

static void take_registered(void) { take_pages(); OK(cuMemHostRegister_v2(host, BYTES, 0)); }
static CUresult mem_host_register(void) { return cuMemHostRegister(host, BYTES, 0); }
static CUresult mem_host_register_v2(void) { return cuMemHostRegister_v2(host, BYTES, 0); }
static CUresult mem_host_unregister(void) { return cuMemHostUnregister(host); }

static void give_registered(int succeeded)
{
    if (succeeded)
        OK(cuMemHostUnregister(host));
    HOLDS(munmap(host, BYTES) == 0);
}

static void give_registered_if_not(int succeeded) { give_registered(!succeeded); }

/* Pools. */
static void take_pool(void) { OK(cuMemPoolCreate(&pool, &properties)); }
static void give_pool(int succeeded) { if (succeeded) OK(cuMemPoolDestroy(pool)); }
static void give_pool_if_not(int succeeded) { give_pool(!succeeded); }
static CUresult mem_pool_create(void) { return cuMemPoolCreate(&pool, &properties); }
static CUresult mem_pool_destroy(void) { return cuMemPoolDestroy(pool); }
static CUresult device_set_mem_pool(void) { return cuDeviceSetMemPool(0, default_pool); }

static CUresult mem_set_mem_pool(void)
{
    CUmemLocation location = {.type = CU_MEM_LOCATION_TYPE_DEVICE};

    return cuMemSetMemPool(&location, CU_MEM_ALLOCATION_TYPE_PINNED, default_pool);
}

static CUresult mem_pool_get_attribute(void)
{
    cuuint64_t threshold;

    return cuMemPoolGetAttribute(default_pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &threshold);
}

static CUresult mem_pool_set_attribute(void)
{
    cuuint64_t threshold = 0;

    return cuMemPoolSetAttribute(default_pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &threshold);
}

static CUresult get_default_pool(void) { return cuDeviceGetDefaultMemPool(&default_pool, 0); }

/* Arrays. */
static void take_array(void) { OK(cuArrayCreate_v2(&array, &flat)); }
static void give_array(int succeeded) { if (succeeded) OK(cuArrayDestroy(array)); }
static void give_array_if_not(int succeeded) { give_array(!succeeded); }
static CUresult array_create(void) { return cuArrayCreate_v2(&array, &flat); }
static CUresult array_3d_create(void) { return cuArray3DCreate_v2(&array, &deep); }
static CUresult array_destroy(void) { return cuArrayDestroy(array); }

/* Code. */
static void take_module(void) { OK(cuModuleLoadData(&module, kernels)); }
static void give_module(int succeeded) { if (succeeded) OK(cuModuleUnload(module)); }
static void give_module_if_not(int succeeded) { give_module(!succeeded); }
static CUresult module_load(void) { return cuModuleLoadData(&module, kernels); }
static CUresult module_unload(void) { return cuModuleUnload(module); }
static void take_library(void) { OK(cuLibraryLoadData(&library, kernels, NULL, NULL, 0, NULL, NULL, 0)); }
static void give_library_if_not(int succeeded) { if (!succeeded) OK(cuLibraryUnload(library)); }
static CUresult library_unload(void) { return cuLibraryUnload(library); }

/* Contexts. */
static CUresult ctx_set_cache_config(void) { return cuCtxSetCacheConfig(CU_FUNC_CACHE_PREFER_NONE); }
static CUresult ctx_set_shared_mem_config(void) { return cuCtxSetSharedMemConfig((CUsharedconfig)0); }
static CUresult ctx_synchronize(void) { return cuCtxSynchronize(); }
static CUresult ctx_synchronize_v2(void) { return cuCtxSynchronize_v2(context); }

/* Streams and events. */
static void give_stream(int succeeded) { if (succeeded) OK(cuStreamDestroy_v2(new_stream)); }
static void give_event(int succeeded) { if (succeeded) OK(cuEventDestroy_v2(new_event)); }
static CUresult stream_create(void) { return cuStreamCreate(&new_stream, CU_STREAM_NON_BLOCKING); }
static CUresult event_create(void) { return cuEventCreate(&new_event, 0); }
static CUresult stream_query(void) { return cuStreamQuery(idle); }
static CUresult stream_synchronize(void) { return cuStreamSynchronize(idle); }
static CUresult query_capturing(void) { return cuStreamQuery(capturing); }
static CUresult synchronize_capturing(void) { return cuStreamSynchronize(capturing); }
static void call_nothing(void *data) { (void)data; }
static void call_back(CUstream stream, CUresult result, void *data) { (void)stream, (void)result, (void)data; }
static CUresult add_callback(void) { return cuStreamAddCallback(capturing, call_back, NULL, 0); }
static CUresult event_query(void) { return cuEventQuery(recorded); }
static CUresult event_synchronize(void) { return cuEventSynchronize(recorded); }
static CUresult query_captured(void) { return cuEventQuery(captured); }
static CUresult synchronize_captured(void) { return cuEventSynchronize(captured); }

static CUresult time_captured(void)
{
    float milliseconds;

    return cuEventElapsedTime(&milliseconds, recorded, captured);
}

/* Work. */
static CUresult launch_captured(void) { return launch_on(capturing); }
static CUresult launch_idle(void) { return launch_on(idle); }
static CUresult launch_legacy(void) { return launch_on(NULL); }
static CUresult launch_named_legacy(void) { return launch_on(CU_STREAM_LEGACY); }
static CUresult memset_captured(void) { return cuMemsetD32Async(memory, 1, 4, capturing); }
static CUresult memset_legacy(void) { return cuMemsetD32_v2(memory, 1, 4); }
static CUresult copy_in(void) { return cuMemcpyHtoD_v2(memory, pageable, sizeof pageable); }
static CUresult copy_out(void) { return cuMemcpyDtoH_v2(pageable, memory, sizeof pageable); }
static CUresult copy_pinned(void) { return cuMemcpyHtoD_v2(memory, host, BYTES); }
static CUresult copy_between(void) { return cuMemcpyDtoD_v2(memory, memory + BYTES, BYTES); }
static CUresult copy_in_legacy(void) { return cuMemcpyHtoDAsync_v2(memory, pageable, sizeof pageable, NULL); }
static CUresult copy_in_idle(void) { return cuMemcpyHtoDAsync_v2(memory, pageable, sizeof pageable, idle); }
static CUresult copy_out_idle(void) { return cuMemcpyDtoHAsync_v2(pageable, memory, sizeof pageable, idle); }
static CUresult query_legacy(void) { return cuStreamQuery(NULL); }
static CUresult synchronize_legacy(void) { return cuStreamSynchronize(NULL); }
static CUresult record_legacy(void) { return cuEventRecord(recorded, NULL); }
static CUresult wait_legacy(void) { return cuStreamWaitEvent(NULL, recorded, 0); }
static CUresult call_legacy(void) { return cuLaunchHostFunc(NULL, call_nothing, NULL); }
static CUresult call_captured(void) { return cuLaunchHostFunc(capturing, call_nothing, NULL); }
static CUresult record_idle(void) { return cuEventRecord(recorded, idle); }
static CUresult free_async_legacy(void) { return cuMemFreeAsync(new_memory, NULL); }
static CUresult alloc_async_legacy(void) { return cuMemAllocAsync(&new_memory, BYTES, NULL); }
static CUresult graph_launch_legacy(void) { return cuGraphLaunch(executable, NULL); }
static CUresult graph_launch_idle(void) { return cuGraphLaunch(executable, idle); }

static CUresult priority_of_legacy(void)
{
    int priority;

    return cuStreamGetPriority(NULL, &priority);
}

static CUresult graph_instantiate(void) { return cuGraphInstantiateWithFlags(&executable, new_graph, 0); }
static void make_graph(void) { OK(cuGraphCreate(&new_graph, 0)); }
static void make_executable(void) { make_graph(); OK(graph_instantiate()); }

static void drop_graph(int succeeded)
{
    if (succeeded)
        OK(cuGraphExecDestroy(executable));
    OK(cuGraphDestroy(new_graph));
}

static void drop_executable(int succeeded) { (void)succeeded; drop_graph(1); }

static const struct call calls[] = {
    {"cuMemAlloc_v2", UNSAFE, mem_alloc, NULL, give},
    {"cuMemAllocPitch_v2", UNSAFE, mem_alloc_pitch, NULL, give},
    {"cuMemFree_v2", UNSAFE, mem_free, take, give_if_not},
    {"cuMemAllocManaged", UNSAFE, mem_alloc_managed, NULL, give},
    {"cuMemAllocHost_v2", UNSAFE, mem_alloc_host, NULL, give_host},
    {"cuMemHostAlloc", UNSAFE, mem_host_alloc, NULL, give_host},
    {"cuMemFreeHost", UNSAFE, mem_free_host, take_host, give_host_if_not},
    {"cuMemHostRegister", UNSAFE, mem_host_register, take_pages, give_registered},
    {"cuMemHostRegister_v2", UNSAFE, mem_host_register_v2, take_pages, give_registered},
    {"cuMemHostUnregister", UNSAFE, mem_host_unregister, take_registered, give_registered_if_not},
    {"cuMemPoolCreate", UNSAFE, mem_pool_create, NULL, give_pool},
    {"cuMemPoolDestroy", UNSAFE, mem_pool_destroy, take_pool, give_pool_if_not},
    {"cuMemPoolGetAttribute", UNSAFE, mem_pool_get_attribute, NULL, NULL},
    {"cuMemPoolSetAttribute", UNSAFE, mem_pool_set_attribute, NULL, NULL},
    {"cuDeviceSetMemPool", UNSAFE, device_set_mem_pool, NULL, NULL},
    {"cuMemSetMemPool", UNSAFE, mem_set_mem_pool, NULL, NULL},
    {"cuDeviceGetDefaultMemPool", SAFE, get_default_pool, NULL, NULL},
    {"cuArrayCreate_v2", UNSAFE, array_create, NULL, give_array},
    {"cuArray3DCreate_v2", UNSAFE, array_3d_create, NULL, give_array},
    {"cuArrayDestroy", UNSAFE, array_destroy, take_array, give_array_if_not},
    {"cuModuleLoadData", SAFE, module_load, NULL, give_module}, /* since CUDA 12.3 */
    {"cuModuleUnload", UNSAFE, module_unload, take_module, give_module_if_not},
    {"cuLibraryUnload", UNSAFE, library_unload, take_library, give_library_if_not},
    {"cuCtxSetCacheConfig", UNSAFE, ctx_set_cache_config, NULL, NULL},
    {"cuCtxSetSharedMemConfig", UNSAFE, ctx_set_shared_mem_config, NULL, NULL},
    {"cuCtxSynchronize", NAMES_CAPTURE, ctx_synchronize, NULL, NULL},
    {"cuCtxSynchronize_v2", NAMES_CAPTURE, ctx_synchronize_v2, NULL, NULL},
    {"cuStreamCreate", SAFE, stream_create, NULL, give_stream},
    {"cuEventCreate", SAFE, event_create, NULL, give_event},
    {"cuStreamQuery of another stream", SAFE, stream_query, NULL, NULL},
    {"cuStreamSynchronize of another stream", SAFE, stream_synchronize, NULL, NULL},
    {"cuStreamQuery", NAMES_CAPTURE, query_capturing, NULL, NULL},
    {"cuStreamSynchronize", NAMES_CAPTURE, synchronize_capturing, NULL, NULL},
    {"cuStreamAddCallback", NAMES_CAPTURE, add_callback, NULL, NULL},
    {"cuEventQuery", UNSAFE, event_query, NULL, NULL},
    {"cuEventSynchronize", UNSAFE, event_synchronize, NULL, NULL},
    {"cuEventQuery of a captured event", NAMES_CAPTURED_EVENT, query_captured, NULL, NULL},
    {"cuEventSynchronize of a captured event", NAMES_CAPTURED_EVENT, synchronize_captured, NULL, NULL},
    {"cuEventElapsedTime of a captured event", NAMES_CAPTURED_EVENT, time_captured, NULL, NULL},
    {"cuLaunchKernelEx on the stream", SAFE, launch_captured, NULL, NULL},
    {"cuLaunchKernelEx on another stream", SAFE, launch_idle, NULL, NULL},
    {"cuLaunchKernelEx on the null stream", USES_LEGACY, launch_legacy, NULL, NULL},
    {"cuLaunchKernelEx on the legacy stream", USES_LEGACY, launch_named_legacy, NULL, NULL},
    {"cuLaunchHostFunc", SAFE, call_captured, NULL, NULL},
    {"cuLaunchHostFunc on the null stream", USES_LEGACY, call_legacy, NULL, NULL},
    {"cuMemsetD32Async", SAFE, memset_captured, NULL, NULL},
    {"cuMemsetD32_v2", USES_LEGACY, memset_legacy, NULL, NULL},
    {"cuMemcpyHtoD_v2", USES_LEGACY, copy_in, NULL, NULL},
    {"cuMemcpyDtoH_v2", USES_LEGACY, copy_out, NULL, NULL},
    {"cuMemcpyHtoD_v2 of pinned memory", USES_LEGACY, copy_pinned, take_host, give_host_if_any},
    {"cuMemcpyDtoD_v2", USES_LEGACY, copy_between, NULL, NULL},
    {"cuMemcpyHtoDAsync_v2 on the null stream", USES_LEGACY, copy_in_legacy, NULL, NULL},
    {"cuMemcpyHtoDAsync_v2 on another stream", SAFE, copy_in_idle, NULL, NULL},
    {"cuMemcpyDtoHAsync_v2 on another stream", SAFE, copy_out_idle, NULL, NULL},
    {"cuStreamQuery of the null stream", USES_LEGACY, query_legacy, NULL, NULL},
    {"cuStreamSynchronize of the null stream", USES_LEGACY, synchronize_legacy, NULL, NULL},
    {"cuStreamGetPriority of the null stream", SAFE, priority_of_legacy, NULL, NULL},
    {"cuEventRecord on the null stream", USES_LEGACY, record_legacy, NULL, NULL},
    {"cuEventRecord on another stream", SAFE, record_idle, NULL, NULL},
    {"cuStreamWaitEvent on the null stream", USES_LEGACY, wait_legacy, NULL, NULL},
    {"cuMemAllocAsync on the null stream", USES_LEGACY, alloc_async_legacy, NULL, give},
    {"cuMemFreeAsync on the null stream", USES_LEGACY, free_async_legacy, take, give_if_not},
    {"cuGraphInstantiateWithFlags", SAFE, graph_instantiate, make_graph, drop_graph},
    {"cuGraphLaunch on another stream", SAFE, graph_launch_idle, make_executable, drop_executable},
    {"cuGraphLaunch on the null stream", USES_LEGACY, graph_launch_legacy, make_executable, drop_executable},
};
enum { CALLS = sizeof calls / sizeof *calls };

static void set_up(void)
{
    context = start();
    memory = device_memory(2 * BYTES);
    function("add_to");
    OK(cuStreamCreate(&streams[0], CU_STREAM_NON_BLOCKING));
    OK(cuStreamCreate(&streams[1], CU_STREAM_DEFAULT));
    OK(cuStreamCreate(&idle, CU_STREAM_NON_BLOCKING));
    OK(cuEventCreate(&captured, 0));
    OK(cuEventCreate(&recorded, 0));
    OK(cuEventRecord(recorded, idle));
    OK(cuStreamSynchronize(idle));
    OK(get_default_pool());
}

#endif
