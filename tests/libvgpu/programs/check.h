/* SPDX-License-Identifier: Apache-2.0
 *
 * For programs that use the driver interface through the call table's own prototypes. The first wrong
 * result ends the program with its line.
 */
#ifndef CHECK_H
#define CHECK_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cuda_abi.h"
#include "api_prototypes.h"

enum { SKIPPED = 77 };

static inline void expect_at(long wanted, long found, const char *what, int line)
{
    if (wanted != found) {
        fprintf(stderr, "line %d: %s: %ld, not %ld\n", line, what, found, wanted);
        exit(1);
    }
}

#define EXPECT(wanted, call) expect_at((long)(wanted), (long)(call), #call, __LINE__)
#define OK(call) EXPECT(CUDA_SUCCESS, call)
#define HOLDS(condition) EXPECT(1, !!(condition))

/* *to += value; *to = *from */
static const char kernels[] =
    ".version 7.0\n.target sm_75\n.address_size 64\n"
    ".visible .entry add_to(.param .u64 to, .param .u32 value)\n"
    "{\n .reg .b32 %r<4>; .reg .b64 %rd<2>;\n"
    " ld.param.u64 %rd1, [to]; ld.param.u32 %r1, [value];\n"
    " ld.global.u32 %r2, [%rd1]; add.u32 %r3, %r2, %r1; st.global.u32 [%rd1], %r3;\n ret;\n}\n"
    ".visible .entry move_one(.param .u64 to, .param .u64 from)\n"
    "{\n .reg .b32 %r<2>; .reg .b64 %rd<3>;\n"
    " ld.param.u64 %rd1, [to]; ld.param.u64 %rd2, [from];\n"
    " ld.global.u32 %r1, [%rd2]; st.global.u32 [%rd1], %r1;\n ret;\n}\n";

static inline CUcontext start(void)
{
    CUcontext context;

    OK(cuInit(0));
    OK(cuDevicePrimaryCtxRetain(&context, 0));
    OK(cuCtxSetCurrent(context));
    return context;
}

static inline CUfunction function(const char *name)
{
    static CUmodule module;
    CUfunction found;

    if (!module)
        OK(cuModuleLoadData(&module, kernels));
    OK(cuModuleGetFunction(&found, module, name));
    return found;
}

static inline CUdeviceptr device_memory(size_t bytes)
{
    CUdeviceptr memory;

    OK(cuMemAlloc_v2(&memory, bytes));
    OK(cuMemsetD8_v2(memory, 0, bytes)); /* asynchronous, and streams that do not block pass it */
    OK(cuCtxSynchronize());
    return memory;
}

static inline unsigned value_at(CUdeviceptr memory)
{
    unsigned value = 0;

    OK(cuMemcpyDtoH_v2(&value, memory, sizeof value));
    return value;
}

/* Bytes that differ from each other and from their neighbours'. */
static inline void fill(uint8_t *bytes, size_t count, unsigned seed)
{
    for (size_t i = 0; i < count; i++)
        bytes[i] = (uint8_t)((i + seed) * 2654435761u >> 13);
}

#endif
