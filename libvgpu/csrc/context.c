/* SPDX-License-Identifier: Apache-2.0
 *
 * Contexts: each thread's stack is kept here, the objects live in the worker. A primary context is
 * retained there once and counted here.
 */
#include <stdlib.h>
#include <string.h>

#include "contexts.h"
#include "fronts.h"
#include "interop.h"

enum { KIND_CONTEXT = 1, API_VERSION = 3020 };

VGPU_LOCK(primary_lock);
static struct primary { uint64_t handle; unsigned users, flags; } primaries[IDM_DEVICES_MAX];
static _Atomic uint64_t last_identifier;

static uint64_t handle_at(void *const args[], unsigned index)
{
    return *(const uint64_t *)args[index];
}

struct vgpu_context *vgpu_context_of(uint64_t handle)
{
    struct vgpu_object *object = vgpu_object_find(handle, KIND_CONTEXT);

    return object ? object->info : NULL;
}

static CUresult not_ready(void)
{
    return atomic_load_explicit(&vgpu.initialised, memory_order_acquire) ? CUDA_SUCCESS
                                                                         : CUDA_ERROR_NOT_INITIALIZED;
}

uint64_t vgpu_context_new(int device, unsigned flags, uint64_t green)
{
    struct vgpu_context *info = calloc(1, sizeof *info);
    uint64_t handle = info ? vgpu_object_new(KIND_CONTEXT, 0, green) : 0;

    if (!handle) {
        free(info);
        return 0;
    }
    *info = (struct vgpu_context){device, flags, API_VERSION, atomic_fetch_add(&last_identifier, 1) + 1, green,
                                  green ? primaries[device].handle : 0};
    vgpu_object_find(handle, KIND_CONTEXT)->info = info;
    return handle;
}

/* Everything that belongs to a context ends with it. */
void vgpu_context_gone(uint64_t context)
{
    interop_context_destroyed((void *)(uintptr_t)context);
    vgpu_ranges_drop_context(context);
    vgpu_object_drop_dependents(context);
    vgpu_object_drop(context);
}

CUresult vgpu_retain_primary(int device, uint64_t *context)
{
    struct primary *primary = &primaries[device];
    CUresult status = CUDA_SUCCESS;

    pthread_mutex_lock(&primary_lock);
    if (primary->users == 0) {
        uint64_t handle = vgpu_context_new(device, primary->flags, 0), *where = &handle;
        int ordinal = vgpu.devices[device];
        void *const args[] = {&ordinal, &where};
        status = handle ? vgpu_send_chosen(&vgpuPrimaryRetain_call, 0, args, &handle)
                        : CUDA_ERROR_OUT_OF_MEMORY;
        if (status == CUDA_SUCCESS)
            primary->handle = handle;
        else if (handle)
            vgpu_object_drop(handle);
    }
    if (status == CUDA_SUCCESS) {
        primary->users++;
        *context = primary->handle;
    }
    pthread_mutex_unlock(&primary_lock);
    return status;
}

CUresult vgpu_front_device_primary_ctx_retain(const struct vgpu_entry *entry, void *const args[])
{
    uint64_t *context = *(uint64_t **)args[0];
    int device = *(const int *)args[1];
    CUresult status = vgpu_may_call(vgpu_self());

    (void)entry;
    if (status != CUDA_SUCCESS)
        return status;
    if (!vgpu_device(device))
        return CUDA_ERROR_INVALID_DEVICE;
    return context ? vgpu_retain_primary(device, context) : CUDA_ERROR_INVALID_VALUE;
}

static CUresult end_primary(int device, int reset)
{
    struct primary *primary = &primaries[device];
    CUresult status = CUDA_SUCCESS;

    if (primary->users == 0)
        return reset ? CUDA_SUCCESS : CUDA_ERROR_INVALID_CONTEXT;
    if (!reset && --primary->users > 0)
        return CUDA_SUCCESS;
    uint64_t handle = primary->handle;
    int ordinal = vgpu.devices[device];
    void *const args[] = {&ordinal, &handle};
    status = vgpu_send(&vgpuPrimaryRelease_call, 0, args);
    vgpu_context_gone(handle);
    /* A reset ends the context for all its users; who goes on retains it again, under a new handle. */
    primary->users = 0;
    primary->handle = 0;
    return status;
}

CUresult vgpu_release_primary(int device)
{
    pthread_mutex_lock(&primary_lock);
    CUresult status = end_primary(device, 0);
    pthread_mutex_unlock(&primary_lock);
    return status;
}

uint64_t vgpu_memory_owner(uint64_t context)
{
    const struct vgpu_context *known = vgpu_context_of(context);

    return known && known->owner ? known->owner : context;
}

static CUresult release_or_reset(void *const args[], int reset)
{
    int device = *(const int *)args[0];
    CUresult status = not_ready();

    if (status == CUDA_SUCCESS && atomic_load(&vgpu.dead))
        status = (CUresult)atomic_load(&vgpu.dead);
    if (status != CUDA_SUCCESS)
        return status;
    if (!vgpu_device(device))
        return CUDA_ERROR_INVALID_DEVICE;
    pthread_mutex_lock(&primary_lock);
    status = end_primary(device, reset);
    pthread_mutex_unlock(&primary_lock);
    return status;
}

CUresult vgpu_front_device_primary_ctx_release(const struct vgpu_entry *entry, void *const args[])
{
    (void)entry;
    return release_or_reset(args, 0);
}

CUresult vgpu_front_device_primary_ctx_reset(const struct vgpu_entry *entry, void *const args[])
{
    (void)entry;
    return release_or_reset(args, 1);
}

CUresult vgpu_front_device_primary_ctx_set_flags(const struct vgpu_entry *entry, void *const args[])
{
    int device = *(const int *)args[0];
    unsigned flags = *(const unsigned *)args[1];

    (void)entry;
    if (not_ready() != CUDA_SUCCESS)
        return CUDA_ERROR_NOT_INITIALIZED;
    if (!vgpu_device(device))
        return CUDA_ERROR_INVALID_DEVICE;
    if (flags & ~0xffu)
        return CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_lock(&primary_lock);
    primaries[device].flags = flags;
    struct vgpu_context *info = vgpu_context_of(primaries[device].handle);
    if (info)
        info->flags = flags;
    pthread_mutex_unlock(&primary_lock);
    return CUDA_SUCCESS;
}

CUresult vgpu_front_device_primary_ctx_get_state(const struct vgpu_entry *entry, void *const args[])
{
    int device = *(const int *)args[0];
    unsigned *flags = *(unsigned **)args[1];
    int *active = *(int **)args[2];

    (void)entry;
    if (not_ready() != CUDA_SUCCESS)
        return CUDA_ERROR_NOT_INITIALIZED;
    if (!vgpu_device(device))
        return CUDA_ERROR_INVALID_DEVICE;
    if (!flags || !active)
        return CUDA_ERROR_INVALID_VALUE;
    *flags = primaries[device].flags;
    *active = primaries[device].users > 0;
    return CUDA_SUCCESS;
}

static CUresult push(uint64_t context)
{
    struct vgpu_thread *thread = vgpu_self();

    if (thread->depth == VGPU_CONTEXT_STACK)
        return CUDA_ERROR_OUT_OF_MEMORY;
    thread->stack[thread->depth++] = context;
    return CUDA_SUCCESS;
}

static CUresult create(uint64_t *context, unsigned flags, int device)
{
    CUresult status = vgpu_may_call(vgpu_self());

    if (status != CUDA_SUCCESS)
        return status;
    if (!context)
        return CUDA_ERROR_INVALID_VALUE;
    if (!vgpu_device(device))
        return CUDA_ERROR_INVALID_DEVICE;
    uint64_t handle = vgpu_context_new(device, flags, 0), *where = &handle;
    if (!handle)
        return CUDA_ERROR_OUT_OF_MEMORY;
    int ordinal = vgpu.devices[device];
    void *const args[] = {&where, &flags, &ordinal};
    status = vgpu_send_chosen(&vgpuContextCreate_call, 0, args, &handle);
    if (status != CUDA_SUCCESS) {
        vgpu_object_drop(handle);
        return status;
    }
    *context = handle;
    return push(handle);
}

CUresult vgpu_front_ctx_create(const struct vgpu_entry *entry, void *const args[])
{
    (void)entry;
    return create(*(uint64_t **)args[0], *(const unsigned *)args[1], *(const int *)args[2]);
}

CUresult vgpu_front_ctx_create_v3(const struct vgpu_entry *entry, void *const args[])
{
    if (*(void **)args[1] || *(const int *)args[2]) {
        vgpu_log(VGPU_WARNING, "%s: execution affinity is not supported", entry->call->symbol);
        return CUDA_ERROR_UNSUPPORTED_EXEC_AFFINITY;
    }
    return create(*(uint64_t **)args[0], *(const unsigned *)args[3], *(const int *)args[4]);
}

CUresult vgpu_front_ctx_create_v4(const struct vgpu_entry *entry, void *const args[])
{
    static const uint8_t plain[24]; /* CUctxCreateParams without affinity and graphics */
    const void *options = *(void **)args[1];

    if (options && memcmp(options, plain, sizeof plain) != 0) {
        vgpu_log(VGPU_WARNING, "%s: creation parameters are not supported", entry->call->symbol);
        return CUDA_ERROR_NOT_SUPPORTED;
    }
    return create(*(uint64_t **)args[0], *(const unsigned *)args[2], *(const int *)args[3]);
}

CUresult vgpu_front_ctx_destroy(const struct vgpu_entry *entry, void *const args[])
{
    uint64_t context = handle_at(args, 0);
    struct vgpu_thread *thread = vgpu_self();

    (void)entry;
    if (!vgpu_is_alive(context, KIND_CONTEXT))
        return CUDA_ERROR_INVALID_CONTEXT;
    CUresult status = vgpu_send(&cuCtxDestroy_v2_call, 0, args);
    if (status == CUDA_SUCCESS) {
        vgpu_context_gone(context);
        if (vgpu_current(thread) == context)
            thread->depth--;
    }
    return status;
}

CUresult vgpu_front_ctx_get_current(const struct vgpu_entry *entry, void *const args[])
{
    uint64_t *context = *(uint64_t **)args[0];

    (void)entry;
    if (not_ready() != CUDA_SUCCESS)
        return CUDA_ERROR_NOT_INITIALIZED;
    if (!context)
        return CUDA_ERROR_INVALID_VALUE;
    *context = vgpu_current(vgpu_self());
    return CUDA_SUCCESS;
}

CUresult vgpu_front_ctx_set_current(const struct vgpu_entry *entry, void *const args[])
{
    struct vgpu_thread *thread = vgpu_self();
    uint64_t context = handle_at(args, 0);

    (void)entry;
    if (not_ready() != CUDA_SUCCESS)
        return CUDA_ERROR_NOT_INITIALIZED;
    if (context == 0) {
        if (thread->depth)
            thread->depth--;
        return CUDA_SUCCESS;
    }
    if (!vgpu_is_alive(context, KIND_CONTEXT))
        return CUDA_ERROR_INVALID_CONTEXT;
    if (thread->depth == 0)
        thread->depth = 1;
    thread->stack[thread->depth - 1] = context;
    return CUDA_SUCCESS;
}

CUresult vgpu_front_ctx_push_current(const struct vgpu_entry *entry, void *const args[])
{
    uint64_t context = handle_at(args, 0);

    (void)entry;
    if (not_ready() != CUDA_SUCCESS)
        return CUDA_ERROR_NOT_INITIALIZED;
    return vgpu_is_alive(context, KIND_CONTEXT) ? push(context) : CUDA_ERROR_INVALID_CONTEXT;
}

CUresult vgpu_front_ctx_pop_current(const struct vgpu_entry *entry, void *const args[])
{
    struct vgpu_thread *thread = vgpu_self();
    uint64_t *context = *(uint64_t **)args[0];

    (void)entry;
    if (not_ready() != CUDA_SUCCESS)
        return CUDA_ERROR_NOT_INITIALIZED;
    if (thread->depth == 0)
        return CUDA_ERROR_INVALID_CONTEXT;
    uint64_t top = thread->stack[--thread->depth];
    if (context)
        *context = top;
    return CUDA_SUCCESS;
}

/* The given context, or the current one when it is null. */
static CUresult chosen_context(uint64_t given, struct vgpu_context **info)
{
    if (not_ready() != CUDA_SUCCESS)
        return CUDA_ERROR_NOT_INITIALIZED;
    uint64_t context = given ? given : vgpu_current(vgpu_self());
    *info = vgpu_context_of(context);
    return *info ? CUDA_SUCCESS : CUDA_ERROR_INVALID_CONTEXT;
}

CUresult vgpu_front_ctx_get_device(const struct vgpu_entry *entry, void *const args[])
{
    CUdevice *device = *(CUdevice **)args[0];
    struct vgpu_context *info;
    CUresult status = chosen_context(0, &info);

    (void)entry;
    if (status == CUDA_SUCCESS && !device)
        status = CUDA_ERROR_INVALID_VALUE;
    if (status == CUDA_SUCCESS)
        *device = info->device;
    return status;
}

CUresult vgpu_front_ctx_get_device_v2(const struct vgpu_entry *entry, void *const args[])
{
    CUdevice *device = *(CUdevice **)args[0];
    struct vgpu_context *info;
    CUresult status = chosen_context(handle_at(args, 1), &info);

    (void)entry;
    if (status == CUDA_SUCCESS && !device)
        status = CUDA_ERROR_INVALID_VALUE;
    if (status == CUDA_SUCCESS)
        *device = info->device;
    return status;
}

CUresult vgpu_front_ctx_get_api_version(const struct vgpu_entry *entry, void *const args[])
{
    unsigned *version = *(unsigned **)args[1];
    struct vgpu_context *info;
    CUresult status = chosen_context(handle_at(args, 0), &info);

    (void)entry;
    if (status == CUDA_SUCCESS && !version)
        status = CUDA_ERROR_INVALID_VALUE;
    if (status == CUDA_SUCCESS)
        *version = info->api_version;
    return status;
}

CUresult vgpu_front_ctx_get_flags(const struct vgpu_entry *entry, void *const args[])
{
    unsigned *flags = *(unsigned **)args[0];
    struct vgpu_context *info;
    CUresult status = chosen_context(0, &info);

    (void)entry;
    if (status == CUDA_SUCCESS && !flags)
        status = CUDA_ERROR_INVALID_VALUE;
    if (status == CUDA_SUCCESS)
        *flags = info->flags;
    return status;
}

CUresult vgpu_front_ctx_get_id(const struct vgpu_entry *entry, void *const args[])
{
    uint64_t *identifier = *(uint64_t **)args[1];
    struct vgpu_context *info;
    CUresult status = chosen_context(handle_at(args, 0), &info);

    (void)entry;
    if (status == CUDA_SUCCESS && !identifier)
        status = CUDA_ERROR_INVALID_VALUE;
    if (status == CUDA_SUCCESS)
        *identifier = info->identifier;
    return status;
}

CUresult vgpu_front_stream_get_ctx(const struct vgpu_entry *entry, void *const args[])
{
    uint64_t stream = handle_at(args, 0), *context = *(uint64_t **)args[1];

    (void)entry;
    if (!context)
        return CUDA_ERROR_INVALID_VALUE;
    if (stream < 3) {
        *context = vgpu_current(vgpu_self());
        return *context ? CUDA_SUCCESS : CUDA_ERROR_INVALID_CONTEXT;
    }
    const struct vgpu_object *object = vgpu_object_find(stream, 2);
    if (!object)
        return CUDA_ERROR_INVALID_HANDLE;
    *context = object->context;
    return CUDA_SUCCESS;
}
