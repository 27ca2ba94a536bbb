/* SPDX-License-Identifier: Apache-2.0
 *
 * Devices: identity, primary contexts, peers.
 */
#include <stdio.h>
#include <string.h>

#include "memory.h"
#include "stream.h"

struct device *device_get(CUdevice ordinal)
{
    return ordinal >= 0 && ordinal < driver.device_count ? &driver.devices[ordinal] : NULL;
}

#define ENTER_DEVICE(name, ordinal)                                                                          \
    ENTER();                                                                                                 \
    struct device *name = device_get(ordinal);                                                               \
    if (!name)                                                                                               \
    return CUDA_ERROR_INVALID_DEVICE

CUresult cuDeviceGet(CUdevice *device, int ordinal)
{
    ENTER_DEVICE(found, ordinal);
    NEED(device);
    *device = found->ordinal;
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetCount(int *count)
{
    ENTER();
    NEED(count);
    *count = driver.device_count;
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetName(char *name, int len, CUdevice dev)
{
    ENTER_DEVICE(device, dev);
    NEED(name && len > 0);
    (void)snprintf(name, (size_t)len, "%s", device->name);
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetUuid(CUuuid *uuid, CUdevice dev)
{
    ENTER_DEVICE(device, dev);
    NEED(uuid);
    memcpy(uuid->bytes, device->uuid, sizeof(uuid->bytes));
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetUuid_v2(CUuuid *uuid, CUdevice dev)
{
    return cuDeviceGetUuid(uuid, dev);
}

CUresult cuDeviceTotalMem_v2(size_t *bytes, CUdevice dev)
{
    ENTER_DEVICE(device, dev);
    NEED(bytes);
    *bytes = device->total_bytes;
    return CUDA_SUCCESS;
}

CUresult cuDeviceComputeCapability(int *major, int *minor, CUdevice dev)
{
    ENTER_DEVICE(device, dev);
    (void)device;
    NEED(major && minor);
    *major = driver.compute_major;
    *minor = driver.compute_minor;
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetPCIBusId(char *text, int len, CUdevice dev)
{
    ENTER_DEVICE(device, dev);
    NEED(text && len > 0);
    int wrote = snprintf(text, (size_t)len, "%04x:%02x:%02x.0", 0, device->ordinal + 1, 0);
    return wrote < len ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuDeviceGetByPCIBusId(CUdevice *dev, const char *text)
{
    unsigned domain = 0, bus = 0, slot = 0;
    ENTER();
    NEED(dev && text);
    if (sscanf(text, "%x:%x:%x", &domain, &bus, &slot) != 3) {
        domain = 0;
        NEED(sscanf(text, "%x:%x", &bus, &slot) == 2);
    }
    if (domain || slot || bus < 1 || bus > (unsigned)driver.device_count)
        return CUDA_ERROR_INVALID_DEVICE;
    *dev = (CUdevice)bus - 1;
    return CUDA_SUCCESS;
}

CUresult cuDeviceCanAccessPeer(int *can, CUdevice dev, CUdevice peer)
{
    ENTER_DEVICE(device, dev);
    NEED(can);
    if (!device_get(peer))
        return CUDA_ERROR_INVALID_DEVICE;
    *can = device->ordinal != peer; /* all devices live in one arena */
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetP2PAttribute(int *value, CUdevice_P2PAttribute attribute, CUdevice src, CUdevice dst)
{
    ENTER_DEVICE(device, src);
    if (!device_get(dst) || device->ordinal == dst)
        return CUDA_ERROR_INVALID_DEVICE;
    NEED(value);
    *value = attribute != CU_DEVICE_P2P_ATTRIBUTE_PERFORMANCE_RANK;
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetExecAffinitySupport(int *supported, CUexecAffinityType type, CUdevice dev)
{
    ENTER_DEVICE(device, dev);
    (void)device;
    (void)type;
    NEED(supported);
    *supported = 0;
    return CUDA_SUCCESS;
}

static CUresult retain(struct device *device)
{
    if (!device->primary)
        TRY(context_create(device, device->primary_flags, 1, &device->primary));
    device->primary->flags = device->primary_flags;
    atomic_store(&device->primary->alive, 1);
    device->primary_retains++;
    return CUDA_SUCCESS;
}

CUresult device_retain_primary(struct device *device, struct context **context)
{
    pthread_mutex_lock(&device->lock);
    CUresult result = retain(device);
    *context = device->primary;
    pthread_mutex_unlock(&device->lock);
    return result;
}

CUresult cuDevicePrimaryCtxRetain(CUcontext *pctx, CUdevice dev)
{
    struct context *context = NULL;
    ENTER_DEVICE(device, dev);
    NEED(pctx);
    TRY(device_retain_primary(device, &context));
    *pctx = AS_HANDLE(CUcontext, context);
    return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRelease_v2(CUdevice dev)
{
    ENTER_DEVICE(device, dev);
    pthread_mutex_lock(&device->lock);
    CUresult result = device->primary_retains ? CUDA_SUCCESS : CUDA_ERROR_INVALID_CONTEXT;
    if (!result && --device->primary_retains == 0)
        context_shut(device->primary);
    pthread_mutex_unlock(&device->lock);
    return result;
}

CUresult cuDevicePrimaryCtxRelease(CUdevice dev)
{
    return cuDevicePrimaryCtxRelease_v2(dev);
}

/* Frees everything; whoever retained the context still holds it, and finds it usable again. */
CUresult cuDevicePrimaryCtxReset_v2(CUdevice dev)
{
    ENTER_DEVICE(device, dev);
    pthread_mutex_lock(&device->lock);
    if (device->primary && atomic_load(&device->primary->alive))
        context_shut(device->primary);
    if (device->primary_retains)
        atomic_store(&device->primary->alive, 1);
    pthread_mutex_unlock(&device->lock);
    return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxReset(CUdevice dev)
{
    return cuDevicePrimaryCtxReset_v2(dev);
}

CUresult cuDevicePrimaryCtxSetFlags_v2(CUdevice dev, unsigned int flags)
{
    ENTER_DEVICE(device, dev);
    unsigned schedule = flags & CU_CTX_SCHED_MASK;
    NEED(!(flags & ~(unsigned)CONTEXT_FLAGS) && (schedule & (schedule - 1)) == 0);
    pthread_mutex_lock(&device->lock);
    device->primary_flags = flags;
    if (device->primary)
        device->primary->flags = flags;
    pthread_mutex_unlock(&device->lock);
    return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxSetFlags(CUdevice dev, unsigned int flags)
{
    return cuDevicePrimaryCtxSetFlags_v2(dev, flags);
}

CUresult cuDevicePrimaryCtxGetState(CUdevice dev, unsigned int *flags, int *active)
{
    ENTER_DEVICE(device, dev);
    NEED(flags && active);
    pthread_mutex_lock(&device->lock);
    *flags = device->primary_flags;
    *active = device->primary_retains != 0;
    pthread_mutex_unlock(&device->lock);
    return CUDA_SUCCESS;
}

CUresult cuCtxEnablePeerAccess(CUcontext peer, unsigned int flags)
{
    struct context *other = NULL;
    ENTER_CONTEXT(context);
    NEED(!flags);
    TRY(context_from_handle(peer, &other));
    CUresult result = other->device == context->device ? CUDA_ERROR_INVALID_DEVICE : CUDA_SUCCESS;
    object_put(&other->object);
    return result;
}

CUresult cuCtxDisablePeerAccess(CUcontext peer)
{
    struct context *other = NULL;
    ENTER_CONTEXT(context);
    (void)context;
    TRY(context_from_handle(peer, &other));
    object_put(&other->object);
    return CUDA_SUCCESS;
}
