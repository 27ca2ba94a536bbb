/* SPDX-License-Identifier: Apache-2.0
 *
 * When kernels are compiled: not with their module, once and not twice, all at once where the environment says so.
 */
#include "check.h"

#include <sys/wait.h>

enum { THREADS = 8 };

static CUmodule load(const char *image)
{
    CUmodule module = NULL;
    OK(cuModuleLoadData(&module, image));
    return module;
}

static void test_nothing_before_it_is_wanted(void)
{
    unsigned before = asked[KERNEL], count = 0;
    CUfunction functions[16] = {NULL}, function = NULL;
    CUfunctionLoadingState state = CU_FUNCTION_LOADING_STATE_LOADED;
    CUdeviceptr counter = 0;
    int value = 0;
    CUmodule module = load("lazy");
    OK(cuModuleGetFunctionCount(&count, module));
    OK(cuModuleEnumerateFunctions(functions, count, module));
    OK(cuModuleGetGlobal_v2(&counter, NULL, module, "counter"));
    OK(cuFuncGetAttribute(&value, CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES, functions[count - 1]));
    CHECK(value == 1024);
    OK(cuFuncIsLoaded(&state, functions[0]));
    CHECK(state == CU_FUNCTION_LOADING_STATE_UNLOADED && asked[KERNEL] == before);
    WANT(CUDA_ERROR_NOT_FOUND, cuModuleGetFunction(&function, module, "nobody"));
    CHECK(asked[KERNEL] == before);
    OK(cuModuleGetFunction(&function, module, "fill"));
    OK(cuFuncIsLoaded(&state, functions[0]));
    CHECK(state == CU_FUNCTION_LOADING_STATE_LOADED && asked[KERNEL] == before + 1);
    OK(cuModuleGetFunction(&function, module, "fill"));
    OK(fill(function, NULL, counter, 7, 1));
    CHECK(word_at(counter) == 7 && asked[KERNEL] == before + 1);
    OK(cuModuleUnload(module));
}

static void test_load_and_launch_compile(void)
{
    unsigned before = asked[KERNEL], functions_before = asked[FUNCTIONS];
    CUfunction functions[16] = {NULL};
    CUmodule module = load("lazy");
    OK(cuModuleEnumerateFunctions(functions, 16, module));
    OK(cuFuncLoad(functions[5]));
    CHECK(asked[KERNEL] == before + 1 && asked[FUNCTIONS] == functions_before);
    OK(cuModuleUnload(module));
    module = load("lazy pointers");
    OK(cuModuleEnumerateFunctions(functions, 16, module));
    OK(launch1(functions[5], NULL, NULL));
    OK(launch1(functions[5], NULL, NULL));
    CHECK(asked[KERNEL] == before + 2 && asked[FUNCTIONS] == functions_before + 1);
    OK(cuCtxSynchronize());
    OK(cuModuleUnload(module));
}

static CUkernel empty_of(CUlibrary library)
{
    CUkernel kernel = NULL;
    OK(cuLibraryGetKernel(&kernel, library, "empty"));
    return kernel;
}

/* One context or two: what was compiled for one serves the other. */
static void test_libraries(CUcontext first)
{
    unsigned before = asked[KERNEL];
    CUlibrary library = NULL;
    CUcontext second = NULL;
    int value = 0;
    OK(cuLibraryLoadData(&library, "lazy", NULL, NULL, 0, NULL, NULL, 0));
    CUkernel kernel = empty_of(library);
    OK(cuKernelGetAttribute(&value, CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK, kernel, 0));
    CHECK(value == 1024 && asked[KERNEL] == before);
    OK(launch1((CUfunction)kernel, NULL, NULL));
    CHECK(asked[KERNEL] == before + 1);
    OK(cuCtxCreate_v2(&second, 0, 0));
    OK(launch1((CUfunction)kernel, NULL, NULL));
    CHECK(asked[KERNEL] == before + 1);
    OK(cuCtxDestroy_v2(second));
    OK(cuCtxSetCurrent(first));
    OK(cuCtxSynchronize());
    OK(cuLibraryUnload(library));
}

/* The next attempt asks again, and the context is as good as before. */
static void test_what_cannot_be_compiled(void)
{
    CUfunction function = NULL;
    CUlibrary library = NULL;
    CUmodule module = load("lazy bad");
    WANT(CUDA_ERROR_INVALID_PTX, cuModuleGetFunction(&function, module, "empty"));
    WANT(CUDA_ERROR_INVALID_PTX, cuModuleGetFunction(&function, module, "empty"));
    OK(cuModuleUnload(module));
    OK(cuLibraryLoadData(&library, "lazy bad", NULL, NULL, 0, NULL, NULL, 0));
    CUkernel kernel = empty_of(library);
    WANT(CUDA_ERROR_INVALID_PTX, launch1((CUfunction)kernel, NULL, NULL));
    OK(cuCtxSynchronize());
    OK(cuLibraryUnload(library));
}

static CUmodule shared_module;
static CUcontext shared_context;

static void *getter(void *argument)
{
    CUfunction function = NULL;
    (void)argument;
    OK(cuCtxSetCurrent(shared_context));
    OK(cuModuleGetFunction(&function, shared_module, "empty"));
    OK(launch1(function, NULL, NULL));
    return NULL;
}

static void test_threads_compile_once(CUcontext context)
{
    unsigned before = asked[KERNEL];
    pthread_t threads[THREADS];
    shared_context = context;
    shared_module = load("lazy");
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, getter, NULL) == 0);
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(asked[KERNEL] == before + 1);
    OK(cuCtxSynchronize());
    OK(cuModuleUnload(shared_module));
}

static void test_eager(void)
{
    CUmodule module = NULL;
    CUfunction function = NULL;
    CUlibrary library = NULL;
    unsigned count = 0;
    setenv("CUDA_MODULE_LOADING", "EAGER", 1);
    start();
    module = load("lazy");
    OK(cuModuleGetFunctionCount(&count, module));
    CHECK(asked[KERNEL] == count);
    OK(cuModuleGetFunction(&function, module, "empty"));
    OK(launch1(function, NULL, NULL));
    OK(cuLibraryLoadData(&library, "lazy", NULL, NULL, 0, NULL, NULL, 0));
    OK(launch1((CUfunction)empty_of(library), NULL, NULL));
    CHECK(asked[KERNEL] == 2 * count);
    OK(cuCtxSynchronize());
    WANT(CUDA_ERROR_INVALID_PTX, cuModuleLoadData(&module, "lazy bad"));
    WANT(CUDA_ERROR_INVALID_PTX, cuLibraryLoadData(&library, "lazy bad", NULL, NULL, 0, NULL, NULL, 0));
}

/* A fatbin of which only the PTX is worth sending; a damaged one is sent as it is. */
static void test_source(void)
{
    struct {
        uint32_t magic;
        uint16_t version, head_bytes;
        uint64_t bytes;
        struct {
            uint16_t kind, version;
            uint32_t head_bytes;
            uint64_t bytes;
            uint32_t stored, unknown;
            char payload[4096];
        } entry[3];
    } image = {.magic = 0xba55ed50u, .version = 1, .head_bytes = 16, .bytes = sizeof(image.entry)};
    CUmodule module = NULL;
    for (int i = 0; i < 3; i++) {
        image.entry[i].kind = i == 1 ? 1 : 2;
        image.entry[i].head_bytes = 24;
        image.entry[i].bytes = sizeof(image.entry[i].payload);
        image.entry[i].stored = 77;
    }
    OK(cuModuleLoadData(&module, &image));
    CHECK(last_bytes == 16 + 3 * 24 + 4096);
    OK(cuModuleUnload(module));
    image.entry[2].bytes = UINT64_MAX - 8;
    OK(cuModuleLoadData(&module, &image));
    CHECK(last_bytes == 16 + 24 + 24 + 4096 + 24 + 4096);
    OK(cuModuleUnload(module));
    image.entry[0].head_bytes = 5;
    OK(cuModuleLoadData(&module, &image));
    CHECK(last_bytes == sizeof(image));
    OK(cuModuleUnload(module));
}

int main(void)
{
    int status = -1;
    pid_t child = fork(); /* the mode is read once in a process */
    if (child == 0) {
        test_eager();
        _exit(0);
    }
    CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0);
    CUcontext context = start();
    test_nothing_before_it_is_wanted();
    test_load_and_launch_compile();
    test_libraries(context);
    test_what_cannot_be_compiled();
    test_threads_compile_once(context);
    test_source();
    return 0;
}
