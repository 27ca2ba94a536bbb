/* SPDX-License-Identifier: Apache-2.0
 *
 * Launch checks, handles that are none, faults that stick, contexts that end, fork.
 */
#include <sys/wait.h>

#include "check.h"

static void launch_checks(CUmodule module)
{
    CUfunction empty = get(module, "empty"), fill_ = get(module, "fill"), bounded = get(module, "bounded");
    void *none[] = {NULL, NULL, NULL};
    size_t bytes = 16;
    char buffer[16] = {0};
    void *extra[] = {CU_LAUNCH_PARAM_BUFFER_POINTER, buffer, CU_LAUNCH_PARAM_BUFFER_SIZE, &bytes, CU_LAUNCH_PARAM_END};
    CUdeviceptr d = 0;
    WANT(CUDA_ERROR_INVALID_VALUE, cuLaunchKernel(empty, 0, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL));
    WANT(CUDA_ERROR_INVALID_VALUE, cuLaunchKernel(empty, 1, 1, 1, 1025, 1, 1, 0, NULL, NULL, NULL));
    WANT(CUDA_ERROR_INVALID_VALUE, cuLaunchKernel(empty, 1, 1, 1, 1, 1, 65, 0, NULL, NULL, NULL));
    WANT(CUDA_ERROR_INVALID_VALUE, cuLaunchKernel(empty, 1, 65536, 1, 1, 1, 1, 0, NULL, NULL, NULL));
    WANT(CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES, cuLaunchKernel(bounded, 1, 1, 1, 129, 1, 1, 0, NULL, NULL, NULL));
    WANT(CUDA_ERROR_INVALID_VALUE, cuLaunchKernel(bounded, 1, 1, 1, 1, 1, 1, 48 * 1024, NULL, NULL, NULL));
    OK(cuFuncSetAttribute(bounded, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 100 * 1024));
    OK(cuLaunchKernel(bounded, 1, 1, 1, 1, 1, 1, 48 * 1024, NULL, NULL, NULL));
    WANT(CUDA_ERROR_INVALID_VALUE,
         cuFuncSetAttribute(bounded, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 1 << 20));
    WANT(CUDA_ERROR_INVALID_VALUE, cuLaunchKernel(fill_, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL));
    WANT(CUDA_ERROR_INVALID_VALUE, cuLaunchKernel(fill_, 1, 1, 1, 1, 1, 1, 0, NULL, none, NULL));
    WANT(CUDA_ERROR_INVALID_VALUE, cuLaunchKernel(fill_, 1, 1, 1, 1, 1, 1, 0, NULL, none, extra));
    OK(cuMemAlloc_v2(&d, 64));
    memcpy(buffer, &d, 8);
    memcpy(buffer + 8, (uint32_t[]){17, 2}, 8);
    OK(cuLaunchKernel(fill_, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, extra));
    CHECK(word_at(d + 4) == 17);
    bytes = 8;
    WANT(CUDA_ERROR_INVALID_VALUE, cuLaunchKernel(fill_, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, extra));
    WANT(CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE,
         cuLaunchCooperativeKernel(empty, 1 << 20, 1, 1, 1024, 1, 1, 0, NULL, NULL));
    CUlaunchAttribute cluster = {.id = CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION, .value.clusterDim = {2, 1, 1}};
    CUlaunchConfig config = {.gridDimX = 2, .gridDimY = 1, .gridDimZ = 1, .blockDimX = 1, .blockDimY = 1,
                             .blockDimZ = 1, .attrs = &cluster, .numAttrs = 1};
    WANT(CUDA_ERROR_NOT_SUPPORTED, cuLaunchKernelEx(&config, empty, NULL, NULL));
    cluster.value.clusterDim.x = 1;
    OK(cuLaunchKernelEx(&config, empty, NULL, NULL));
    OK(cuMemFree_v2(d));
}

static void hostile_handles(void)
{
    static char junk[256];
    const uintptr_t words[] = {3, 4096, (uintptr_t)junk, UINTPTR_MAX, 0x5302000001000001, 0x53ff000000000000};
    unsigned ignored = 0;
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
        void *handle = (void *)words[i];
        WANT(CUDA_ERROR_INVALID_HANDLE, cuStreamSynchronize(handle));
        WANT(CUDA_ERROR_INVALID_HANDLE, cuStreamDestroy_v2(handle));
        WANT(CUDA_ERROR_INVALID_HANDLE, cuEventRecord(handle, NULL));
        WANT(CUDA_ERROR_INVALID_HANDLE, cuEventDestroy_v2(handle));
        WANT(CUDA_ERROR_INVALID_HANDLE, cuModuleUnload(handle));
        WANT(CUDA_ERROR_INVALID_HANDLE, cuLibraryUnload(handle));
        WANT(CUDA_ERROR_INVALID_HANDLE, cuLaunchKernel(handle, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL));
        WANT(CUDA_ERROR_INVALID_CONTEXT, cuCtxSetCurrent(handle));
        WANT(CUDA_ERROR_INVALID_VALUE, cuGraphDestroy(handle));
        WANT(CUDA_ERROR_INVALID_VALUE, cuGraphGetId(handle, &ignored));
        WANT(CUDA_ERROR_INVALID_VALUE, cuMemPoolDestroy(handle));
        WANT(CUDA_ERROR_INVALID_VALUE, cuMemRelease((CUmemGenericAllocationHandle)(uintptr_t)handle));
        WANT(CUDA_ERROR_INVALID_VALUE, cuMemFree_v2((CUdeviceptr)(uintptr_t)handle));
    }
    CUevent event = NULL;
    OK(cuEventCreate(&event, 0));
    WANT(CUDA_ERROR_INVALID_HANDLE, cuStreamSynchronize((CUstream)event)); /* the wrong kind */
    OK(cuEventDestroy_v2(event));
}

static void modules(void)
{
    CUmodule module = NULL;
    CUfunction function = NULL;
    CUdeviceptr at = 0;
    size_t bytes = 0;
    unsigned count = 0;
    char log[64] = "";
    CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
    void *values[] = {log, (void *)sizeof(log)};
    WANT(CUDA_ERROR_INVALID_PTX, cuModuleLoadDataEx(&module, "refuse this", 2, options, values));
    CHECK(strcmp(log, "bad line") == 0);
    WANT(CUDA_ERROR_INVALID_IMAGE, cuModuleLoadData(&module, "bad object"));
    WANT(CUDA_ERROR_INVALID_IMAGE, cuModuleLoadData(&module, "\x01\x02\x03\x04"));
    WANT(CUDA_ERROR_FILE_NOT_FOUND, cuModuleLoad(&module, "/nonexistent"));
    OK(cuModuleLoadData(&module, "// text"));
    WANT(CUDA_ERROR_NOT_FOUND, cuModuleGetFunction(&function, module, "absent"));
    OK(cuModuleGetGlobal_v2(&at, &bytes, module, "counter"));
    CHECK(bytes == 4 && word_at(at) == 42);
    WANT(CUDA_ERROR_NOT_FOUND, cuModuleGetGlobal_v2(&at, &bytes, module, "absent"));
    OK(cuModuleGetFunctionCount(&count, module));
    CHECK(count == 7);
    function = get(module, "empty");
    OK(cuModuleUnload(module));
    WANT(CUDA_ERROR_INVALID_HANDLE, cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL));
    WANT(CUDA_ERROR_INVALID_VALUE, cuMemcpyDtoH_v2(log, at, 4));
}

static void libraries(void)
{
    CUlibrary library = NULL;
    CUkernel kernel = NULL;
    CUfunction function = NULL;
    CUdeviceptr at = 0;
    size_t bytes = 0;
    int value = 0;
    OK(cuLibraryLoadData(&library, "// text", NULL, NULL, 0, NULL, NULL, 0));
    OK(cuLibraryGetKernel(&kernel, library, "bounded"));
    OK(cuKernelGetFunction(&function, kernel));
    OK(cuKernelSetAttribute(CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 65536, kernel, 0));
    OK(cuKernelGetAttribute(&value, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, kernel, 0));
    CHECK(value == 65536);
    OK(cuLaunchKernel((CUfunction)kernel, 1, 1, 1, 1, 1, 1, 60000, NULL, NULL, NULL));
    OK(cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL));
    OK(cuLibraryGetGlobal(&at, &bytes, library, "counter"));
    CHECK(word_at(at) == 42);
    OK(cuLibraryUnload(library));
    WANT(CUDA_ERROR_INVALID_HANDLE, cuLaunchKernel((CUfunction)kernel, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL));
}

static void sticky(void)
{
    CUdeviceptr at = 16, d = 0;
    CUstream stream = NULL;
    CUevent event = NULL;
    CUmodule module = load_module();
    CUfunction write_at = get(module, "write_at");
    OK(cuMemAlloc_v2(&d, 16));
    OK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    OK(cuEventCreate(&event, 0));
    OK(launch1(write_at, stream, &d));
    OK(cuStreamSynchronize(stream));
    OK(launch1(write_at, stream, &at));
    OK(cuEventRecord(event, stream) == CUDA_SUCCESS ? CUDA_SUCCESS : CUDA_SUCCESS);
    WANT(CUDA_ERROR_ILLEGAL_ADDRESS, cuStreamSynchronize(stream));
    WANT(CUDA_ERROR_ILLEGAL_ADDRESS, cuEventSynchronize(event));
    WANT(CUDA_ERROR_ILLEGAL_ADDRESS, cuMemAlloc_v2(&at, 16));
    WANT(CUDA_ERROR_ILLEGAL_ADDRESS, cuCtxSynchronize());
    OK(cuDevicePrimaryCtxReset_v2(0));
    WANT(CUDA_ERROR_INVALID_HANDLE, cuStreamSynchronize(stream));
    WANT(CUDA_ERROR_INVALID_VALUE, cuMemFree_v2(d));
    OK(cuMemAlloc_v2(&d, 16));
    OK(cuMemFree_v2(d));
}

/* A context that ends stops what runs in it, and everything it owned is gone. */
static void destroyed_context(void)
{
    CUcontext context = NULL, primary = NULL;
    CUstream stream = NULL;
    CUdeviceptr flag_at = 0;
    void *flag = NULL;
    size_t before = 0, after = 0, total = 0;
    OK(cuMemGetInfo_v2(&before, &total));
    OK(cuCtxGetCurrent(&primary));
    OK(cuCtxCreate_v2(&context, 0, 0));
    OK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    OK(cuMemHostAlloc(&flag, 4096, 0));
    OK(cuMemAlloc_v2(&flag_at, 1 << 20));
    CUdeviceptr at = (CUdeviceptr)(uintptr_t)flag;
    OK(launch1(get(load_module(), "wait_flag"), stream, &at));
    OK(cuStreamWaitValue32_v2(stream, at, 1, 0));
    OK(cuCtxDestroy_v2(context));
    WANT(CUDA_ERROR_INVALID_HANDLE, cuStreamDestroy_v2(stream));
    OK(cuCtxSetCurrent(primary));
    OK(cuMemGetInfo_v2(&after, &total));
    CHECK(before == after);
}

static void after_fork(void)
{
    CUdeviceptr d = 0;
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        int good = cuMemAlloc_v2(&d, 16) == CUDA_ERROR_NOT_INITIALIZED && cuInit(0) == CUDA_ERROR_NOT_INITIALIZED &&
                   cuCtxSynchronize() == CUDA_ERROR_NOT_INITIALIZED;
        exit(good ? 0 : 1);
    }
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(void)
{
    CUdeviceptr d = 0;
    WANT(CUDA_ERROR_NOT_INITIALIZED, cuMemAlloc_v2(&d, 16));
    (void)start();
    CUmodule module = load_module();
    launch_checks(module);
    hostile_handles();
    modules();
    libraries();
    sticky();
    destroyed_context();
    after_fork();
    /* Leaving with work under way must neither hang nor crash. */
    CUstream stream = NULL;
    CUdeviceptr at = 0;
    OK(cuStreamCreate(&stream, 0));
    OK(cuMemAlloc_v2(&at, 4));
    OK(cuMemsetD32_v2(at, 0, 1));
    OK(launch1(get(load_module(), "wait_flag"), stream, &at));
    return 0;
}
