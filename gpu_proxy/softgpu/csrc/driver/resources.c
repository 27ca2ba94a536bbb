/* SPDX-License-Identifier: Apache-2.0
 *
 * Parts of a device, which green contexts are made of. They are counted and reported; kernels share the
 * machine's threads all the same, so a part says nothing about speed.
 */
#include <stdlib.h>
#include <string.h>

#include "green.h"

enum { SM_GRANULARITY = 1, SPLIT_FLAGS = 3, GROUPS_MAX = 1024 };

#define RESOURCE_MAGIC 0x736d20706172740aull

/* What we keep in the bytes of a resource that are none of the application's business. */
struct resource_mark {
    uint64_t magic;
    int32_t ordinal, padding;
};

void resource_describe(const struct device *device, int multiprocessors, CUdevResource *resource)
{
    const struct resource_mark mark = {RESOURCE_MAGIC, device->ordinal, 0};
    memset(resource, 0, sizeof(*resource));
    resource->type = CU_DEV_RESOURCE_TYPE_SM;
    memcpy(resource->_internal_padding, &mark, sizeof(mark));
    resource->sm.smCount = (unsigned)multiprocessors;
    resource->sm.minSmPartitionSize = SM_GRANULARITY;
    resource->sm.smCoscheduledAlignment = SM_GRANULARITY;
}

/* The device of a resource that we gave out, or NULL. */
static struct device *device_of(const CUdevResource *resource)
{
    struct resource_mark mark;
    memcpy(&mark, resource->_internal_padding, sizeof(mark));
    struct device *device = mark.magic == RESOURCE_MAGIC ? device_get(mark.ordinal) : NULL;
    int good = device && resource->sm.smCount && resource->sm.smCount <= (unsigned)device->multiprocessors;
    return good ? device : NULL;
}

CUresult cuDevSmResourceSplitByCount(CUdevResource *result, unsigned int *groups, const CUdevResource *input,
                                     CUdevResource *remainder, unsigned int flags, unsigned int least)
{
    ENTER();
    NEED(groups && input && !(flags & ~(unsigned)SPLIT_FLAGS) && least);
    if (input->type != CU_DEV_RESOURCE_TYPE_SM)
        return CUDA_ERROR_INVALID_RESOURCE_TYPE;
    const struct device *device = device_of(input);
    if (!device || least > input->sm.smCount)
        return CUDA_ERROR_INVALID_RESOURCE_CONFIGURATION;
    unsigned each = (least + SM_GRANULARITY - 1) / SM_GRANULARITY * SM_GRANULARITY;
    unsigned count = input->sm.smCount / each;
    if (result && *groups < count)
        count = *groups;
    for (unsigned i = 0; result && i < count; i++)
        resource_describe(device, (int)each, &result[i]);
    if (remainder)
        resource_describe(device, (int)(input->sm.smCount - count * each), remainder);
    *groups = count;
    return CUDA_SUCCESS;
}

static void description_free(struct object *object)
{
    free((struct description *)object);
}

CUresult cuDevResourceGenerateDesc(CUdevResourceDesc *out, CUdevResource *resources, unsigned int count)
{
    ENTER();
    NEED(out && resources && count && count <= GROUPS_MAX);
    struct description found = {.device = device_of(&resources[0])};
    for (unsigned i = 0; i < count; i++) {
        if (resources[i].type != CU_DEV_RESOURCE_TYPE_SM)
            return CUDA_ERROR_INVALID_RESOURCE_TYPE;
        if (!found.device || device_of(&resources[i]) != found.device)
            return CUDA_ERROR_INVALID_RESOURCE_CONFIGURATION;
        found.multiprocessors += (int)resources[i].sm.smCount;
    }
    if (found.multiprocessors > found.device->multiprocessors)
        return CUDA_ERROR_INVALID_RESOURCE_CONFIGURATION;
    struct description *made = malloc(sizeof(*made));
    if (!made)
        return CUDA_ERROR_OUT_OF_MEMORY;
    *made = found;
    if (object_register(&made->object, KIND_RESOURCES, description_free)) {
        free(made);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    *out = AS_HANDLE(CUdevResourceDesc, made);
    return CUDA_SUCCESS;
}
