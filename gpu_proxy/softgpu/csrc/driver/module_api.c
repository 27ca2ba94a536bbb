/* SPDX-License-Identifier: Apache-2.0
 *
 * The cuModule calls.
 */
#include <stdlib.h>
#include <string.h>

#include "capture.h"
#include "memory.h"
#include "module.h"

CUresult cuModuleGetLoadingMode(CUmoduleLoadingMode *mode)
{
    ENTER();
    NEED(mode);
    *mode = driver.loading_mode;
    return CUDA_SUCCESS;
}

static CUresult load(CUmodule *out, const void *image, struct jit_log *log)
{
    struct code *code = NULL;
    struct module *module = NULL;
    ENTER_CONTEXT(context);
    NEED(out && image); /* allowed during a capture since CUDA 12.3 */
    TRY(code_load(image, log, &code));
    CUresult result = module_load(context, code, &module);
    code_put(code);
    if (!result)
        *out = AS_HANDLE(CUmodule, module);
    return result;
}

CUresult cuModuleLoadData(CUmodule *module, const void *image)
{
    return load(module, image, NULL);
}

CUresult cuModuleLoadFatBinary(CUmodule *module, const void *image)
{
    return load(module, image, NULL);
}

CUresult cuModuleLoadDataEx(CUmodule *module, const void *image, unsigned int count, CUjit_option *options,
                            void **values)
{
    struct jit_log log;
    NEED(!count || (options && values));
    jit_log_parse(&log, count, options, values);
    return load(module, image, &log);
}

CUresult cuModuleLoad(CUmodule *module, const char *path)
{
    void *image = NULL;
    ENTER_CONTEXT(context);
    (void)context;
    NEED(module && path);
    TRY(image_read_file(path, &image));
    CUresult result = load(module, image, NULL);
    free(image);
    return result;
}

CUresult cuModuleUnload(CUmodule handle)
{
    ENTER_UNSAFE(context);
    struct module *module = object_get(HANDLE(handle), KIND_MODULE);
    if (!module)
        return CUDA_ERROR_INVALID_HANDLE;
    /* Kernels that are queued hold their function; its globals must not vanish under them. */
    (void)context_wait_idle(context);
    module_kill(module);
    object_put(&module->object);
    return CUDA_SUCCESS;
}

CUresult cuModuleGetFunction(CUfunction *out, CUmodule handle, const char *name)
{
    size_t index = 0;
    struct function *function = NULL;
    ENTER_CONTEXT(context);
    (void)context;
    NEED(out && name && *name);
    struct module *module = object_get(HANDLE(handle), KIND_MODULE);
    if (!module)
        return CUDA_ERROR_INVALID_HANDLE;
    CUresult result = image_find_kernel(module->image, name, &index);
    if (!result)
        result = module_function(module, index, &function);
    if (!result) {
        result = function_load(function);
        if (!result)
            *out = AS_HANDLE(CUfunction, function);
        object_put(&function->object);
    }
    object_put(&module->object);
    return result;
}

CUresult cuModuleGetGlobal_v2(CUdeviceptr *dptr, size_t *bytes, CUmodule handle, const char *name)
{
    size_t index = 0;
    ENTER_CONTEXT(context);
    (void)context;
    NEED(name && *name && (dptr || bytes));
    struct module *module = object_get(HANDLE(handle), KIND_MODULE);
    if (!module)
        return CUDA_ERROR_INVALID_HANDLE;
    CUresult result = image_find_global(module->image, name, &index);
    if (!result && dptr)
        *dptr = module->globals[index].address;
    if (!result && bytes)
        *bytes = sg_image_global(module->image, index)->bytes;
    object_put(&module->object);
    return result;
}

CUresult cuModuleGetFunctionCount(unsigned int *count, CUmodule handle)
{
    ENTER_CONTEXT(context);
    (void)context;
    NEED(count);
    struct module *module = object_get(HANDLE(handle), KIND_MODULE);
    if (!module)
        return CUDA_ERROR_INVALID_HANDLE;
    *count = (unsigned)sg_image_kernel_count(module->image);
    object_put(&module->object);
    return CUDA_SUCCESS;
}

CUresult cuModuleEnumerateFunctions(CUfunction *functions, unsigned int room, CUmodule handle)
{
    CUresult result = CUDA_SUCCESS;
    ENTER_CONTEXT(context);
    (void)context;
    NEED(functions && room);
    struct module *module = object_get(HANDLE(handle), KIND_MODULE);
    if (!module)
        return CUDA_ERROR_INVALID_HANDLE;
    size_t count = sg_image_kernel_count(module->image);
    for (size_t i = 0; i < count && i < room && !result; i++) {
        struct function *function = NULL;
        result = module_function(module, i, &function);
        if (!result) {
            functions[i] = AS_HANDLE(CUfunction, function);
            object_put(&function->object);
        }
    }
    object_put(&module->object);
    return result;
}
