/* SPDX-License-Identifier: Apache-2.0
 *
 * Kernels and functions. One handle serves both, because the runtime launches either. What never changes
 * comes with the handle and is answered here.
 */
#include <stdlib.h>
#include <string.h>

#include "fronts.h"
#include "functions.h"
#include "params.h"

extern const struct idm_call vgpuFunctionLoad_call;

enum { KIND_MODULE = 4, KIND_FUNCTION = 5, KIND_LIBRARY = 6, LAYOUT_MAX = VGPU_LAYOUT_MAX, ATTRIBUTES = 32 };

static struct vgpu_function *make_function(const char *name, const struct vgpu_function_info *info,
                                           const struct vgpu_param_info *layout)
{
    size_t layout_bytes = info->param_count * sizeof *layout;
    struct vgpu_function *function = calloc(1, sizeof *function + layout_bytes);

    if (!function)
        return NULL;
    function->name = strdup(name);
    memcpy(function->attributes, info->attributes, sizeof function->attributes);
    function->attribute_valid = info->attribute_valid;
    function->param_count = info->param_count;
    function->param_bytes = info->param_bytes;
    memcpy(function->params, layout, layout_bytes);
    return function;
}

/* The layout comes from the worker: nothing in it may lead outside the parameter buffer. */
static int layout_is_sane(const struct vgpu_function_info *info, const struct vgpu_param_info *layout)
{
    if (info->param_count > LAYOUT_MAX || info->param_bytes > IDM_RECORD_MAX / 2)
        return 0;
    for (uint32_t i = 0; i < info->param_count; i++)
        if (layout[i].offset > info->param_bytes || layout[i].bytes > info->param_bytes - layout[i].offset)
            return 0;
    return 1;
}

CUresult vgpu_function_keep(uint64_t handle, const char *name, const struct vgpu_function_info *info,
                            const struct vgpu_param_info *layout)
{
    struct vgpu_object *object = vgpu_object_find(handle, KIND_FUNCTION);

    if (!layout_is_sane(info, layout)) {
        vgpu_log(VGPU_ERROR, "kernel %s has more parameters than the front end can pass", name);
        return CUDA_ERROR_NOT_SUPPORTED;
    }
    struct vgpu_function *function = object ? make_function(name, info, layout) : NULL;
    if (!function)
        return object ? CUDA_ERROR_OUT_OF_MEMORY : CUDA_ERROR_INVALID_HANDLE;
    object->info = function;
    return CUDA_SUCCESS;
}

CUresult vgpu_function_use(uint64_t handle, struct vgpu_function **function)
{
    const struct vgpu_object *object = vgpu_object_find(handle, KIND_FUNCTION);
    CUresult status = CUDA_SUCCESS;

    *function = object ? object->info : NULL;
    if (!*function)
        return CUDA_ERROR_INVALID_HANDLE;
    if (!atomic_load_explicit(&(*function)->is_loaded, memory_order_relaxed)) {
        void *const args[] = {&handle};
        status = vgpu_send(&vgpuFunctionLoad_call, 0, args);
        atomic_store(&(*function)->is_loaded, status == CUDA_SUCCESS);
    }
    return status;
}

static CUresult get(const struct idm_call *call, unsigned owner_kind, void *const args[])
{
    uint64_t *result = *(uint64_t **)args[0], owner = *(const uint64_t *)args[1];
    const char *name = *(const char **)args[2];
    struct vgpu_function_info info, *info_at = &info;
    struct vgpu_param_info layout[LAYOUT_MAX], *layout_at = layout;
    unsigned capacity = LAYOUT_MAX;
    CUresult status = vgpu_may_call(vgpu_self());

    if (status != CUDA_SUCCESS)
        return status;
    if (!result || !name)
        return CUDA_ERROR_INVALID_VALUE;
    const struct vgpu_object *holder = vgpu_object_find(owner, owner_kind);
    if (!holder)
        return CUDA_ERROR_INVALID_HANDLE;
    uint64_t handle = vgpu_object_new(KIND_FUNCTION, holder->context, owner), *where = &handle;
    if (!handle)
        return CUDA_ERROR_OUT_OF_MEMORY;
    void *const sent[] = {&where, &owner, &name, &info_at, &capacity, &layout_at};
    status = vgpu_send_chosen(call, 0, sent, &handle);
    if (status == CUDA_SUCCESS)
        status = vgpu_function_keep(handle, name, &info, layout);
    if (status == CUDA_SUCCESS) {
        atomic_store(&((struct vgpu_function *)vgpu_object_find(handle, KIND_FUNCTION)->info)->is_loaded, 1);
        *result = handle;
    } else {
        vgpu_object_drop(handle);
    }
    return status;
}

CUresult vgpu_front_module_get_function(const struct vgpu_entry *entry, void *const args[])
{
    (void)entry;
    return get(&vgpuModuleGetFunction_call, KIND_MODULE, args);
}

CUresult vgpu_front_library_get_kernel(const struct vgpu_entry *entry, void *const args[])
{
    (void)entry;
    return get(&vgpuLibraryGetKernel_call, KIND_LIBRARY, args);
}

static const struct vgpu_function *function_at(void *const args[], unsigned index)
{
    const struct vgpu_object *object = vgpu_object_find(*(const uint64_t *)args[index], KIND_FUNCTION);

    return object ? object->info : NULL;
}

static uint64_t parent_at(void *const args[], unsigned index)
{
    const struct vgpu_object *object = vgpu_object_find(*(const uint64_t *)args[index], KIND_FUNCTION);

    return object ? object->parent : 0;
}

CUresult vgpu_front_kernel_get_function(const struct vgpu_entry *entry, void *const args[])
{
    uint64_t *function = *(uint64_t **)args[0];

    (void)entry;
    if (!function)
        return CUDA_ERROR_INVALID_VALUE;
    if (!function_at(args, 1))
        return CUDA_ERROR_INVALID_HANDLE;
    *function = *(const uint64_t *)args[1];
    return CUDA_SUCCESS;
}

static CUresult get_parent(void *const args[], unsigned kind)
{
    uint64_t *result = *(uint64_t **)args[0], parent = parent_at(args, 1);

    if (!result)
        return CUDA_ERROR_INVALID_VALUE;
    if (IDM_HANDLE_KIND(parent) != kind)
        return CUDA_ERROR_INVALID_HANDLE;
    *result = parent;
    return CUDA_SUCCESS;
}

CUresult vgpu_front_kernel_get_library(const struct vgpu_entry *entry, void *const args[])
{
    (void)entry;
    return get_parent(args, KIND_LIBRARY);
}

CUresult vgpu_front_func_get_module(const struct vgpu_entry *entry, void *const args[])
{
    (void)entry;
    return get_parent(args, KIND_MODULE);
}

CUresult vgpu_front_func_get_name(const struct vgpu_entry *entry, void *const args[])
{
    const struct vgpu_function *function = function_at(args, 1);
    const char **name = *(const char ***)args[0];

    (void)entry;
    if (!name)
        return CUDA_ERROR_INVALID_VALUE;
    if (!function)
        return CUDA_ERROR_INVALID_HANDLE;
    *name = function->name;
    return CUDA_SUCCESS;
}

CUresult vgpu_front_kernel_get_name(const struct vgpu_entry *entry, void *const args[])
{
    return vgpu_front_func_get_name(entry, args);
}

CUresult vgpu_front_func_get_param_count(const struct vgpu_entry *entry, void *const args[])
{
    const struct vgpu_function *function = function_at(args, 0);
    size_t *count = *(size_t **)args[1];

    (void)entry;
    if (!count)
        return CUDA_ERROR_INVALID_VALUE;
    if (!function)
        return CUDA_ERROR_INVALID_HANDLE;
    *count = function->param_count;
    return CUDA_SUCCESS;
}

CUresult vgpu_front_kernel_get_param_count(const struct vgpu_entry *entry, void *const args[])
{
    return vgpu_front_func_get_param_count(entry, args);
}

CUresult vgpu_front_func_get_param_info(const struct vgpu_entry *entry, void *const args[])
{
    const struct vgpu_function *function = function_at(args, 0);
    size_t index = *(const size_t *)args[1], *offset = *(size_t **)args[2], *bytes = *(size_t **)args[3];

    (void)entry;
    if (!function)
        return CUDA_ERROR_INVALID_HANDLE;
    if (!offset || index >= function->param_count)
        return CUDA_ERROR_INVALID_VALUE;
    *offset = function->params[index].offset;
    if (bytes)
        *bytes = function->params[index].bytes;
    return CUDA_SUCCESS;
}

CUresult vgpu_front_kernel_get_param_info(const struct vgpu_entry *entry, void *const args[])
{
    return vgpu_front_func_get_param_info(entry, args);
}

/* Attributes that came with the handle are answered here; those that a set can change are not among them. */
static CUresult get_attribute(const struct vgpu_entry *entry, void *const args[])
{
    const struct vgpu_function *function = function_at(args, 2);
    unsigned attribute = *(const unsigned *)args[1];
    int *value = *(int **)args[0];

    if (!value)
        return CUDA_ERROR_INVALID_VALUE;
    if (!function)
        return CUDA_ERROR_INVALID_HANDLE;
    if (attribute < ATTRIBUTES && function->attribute_valid >> attribute & 1) {
        vgpu_self()->counters.local++;
        *value = function->attributes[attribute];
        return CUDA_SUCCESS;
    }
    return vgpu_forward(entry, args);
}

CUresult vgpu_front_func_get_attribute(const struct vgpu_entry *entry, void *const args[])
{
    return get_attribute(entry, args);
}

CUresult vgpu_front_kernel_get_attribute(const struct vgpu_entry *entry, void *const args[])
{
    return get_attribute(entry, args);
}

/* The limit of dynamic shared memory is also checked here, before a launch is posted. */
static CUresult set_attribute(const struct vgpu_entry *entry, void *const args[], unsigned attribute, int value,
                              unsigned function_index)
{
    enum { MAX_DYNAMIC_SHARED = 8 };
    struct vgpu_object *object =
        vgpu_object_find(*(const uint64_t *)args[function_index], KIND_FUNCTION);

    if (!object || !object->info)
        return CUDA_ERROR_INVALID_HANDLE;
    CUresult status = vgpu_forward(entry, args);
    if (status == CUDA_SUCCESS && attribute == MAX_DYNAMIC_SHARED)
        atomic_store(&((struct vgpu_function *)object->info)->dynamic_max, value);
    return status;
}

CUresult vgpu_front_func_set_attribute(const struct vgpu_entry *entry, void *const args[])
{
    return set_attribute(entry, args, *(const unsigned *)args[1], *(const int *)args[2], 0);
}

CUresult vgpu_front_kernel_set_attribute(const struct vgpu_entry *entry, void *const args[])
{
    return set_attribute(entry, args, *(const unsigned *)args[0], *(const int *)args[1], 2);
}
