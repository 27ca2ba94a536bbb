/* SPDX-License-Identifier: Apache-2.0
 *
 * Libraries: code that is loaded once and becomes a module in each context that uses it.
 */
#include <stdlib.h>
#include <string.h>

#include "capture.h"
#include "module.h"

static void library_free(struct object *object)
{
    struct library *library = (struct library *)object;
    if (library->code)
        code_put(library->code);
    pthread_mutex_destroy(&library->lock);
    free(library->kernels);
    free(library);
}

static void kernel_free(struct object *object)
{
    struct kernel *kernel = (struct kernel *)object;
    struct library *library = kernel->library;
    free(kernel);
    object_put(&library->object);
}

static CUresult make_kernel(struct library *library, size_t index)
{
    struct kernel *kernel = calloc(1, sizeof(*kernel));
    if (!kernel)
        return CUDA_ERROR_OUT_OF_MEMORY;
    *kernel = (struct kernel){.library = library, .index = index,
                              .shape = sg_image_kernel(library->code->shape, index),
                              .settings = {.max_dynamic_shared = -1, .carveout = -1}};
    if (object_register(&kernel->object, KIND_KERNEL, kernel_free)) {
        free(kernel);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    object_hold(&library->object);
    library->kernels[index] = kernel;
    return CUDA_SUCCESS;
}

static CUresult fill(struct library *library)
{
    size_t count = sg_image_kernel_count(library->code->shape);
    library->kernels = calloc(count + 1, sizeof(struct kernel *));
    if (!library->kernels)
        return CUDA_ERROR_OUT_OF_MEMORY;
    if (object_register(&library->object, KIND_LIBRARY, library_free))
        return CUDA_ERROR_OUT_OF_MEMORY;
    CUresult result = CUDA_SUCCESS;
    for (size_t i = 0; i < count && !result; i++)
        result = make_kernel(library, i);
    return result;
}

static void kill_kernels(struct library *library)
{
    size_t count = sg_image_kernel_count(library->code->shape);
    for (size_t i = 0; i < count; i++)
        if (library->kernels[i] && object_kill(&library->kernels[i]->object))
            object_put(&library->kernels[i]->object);
}

static void kill_modules(struct library *library)
{
    for (size_t i = 0; i < LIBRARY_CONTEXTS_MAX; i++) {
        struct module *module = object_get(library->modules[i], KIND_MODULE);
        if (!module)
            continue;
        struct context *context = module->object.context;
        if (context)
            (void)context_wait_idle(context); /* queued kernels use its globals */
        module_kill(module);
        object_put(&module->object);
    }
}

static CUresult load(CUlibrary *out, const void *image, struct jit_log *log)
{
    struct library *library = calloc(1, sizeof(*library));
    if (!library)
        return CUDA_ERROR_OUT_OF_MEMORY;
    pthread_mutex_init(&library->lock, NULL);
    CUresult result = code_load(image, log, &library->code);
    if (!result)
        result = fill(library);
    if (!result) {
        *out = AS_HANDLE(CUlibrary, library);
    } else if (library->object.handle) {
        object_kill(&library->object);
        kill_kernels(library);
        object_put(&library->object);
    } else {
        library_free(&library->object);
    }
    return result;
}

CUresult cuLibraryLoadData(CUlibrary *library, const void *image, CUjit_option *jit_options, void **jit_values,
                           unsigned int jit_count, CUlibraryOption *options, void **values, unsigned int count)
{
    struct jit_log log;
    ENTER();
    NEED(library && image && (!count || (options && values)) && (!jit_count || (jit_options && jit_values)));
    jit_log_parse(&log, jit_count, jit_options, jit_values);
    return load(library, image, &log);
}

CUresult cuLibraryLoadFromFile(CUlibrary *library, const char *path, CUjit_option *jit_options, void **jit_values,
                               unsigned int jit_count, CUlibraryOption *options, void **values, unsigned int count)
{
    void *image = NULL;
    ENTER();
    NEED(library && path);
    TRY(image_read_file(path, &image));
    CUresult result =
        cuLibraryLoadData(library, image, jit_options, jit_values, jit_count, options, values, count);
    free(image);
    return result;
}

CUresult cuLibraryUnload(CUlibrary handle)
{
    ENTER();
    TRY(capture_forbid_unsafe());
    struct library *library = object_get(HANDLE(handle), KIND_LIBRARY);
    if (!library)
        return CUDA_ERROR_INVALID_HANDLE;
    if (object_kill(&library->object)) {
        kill_modules(library);
        kill_kernels(library);
        object_put(&library->object);
    }
    object_put(&library->object);
    return CUDA_SUCCESS;
}

/* Called with the library's lock held. */
static CUresult find_or_load(struct library *library, struct context *context, struct module **module)
{
    size_t room = LIBRARY_CONTEXTS_MAX;
    for (size_t i = 0; i < LIBRARY_CONTEXTS_MAX; i++) {
        *module = object_get(library->modules[i], KIND_MODULE);
        if (!*module && room == LIBRARY_CONTEXTS_MAX)
            room = i;
        if (!library->modules[i])
            break; /* the rest was never used */
        if (!*module)
            continue;
        if (library->module_contexts[i] == context->owner->object.handle)
            return CUDA_SUCCESS;
        object_put(&(*module)->object);
    }
    if (room == LIBRARY_CONTEXTS_MAX)
        return CUDA_ERROR_OUT_OF_MEMORY;
    TRY(module_load(context, library->code, module));
    object_hold(&(*module)->object);
    library->modules[room] = (*module)->object.handle;
    library->module_contexts[room] = context->owner->object.handle;
    return CUDA_SUCCESS;
}

CUresult library_module(struct library *library, struct context *context, struct module **module)
{
    pthread_mutex_lock(&library->lock);
    CUresult result = object_is_alive(&library->object) ? find_or_load(library, context, module)
                                                        : CUDA_ERROR_INVALID_HANDLE;
    pthread_mutex_unlock(&library->lock);
    return result;
}

CUresult kernel_function(struct kernel *kernel, struct context *context, struct function **function)
{
    struct module *module = NULL;
    TRY(library_module(kernel->library, context, &module));
    CUresult result = module_function(module, kernel->index, function);
    if (!result) {
        (*function)->kernel_handle = kernel->object.handle;
        (*function)->settings = kernel->settings;
    }
    object_put(&module->object);
    return result;
}
