/* SPDX-License-Identifier: Apache-2.0
 *
 * The cuCtx calls: creation, the calling thread's stack, and what can be asked.
 */
#include <string.h>

#include "capture.h"
#include "pool.h"
#include "stream.h"

static CUresult push_counted(struct context *context)
{
    struct thread *self = thread_self();
    if (self->depth == CONTEXT_STACK_MAX) {
        object_put(&context->object);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    self->stack[self->depth++] = context;
    return CUDA_SUCCESS;
}

static void pop(void)
{
    struct thread *self = thread_self();
    if (self->depth)
        object_put(&self->stack[--self->depth]->object);
}

static int flags_are_good(unsigned flags)
{
    unsigned schedule = flags & CU_CTX_SCHED_MASK;
    return !(flags & ~(unsigned)CONTEXT_FLAGS) && (schedule & (schedule - 1)) == 0;
}

CUresult cuCtxCreate_v2(CUcontext *pctx, unsigned int flags, CUdevice dev)
{
    struct context *context = NULL;
    ENTER();
    struct device *device = device_get(dev);
    if (!device)
        return CUDA_ERROR_INVALID_DEVICE;
    NEED(pctx && flags_are_good(flags));
    TRY(context_create(device, flags, 0, &context));
    object_hold(&context->object);
    *pctx = AS_HANDLE(CUcontext, context);
    return push_counted(context);
}

CUresult cuCtxCreate_v3(CUcontext *pctx, CUexecAffinityParam *params, int count, unsigned int flags, CUdevice dev)
{
    (void)params;
    return count ? CUDA_ERROR_UNSUPPORTED_EXEC_AFFINITY : cuCtxCreate_v2(pctx, flags, dev);
}

CUresult cuCtxCreate_v4(CUcontext *pctx, CUctxCreateParams *params, unsigned int flags, CUdevice dev)
{
    if (params && params->numExecAffinityParams)
        return CUDA_ERROR_UNSUPPORTED_EXEC_AFFINITY;
    if (params && params->cigParams)
        return CUDA_ERROR_NOT_SUPPORTED;
    return cuCtxCreate_v2(pctx, flags, dev);
}

CUresult cuCtxDestroy_v2(CUcontext ctx)
{
    struct context *context = NULL;
    ENTER();
    TRY(context_from_handle(ctx, &context));
    if (context->is_primary || context->green || !object_kill(&context->object)) {
        object_put(&context->object);
        return CUDA_ERROR_INVALID_CONTEXT;
    }
    context_shut(context);
    if (context_current() == context)
        pop();
    object_put(&context->object); /* the first reference */
    object_put(&context->object);
    return CUDA_SUCCESS;
}

CUresult cuCtxPushCurrent_v2(CUcontext ctx)
{
    struct context *context = NULL;
    ENTER();
    TRY(context_from_handle(ctx, &context));
    return push_counted(context);
}

CUresult cuCtxPopCurrent_v2(CUcontext *pctx)
{
    ENTER();
    struct context *current = context_current();
    if (!current)
        return CUDA_ERROR_INVALID_CONTEXT;
    if (pctx)
        *pctx = AS_HANDLE(CUcontext, current);
    pop();
    return CUDA_SUCCESS;
}

CUresult cuCtxSetCurrent(CUcontext ctx)
{
    struct context *context = NULL;
    ENTER();
    if (ctx)
        TRY(context_from_handle(ctx, &context));
    pop();
    return context ? push_counted(context) : CUDA_SUCCESS;
}

CUresult cuCtxGetCurrent(CUcontext *pctx)
{
    ENTER();
    NEED(pctx);
    struct context *current = context_current();
    *pctx = current ? AS_HANDLE(CUcontext, current) : NULL;
    return CUDA_SUCCESS;
}

CUresult cuCtxGetDevice(CUdevice *device)
{
    ENTER();
    struct context *current = context_current();
    if (!current)
        return CUDA_ERROR_INVALID_CONTEXT;
    NEED(device);
    *device = current->device->ordinal;
    return CUDA_SUCCESS;
}

/* The context that a call names, or the current one; counted. */
static CUresult named_or_current(CUcontext ctx, struct context **context)
{
    if (ctx)
        return context_from_handle(ctx, context);
    *context = context_current();
    if (!*context)
        return CUDA_ERROR_INVALID_CONTEXT;
    object_hold(&(*context)->object);
    return CUDA_SUCCESS;
}

CUresult cuCtxGetDevice_v2(CUdevice *device, CUcontext ctx)
{
    struct context *context = NULL;
    ENTER();
    NEED(device);
    TRY(named_or_current(ctx, &context));
    *device = context->device->ordinal;
    object_put(&context->object);
    return CUDA_SUCCESS;
}

CUresult cuCtxGetFlags(unsigned int *flags)
{
    ENTER_CONTEXT(context);
    NEED(flags);
    *flags = context->flags;
    return CUDA_SUCCESS;
}

CUresult cuCtxSetFlags(unsigned int flags)
{
    ENTER_CONTEXT(context);
    NEED(flags_are_good(flags));
    context->flags = flags;
    return CUDA_SUCCESS;
}

CUresult cuCtxGetId(CUcontext ctx, unsigned long long *id)
{
    struct context *context = NULL;
    ENTER();
    NEED(id);
    TRY(named_or_current(ctx, &context));
    *id = context->id;
    object_put(&context->object);
    return CUDA_SUCCESS;
}

CUresult cuCtxGetApiVersion(CUcontext ctx, unsigned int *version)
{
    struct context *context = NULL;
    ENTER();
    NEED(version);
    TRY(named_or_current(ctx, &context));
    *version = 3020; /* what drivers report for every context made by a _v2 call */
    object_put(&context->object);
    return CUDA_SUCCESS;
}

static CUresult synchronize(struct context *context)
{
    TRY(context_check(context));
    TRY(capture_forbid_in_context(context));
    TRY(context_wait_idle(context));
    TRY(context_check(context));
    pools_synchronized(context->device);
    return CUDA_SUCCESS;
}

CUresult cuCtxSynchronize(void)
{
    ENTER_CONTEXT(context);
    return synchronize(context);
}

CUresult cuCtxSynchronize_v2(CUcontext ctx)
{
    struct context *context = NULL;
    ENTER();
    TRY(named_or_current(ctx, &context));
    CUresult result = synchronize(context);
    object_put(&context->object);
    return result;
}

CUresult cuCtxSetLimit(CUlimit limit, size_t value)
{
    ENTER_CONTEXT(context);
    if ((unsigned)limit >= CU_LIMIT_SHMEM_SIZE)
        return (unsigned)limit < LIMIT_COUNT ? CUDA_ERROR_UNSUPPORTED_LIMIT : CUDA_ERROR_INVALID_VALUE;
    context->limits[limit] = value;
    return CUDA_SUCCESS;
}

CUresult cuCtxGetLimit(size_t *value, CUlimit limit)
{
    ENTER_CONTEXT(context);
    NEED(value);
    if ((unsigned)limit >= CU_LIMIT_SHMEM_SIZE)
        return (unsigned)limit < LIMIT_COUNT ? CUDA_ERROR_UNSUPPORTED_LIMIT : CUDA_ERROR_INVALID_VALUE;
    *value = context->limits[limit];
    return CUDA_SUCCESS;
}

CUresult cuCtxGetCacheConfig(CUfunc_cache *config)
{
    ENTER_CONTEXT(context);
    NEED(config);
    *config = context->cache_config;
    return CUDA_SUCCESS;
}

CUresult cuCtxSetCacheConfig(CUfunc_cache config)
{
    ENTER_UNSAFE(context);
    NEED((unsigned)config <= CU_FUNC_CACHE_PREFER_EQUAL);
    context->cache_config = config;
    return CUDA_SUCCESS;
}

CUresult cuCtxGetSharedMemConfig(CUsharedconfig *config)
{
    ENTER_CONTEXT(context);
    NEED(config);
    *config = context->shared_config;
    return CUDA_SUCCESS;
}

CUresult cuCtxSetSharedMemConfig(CUsharedconfig config)
{
    ENTER_UNSAFE(context);
    NEED((unsigned)config <= CU_SHARED_MEM_CONFIG_EIGHT_BYTE_BANK_SIZE);
    return CUDA_SUCCESS; /* banks are a matter of hardware */
}

CUresult cuCtxGetStreamPriorityRange(int *least, int *greatest)
{
    ENTER_CONTEXT(context);
    (void)context;
    if (least)
        *least = PRIORITY_LOW;
    if (greatest)
        *greatest = PRIORITY_HIGH;
    return CUDA_SUCCESS;
}

CUresult cuCtxResetPersistingL2Cache(void)
{
    ENTER_CONTEXT(context);
    (void)context;
    return CUDA_SUCCESS; /* there is no such cache to reset */
}
