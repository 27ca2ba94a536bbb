/* SPDX-License-Identifier: Apache-2.0
 *
 * Physical memory that has several references: it can be named until the last of them is released.
 */
#include <pthread.h>

#include "check.h"

enum { UNIT = 2 << 20, THREADS = 4, ROUNDS = 100 };

static const CUmemAllocationProp properties = {.type = CU_MEM_ALLOCATION_TYPE_PINNED,
                                               .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE}};

static void *at(CUdeviceptr address)
{
    return (void *)(uintptr_t)address;
}

static CUdeviceptr mapped(CUmemGenericAllocationHandle *handle)
{
    CUmemAccessDesc access = {.location = properties.location, .flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
    CUdeviceptr address;

    OK(cuMemAddressReserve(&address, UNIT, 0, 0, 0));
    OK(cuMemCreate(handle, UNIT, &properties, 0));
    OK(cuMemMap(address, UNIT, 0, *handle, 0));
    OK(cuMemSetAccess(address, UNIT, &access, 1));
    return address;
}

static void unmapped(CUdeviceptr address)
{
    OK(cuMemUnmap(address, UNIT));
    OK(cuMemAddressFree(address, UNIT));
}

static void expect_alive(CUmemGenericAllocationHandle handle)
{
    CUmemAllocationProp found;

    OK(cuMemGetAllocationPropertiesFromHandle(&found, handle));
    EXPECT(CU_MEM_LOCATION_TYPE_DEVICE, found.location.type);
}

static void each_reference_is_released(void)
{
    CUmemGenericAllocationHandle made, again, third;
    CUdeviceptr address = mapped(&made);

    OK(cuMemRetainAllocationHandle(&again, at(address)));
    OK(cuMemRetainAllocationHandle(&third, at(address + UNIT - 1)));
    HOLDS(again == made && third == made);
    OK(cuMemRelease(made));
    expect_alive(made);
    OK(cuMemRelease(made));
    expect_alive(made);
    OK(cuMemRelease(made));
    EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemRelease(made));
    unmapped(address);
}

/* Memory that is only mapped can be named again. */
static void a_mapping_gives_a_new_name(void)
{
    CUmemGenericAllocationHandle made, again;
    CUdeviceptr address = mapped(&made), other;

    OK(cuMemRelease(made));
    OK(cuMemsetD32_v2(address, 5, UNIT / 4));
    OK(cuMemRetainAllocationHandle(&again, at(address)));
    expect_alive(again);
    OK(cuMemAddressReserve(&other, UNIT, 0, 0, 0));
    OK(cuMemMap(other, UNIT, 0, again, 0));
    OK(cuMemRelease(again));
    EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemRelease(again));
    OK(cuMemUnmap(other, UNIT));
    OK(cuMemAddressFree(other, UNIT));
    EXPECT(5, value_at(address + UNIT - 4));
    unmapped(address);
    EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemRetainAllocationHandle(&again, at(address)));
}

static CUdeviceptr shared;

static void *retain_and_release(void *unused)
{
    CUmemGenericAllocationHandle handle;

    for (int i = 0; i < ROUNDS; i++) {
        OK(cuMemRetainAllocationHandle(&handle, at(shared)));
        expect_alive(handle);
        OK(cuMemRelease(handle));
    }
    return unused;
}

static void threads_share_a_name(void)
{
    CUmemGenericAllocationHandle made;
    pthread_t threads[THREADS];

    shared = mapped(&made);
    for (int i = 0; i < THREADS; i++)
        HOLDS(pthread_create(&threads[i], NULL, retain_and_release, NULL) == 0);
    for (int i = 0; i < THREADS; i++)
        HOLDS(pthread_join(threads[i], NULL) == 0);
    expect_alive(made);
    OK(cuMemRelease(made));
    EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemRelease(made));
    unmapped(shared);
}

int main(void)
{
    start();
    each_reference_is_released();
    a_mapping_gives_a_new_name();
    threads_share_a_name();
    return 0;
}
