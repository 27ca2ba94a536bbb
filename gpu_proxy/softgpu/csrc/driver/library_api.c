/* SPDX-License-Identifier: Apache-2.0
 *
 * What can be asked of libraries and their kernels.
 */
#include <string.h>

#include "module.h"

#define GET_LIBRARY(name, handle)                                                                            \
    struct library *name __attribute__((cleanup(put_library))) = object_get(HANDLE(handle), KIND_LIBRARY);   \
    if (!name)                                                                                               \
    return CUDA_ERROR_INVALID_HANDLE

#define GET_KERNEL(name, handle)                                                                             \
    struct kernel *name __attribute__((cleanup(put_kernel))) = object_get(HANDLE(handle), KIND_KERNEL);      \
    if (!name)                                                                                               \
    return CUDA_ERROR_INVALID_HANDLE

static void put_library(struct library **library)
{
    if (*library)
        object_put(&(*library)->object);
}

static void put_kernel(struct kernel **kernel)
{
    if (*kernel)
        object_put(&(*kernel)->object);
}

CUresult cuLibraryGetKernel(CUkernel *out, CUlibrary handle, const char *name)
{
    size_t index = 0;
    ENTER();
    NEED(out && name);
    GET_LIBRARY(library, handle);
    TRY(image_find_kernel(library->code->shape, name, &index));
    *out = AS_HANDLE(CUkernel, library->kernels[index]);
    return CUDA_SUCCESS;
}

CUresult cuLibraryGetModule(CUmodule *out, CUlibrary handle)
{
    struct module *module = NULL;
    ENTER_CONTEXT(context);
    NEED(out);
    GET_LIBRARY(library, handle);
    TRY(library_module(library, context, &module));
    *out = AS_HANDLE(CUmodule, module);
    object_put(&module->object);
    return CUDA_SUCCESS;
}

CUresult cuLibraryGetGlobal(CUdeviceptr *dptr, size_t *bytes, CUlibrary handle, const char *name)
{
    struct module *module = NULL;
    size_t index = 0;
    ENTER_CONTEXT(context);
    NEED(name && (dptr || bytes));
    GET_LIBRARY(library, handle);
    TRY(image_find_global(library->code->shape, name, &index));
    TRY(library_module(library, context, &module));
    if (dptr)
        *dptr = module->globals[index].address;
    if (bytes)
        *bytes = sg_image_global(module->image, index)->bytes;
    object_put(&module->object);
    return CUDA_SUCCESS;
}

CUresult cuLibraryGetManaged(CUdeviceptr *dptr, size_t *bytes, CUlibrary handle, const char *name)
{
    ENTER();
    NEED(name && (dptr || bytes));
    GET_LIBRARY(library, handle);
    return CUDA_ERROR_NOT_FOUND; /* managed variables are not reported as supported */
}

CUresult cuLibraryGetKernelCount(unsigned int *count, CUlibrary handle)
{
    ENTER();
    NEED(count);
    GET_LIBRARY(library, handle);
    *count = (unsigned)sg_image_kernel_count(library->code->shape);
    return CUDA_SUCCESS;
}

CUresult cuLibraryEnumerateKernels(CUkernel *kernels, unsigned int room, CUlibrary handle)
{
    ENTER();
    NEED(kernels && room);
    GET_LIBRARY(library, handle);
    size_t count = sg_image_kernel_count(library->code->shape);
    for (size_t i = 0; i < count && i < room; i++)
        kernels[i] = AS_HANDLE(CUkernel, library->kernels[i]);
    return CUDA_SUCCESS;
}

CUresult cuKernelGetFunction(CUfunction *out, CUkernel handle)
{
    struct function *function = NULL;
    ENTER_CONTEXT(context);
    NEED(out);
    GET_KERNEL(kernel, handle);
    TRY(kernel_function(kernel, context, &function));
    *out = AS_HANDLE(CUfunction, function);
    object_put(&function->object);
    return CUDA_SUCCESS;
}

CUresult cuKernelGetLibrary(CUlibrary *out, CUkernel handle)
{
    ENTER();
    NEED(out);
    GET_KERNEL(kernel, handle);
    *out = AS_HANDLE(CUlibrary, kernel->library);
    return CUDA_SUCCESS;
}

CUresult cuKernelGetName(const char **name, CUkernel handle)
{
    ENTER();
    NEED(name);
    GET_KERNEL(kernel, handle);
    *name = kernel->shape->name;
    return CUDA_SUCCESS;
}

CUresult cuKernelGetAttribute(int *value, CUfunction_attribute attribute, CUkernel handle, CUdevice dev)
{
    ENTER();
    NEED(value);
    if (!device_get(dev))
        return CUDA_ERROR_INVALID_DEVICE;
    GET_KERNEL(kernel, handle);
    return kernel_attribute(kernel->shape, &kernel->settings, attribute, value);
}

CUresult cuKernelSetAttribute(CUfunction_attribute attribute, int value, CUkernel handle, CUdevice dev)
{
    ENTER();
    if (!device_get(dev))
        return CUDA_ERROR_INVALID_DEVICE;
    GET_KERNEL(kernel, handle);
    return kernel_set_attribute(kernel->shape, &kernel->settings, attribute, value);
}

CUresult cuKernelSetCacheConfig(CUkernel handle, CUfunc_cache config, CUdevice dev)
{
    ENTER();
    NEED((unsigned)config <= CU_FUNC_CACHE_PREFER_EQUAL);
    if (!device_get(dev))
        return CUDA_ERROR_INVALID_DEVICE;
    GET_KERNEL(kernel, handle);
    kernel->settings.cache_config = config;
    return CUDA_SUCCESS;
}

CUresult cuKernelGetParamInfo(CUkernel handle, size_t index, size_t *offset, size_t *size)
{
    ENTER();
    NEED(offset);
    GET_KERNEL(kernel, handle);
    NEED(index < kernel->shape->param_count);
    *offset = kernel->shape->params[index].offset;
    if (size)
        *size = kernel->shape->params[index].bytes;
    return CUDA_SUCCESS;
}

CUresult cuKernelGetParamCount(CUkernel handle, size_t *count)
{
    ENTER();
    NEED(count);
    GET_KERNEL(kernel, handle);
    *count = kernel->shape->param_count;
    return CUDA_SUCCESS;
}
