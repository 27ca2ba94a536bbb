/* SPDX-License-Identifier: Apache-2.0
 *
 * Arrays: creation, description, destruction. There are no textures or surfaces to read them with.
 */
#include "array.h"

#include <stdlib.h>
#include <string.h>

#include "capture.h"
#include "memory.h"

#define ARRAY_DIM_MAX 131072u
#define ARRAY_FLAGS                                                                                          \
    (CUDA_ARRAY3D_LAYERED | CUDA_ARRAY3D_SURFACE_LDST | CUDA_ARRAY3D_CUBEMAP | CUDA_ARRAY3D_TEXTURE_GATHER)

static size_t channel_bytes(CUarray_format format)
{
    switch (format) {
    case CU_AD_FORMAT_UNSIGNED_INT8:
    case CU_AD_FORMAT_SIGNED_INT8:
        return 1;
    case CU_AD_FORMAT_UNSIGNED_INT16:
    case CU_AD_FORMAT_SIGNED_INT16:
    case CU_AD_FORMAT_HALF:
        return 2;
    case CU_AD_FORMAT_UNSIGNED_INT32:
    case CU_AD_FORMAT_SIGNED_INT32:
    case CU_AD_FORMAT_FLOAT:
        return 4;
    default:
        return 0;
    }
}

static void array_free(struct object *object)
{
    struct array *array = (struct array *)object;
    (void)memory_release(array->address, array->id);
    context_disown(object);
    free(array);
}

static CUresult shape(struct array *array)
{
    const CUDA_ARRAY3D_DESCRIPTOR *d = &array->descriptor;
    size_t bytes = channel_bytes(d->Format);
    if (!bytes)
        return CUDA_ERROR_NOT_SUPPORTED;
    NEED(d->NumChannels == 1 || d->NumChannels == 2 || d->NumChannels == 4);
    NEED(d->Width && d->Width <= ARRAY_DIM_MAX && d->Height <= ARRAY_DIM_MAX && d->Depth <= ARRAY_DIM_MAX);
    NEED(!(d->Flags & ~(unsigned)ARRAY_FLAGS));
    array->row_bytes = d->Width * bytes * d->NumChannels;
    array->rows = d->Height ? d->Height : 1;
    array->slices = d->Depth ? d->Depth : 1;
    return CUDA_SUCCESS;
}

CUresult cuArray3DCreate_v2(CUarray *out, const CUDA_ARRAY3D_DESCRIPTOR *descriptor)
{
    struct allocation found;
    ENTER_UNSAFE(context);
    NEED(out && descriptor);
    struct array made = {.descriptor = *descriptor};
    TRY(shape(&made));
    TRY(memory_take(context->device, context, made.row_bytes * made.rows * made.slices, MEMORY_DEVICE, NULL,
                    &made.address));
    if (memory_find(made.address, &found))
        made.id = found.id;
    struct array *array = malloc(sizeof(*array));
    if (array)
        *array = made;
    if (!array || context_adopt(context, &array->object, KIND_ARRAY, array_free)) {
        free(array);
        (void)memory_release(made.address, made.id);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    *out = AS_HANDLE(CUarray, array);
    return CUDA_SUCCESS;
}

CUresult cuArrayCreate_v2(CUarray *out, const CUDA_ARRAY_DESCRIPTOR *d)
{
    ENTER_UNSAFE(context);
    NEED(d);
    CUDA_ARRAY3D_DESCRIPTOR wide = {.Width = d->Width, .Height = d->Height, .Format = d->Format,
                                    .NumChannels = d->NumChannels};
    return cuArray3DCreate_v2(out, &wide);
}

CUresult cuArrayDestroy(CUarray handle)
{
    ENTER_UNSAFE(context);
    struct array *array = object_get(HANDLE(handle), KIND_ARRAY);
    if (!array)
        return CUDA_ERROR_INVALID_HANDLE;
    CUresult result = context_wait_idle(context); /* copies may be queued */
    if (!result && object_kill(&array->object))
        object_put(&array->object);
    object_put(&array->object);
    return result;
}

CUresult cuArray3DGetDescriptor_v2(CUDA_ARRAY3D_DESCRIPTOR *descriptor, CUarray handle)
{
    ENTER_CONTEXT(context);
    (void)context;
    NEED(descriptor);
    struct array *array = object_get(HANDLE(handle), KIND_ARRAY);
    if (!array)
        return CUDA_ERROR_INVALID_HANDLE;
    *descriptor = array->descriptor;
    object_put(&array->object);
    return CUDA_SUCCESS;
}

CUresult cuArrayGetDescriptor_v2(CUDA_ARRAY_DESCRIPTOR *descriptor, CUarray handle)
{
    CUDA_ARRAY3D_DESCRIPTOR wide;
    NEED(descriptor);
    TRY(cuArray3DGetDescriptor_v2(&wide, handle));
    *descriptor = (CUDA_ARRAY_DESCRIPTOR){.Width = wide.Width, .Height = wide.Height, .Format = wide.Format,
                                          .NumChannels = wide.NumChannels};
    return CUDA_SUCCESS;
}

CUresult cuArrayGetMemoryRequirements(CUDA_ARRAY_MEMORY_REQUIREMENTS *requirements, CUarray handle, CUdevice dev)
{
    ENTER();
    NEED(requirements);
    if (!device_get(dev))
        return CUDA_ERROR_INVALID_DEVICE;
    struct array *array = object_get(HANDLE(handle), KIND_ARRAY);
    if (!array)
        return CUDA_ERROR_INVALID_HANDLE;
    *requirements = (CUDA_ARRAY_MEMORY_REQUIREMENTS){.size = array->row_bytes * array->rows * array->slices,
                                                     .alignment = DEVICE_ALIGN};
    object_put(&array->object);
    return CUDA_SUCCESS;
}
