/* SPDX-License-Identifier: Apache-2.0
 *
 * Functions: attributes and parameters.
 */
#include "memory.h"
#include "module.h"

CUresult function_from_handle(struct context *context, CUfunction handle, struct function **function)
{
    if (handle_kind(HANDLE(handle)) == KIND_KERNEL) {
        struct kernel *kernel = object_get(HANDLE(handle), KIND_KERNEL);
        if (!kernel)
            return CUDA_ERROR_INVALID_HANDLE;
        CUresult result = kernel_function(kernel, context, function);
        object_put(&kernel->object);
        return result;
    }
    *function = object_get(HANDLE(handle), KIND_FUNCTION);
    return *function ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

int function_max_dynamic(const struct sg_kernel *kernel, const struct function_settings *settings)
{
    if (settings->max_dynamic_shared >= 0)
        return settings->max_dynamic_shared;
    return SHARED_PER_BLOCK - (int)kernel->static_shared_bytes;
}

CUresult kernel_attribute(const struct sg_kernel *kernel, const struct function_settings *settings,
                          CUfunction_attribute attribute, int *value)
{
    switch (attribute) {
    case CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK:
        *value = (int)kernel->max_threads;
        break;
    case CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES:
        *value = (int)kernel->static_shared_bytes;
        break;
    case CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES:
        *value = (int)kernel->local_bytes;
        break;
    case CU_FUNC_ATTRIBUTE_NUM_REGS:
        *value = REGISTERS_PER_THREAD;
        break;
    case CU_FUNC_ATTRIBUTE_PTX_VERSION:
    case CU_FUNC_ATTRIBUTE_BINARY_VERSION:
        *value = (int)kernel->target;
        break;
    case CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES:
        *value = function_max_dynamic(kernel, settings);
        break;
    case CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT:
        *value = settings->carveout;
        break;
    default:
        NEED((unsigned)attribute < FUNCTION_ATTRIBUTES);
        *value = 0; /* constant memory, caching and clusters: none of its own */
    }
    return CUDA_SUCCESS;
}

CUresult kernel_set_attribute(const struct sg_kernel *kernel, struct function_settings *settings,
                              CUfunction_attribute attribute, int value)
{
    switch (attribute) {
    case CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES:
        NEED(value >= 0 && value <= SHARED_OPTIN - (int)kernel->static_shared_bytes);
        settings->max_dynamic_shared = value;
        return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT:
        NEED(value >= -1 && value <= 100);
        settings->carveout = value;
        return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_CLUSTER_SIZE_MUST_BE_SET:
    case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_WIDTH:
    case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_HEIGHT:
    case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_DEPTH:
    case CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED:
    case CU_FUNC_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE:
        return CUDA_ERROR_NOT_SUPPORTED;
    default:
        return CUDA_ERROR_INVALID_VALUE;
    }
}

static void put_function(struct function **function)
{
    if (*function)
        object_put(&(*function)->object);
}

#define ENTER_FUNCTION(name, handle)                                                                         \
    ENTER_CONTEXT(context);                                                                                  \
    struct function *name __attribute__((cleanup(put_function))) = NULL;                                     \
    TRY(function_from_handle(context, handle, &name))

CUresult cuFuncGetAttribute(int *value, CUfunction_attribute attribute, CUfunction handle)
{
    ENTER_FUNCTION(function, handle);
    NEED(value);
    return kernel_attribute(function->kernel, &function->settings, attribute, value);
}

/* A function that comes from a library shares its settings with the kernel. */
static void pass_on_to_kernel(const struct function *function)
{
    struct kernel *kernel = object_get(function->kernel_handle, KIND_KERNEL);
    if (!kernel)
        return;
    kernel->settings = function->settings;
    object_put(&kernel->object);
}

CUresult cuFuncSetAttribute(CUfunction handle, CUfunction_attribute attribute, int value)
{
    ENTER_FUNCTION(function, handle);
    TRY(kernel_set_attribute(function->kernel, &function->settings, attribute, value));
    pass_on_to_kernel(function);
    return CUDA_SUCCESS;
}

CUresult cuFuncSetCacheConfig(CUfunction handle, CUfunc_cache config)
{
    ENTER_FUNCTION(function, handle);
    NEED((unsigned)config <= CU_FUNC_CACHE_PREFER_EQUAL);
    function->settings.cache_config = config;
    return CUDA_SUCCESS;
}

CUresult cuFuncSetSharedMemConfig(CUfunction handle, CUsharedconfig config)
{
    ENTER_FUNCTION(function, handle);
    NEED((unsigned)config <= CU_SHARED_MEM_CONFIG_EIGHT_BYTE_BANK_SIZE);
    return CUDA_SUCCESS; /* banks are a matter of hardware */
}

CUresult cuFuncGetModule(CUmodule *out, CUfunction handle)
{
    ENTER_FUNCTION(function, handle);
    NEED(out);
    *out = AS_HANDLE(CUmodule, function->module);
    return CUDA_SUCCESS;
}

CUresult cuFuncGetName(const char **name, CUfunction handle)
{
    ENTER_FUNCTION(function, handle);
    NEED(name);
    *name = function->kernel->name;
    return CUDA_SUCCESS;
}

CUresult cuFuncGetParamInfo(CUfunction handle, size_t index, size_t *offset, size_t *size)
{
    ENTER_FUNCTION(function, handle);
    NEED(offset && index < function->kernel->param_count);
    *offset = function->kernel->params[index].offset;
    if (size)
        *size = function->kernel->params[index].bytes;
    return CUDA_SUCCESS;
}

CUresult cuFuncGetParamCount(CUfunction handle, size_t *count)
{
    ENTER_FUNCTION(function, handle);
    NEED(count);
    *count = function->kernel->param_count;
    return CUDA_SUCCESS;
}

CUresult cuFuncIsLoaded(CUfunctionLoadingState *state, CUfunction handle)
{
    ENTER_FUNCTION(function, handle);
    NEED(state);
    *state = sg_kernel_is_ready(function->kernel) ? CU_FUNCTION_LOADING_STATE_LOADED
                                                  : CU_FUNCTION_LOADING_STATE_UNLOADED;
    return CUDA_SUCCESS;
}

CUresult cuFuncLoad(CUfunction handle)
{
    ENTER_FUNCTION(function, handle);
    return function_load(function);
}
