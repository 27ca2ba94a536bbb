/* SPDX-License-Identifier: Apache-2.0
 *
 * Calls about things that a software GPU does not have, where the true answer is "none" or "nothing to do",
 * and the old names of calls.
 */
#include "green.h"
#include "pool.h"
#include "stream.h"

CUresult cuProfilerStart(void)
{
    ENTER_CONTEXT(context);
    (void)context;
    return CUDA_SUCCESS;
}

CUresult cuProfilerStop(void)
{
    ENTER_CONTEXT(context);
    (void)context;
    return CUDA_SUCCESS;
}

/* No messages are ever logged this way, so a callback is never called. */
CUresult cuLogsRegisterCallback(CUlogsCallback callback, void *data, CUlogsCallbackHandle *handle)
{
    (void)data;
    NEED(callback);
    if (handle)
        *handle = (CUlogsCallbackHandle)(uintptr_t)1;
    return CUDA_SUCCESS;
}

CUresult cuLogsUnregisterCallback(CUlogsCallbackHandle handle)
{
    NEED(handle);
    return CUDA_SUCCESS;
}

CUresult cuFlushGPUDirectRDMAWrites(CUflushGPUDirectRDMAWritesTarget target, CUflushGPUDirectRDMAWritesScope scope)
{
    (void)target;
    (void)scope;
    ENTER_CONTEXT(context);
    (void)context;
    return CUDA_ERROR_NOT_SUPPORTED;
}

static CUresult part(const struct device *device, int multiprocessors, CUdevResource *resource,
                     CUdevResourceType type)
{
    NEED(resource);
    if (type != CU_DEV_RESOURCE_TYPE_SM)
        return CUDA_ERROR_INVALID_RESOURCE_TYPE;
    resource_describe(device, multiprocessors, resource);
    return CUDA_SUCCESS;
}

CUresult resource_of_context(const struct context *context, CUdevResource *resource, CUdevResourceType type)
{
    return part(context->device, context->multiprocessors, resource, type);
}

CUresult cuDeviceGetDevResource(CUdevice dev, CUdevResource *resource, CUdevResourceType type)
{
    ENTER();
    const struct device *device = device_get(dev);
    return device ? part(device, device->multiprocessors, resource, type) : CUDA_ERROR_INVALID_DEVICE;
}

CUresult cuCtxGetDevResource(CUcontext handle, CUdevResource *resource, CUdevResourceType type)
{
    struct context *context = NULL;
    ENTER();
    TRY(context_from_handle(handle, &context));
    CUresult result = resource_of_context(context, resource, type);
    object_put(&context->object);
    return result;
}

CUresult cuStreamGetDevResource(CUstream handle, CUdevResource *resource, CUdevResourceType type)
{
    struct stream *stream = NULL;
    ENTER_CONTEXT(context);
    CUresult result = stream_resolve(context, handle, &stream);
    if (!result)
        result = resource_of_context(stream->object.context, resource, type);
    if (stream)
        object_put(&stream->object);
    return result;
}

CUresult cuCtxGetExecAffinity(CUexecAffinityParam *affinity, CUexecAffinityType type)
{
    ENTER_CONTEXT(context);
    (void)context;
    (void)type;
    NEED(affinity);
    return CUDA_ERROR_UNSUPPORTED_EXEC_AFFINITY;
}

static CUresult pool_location(const CUmemLocation *location, CUmemAllocationType type)
{
    NEED(location && type == CU_MEM_ALLOCATION_TYPE_PINNED);
    return location->type == CU_MEM_LOCATION_TYPE_DEVICE ? CUDA_SUCCESS : CUDA_ERROR_NOT_SUPPORTED;
}

CUresult cuMemGetDefaultMemPool(CUmemoryPool *pool, CUmemLocation *location, CUmemAllocationType type)
{
    TRY(pool_location(location, type));
    return cuDeviceGetDefaultMemPool(pool, location->id);
}

CUresult cuMemGetMemPool(CUmemoryPool *pool, CUmemLocation *location, CUmemAllocationType type)
{
    TRY(pool_location(location, type));
    return cuDeviceGetMemPool(pool, location->id);
}

CUresult cuMemSetMemPool(CUmemLocation *location, CUmemAllocationType type, CUmemoryPool pool)
{
    TRY(pool_location(location, type));
    return cuDeviceSetMemPool(location->id, pool);
}

/* Names from before the calls had versions, with the same parameters. */

CUresult cuCtxPushCurrent(CUcontext context)
{
    return cuCtxPushCurrent_v2(context);
}

CUresult cuCtxPopCurrent(CUcontext *context)
{
    return cuCtxPopCurrent_v2(context);
}

CUresult cuCtxDestroy(CUcontext context)
{
    return cuCtxDestroy_v2(context);
}

CUresult cuCtxCreate(CUcontext *context, unsigned int flags, CUdevice device)
{
    return cuCtxCreate_v2(context, flags, device);
}

CUresult cuStreamDestroy(CUstream stream)
{
    return cuStreamDestroy_v2(stream);
}

CUresult cuEventDestroy(CUevent event)
{
    return cuEventDestroy_v2(event);
}

CUresult cuMemHostRegister(void *address, size_t bytes, unsigned int flags)
{
    return cuMemHostRegister_v2(address, bytes, flags);
}
