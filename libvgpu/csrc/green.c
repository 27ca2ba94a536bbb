/* SPDX-License-Identifier: Apache-2.0
 *
 * Green contexts. Each holds the primary context, whose memory it uses, and becomes a context of its own
 * once somebody asks for that or makes a stream in it.
 */
#include <stdlib.h>

#include "contexts.h"
#include "fronts.h"

enum { KIND_STREAM = 2, KIND_GREEN = 18, STREAMS_OF_CUDA = 3 };

extern const struct idm_call cuCtxFromGreenCtx_call, cuGreenCtxStreamCreate_call;

/* What a green context's handle owns. */
struct green {
    int device;
    uint64_t context;               /* 0: nobody has asked yet */
};

/* Held while the worker makes or ends a green context's context: others must not see half of it. */
VGPU_LOCK(lock);

static struct green *green_of(uint64_t handle)
{
    struct vgpu_object *object = vgpu_object_find(handle, KIND_GREEN);

    return object ? object->info : NULL;
}

CUresult vgpu_front_green_ctx_create(const struct vgpu_entry *entry, void *const args[])
{
    uint64_t **result = args[0], primary;
    int device = *(const int *)args[2];
    CUresult status = vgpu_may_call(vgpu_self());

    if (status != CUDA_SUCCESS)
        return status;
    if (!*result)
        return CUDA_ERROR_INVALID_VALUE;
    if (!vgpu_device(device))
        return CUDA_ERROR_INVALID_DEVICE;
    struct green *green = calloc(1, sizeof *green);
    status = green ? vgpu_retain_primary(device, &primary) : CUDA_ERROR_OUT_OF_MEMORY;
    if (status == CUDA_SUCCESS && (status = vgpu_forward(entry, args)) != CUDA_SUCCESS)
        vgpu_release_primary(device);
    if (status != CUDA_SUCCESS) {
        free(green);
        return status;
    }
    green->device = device;
    vgpu_object_find(**result, KIND_GREEN)->info = green;
    return CUDA_SUCCESS;
}

/* The caller holds the lock. */
static CUresult make_context(uint64_t handle, struct green *green)
{
    uint64_t made = vgpu_context_new(green->device, 0, handle), *where = &made;
    void *const args[] = {&where, &handle};

    if (!made)
        return CUDA_ERROR_OUT_OF_MEMORY;
    CUresult status = vgpu_send_chosen(&cuCtxFromGreenCtx_call, 0, args, &made);
    if (status == CUDA_SUCCESS)
        green->context = made;
    else
        vgpu_object_drop(made);
    return status;
}

static CUresult context_from(uint64_t handle, uint64_t *context)
{
    CUresult status = vgpu_may_call(vgpu_self());

    if (status != CUDA_SUCCESS)
        return status;
    pthread_mutex_lock(&lock);
    struct green *green = green_of(handle);
    if (!green)
        status = CUDA_ERROR_INVALID_HANDLE;
    else if (!green->context)
        status = make_context(handle, green);
    if (status == CUDA_SUCCESS)
        *context = green->context;
    pthread_mutex_unlock(&lock);
    return status;
}

CUresult vgpu_front_ctx_from_green_ctx(const struct vgpu_entry *entry, void *const args[])
{
    uint64_t *context = *(uint64_t **)args[0];

    (void)entry;
    return context ? context_from(*(const uint64_t *)args[1], context) : CUDA_ERROR_INVALID_VALUE;
}

CUresult vgpu_front_green_ctx_destroy(const struct vgpu_entry *entry, void *const args[])
{
    uint64_t handle = *(const uint64_t *)args[0], context = 0;
    int device = 0;

    pthread_mutex_lock(&lock);
    struct green *green = green_of(handle);
    if (green) {
        device = green->device;
        context = green->context;
    }
    CUresult status = vgpu_forward(entry, args); /* which drops the handle, and `green` with it */
    if (status == CUDA_SUCCESS && context)
        vgpu_context_gone(context);
    pthread_mutex_unlock(&lock);
    if (status == CUDA_SUCCESS)
        vgpu_release_primary(device);
    return status;
}

CUresult vgpu_front_green_ctx_stream_create(const struct vgpu_entry *entry, void *const args[])
{
    uint64_t *result = *(uint64_t **)args[0], green = *(const uint64_t *)args[1], context = 0, handle;
    uint64_t *where = &handle;
    void *const sent[] = {&where, &green, args[2], args[3]};
    CUresult status = result ? context_from(green, &context) : CUDA_ERROR_INVALID_VALUE;

    (void)entry;
    if (status != CUDA_SUCCESS)
        return status;
    handle = vgpu_object_new(KIND_STREAM, context, green);
    if (!handle)
        return CUDA_ERROR_OUT_OF_MEMORY;
    status = vgpu_send_chosen(&cuGreenCtxStreamCreate_call, 0, sent, &handle);
    if (status == CUDA_SUCCESS)
        *result = handle;
    else
        vgpu_object_drop(handle);
    return status;
}

/* A stream's context, which for one of a green context is the primary one. */
CUresult vgpu_front_stream_get_ctx_v2(const struct vgpu_entry *entry, void *const args[])
{
    uint64_t *context = *(uint64_t **)args[1], *green = *(uint64_t **)args[2];

    if (!green)
        return CUDA_ERROR_INVALID_VALUE;
    CUresult status = vgpu_front_stream_get_ctx(entry, args);
    if (status != CUDA_SUCCESS)
        return status;
    const struct vgpu_context *known = vgpu_context_of(*context);
    *green = known ? known->green : 0;
    if (*green)
        *context = known->owner;
    return CUDA_SUCCESS;
}
