/* SPDX-License-Identifier: Apache-2.0
 *
 * Allocation, freeing, host memory, pointers, pools, copies of all shapes.
 */
#include "check.h"

static void allocations(void)
{
    CUdeviceptr a = 0, base = 0;
    size_t bytes = 0, before = 0, after = 0, total = 0;
    OK(cuMemGetInfo_v2(&before, &total));
    WANT(CUDA_ERROR_INVALID_VALUE, cuMemAlloc_v2(&a, 0));
    WANT(CUDA_ERROR_OUT_OF_MEMORY, cuMemAlloc_v2(&a, total + 1));
    OK(cuMemAlloc_v2(&a, 1000));
    CHECK(a % 256 == 0 && word_at(a) == 0);
    OK(cuMemGetAddressRange_v2(&base, &bytes, a + 999));
    CHECK(base == a && bytes == 1000);
    WANT(CUDA_ERROR_NOT_FOUND, cuMemGetAddressRange_v2(&base, &bytes, a + 1000));
    WANT(CUDA_ERROR_INVALID_VALUE, cuMemFree_v2(a + 256));
    OK(cuMemFree_v2(a));
    WANT(CUDA_ERROR_INVALID_VALUE, cuMemFree_v2(a));
    OK(cuMemFree_v2(0));
    OK(cuMemAlloc_v2(&a, 3 << 20));
    OK(cuMemsetD8_v2(a, 7, 3 << 20));
    OK(cuMemFree_v2(a));
    OK(cuMemAlloc_v2(&a, 3 << 20));
    CHECK(word_at(a + (2 << 20)) == 0);
    OK(cuMemFree_v2(a));
    OK(cuMemGetInfo_v2(&after, &total));
    CHECK(before == after);
}

static void many(void)
{
    enum { COUNT = 5000 };
    static CUdeviceptr at[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        OK(cuMemAlloc_v2(&at[i], 1 + i * 37 % 300000));
        OK(cuMemsetD32_v2(at[i], (uint32_t)i, (1 + i * 37 % 300000) / 4));
    }
    for (size_t i = 0; i < COUNT; i++)
        CHECK((1 + i * 37 % 300000) / 4 == 0 || word_at(at[i]) == i);
    for (size_t i = 0; i < COUNT; i++)
        OK(cuMemFree_v2(at[(i * 7919) % COUNT]));
}

static void bounds(void)
{
    CUdeviceptr a = 0;
    char text[64] = {0};
    OK(cuMemAlloc_v2(&a, 100));
    WANT(CUDA_ERROR_INVALID_VALUE, cuMemcpyHtoD_v2(a + 90, text, 11));
    WANT(CUDA_ERROR_INVALID_VALUE, cuMemcpyHtoD_v2((CUdeviceptr)(uintptr_t)text, text, 4));
    WANT(CUDA_ERROR_INVALID_VALUE, cuMemcpyDtoH_v2(text, 0x1000, 4));
    WANT(CUDA_ERROR_INVALID_VALUE, cuMemcpyHtoD_v2(a, NULL, 4));
    WANT(CUDA_ERROR_INVALID_VALUE, cuMemsetD8_v2(a, 0, 101));
    WANT(CUDA_ERROR_INVALID_VALUE, cuMemsetD32_v2(a + 2, 0, 1));
    WANT(CUDA_ERROR_INVALID_VALUE, cuMemsetD32_v2(a, 0, SIZE_MAX / 2));
    OK(cuMemcpyHtoD_v2(a, text, 0));
    OK(cuMemFree_v2(a));
    WANT(CUDA_ERROR_INVALID_VALUE, cuMemcpyHtoD_v2(a, text, 4));
}

static void host_memory(void)
{
    void *p = NULL;
    unsigned flags = 0;
    CUdeviceptr device = 0;
    CUmemorytype type = 0;
    static char mine[8192];
    OK(cuMemHostAlloc(&p, 5000, CU_MEMHOSTALLOC_PORTABLE));
    OK(cuMemHostGetDevicePointer_v2(&device, (char *)p + 10, 0));
    CHECK(device == (CUdeviceptr)(uintptr_t)p + 10);
    OK(cuMemHostGetFlags(&flags, p));
    CHECK(flags & CU_MEMHOSTALLOC_PORTABLE);
    OK(cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, device));
    CHECK(type == CU_MEMORYTYPE_HOST);
    OK(cuMemsetD8_v2(device, 3, 100));
    OK(cuCtxSynchronize());
    CHECK(((char *)p)[10] == 3 && ((char *)p)[9] == 0);
    OK(cuMemFreeHost(p));
    WANT(CUDA_ERROR_INVALID_VALUE, cuMemFreeHost(p));
    OK(cuMemHostRegister_v2(mine, sizeof(mine), 0));
    WANT(CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED, cuMemHostRegister_v2(mine + 100, 10, 0));
    OK(cuMemHostUnregister(mine));
    WANT(CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED, cuMemHostUnregister(mine));
    OK(cuMemAllocManaged(&device, 4096, CU_MEM_ATTACH_GLOBAL));
    *(int *)(uintptr_t)device = 5;
    CHECK(word_at(device) == 5);
    OK(cuMemFree_v2(device));
}

static void copies_2d(void)
{
    CUdeviceptr d = 0;
    size_t pitch = 0;
    char in[6][10], out[6][10];
    for (int y = 0; y < 6; y++)
        for (int x = 0; x < 10; x++)
            in[y][x] = (char)(y * 10 + x);
    memset(out, 0, sizeof(out));
    OK(cuMemAllocPitch_v2(&d, &pitch, 10, 6, 4));
    CHECK(pitch >= 10);
    CUDA_MEMCPY2D up = {.srcMemoryType = CU_MEMORYTYPE_HOST, .srcHost = in, .srcPitch = 10,
                        .dstMemoryType = CU_MEMORYTYPE_DEVICE, .dstDevice = d, .dstPitch = pitch,
                        .WidthInBytes = 10, .Height = 6};
    OK(cuMemcpy2D_v2(&up));
    CUDA_MEMCPY2D down = {.srcMemoryType = CU_MEMORYTYPE_DEVICE, .srcDevice = d, .srcPitch = pitch,
                          .srcXInBytes = 2, .srcY = 1, .dstMemoryType = CU_MEMORYTYPE_HOST, .dstHost = out,
                          .dstPitch = 10, .WidthInBytes = 5, .Height = 4};
    OK(cuMemcpy2D_v2(&down));
    CHECK(out[0][0] == 12 && out[3][4] == 46 && out[0][5] == 0 && out[4][0] == 0);
    down.Height = 100;
    WANT(CUDA_ERROR_INVALID_VALUE, cuMemcpy2D_v2(&down));
    down.Height = SIZE_MAX;
    WANT(CUDA_ERROR_INVALID_VALUE, cuMemcpy2D_v2(&down));
    OK(cuMemsetD2D8_v2(d, pitch, 9, 3, 2));
    down.Height = 4;
    OK(cuMemcpy2D_v2(&down));
    CHECK(out[0][0] == 9 && out[0][1] == 13);
    OK(cuMemFree_v2(d));
}

static void arrays(void)
{
    CUarray array = NULL;
    float in[12], out[12] = {0};
    for (int i = 0; i < 12; i++)
        in[i] = (float)i;
    CUDA_ARRAY_DESCRIPTOR shape = {.Width = 4, .Height = 3, .Format = CU_AD_FORMAT_FLOAT, .NumChannels = 1};
    OK(cuArrayCreate_v2(&array, &shape));
    CUDA_MEMCPY2D up = {.srcMemoryType = CU_MEMORYTYPE_HOST, .srcHost = in, .srcPitch = 16,
                        .dstMemoryType = CU_MEMORYTYPE_ARRAY, .dstArray = array, .WidthInBytes = 16, .Height = 3};
    OK(cuMemcpy2D_v2(&up));
    OK(cuMemcpyAtoH_v2(out, array, 0, 16));
    CHECK(out[3] == 3.0f);
    up.Height = 4;
    WANT(CUDA_ERROR_INVALID_VALUE, cuMemcpy2D_v2(&up));
    OK(cuArrayDestroy(array));
    WANT(CUDA_ERROR_INVALID_HANDLE, cuArrayDestroy(array));
}

static void pools(void)
{
    CUmemoryPool pool = NULL, mine = NULL;
    CUstream stream = NULL;
    CUdeviceptr a = 0;
    cuuint64_t used = 1;
    OK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    OK(cuDeviceGetDefaultMemPool(&pool, 0));
    OK(cuMemAllocAsync(&a, 1 << 20, stream));
    OK(cuMemPoolGetAttribute(pool, CU_MEMPOOL_ATTR_USED_MEM_CURRENT, &used));
    CHECK(used == 1 << 20);
    OK(cuMemFreeAsync(a, stream));
    WANT(CUDA_ERROR_INVALID_VALUE, cuMemFreeAsync(a, stream));
    OK(cuStreamSynchronize(stream));
    OK(cuMemPoolGetAttribute(pool, CU_MEMPOOL_ATTR_USED_MEM_CURRENT, &used));
    CHECK(used == 0);
    CUmemPoolProps props = {.allocType = CU_MEM_ALLOCATION_TYPE_PINNED,
                            .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = 0}};
    OK(cuMemPoolCreate(&mine, &props));
    OK(cuMemAllocFromPoolAsync(&a, 100, mine, stream));
    OK(cuMemFree_v2(a));
    OK(cuMemPoolDestroy(mine));
    WANT(CUDA_ERROR_INVALID_VALUE, cuMemPoolDestroy(mine));
    OK(cuStreamDestroy_v2(stream));
}

static cuuint64_t pool_value(CUmemoryPool pool, CUmemPool_attribute attribute)
{
    cuuint64_t value = 0;
    OK(cuMemPoolGetAttribute(pool, attribute, &value));
    return value;
}

static size_t free_bytes(void)
{
    size_t left = 0, total = 0;
    OK(cuMemGetInfo_v2(&left, &total));
    return left;
}

/* What a pool keeps is nobody else's until it is synchronized, trimmed, or needed. */
static void reservations(void)
{
    const size_t unit = 1 << 20, before = free_bytes();
    CUmemoryPool pool = NULL;
    CUstream stream = NULL;
    CUdeviceptr a = 0, b = 0;
    cuuint64_t threshold = 2 * unit, zero = 0;
    CUmemPoolProps props = {.allocType = CU_MEM_ALLOCATION_TYPE_PINNED,
                            .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = 0}};
    OK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    OK(cuMemPoolCreate(&pool, &props));
    OK(cuMemAllocFromPoolAsync(&a, 3 * unit, pool, stream));
    OK(cuMemFree_v2(a));
    CHECK(pool_value(pool, CU_MEMPOOL_ATTR_USED_MEM_CURRENT) == 0);
    CHECK(pool_value(pool, CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT) == 3 * unit);
    CHECK(before - free_bytes() == 3 * unit);
    OK(cuMemAllocFromPoolAsync(&a, unit, pool, stream)); /* out of what is reserved */
    CHECK(before - free_bytes() == 3 * unit);
    OK(cuMemFree_v2(a));
    OK(cuMemPoolSetAttribute(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &threshold));
    OK(cuStreamSynchronize(stream));
    CHECK(pool_value(pool, CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT) == 2 * unit);
    OK(cuMemPoolTrimTo(pool, unit));
    CHECK(before - free_bytes() == unit);
    OK(cuMemPoolSetAttribute(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &zero));
    OK(cuCtxSynchronize());
    CHECK(free_bytes() == before);
    CHECK(pool_value(pool, CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH) == 3 * unit);
    OK(cuMemPoolSetAttribute(pool, CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH, &zero));
    CHECK(pool_value(pool, CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH) == 0);
    CHECK(pool_value(pool, CU_MEMPOOL_ATTR_USED_MEM_HIGH) == 3 * unit);
    /* Memory that is kept unused is no reason to say that there is none. */
    OK(cuMemAllocFromPoolAsync(&a, before / 2, pool, stream));
    OK(cuMemFree_v2(a));
    OK(cuMemAlloc_v2(&b, before - unit));
    OK(cuMemFree_v2(b));
    /* A pool that was destroyed lives as long as its allocations. */
    OK(cuMemAllocFromPoolAsync(&a, unit, pool, stream));
    OK(cuMemAllocFromPoolAsync(&b, unit, pool, stream));
    OK(cuMemPoolDestroy(pool));
    OK(cuMemFree_v2(a));
    CHECK(before - free_bytes() == unit);
    OK(cuMemsetD8_v2(b, 1, unit));
    OK(cuMemFree_v2(b));
    CHECK(free_bytes() == before);
    OK(cuStreamDestroy_v2(stream));
}

static void mappings(void)
{
    CUdeviceptr at = 0;
    CUmemGenericAllocationHandle handle = 0, again = 0;
    const size_t unit = 2 << 20;
    CUmemAllocationProp props = {.type = CU_MEM_ALLOCATION_TYPE_PINNED,
                                 .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = 0}};
    CUmemAccessDesc access = {.location = props.location, .flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
    OK(cuMemAddressReserve(&at, 4 * unit, 0, 0, 0));
    OK(cuMemCreate(&handle, unit, &props, 0));
    WANT(CUDA_ERROR_INVALID_VALUE, cuMemCreate(&again, 100, &props, 0));
    OK(cuMemMap(at, unit, 0, handle, 0));
    WANT(CUDA_ERROR_INVALID_VALUE, cuMemMap(at, unit, 0, handle, 0));
    WANT(CUDA_ERROR_INVALID_VALUE, cuMemsetD8_v2(at, 1, 10));
    OK(cuMemSetAccess(at, unit, &access, 1));
    OK(cuMemMap(at + unit, unit, 0, handle, 0)); /* the same memory twice */
    OK(cuMemSetAccess(at + unit, unit, &access, 1));
    OK(cuMemsetD32_v2(at, 77, 2 * unit / 4));
    OK(cuMemsetD32_v2(at, 78, 1));
    CHECK(word_at(at + unit) == 78);
    OK(cuMemRetainAllocationHandle(&again, (void *)(uintptr_t)at));
    CHECK(again == handle);
    OK(cuMemRelease(handle));
    OK(cuMemRelease(handle));
    WANT(CUDA_ERROR_INVALID_VALUE, cuMemRelease(handle));
    WANT(CUDA_ERROR_INVALID_VALUE, cuMemAddressFree(at, 4 * unit));
    OK(cuMemUnmap(at, 2 * unit));
    WANT(CUDA_ERROR_INVALID_VALUE, cuMemUnmap(at, unit));
    OK(cuMemAddressFree(at, 4 * unit));
    WANT(CUDA_ERROR_INVALID_VALUE, cuMemAddressFree(at, 4 * unit));
}

int main(void)
{
    (void)start();
    allocations();
    many();
    bounds();
    host_memory();
    copies_2d();
    arrays();
    pools();
    reservations();
    mappings();
    return 0;
}
