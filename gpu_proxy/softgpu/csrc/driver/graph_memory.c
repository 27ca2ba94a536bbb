/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory that a graph allocates. Its address is fixed when the node is made, so the memory is taken then and
 * kept as long as any graph may be launched that uses it. What a launched graph leaves allocated belongs to
 * the application from then on.
 */
#include <stdlib.h>

#include "graph.h"
#include "memory.h"

struct graph_memory {
    struct graph_memory *next;
    unsigned references; /* nodes; under graph_lock */
    uint64_t address, id;
    int freed_in_graph, launched, freed;
};

static struct graph_memory *all;

CUresult graph_memory_take(struct context *context, size_t bytes, struct graph_memory **out, CUdeviceptr *address)
{
    struct allocation found;
    uint64_t at = 0;
    struct graph_memory *memory = calloc(1, sizeof(*memory));
    if (!memory)
        return CUDA_ERROR_OUT_OF_MEMORY;
    CUresult result = memory_take(context->device, NULL, bytes, MEMORY_GRAPH, NULL, &at);
    if (result || !memory_find(at, &found)) {
        free(memory);
        return result ? result : CUDA_ERROR_UNKNOWN;
    }
    *memory = (struct graph_memory){.next = all, .references = 1, .address = at, .id = found.id};
    all = memory;
    *out = memory;
    *address = at;
    return CUDA_SUCCESS;
}

void graph_memory_hold(struct graph_memory *memory)
{
    memory->references++;
}

static void leave_list(const struct graph_memory *memory)
{
    for (struct graph_memory **link = &all; *link; link = &(*link)->next) {
        if (*link != memory)
            continue;
        *link = memory->next;
        return;
    }
}

void graph_memory_put(struct graph_memory *memory)
{
    if (--memory->references)
        return;
    leave_list(memory);
    if (memory->freed_in_graph || !memory->launched || memory->freed)
        (void)memory_release(memory->address, memory->id);
    free(memory);
}

static struct graph_memory *find(CUdeviceptr address)
{
    struct graph_memory *memory = all;
    while (memory && memory->address != address)
        memory = memory->next;
    return memory;
}

void graph_memory_freed_in_graph(CUdeviceptr address)
{
    struct graph_memory *memory = find(address);
    if (memory)
        memory->freed_in_graph = 1;
}

void graph_memory_launched(struct graph_memory *memory)
{
    memory->launched = 1;
    memory->freed = 0;
}

CUresult graph_memory_free(CUdeviceptr address)
{
    struct allocation found;
    GRAPH_GUARD;
    struct graph_memory *memory = find(address);
    if (!memory) { /* its graphs have gone: it is the application's */
        NEED(memory_find(address, &found) && found.kind == MEMORY_GRAPH);
        return memory_release(address, found.id);
    }
    NEED(memory->launched && !memory->freed_in_graph && !memory->freed);
    memory->freed = 1;
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetGraphMemAttribute(CUdevice dev, CUgraphMem_attribute attribute, void *value)
{
    ENTER();
    struct device *device = device_get(dev);
    if (!device)
        return CUDA_ERROR_INVALID_DEVICE;
    NEED(value && (unsigned)attribute <= CU_GRAPH_MEM_ATTR_RESERVED_MEM_HIGH);
    int is_high = attribute == CU_GRAPH_MEM_ATTR_USED_MEM_HIGH || attribute == CU_GRAPH_MEM_ATTR_RESERVED_MEM_HIGH;
    *(cuuint64_t *)value = atomic_load(is_high ? &device->graph_bytes_high : &device->graph_bytes);
    return CUDA_SUCCESS;
}

CUresult cuDeviceSetGraphMemAttribute(CUdevice dev, CUgraphMem_attribute attribute, void *value)
{
    ENTER();
    struct device *device = device_get(dev);
    if (!device)
        return CUDA_ERROR_INVALID_DEVICE;
    NEED(value && (attribute == CU_GRAPH_MEM_ATTR_USED_MEM_HIGH || attribute == CU_GRAPH_MEM_ATTR_RESERVED_MEM_HIGH));
    atomic_store(&device->graph_bytes_high, atomic_load(&device->graph_bytes));
    return CUDA_SUCCESS;
}

CUresult cuDeviceGraphMemTrim(CUdevice dev)
{
    ENTER();
    return device_get(dev) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE; /* nothing is kept that is not used */
}
