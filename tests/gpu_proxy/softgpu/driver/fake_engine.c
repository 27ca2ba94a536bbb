/* SPDX-License-Identifier: Apache-2.0
 *
 * An engine for the driver's own tests: it "loads" any object and offers a few kernels written in C, so
 * that streams, errors and launches can be tested without a compiler.
 */
#include "engine.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct sg_memory memory;

static const struct sg_param fill_params[] = {{0, 8}, {8, 4}, {12, 4}};
static const struct sg_param one_pointer[] = {{0, 8}};
static const struct sg_param one_word[] = {{0, 4}};

enum { FILL, WAIT_FLAG, SLEEP_MS, WRITE_NULL, TRAP, EMPTY, BOUNDED, KERNELS };

static const struct sg_kernel all_kernels[KERNELS] = {
    [FILL] = {.name = "fill", .param_count = 3, .param_bytes = 16, .params = fill_params, .max_threads = 1024},
    [WAIT_FLAG] = {.name = "wait_flag", .param_count = 1, .param_bytes = 8, .params = one_pointer, .max_threads = 1024},
    [SLEEP_MS] = {.name = "sleep_ms", .param_count = 1, .param_bytes = 4, .params = one_word, .max_threads = 1024},
    [WRITE_NULL] = {.name = "write_at", .param_count = 1, .param_bytes = 8, .params = one_pointer, .max_threads = 1024},
    [TRAP] = {.name = "trap", .max_threads = 1024},
    [EMPTY] = {.name = "empty", .max_threads = 1024},
    [BOUNDED] = {.name = "bounded", .max_threads = 128, .static_shared_bytes = 1024},
};

struct sg_image {
    uint64_t globals[2];
    struct sg_kernel kernels[KERNELS];
    int is_lazy; /* a kernel is ready when its code has been added */
    _Atomic int is_ready[KERNELS], has_functions;
};

static const int counter_start = 42;
static const struct sg_global globals[2] = {
    {.name = "counter", .bytes = 4, .align = 4, .init = &counter_start},
    {.name = "zeros", .bytes = 64, .align = 16},
};

int sg_engine_start(unsigned threads, const struct sg_memory *given)
{
    (void)threads;
    memory = *given;
    return 0;
}

int sg_image_load(const void *object, size_t bytes, struct sg_image **image, char error[SG_ERROR_BYTES])
{
    if (bytes >= 3 && memcmp(object, "bad", 3) == 0) {
        (void)snprintf(error, SG_ERROR_BYTES, "fake engine: a bad object");
        return -EINVAL;
    }
    *image = calloc(1, sizeof(**image));
    if (!*image)
        return -ENOMEM;
    (*image)->is_lazy = bytes >= 4 && memcmp(object, "lazy", 4) == 0;
    for (int i = 0; i < KERNELS; i++) {
        (*image)->kernels[i] = all_kernels[i];
        (*image)->kernels[i].image = *image;
        (*image)->kernels[i].calls_pointers = bytes >= 13 && memcmp(object, "lazy pointers", 13) == 0;
    }
    return 0;
}

void sg_image_unload(struct sg_image *image)
{
    free(image);
}

size_t sg_image_kernel_count(const struct sg_image *image)
{
    (void)image;
    return KERNELS;
}

const struct sg_kernel *sg_image_kernel(const struct sg_image *image, size_t index)
{
    return &image->kernels[index];
}

size_t sg_image_global_count(const struct sg_image *image)
{
    (void)image;
    return 2;
}

const struct sg_global *sg_image_global(const struct sg_image *image, size_t index)
{
    (void)image;
    return &globals[index];
}

void sg_image_bind(struct sg_image *image, size_t index, uint64_t address)
{
    image->globals[index] = address;
}

int sg_image_finish(struct sg_image *image)
{
    memcpy((void *)(uintptr_t)image->globals[0], &counter_start, sizeof(counter_start));
    return 0;
}

static int refuse_code(char *error, const char *text)
{
    (void)snprintf(error, SG_ERROR_BYTES, "fake engine: %s", text);
    return -EINVAL;
}

/* The functions must come before the kernels that need them, and nothing twice. */
int sg_image_add(struct sg_image *image, const void *object, size_t bytes, char error[SG_ERROR_BYTES])
{
    char text[32] = "";
    unsigned number = 0;
    memcpy(text, object, bytes < sizeof(text) ? bytes : sizeof(text) - 1);
    if (strcmp(text, "functions") == 0)
        return atomic_exchange(&image->has_functions, 1) ? refuse_code(error, "functions twice") : 0;
    if (sscanf(text, "code %u", &number) != 1 || number >= KERNELS)
        return refuse_code(error, "no code");
    if (image->kernels[number].calls_pointers && !image->has_functions)
        return refuse_code(error, "no functions");
    return atomic_exchange(&image->is_ready[number], 1) ? refuse_code(error, "a kernel twice") : 0;
}

int sg_kernel_is_ready(const struct sg_kernel *kernel)
{
    return !kernel->image->is_lazy || kernel->image->is_ready[kernel - kernel->image->kernels];
}

int sg_image_has_functions(const struct sg_image *image)
{
    return image->has_functions;
}

static int stopped(const struct sg_launch *launch)
{
    return launch->cancel && *launch->cancel;
}

static void pause_ms(unsigned ms)
{
    struct timespec pause = {ms / 1000, (long)(ms % 1000) * 1000000};
    nanosleep(&pause, NULL);
}

static int fail(struct sg_fault *fault, enum sg_fault_kind kind, const char *name)
{
    fault->kind = kind;
    (void)snprintf(fault->text, sizeof(fault->text), "fake engine: %s", name);
    return -EFAULT;
}

static int run_fill(const struct sg_launch *launch)
{
    uint64_t address = 0;
    uint32_t value = 0, count = 0;
    memcpy(&address, launch->params, 8);
    memcpy(&value, (const char *)launch->params + 8, 4);
    memcpy(&count, (const char *)launch->params + 12, 4);
    uint32_t *out = (uint32_t *)(uintptr_t)address;
    for (uint32_t i = 0; i < count; i++)
        out[i] = value;
    return 0;
}

static int run_wait(const struct sg_launch *launch, struct sg_fault *fault)
{
    uint64_t address = 0;
    memcpy(&address, launch->params, 8);
    while (!__atomic_load_n((uint32_t *)(uintptr_t)address, __ATOMIC_ACQUIRE)) {
        if (stopped(launch))
            return fail(fault, SG_FAULT_CANCELLED, "cancelled");
        pause_ms(1);
    }
    return 0;
}

static int run_write(const struct sg_launch *launch, struct sg_fault *fault)
{
    uint64_t address = 0;
    memcpy(&address, launch->params, 8);
    if (address - memory.arena_base >= memory.arena_bytes && !memory.check(address, 4, 1))
        return fail(fault, SG_FAULT_ILLEGAL_ADDRESS, "write_at");
    *(uint32_t *)(uintptr_t)address = 1;
    return 0;
}

int sg_run(const struct sg_launch *launch, struct sg_fault *fault)
{
    uint32_t ms = 0;
    switch (launch->kernel - launch->kernel->image->kernels) {
    case FILL:
        return run_fill(launch);
    case WAIT_FLAG:
        return run_wait(launch, fault);
    case SLEEP_MS:
        memcpy(&ms, launch->params, 4);
        pause_ms(ms);
        return 0;
    case WRITE_NULL:
        return run_write(launch, fault);
    case TRAP:
        return fail(fault, SG_FAULT_TRAP, "trap");
    default:
        return 0;
    }
}
