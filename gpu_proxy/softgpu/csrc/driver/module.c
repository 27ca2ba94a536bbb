/* SPDX-License-Identifier: Apache-2.0
 *
 * Loading code into a context, and finding things in it.
 */
#include "module.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"

static void free_globals(struct module *module)
{
    size_t count = module->globals ? sg_image_global_count(module->image) : 0;
    for (size_t i = 0; i < count; i++)
        if (module->globals[i].address)
            (void)memory_release(module->globals[i].address, module->globals[i].id);
    free(module->globals);
}

static void module_destroy(struct module *module)
{
    if (module->image) {
        free_globals(module);
        sg_image_unload(module->image);
    }
    if (module->code)
        code_put(module->code);
    pthread_mutex_destroy(&module->lock);
    free(module->functions);
    free(module);
}

static void module_free(struct object *object)
{
    context_disown(object);
    module_destroy((struct module *)object);
}

static CUresult place_global(struct module *module, struct context *context, size_t index)
{
    struct allocation found;
    const struct sg_global *global = sg_image_global(module->image, index);
    uint64_t address = 0, bytes = global->bytes ? global->bytes : 1;
    TRY(memory_take(context->device, context, bytes, MEMORY_DEVICE, NULL, &address));
    if (memory_find(address, &found))
        module->globals[index] = (struct global){address, found.id};
    if (!global->init)
        memset((void *)(uintptr_t)address, 0, bytes); /* a slot may have been used before */
    sg_image_bind(module->image, index, address);
    return CUDA_SUCCESS;
}

static CUresult place_globals(struct module *module, struct context *context)
{
    size_t count = sg_image_global_count(module->image);
    module->globals = calloc(count ? count : 1, sizeof(*module->globals));
    module->functions = calloc(sg_image_kernel_count(module->image) + 1, sizeof(struct function *));
    if (!module->globals || !module->functions)
        return CUDA_ERROR_OUT_OF_MEMORY;
    for (size_t i = 0; i < count; i++)
        TRY(place_global(module, context, i));
    return sg_image_finish(module->image) ? CUDA_ERROR_INVALID_IMAGE : CUDA_SUCCESS;
}

CUresult module_load(struct context *context, struct code *code, struct module **out)
{
    struct module *module = calloc(1, sizeof(*module));
    if (!module)
        return CUDA_ERROR_OUT_OF_MEMORY;
    pthread_mutex_init(&module->lock, NULL);
    atomic_fetch_add(&code->references, 1);
    module->code = code;
    CUresult result = code_open(code, &module->image);
    if (!result)
        result = place_globals(module, context);
    if (!result)
        result = context_adopt(context, &module->object, KIND_MODULE, module_free);
    if (result)
        module_destroy(module);
    else
        *out = module;
    return result;
}

/* Drop the module's own references to its functions, so that it goes when nobody else uses it. */
static void kill_functions(struct module *module)
{
    for (size_t i = 0; i < sg_image_kernel_count(module->image); i++) {
        pthread_mutex_lock(&module->lock);
        struct function *function = module->functions[i];
        module->functions[i] = NULL;
        pthread_mutex_unlock(&module->lock);
        if (function && object_kill(&function->object))
            object_put(&function->object);
    }
}

void module_kill(struct module *module)
{
    if (!object_kill(&module->object))
        return;
    kill_functions(module);
    object_put(&module->object);
}

static void function_free(struct object *object)
{
    struct function *function = (struct function *)object;
    struct module *module = function->module;
    context_disown(object);
    free(function);
    object_put(&module->object);
}

static CUresult make_function(struct module *module, size_t index)
{
    struct context *context = module->object.context;
    struct function *function = calloc(1, sizeof(*function));
    if (!function)
        return CUDA_ERROR_OUT_OF_MEMORY;
    function->module = module;
    function->index = index;
    function->kernel = sg_image_kernel(module->image, index);
    function->settings = (struct function_settings){.max_dynamic_shared = -1, .carveout = -1};
    if (context_adopt(context, &function->object, KIND_FUNCTION, function_free)) {
        free(function);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    object_hold(&module->object);
    module->functions[index] = function;
    return CUDA_SUCCESS;
}

CUresult module_function(struct module *module, size_t index, struct function **out)
{
    CUresult result = CUDA_SUCCESS;
    pthread_mutex_lock(&module->lock);
    if (!object_is_alive(&module->object))
        result = CUDA_ERROR_INVALID_HANDLE;
    else if (!module->functions[index])
        result = make_function(module, index);
    *out = result ? NULL : module->functions[index];
    if (*out)
        object_hold(&(*out)->object);
    pthread_mutex_unlock(&module->lock);
    return result;
}

static CUresult add(struct module *module, const struct blob *object)
{
    char error[SG_ERROR_BYTES] = "";
    int result = sg_image_add(module->image, object->data, object->bytes, error);
    if (!result)
        return CUDA_SUCCESS;
    driver_log("%s", error[0] ? error : strerror(-result));
    return result == -ENOMEM ? CUDA_ERROR_OUT_OF_MEMORY : CUDA_ERROR_INVALID_IMAGE;
}

/* With the module's lock held. The functions come first: a kernel that is ready may call them. */
static CUresult add_missing(struct module *module, const struct sg_kernel *kernel, const struct blob *object,
                            const struct blob *functions)
{
    if (functions && !sg_image_has_functions(module->image))
        TRY(add(module, functions));
    return sg_kernel_is_ready(kernel) ? CUDA_SUCCESS : add(module, object);
}

CUresult function_load(struct function *function)
{
    const struct sg_kernel *kernel = function->kernel;
    struct module *module = function->module;
    const struct blob *object = NULL, *functions = NULL;
    if (sg_kernel_is_ready(kernel))
        return CUDA_SUCCESS;
    TRY(code_kernel(module->code, function->index, &object));
    if (kernel->calls_pointers)
        TRY(code_functions(module->code, &functions));
    pthread_mutex_lock(&module->lock);
    CUresult result = add_missing(module, kernel, object, functions);
    pthread_mutex_unlock(&module->lock);
    return result;
}

CUresult image_find_kernel(const struct sg_image *image, const char *name, size_t *index)
{
    size_t count = sg_image_kernel_count(image);
    for (*index = 0; *index < count; (*index)++)
        if (strcmp(sg_image_kernel(image, *index)->name, name) == 0)
            return CUDA_SUCCESS;
    return CUDA_ERROR_NOT_FOUND;
}

CUresult image_find_global(const struct sg_image *image, const char *name, size_t *index)
{
    size_t count = sg_image_global_count(image);
    for (*index = 0; *index < count; (*index)++)
        if (strcmp(sg_image_global(image, *index)->name, name) == 0)
            return CUDA_SUCCESS;
    return CUDA_ERROR_NOT_FOUND;
}
