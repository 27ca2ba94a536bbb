/* SPDX-License-Identifier: Apache-2.0
 *
 * Advice about managed memory. It is host memory that kernels read in place, so nothing is ever moved.
 */
#include "capture.h"
#include "memory.h"

static CUresult check_managed(CUdeviceptr dptr, size_t bytes)
{
    struct allocation found;
    NEED(bytes && host_find(dptr, &found) && found.kind == MEMORY_MANAGED);
    NEED(bytes <= found.bytes - (dptr - found.address));
    return CUDA_SUCCESS;
}

CUresult cuMemAdvise(CUdeviceptr dptr, size_t bytes, CUmem_advise advice, CUdevice dev)
{
    ENTER();
    NEED((unsigned)advice >= CU_MEM_ADVISE_SET_READ_MOSTLY && (unsigned)advice <= CU_MEM_ADVISE_UNSET_ACCESSED_BY);
    if (dev != CU_DEVICE_CPU && !device_get(dev))
        return CUDA_ERROR_INVALID_DEVICE;
    return check_managed(dptr, bytes);
}

CUresult cuMemAdvise_v2(CUdeviceptr dptr, size_t bytes, CUmem_advise advice, CUmemLocation location)
{
    return cuMemAdvise(dptr, bytes, advice, location.type == CU_MEM_LOCATION_TYPE_DEVICE ? location.id : CU_DEVICE_CPU);
}

CUresult cuMemPrefetchAsync(CUdeviceptr dptr, size_t bytes, CUdevice dev, CUstream handle)
{
    struct stream *stream = NULL;
    ENTER_CONTEXT(context);
    if (dev != CU_DEVICE_CPU && !device_get(dev))
        return CUDA_ERROR_INVALID_DEVICE;
    TRY(check_managed(dptr, bytes));
    CUresult result = stream_resolve(context, handle, &stream);
    if (stream)
        object_put(&stream->object);
    return result;
}

CUresult cuMemPrefetchAsync_v2(CUdeviceptr dptr, size_t bytes, CUmemLocation location, unsigned int flags,
                               CUstream stream)
{
    NEED(!flags);
    return cuMemPrefetchAsync(dptr, bytes, location.type == CU_MEM_LOCATION_TYPE_DEVICE ? location.id : CU_DEVICE_CPU,
                              stream);
}
