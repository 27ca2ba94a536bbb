/* SPDX-License-Identifier: Apache-2.0
 *
 * What the interop code (idm/csrc/interop) needs to know about this library, and the calls it answers.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "fronts.h"
#include "interop.h"
#include "vgpu.h"

CUresult cuModuleGetFunctionCount(unsigned *count, CUmodule module);
CUresult cuModuleEnumerateFunctions(CUfunction *functions, unsigned count, CUmodule module);
CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device);
CUresult cuCtxGetId(CUcontext context, unsigned long long *identifier);

static int driver_version(void)
{
    return atomic_load(&vgpu.state) == VGPU_READY || vgpu_attach() == CUDA_SUCCESS
               ? vgpu.snapshot->driver_version
               : 0;
}

static int device_count(void)
{
    return atomic_load(&vgpu.state) == VGPU_READY ? vgpu.device_count : 0;
}

static int device_identity(int ordinal, unsigned char uuid[16], int pci[3])
{
    const struct idm_device *device = vgpu_device(ordinal);

    if (!device)
        return CUDA_ERROR_INVALID_DEVICE;
    memcpy(uuid, device->uuid, 16);
    memcpy(pci, device->pci, sizeof device->pci);
    return CUDA_SUCCESS;
}

static void *current_context(void)
{
    return (void *)(uintptr_t)vgpu_current(vgpu_self());
}

static int primary_context(void **context, int device)
{
    return (int)cuDevicePrimaryCtxRetain((CUcontext *)context, device);
}

static int context_number(void *context, uint64_t *number)
{
    unsigned long long identifier = 0;
    CUresult status = cuCtxGetId(context, &identifier);

    *number = identifier;
    return (int)status;
}

static int module_load(void **module, const void *image)
{
    return (int)vgpu_module_load_image(image, (CUmodule *)module);
}

static int module_function_count(unsigned *count, void *module)
{
    return (int)cuModuleGetFunctionCount(count, module);
}

static int module_functions(void **functions, unsigned count, void *module)
{
    return (int)cuModuleEnumerateFunctions((CUfunction *)functions, count, module);
}

static void log_line(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void log_line(const char *format, ...)
{
    char text[512];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    vgpu_log(VGPU_INFO, "%s", text);
}

static const struct interop_hooks hooks = {
    .driver_version = driver_version, .device_count = device_count, .device_identity = device_identity,
    .current_context = current_context, .primary_context = primary_context,
    .context_number = context_number, .module_load = module_load,
    .module_function_count = module_function_count, .module_functions = module_functions, .log = log_line,
};

/* The runtime asks for functions and tables before cuInit, so this is done when the library is loaded. */
__attribute__((constructor)) void vgpu_interop_start(void)
{
    interop_init(&hooks);
}

CUresult vgpu_front_get_proc_address_v2(const struct vgpu_entry *entry, void *const args[])
{
    (void)entry;
    return (CUresult)interop_get_proc_address(*(const char **)args[0], *(void ***)args[1],
                                              *(const int *)args[2], *(const uint64_t *)args[3],
                                              *(int **)args[4]);
}

CUresult vgpu_front_get_proc_address(const struct vgpu_entry *entry, void *const args[])
{
    (void)entry;
    return (CUresult)interop_get_proc_address_v1(*(const char **)args[0], *(void ***)args[1],
                                                 *(const int *)args[2], *(const uint64_t *)args[3]);
}

CUresult vgpu_front_get_export_table(const struct vgpu_entry *entry, void *const args[])
{
    const void **table = *(const void ***)args[0];
    const unsigned char *uuid = *(const unsigned char **)args[1];

    (void)entry;
    if (!table || !uuid)
        return CUDA_ERROR_INVALID_VALUE;
    return (CUresult)interop_get_export_table(table, uuid);
}

static CUresult text_of(const char *text, void *const args[])
{
    const char **result = *(const char ***)args[1];

    if (!result)
        return CUDA_ERROR_INVALID_VALUE;
    *result = text;
    return text ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult vgpu_front_get_error_name(const struct vgpu_entry *entry, void *const args[])
{
    (void)entry;
    return text_of(interop_error_name(*(const int *)args[0]), args);
}

CUresult vgpu_front_get_error_string(const struct vgpu_entry *entry, void *const args[])
{
    (void)entry;
    return text_of(interop_error_string(*(const int *)args[0]), args);
}
