/* SPDX-License-Identifier: Apache-2.0
 *
 * Code: an image that has been looked through, and what has been compiled of it so far.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "module.h"

static void report(struct jit_log *log, const struct blob *text)
{
    driver_log("%.*s", (int)(text->bytes < 900 ? text->bytes : 900), (const char *)text->data);
    if (!log || !log->error || !log->error_bytes)
        return;
    size_t kept = text->bytes < log->error_bytes - 1 ? text->bytes : log->error_bytes - 1;
    memcpy(log->error, text->data, kept);
    log->error[kept] = '\0';
    if (log->error_size_slot)
        *log->error_size_slot = (void *)(uintptr_t)(kept + 1);
}

/* An object, or an error that has been reported. */
static CUresult ask(enum helper_kind kind, size_t number, const struct blob *image, struct jit_log *log,
                    struct blob **object)
{
    struct blob *payload = NULL;
    CUresult result = helper_ask(kind, number, image, &payload);
    if (!result) {
        *object = payload;
        return CUDA_SUCCESS;
    }
    if (payload)
        report(log, payload);
    free(payload);
    return result;
}

static void code_free(struct code *code)
{
    for (size_t i = 0; i < code->kernel_count; i++)
        free(code->kernels[i]);
    free(code->kernels);
    free(code->functions);
    free(code->index);
    free(code->source);
    if (code->shape)
        sg_image_unload(code->shape);
    pthread_mutex_destroy(&code->lock);
    free(code);
}

void code_put(struct code *code)
{
    if (atomic_fetch_sub(&code->references, 1) == 1)
        code_free(code);
}

static CUresult open_object(const struct blob *object, struct sg_image **image)
{
    char error[SG_ERROR_BYTES] = "";
    int result = sg_image_load(object->data, object->bytes, image, error);
    if (!result)
        return CUDA_SUCCESS;
    driver_log("%s", error[0] ? error : strerror(-result));
    return result == -ENOMEM ? CUDA_ERROR_OUT_OF_MEMORY : CUDA_ERROR_INVALID_IMAGE;
}

CUresult code_open(const struct code *code, struct sg_image **image)
{
    return open_object(code->index, image);
}

/* With a lock held that `slot` belongs to: whoever comes second finds what the first has made. */
static CUresult compile(struct code *code, enum helper_kind kind, size_t number, struct blob **slot)
{
    return *slot ? CUDA_SUCCESS : ask(kind, number, code->source, NULL, slot);
}

static CUresult compile_all(struct code *code)
{
    for (size_t i = 0; i < code->kernel_count; i++) {
        const struct sg_kernel *kernel = sg_image_kernel(code->shape, i);
        if (sg_kernel_is_ready(kernel))
            continue;
        TRY(compile(code, HELPER_KERNEL, i, &code->kernels[i]));
        if (kernel->calls_pointers)
            TRY(compile(code, HELPER_FUNCTIONS, 0, &code->functions));
    }
    return CUDA_SUCCESS;
}

static CUresult fill(struct code *code, struct jit_log *log)
{
    TRY(ask(HELPER_LOAD, 0, code->source, log, &code->index));
    TRY(open_object(code->index, &code->shape));
    size_t count = sg_image_kernel_count(code->shape);
    code->kernels = calloc(count + 1, sizeof(*code->kernels));
    if (!code->kernels)
        return CUDA_ERROR_OUT_OF_MEMORY;
    code->kernel_count = count;
    return driver.loading_mode == CU_MODULE_EAGER_LOADING ? compile_all(code) : CUDA_SUCCESS;
}

CUresult code_load_bytes(const void *data, size_t bytes, struct jit_log *log, struct code **out)
{
    if (log && log->info_size_slot)
        *log->info_size_slot = NULL;
    struct code *code = calloc(1, sizeof(*code));
    if (!code)
        return CUDA_ERROR_OUT_OF_MEMORY;
    atomic_init(&code->references, 1);
    pthread_mutex_init(&code->lock, NULL);
    code->source = image_source(data, bytes);
    CUresult result = code->source ? fill(code, log) : CUDA_ERROR_OUT_OF_MEMORY;
    if (result) {
        code_put(code);
        return result;
    }
    if (log && log->error_size_slot)
        *log->error_size_slot = NULL;
    *out = code;
    return CUDA_SUCCESS;
}

CUresult code_load(const void *image, struct jit_log *log, struct code **code)
{
    const void *start = NULL;
    size_t bytes = 0;
    TRY(image_bytes(image, &start, &bytes));
    return code_load_bytes(start, bytes, log, code);
}

CUresult code_kernel(struct code *code, size_t index, const struct blob **object)
{
    pthread_mutex_lock(&code->lock);
    CUresult result = compile(code, HELPER_KERNEL, index, &code->kernels[index]);
    *object = code->kernels[index];
    pthread_mutex_unlock(&code->lock);
    return result;
}

CUresult code_functions(struct code *code, const struct blob **object)
{
    pthread_mutex_lock(&code->lock);
    CUresult result = compile(code, HELPER_FUNCTIONS, 0, &code->functions);
    *object = code->functions;
    pthread_mutex_unlock(&code->lock);
    return result;
}
