/* SPDX-License-Identifier: Apache-2.0
 *
 * The driver interface, with PTX written by hand: contexts, modules, globals, attributes, functions found by
 * name and version, and the errors that the driver documents.
 */
#include "driver.h"

#include <string.h>

enum {
    OK = 0, INVALID_VALUE = 1, INVALID_DEVICE = 101, INVALID_IMAGE = 200, INVALID_CONTEXT = 201,
    INVALID_PTX = 218, NOT_FOUND = 500, N = 1000,
};

static const char ptx[] =
    ".version 6.4\n.target sm_75\n.address_size 64\n"
    ".visible .global .align 4 .u32 factor = 3;\n"
    ".visible .entry multiply(.param .u64 values, .param .u32 count)\n"
    "{\n"
    "    .reg .pred %p;\n    .reg .b32 %r<8>;\n    .reg .b64 %d<5>;\n"
    "    ld.param.u64 %d1, [values];\n    ld.param.u32 %r1, [count];\n"
    "    mov.u32 %r2, %ctaid.x;\n    mov.u32 %r3, %ntid.x;\n    mov.u32 %r4, %tid.x;\n"
    "    mad.lo.s32 %r5, %r2, %r3, %r4;\n"
    "    setp.ge.u32 %p, %r5, %r1;\n    @%p bra done;\n"
    "    cvta.to.global.u64 %d2, %d1;\n    mul.wide.u32 %d3, %r5, 4;\n    add.s64 %d4, %d2, %d3;\n"
    "    ld.global.u32 %r6, [%d4];\n    ld.global.u32 %r7, [factor];\n"
    "    mul.lo.s32 %r6, %r6, %r7;\n    st.global.u32 [%d4], %r6;\n"
    "done:\n    ret;\n"
    "}\n";

static void check_functions_by_name(void)
{
    void *function = NULL;
    int status = -1;

    EXPECT(OK, cuGetProcAddress_v2, "cuMemAlloc", &function, 12000, (uint64_t)0, &status);
    HOLDS(status == 0 && function != NULL);
    EXPECT(OK, cuGetProcAddress_v2, "cuNoSuchFunction", &function, 12000, (uint64_t)0, &status);
    HOLDS(status == 1 && function == NULL);
    EXPECT(OK, cuGetProcAddress_v2, "cuMemAllocAsync", &function, 10000, (uint64_t)0, &status);
    HOLDS(status == 2 && function == NULL);
    EXPECT(INVALID_VALUE, cuGetProcAddress_v2, NULL, &function, 12000, (uint64_t)0, &status);
}

static void check_contexts(int device)
{
    void *first = NULL, *second = NULL, *current = NULL;
    int of = -1;

    EXPECT(OK, cuCtxCreate_v2, &first, 0, device);
    EXPECT(OK, cuCtxCreate_v2, &second, 0, device);
    EXPECT(OK, cuCtxGetCurrent, &current);
    HOLDS(current == second);
    EXPECT(OK, cuCtxPopCurrent_v2, &current);
    HOLDS(current == second);
    EXPECT(OK, cuCtxGetCurrent, &current);
    HOLDS(current == first);
    EXPECT(OK, cuCtxGetDevice, &of);
    HOLDS(of == device);
    EXPECT(OK, cuCtxDestroy_v2, second);
    EXPECT(OK, cuCtxDestroy_v2, first);
    EXPECT(OK, cuCtxGetCurrent, &current);
    HOLDS(current == NULL);
    EXPECT(INVALID_CONTEXT, cuCtxGetDevice, &of);
    EXPECT(INVALID_CONTEXT, cuCtxSynchronize, );
}

static void check_global(void *module)
{
    uint64_t address = 0;
    size_t bytes = 0;
    unsigned factor = 0;

    EXPECT(OK, cuModuleGetGlobal_v2, &address, &bytes, module, "factor");
    HOLDS(bytes == 4 && address != 0);
    EXPECT(OK, cuMemcpyDtoH_v2, &factor, address, (size_t)4);
    HOLDS(factor == 3);
    factor = 7;
    EXPECT(OK, cuMemcpyHtoD_v2, address, &factor, (size_t)4);
    EXPECT(NOT_FOUND, cuModuleGetGlobal_v2, &address, &bytes, module, "divisor");
}

static void check_kernel(void *module)
{
    void *function = NULL, *stream = NULL;
    uint64_t memory = 0;
    int values[N], threads = 0, right = 0;
    unsigned count = N;

    EXPECT(NOT_FOUND, cuModuleGetFunction, &function, module, "divide");
    EXPECT(OK, cuModuleGetFunction, &function, module, "multiply");
    EXPECT(OK, cuFuncGetAttribute, &threads, 0, function);
    HOLDS(threads >= 128);
    for (int i = 0; i < N; i++)
        values[i] = i;
    EXPECT(OK, cuMemAlloc_v2, &memory, sizeof(values));
    EXPECT(OK, cuStreamCreate, &stream, 1);
    EXPECT(OK, cuMemcpyHtoD_v2, memory, values, sizeof(values));
    EXPECT(OK, cuLaunchKernel, function, 8, 1, 1, 128, 1, 1, 0, stream, ((void *[]){&memory, &count}), NULL);
    EXPECT(OK, cuStreamSynchronize, stream);
    EXPECT(OK, cuMemcpyDtoH_v2, values, memory, sizeof(values));
    for (int i = 0; i < N; i++)
        right += values[i] == 7 * i;
    HOLDS(right == N);
    EXPECT(INVALID_VALUE, cuLaunchKernel, function, 1, 1, 1, 4096, 1, 1, 0, stream,
           ((void *[]){&memory, &count}), NULL);
    EXPECT(OK, cuMemsetD32_v2, memory, 0x01020304u, (size_t)N);
    EXPECT(OK, cuMemcpyDtoH_v2, values, memory, sizeof(values));
    HOLDS(values[0] == 0x01020304 && values[N - 1] == 0x01020304);
    EXPECT(OK, cuStreamDestroy_v2, stream);
    EXPECT(OK, cuMemFree_v2, memory);
    EXPECT(INVALID_VALUE, cuMemFree_v2, memory);
}

static void check_module(void)
{
    void *module = NULL;
    int result;

    EXPECT(INVALID_PTX, cuModuleLoadData, &module, ".version 6.4\n.target sm_75\n.address_size 64\nwrong\n");
    result = CU(cuModuleLoadData, &module, "this is no image");
    HOLDS(result == INVALID_IMAGE || result == INVALID_PTX);
    if (!EXPECT(OK, cuModuleLoadData, &module, ptx))
        return;
    check_global(module);
    check_kernel(module);
    EXPECT(OK, cuModuleUnload, module);
}

int main(void)
{
    int device = -1, version = 0;
    void *context = NULL;
    const char *text = NULL;

    EXPECT(OK, cuInit, 0);
    EXPECT(OK, cuDriverGetVersion, &version);
    HOLDS(version >= 11000);
    EXPECT(INVALID_DEVICE, cuDeviceGet, &device, 1000);
    EXPECT(OK, cuDeviceGet, &device, 0);
    EXPECT(OK, cuGetErrorName, 2, &text);
    HOLDS(text && strcmp(text, "CUDA_ERROR_OUT_OF_MEMORY") == 0);
    EXPECT(OK, cuGetErrorString, 2, &text);
    EXPECT(INVALID_VALUE, cuGetErrorName, 12345, &text);
    check_functions_by_name();
    check_contexts(device);
    EXPECT(OK, cuDevicePrimaryCtxRetain, &context, device);
    EXPECT(OK, cuCtxPushCurrent_v2, context);
    check_module();
    EXPECT(OK, cuCtxPopCurrent_v2, &context);
    EXPECT(OK, cuDevicePrimaryCtxRelease_v2, device);
    return report("driver_calls");
}
