/* SPDX-License-Identifier: Apache-2.0
 *
 * A module too large to be compiled when it is loaded: its kernels share variables, find functions through a table
 * and through pointers that others left, and one that a software GPU cannot run does not harm the rest.
 */
#include "driver.h"

#include <pthread.h>
#include <stdarg.h>
#include <string.h>

enum {
    OK = 0, INVALID_PTX = 218, NOT_FOUND = 500,
    KERNELS = 40, PADDING = 60, THREADS = 4, NAME_BYTES = 16,
};

static char *text;
static size_t used, room;

__attribute__((format(printf, 1, 2))) static void add(const char *format, ...)
{
    va_list arguments;

    if (room - used < 4096 && !(text = realloc(text, room += 65536)))
        exit(3);
    va_start(arguments, format);
    used += (size_t)vsnprintf(text + used, room - used, format, arguments);
    va_end(arguments);
}

static const char head[] =
    ".version 6.4\n.target sm_75\n.address_size 64\n"
    ".visible .global .align 4 .u32 total;\n"
    ".visible .global .align 8 .u64 kept;\n"
    ".func (.param .b32 r) twice (.param .b32 a)\n"
    "{ .reg .b32 %r<3>; ld.param.u32 %r1, [a]; add.u32 %r2, %r1, %r1; st.param.b32 [r], %r2; ret; }\n"
    ".func (.param .b32 r) thrice (.param .b32 a)\n"
    "{ .reg .b32 %r<3>; ld.param.u32 %r1, [a]; mul.lo.u32 %r2, %r1, 3; st.param.b32 [r], %r2; ret; }\n"
    ".global .align 8 .u64 table[2] = {twice, thrice};\n";

/* Adds table[i % 2](i) to `total`. */
static void add_kernel(int i)
{
    add(".visible .entry k%d(.param .u32 n)\n{\n.reg .b32 %%r<9>;\n.reg .b64 %%d<4>;\n", i);
    for (int line = 0; line < PADDING; line++)
        add("mov.u32 %%r8, %d;\n", line);
    add("ld.param.u32 %%r1, [n];\nld.global.u64 %%d1, [table+%d];\n", i % 2 * 8);
    add("{ .param .b32 p; .param .b32 q;\nst.param.b32 [p], %%r1;\n"
        "call (q), %%d1, (p), proto;\nld.param.b32 %%r2, [q]; }\n");
    add("atom.global.add.u32 %%r3, [total], %%r2;\nret;\n"
        "proto: .callprototype (.param .b32 _) _ (.param .b32 _);\n}\n");
}

static void write_module(void)
{
    add("%s", head);
    for (int i = 0; i < KERNELS; i++)
        add_kernel(i);
    add(".visible .entry keep()\n{ .reg .b64 %%d<2>; mov.u64 %%d1, twice; st.global.u64 [kept], %%d1; ret; }\n");
    add(".visible .entry call_kept()\n{ .reg .b32 %%r<3>; .reg .b64 %%d<2>;\n"
        "proto: .callprototype (.param .b32 _) _ (.param .b32 _);\nld.global.u64 %%d1, [kept];\n"
        "{ .param .b32 p; .param .b32 q;\nst.param.b32 [p], 50;\n"
        "call (q), %%d1, (p), proto;\nld.param.b32 %%r1, [q]; }\n"
        "atom.global.add.u32 %%r2, [total], %%r1;\nret; }\n");
    /* Every GPU has this instruction. */
    add(".visible .entry video()\n{ .reg .b32 %%r<4>; vadd.s32.s32.s32 %%r1, %%r2, %%r3; ret; }\n");
}

static void launch(void *function, void **params)
{
    EXPECT(OK, cuLaunchKernel, function, 1, 1, 1, 1, 1, 1, 0, NULL, params, NULL);
}

static unsigned total_of(uint64_t address)
{
    unsigned total = 0;

    EXPECT(OK, cuMemcpyDtoH_v2, &total, address, (size_t)4);
    return total;
}

static void run_all(void *module, uint64_t total)
{
    unsigned expected = 0;

    for (unsigned i = 0; i < KERNELS; i += 7) {
        char name[NAME_BYTES];
        void *function = NULL, *params[] = {&i};
        snprintf(name, sizeof name, "k%u", i);
        EXPECT(OK, cuModuleGetFunction, &function, module, name);
        launch(function, params);
        expected += i * (i % 2 ? 3 : 2);
    }
    HOLDS(total_of(total) == expected);
}

static void run_kept(void *module, uint64_t total)
{
    void *keep = NULL, *call = NULL;
    unsigned before = total_of(total);

    EXPECT(OK, cuModuleGetFunction, &keep, module, "keep");
    launch(keep, NULL);
    EXPECT(OK, cuModuleGetFunction, &call, module, "call_kept");
    launch(call, NULL);
    HOLDS(total_of(total) == before + 100);
}

struct getter {
    void *context, *module, *function;
    int status;
};

static void *get_one(void *argument)
{
    struct getter *getter = argument;

    getter->status = CU(cuCtxSetCurrent, getter->context);
    if (getter->status == OK)
        getter->status = CU(cuModuleGetFunction, &getter->function, getter->module, "k1");
    return NULL;
}

static void run_threads(void *context, void *module, uint64_t total)
{
    pthread_t threads[THREADS];
    struct getter getters[THREADS];
    unsigned n = 1, before = total_of(total);
    void *params[] = {&n};

    for (int i = 0; i < THREADS; i++) {
        getters[i] = (struct getter){.context = context, .module = module};
        pthread_create(&threads[i], NULL, get_one, &getters[i]);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        HOLDS(getters[i].status == OK);
        launch(getters[i].function, params);
    }
    HOLDS(total_of(total) == before + 3 * THREADS);
}

/* A software GPU has to say so; a GPU runs it. */
static void check_video(void *module)
{
    void *function = NULL;
    int status = CU(cuModuleGetFunction, &function, module, "video");

    HOLDS(status == OK || status == INVALID_PTX);
    if (status == OK)
        launch(function, NULL);
    EXPECT(OK, cuCtxSynchronize, );
    EXPECT(NOT_FOUND, cuModuleGetFunction, &function, module, "audio");
}

static void run_library(void)
{
    void *library = NULL, *kernel = NULL;
    uint64_t total = 0;
    unsigned n = 9;
    void *params[] = {&n};

    EXPECT(OK, cuLibraryLoadData, &library, text, NULL, NULL, 0, NULL, NULL, 0);
    EXPECT(OK, cuLibraryGetKernel, &kernel, library, "k3");
    launch(kernel, params);
    EXPECT(OK, cuLibraryGetGlobal, &total, NULL, library, "total");
    HOLDS(total_of(total) == 27);
    EXPECT(OK, cuLibraryUnload, library);
}

/* Found by listing: loaded by the first launch, which is where an error shows. */
static void run_listed(void *module, uint64_t total)
{
    void *functions[KERNELS + 3] = {NULL}, *video = NULL, *second = NULL;
    unsigned count = 0, n = 2, before = total_of(total);
    const char *name = "";

    EXPECT(OK, cuModuleGetFunctionCount, &count, module);
    HOLDS(count == KERNELS + 3);
    EXPECT(OK, cuModuleEnumerateFunctions, functions, count, module);
    for (unsigned i = 0; i < count; i++) {
        EXPECT(OK, cuFuncGetName, &name, functions[i]);
        video = strcmp(name, "video") == 0 ? functions[i] : video;
        second = strcmp(name, "k2") == 0 ? functions[i] : second;
    }
    void *params[] = {&n};
    launch(second, params);
    HOLDS(total_of(total) == before + 4);
    int status = CU(cuLaunchKernel, video, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL);
    HOLDS(status == OK || status == INVALID_PTX);
    EXPECT(OK, cuCtxSynchronize, );
}

static void check_malformed(void)
{
    void *module = NULL;
    char *found = strstr(text, "mov.u32 %r8, 33");

    found[1] = 'v'; /* mvv */
    EXPECT(INVALID_PTX, cuModuleLoadData, &module, text);
    found[1] = 'o';
}

int main(void)
{
    void *context = NULL, *module = NULL;
    uint64_t total = 0;

    write_module();
    EXPECT(OK, cuInit, 0);
    EXPECT(OK, cuCtxCreate_v2, &context, 0, 0);
    EXPECT(OK, cuModuleLoadData, &module, text);
    EXPECT(OK, cuModuleGetGlobal_v2, &total, NULL, module, "total");
    run_all(module, total);
    run_kept(module, total);
    run_threads(context, module, total);
    check_video(module);
    run_listed(module, total);
    run_library();
    check_malformed();
    EXPECT(OK, cuModuleUnload, module);
    EXPECT(OK, cuCtxDestroy_v2, context);
    free(text);
    return report("lazy");
}
