/* SPDX-License-Identifier: Apache-2.0
 *
 * Green contexts: a part of a device, as a context of its own on the memory of the primary one.
 */
#include <stdlib.h>

#include "green.h"
#include "stream.h"

enum { GREEN_DEFAULT_STREAM = 1 }; /* the flag that every green context must have */

struct green {
    struct object object;
    struct context *context;     /* its first reference is ours */
    unsigned long long id;
};

static void green_free(struct object *object)
{
    free((struct green *)object);
}

static void link_green(struct context *context)
{
    struct context *primary = context->owner;
    pthread_mutex_lock(&primary->lock);
    context->next_green = primary->next_green;
    primary->next_green = context;
    pthread_mutex_unlock(&primary->lock);
}

static void unlink_green(struct context *context)
{
    struct context *primary = context->owner, **link = &primary->next_green;
    pthread_mutex_lock(&primary->lock);
    while (*link != context)
        link = &(*link)->next_green;
    *link = context->next_green;
    pthread_mutex_unlock(&primary->lock);
}

/* The green context at a place of the list, counted, or NULL. */
static struct context *green_at(struct context *primary, unsigned place)
{
    pthread_mutex_lock(&primary->lock);
    struct context *context = primary->next_green;
    while (context && (place-- || !object_try_hold(&context->object)))
        context = context->next_green;
    pthread_mutex_unlock(&primary->lock);
    return context;
}

/* One that ends meanwhile waits for its work itself. */
CUresult green_wait_idle(struct context *primary)
{
    struct context *context;
    CUresult result = CUDA_SUCCESS;
    for (unsigned place = 0; !result && (context = green_at(primary, place)) != NULL; place++) {
        result = context_wait_idle(context);
        object_put(&context->object);
    }
    return result;
}

/* A context that leaves its memory to the primary one. */
static CUresult make_context(struct device *device, int multiprocessors, struct green *green)
{
    struct context *primary = NULL;
    TRY(device_retain_primary(device, &primary));
    CUresult result = context_create(device, 0, 0, &green->context);
    if (result) {
        (void)cuDevicePrimaryCtxRelease_v2(device->ordinal);
        return result;
    }
    green->context->owner = primary;
    green->context->multiprocessors = multiprocessors;
    link_green(green->context);
    return CUDA_SUCCESS;
}

static void end_context(struct context *context)
{
    CUdevice ordinal = context->device->ordinal;
    unlink_green(context);
    if (object_kill(&context->object)) {
        context_shut(context);
        object_put(&context->object);
    }
    (void)cuDevicePrimaryCtxRelease_v2(ordinal);
}

CUresult cuGreenCtxCreate(CUgreenCtx *out, CUdevResourceDesc handle, CUdevice dev, unsigned int flags)
{
    ENTER();
    struct device *device = device_get(dev);
    if (!device)
        return CUDA_ERROR_INVALID_DEVICE;
    NEED(out && flags == GREEN_DEFAULT_STREAM);
    struct description *description = object_get(HANDLE(handle), KIND_RESOURCES);
    NEED(description);
    int multiprocessors = description->device == device ? description->multiprocessors : 0;
    object_put(&description->object);
    NEED(multiprocessors);
    struct green *green = calloc(1, sizeof(*green));
    CUresult result = green ? make_context(device, multiprocessors, green) : CUDA_ERROR_OUT_OF_MEMORY;
    if (!result && object_register(&green->object, KIND_GREEN, green_free)) {
        end_context(green->context);
        result = CUDA_ERROR_OUT_OF_MEMORY;
    }
    if (result) {
        free(green);
        return result;
    }
    green->context->green = green->object.handle;
    green->id = green->context->id;
    *out = AS_HANDLE(CUgreenCtx, green);
    return CUDA_SUCCESS;
}

CUresult cuGreenCtxDestroy(CUgreenCtx handle)
{
    ENTER();
    struct green *green = object_get(HANDLE(handle), KIND_GREEN);
    NEED(green);
    if (object_kill(&green->object)) {
        end_context(green->context);
        object_put(&green->object);
    }
    object_put(&green->object);
    return CUDA_SUCCESS;
}

CUresult cuCtxFromGreenCtx(CUcontext *out, CUgreenCtx handle)
{
    ENTER();
    NEED(out);
    struct green *green = object_get(HANDLE(handle), KIND_GREEN);
    NEED(green);
    *out = AS_HANDLE(CUcontext, green->context);
    object_put(&green->object);
    return CUDA_SUCCESS;
}

CUresult cuGreenCtxGetId(CUgreenCtx handle, unsigned long long *id)
{
    ENTER();
    NEED(id);
    struct green *green = object_get(HANDLE(handle), KIND_GREEN);
    NEED(green);
    *id = green->id;
    object_put(&green->object);
    return CUDA_SUCCESS;
}

CUresult cuGreenCtxGetDevResource(CUgreenCtx handle, CUdevResource *resource, CUdevResourceType type)
{
    ENTER();
    NEED(resource);
    struct green *green = object_get(HANDLE(handle), KIND_GREEN);
    NEED(green);
    CUresult result = resource_of_context(green->context, resource, type);
    object_put(&green->object);
    return result;
}

CUresult cuGreenCtxStreamCreate(CUstream *out, CUgreenCtx handle, unsigned int flags, int priority)
{
    struct stream *stream = NULL;
    ENTER();
    NEED(out && flags == CU_STREAM_NON_BLOCKING);
    struct green *green = object_get(HANDLE(handle), KIND_GREEN);
    NEED(green);
    CUresult result = stream_create(green->context, flags, priority, 0, &stream);
    if (!result)
        *out = AS_HANDLE(CUstream, stream);
    object_put(&green->object);
    return result;
}
