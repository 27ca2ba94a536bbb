/* SPDX-License-Identifier: Apache-2.0
 *
 * Kernels found by listing them: the back end chose their handles, so what a launch needs is asked for here.
 */
#include <string.h>

#include "fronts.h"
#include "functions.h"

enum { NAME_MAX_BYTES = 4096 };

extern const struct idm_call vgpuFunctionInfo_call;

CUresult vgpu_function_describe(uint64_t handle)
{
    struct vgpu_object *object = vgpu_object_find(handle, VGPU_KIND_FUNCTION);
    struct vgpu_function_info info, *info_at = &info;
    struct vgpu_param_info layout[VGPU_LAYOUT_MAX], *layout_at = layout;
    char name[NAME_MAX_BYTES] = "", *name_at = name;
    unsigned capacity = VGPU_LAYOUT_MAX, name_bytes = NAME_MAX_BYTES - 1;
    void *const args[] = {&handle, &name_bytes, &name_at, &info_at, &capacity, &layout_at};

    if (!object || object->info)
        return object ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
    CUresult status = vgpu_send(&vgpuFunctionInfo_call, 0, args);
    return status == CUDA_SUCCESS ? vgpu_function_keep(handle, name, &info, layout) : status;
}

static CUresult enumerate(const struct vgpu_entry *entry, void *const args[])
{
    const uint64_t *handles = *(uint64_t **)args[0];
    unsigned count = *(const unsigned *)args[1];
    CUresult status = vgpu_forward(entry, args);

    for (unsigned i = 0; i < count && status == CUDA_SUCCESS && handles[i]; i++)
        status = vgpu_function_describe(handles[i]);
    return status;
}

CUresult vgpu_front_enumerate_functions(const struct vgpu_entry *entry, void *const args[])
{
    return enumerate(entry, args);
}

CUresult vgpu_front_enumerate_kernels(const struct vgpu_entry *entry, void *const args[])
{
    return enumerate(entry, args);
}
