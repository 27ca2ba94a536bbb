/* SPDX-License-Identifier: Apache-2.0
 *
 * What the shared interop code needs to know about this driver, and the calls that it answers.
 */
#include "interop.h"

#include <string.h>

#include "driver.h"

static int hook_version(void)
{
    return DRIVER_VERSION;
}

static int hook_count(void)
{
    return driver.device_count;
}

static int hook_identity(int ordinal, unsigned char uuid[16], int pci[3])
{
    const struct device *device = device_get(ordinal);
    if (!device)
        return CUDA_ERROR_INVALID_DEVICE;
    memcpy(uuid, device->uuid, sizeof(device->uuid));
    pci[0] = 0;
    pci[1] = ordinal + 1;
    pci[2] = 0;
    return CUDA_SUCCESS;
}

static void *hook_current(void)
{
    const struct context *context = context_current();
    return context ? AS_HANDLE(void *, context) : NULL;
}

static int hook_primary(void **context, int device)
{
    return (int)cuDevicePrimaryCtxRetain((CUcontext *)context, device);
}

static int hook_number(void *handle, uint64_t *number)
{
    unsigned long long id = 0;
    CUresult result = cuCtxGetId(handle, &id);
    *number = id;
    return (int)result;
}

static int hook_load(void **module, const void *image)
{
    return (int)cuModuleLoadFatBinary((CUmodule *)module, image);
}

static int hook_function_count(unsigned *count, void *module)
{
    return (int)cuModuleGetFunctionCount(count, module);
}

static int hook_functions(void **functions, unsigned count, void *module)
{
    return (int)cuModuleEnumerateFunctions((CUfunction *)functions, count, module);
}

static const struct interop_hooks hooks = {
    .driver_version = hook_version,
    .device_count = hook_count,
    .device_identity = hook_identity,
    .current_context = hook_current,
    .primary_context = hook_primary,
    .context_number = hook_number,
    .module_load = hook_load,
    .module_function_count = hook_function_count,
    .module_functions = hook_functions,
    .log = driver_log,
};

static void start(void)
{
    interop_init(&hooks);
}

static void ensure(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, start);
}

void interop_forget_context(struct context *context)
{
    ensure();
    interop_context_destroyed(AS_HANDLE(void *, context));
}

/* Applications ask for functions and tables before they call cuInit. */
CUresult cuGetProcAddress_v2(const char *symbol, void **function, int version, cuuint64_t flags,
                             CUdriverProcAddressQueryResult *status)
{
    ensure();
    return (CUresult)interop_get_proc_address(symbol, function, version, flags, (int *)status);
}

CUresult cuGetProcAddress(const char *symbol, void **function, int version, cuuint64_t flags)
{
    ensure();
    return (CUresult)interop_get_proc_address_v1(symbol, function, version, flags);
}

CUresult cuGetExportTable(const void **table, const CUuuid *identifier)
{
    ensure();
    NEED(table && identifier);
    return (CUresult)interop_get_export_table(table, (const unsigned char *)identifier->bytes);
}

CUresult cuGetErrorName(CUresult error, const char **text)
{
    NEED(text);
    *text = interop_error_name((int)error);
    return *text ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuGetErrorString(CUresult error, const char **text)
{
    NEED(text);
    *text = interop_error_string((int)error);
    return *text ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}
