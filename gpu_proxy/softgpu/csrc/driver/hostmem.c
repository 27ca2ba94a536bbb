/* SPDX-License-Identifier: Apache-2.0
 *
 * The registry of host memory that kernels may use. Kernels ask it at any time, so readers take no lock:
 * they read the sorted table and try again when a writer was at work (a sequence lock). All accesses are
 * sequentially consistent: for readers on x86 that costs nothing, and writers are rare.
 */
#include <stdlib.h>
#include <string.h>

#include "memory.h"

/* What a reader needs; each field is atomic, so that a torn read is wrong but defined. */
struct host_range {
    _Atomic uint64_t start, end;
    _Atomic uint32_t writable;
};

static struct host_range table[HOST_RANGES_MAX];
static struct allocation *details[HOST_RANGES_MAX]; /* same order, under the lock */
static _Atomic size_t used;
static _Atomic uint64_t version; /* odd while a writer changes the table */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* The last range that starts at or below the address: its index plus one, or 0. */
static size_t position(uint64_t address)
{
    size_t low = 0, high = atomic_load(&used);
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (atomic_load(&table[middle].start) > address)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* Ranges that touch count as one: applications register neighbouring pieces. */
static int look(uint64_t address, uint64_t end, int is_write)
{
    size_t index = position(address);
    if (!index)
        return 0;
    size_t count = atomic_load(&used);
    for (index--; index < count; index++) {
        uint64_t start = atomic_load(&table[index].start);
        uint64_t stop = atomic_load(&table[index].end);
        if (address < start || address >= stop)
            return 0;
        if (is_write && !atomic_load(&table[index].writable))
            return 0;
        if (end <= stop)
            return 1;
        address = stop;
    }
    return 0;
}

int host_check(uint64_t address, uint64_t bytes, int is_write)
{
    uint64_t end = address + bytes;
    if (end < address)
        return 0;
    for (;;) {
        uint64_t before = atomic_load(&version);
        int found = look(address, end, is_write);
        if (!(before & 1) && atomic_load(&version) == before)
            return found;
    }
}

int host_is_pinned(const void *address, size_t bytes)
{
    return atomic_load(&used) && host_check((uint64_t)(uintptr_t)address, bytes, 0);
}

int host_find(uint64_t address, struct allocation *found)
{
    pthread_mutex_lock(&lock);
    size_t index = position(address);
    int inside = index && address - details[index - 1]->address < details[index - 1]->bytes;
    if (inside)
        *found = *details[index - 1];
    pthread_mutex_unlock(&lock);
    return inside;
}

/* Called with the lock held. */
static int overlaps(uint64_t start, uint64_t end)
{
    size_t index = position(end - 1);
    return index && atomic_load(&table[index - 1].end) > start;
}

int host_find_overlap(uint64_t address, uint64_t bytes)
{
    pthread_mutex_lock(&lock);
    int found = overlaps(address, address + bytes);
    pthread_mutex_unlock(&lock);
    return found;
}

static void move_entry(size_t to, size_t from)
{
    atomic_store(&table[to].start, atomic_load(&table[from].start));
    atomic_store(&table[to].end, atomic_load(&table[from].end));
    atomic_store(&table[to].writable, atomic_load(&table[from].writable));
    details[to] = details[from];
}

static void begin_change(void)
{
    atomic_fetch_add(&version, 1);
}

static void end_change(void)
{
    atomic_fetch_add(&version, 1);
}

static void insert(struct allocation *allocation)
{
    size_t at = position(allocation->address), count = atomic_load(&used);
    begin_change();
    for (size_t i = count; i > at; i--)
        move_entry(i, i - 1);
    atomic_store(&table[at].start, allocation->address);
    atomic_store(&table[at].end, allocation->address + allocation->bytes);
    atomic_store(&table[at].writable, (uint32_t)allocation->writable);
    details[at] = allocation;
    atomic_store(&used, count + 1);
    end_change();
}

CUresult host_add(const struct allocation *allocation)
{
    struct allocation *copy = malloc(sizeof(*copy));
    if (!copy)
        return CUDA_ERROR_OUT_OF_MEMORY;
    *copy = *allocation;
    pthread_mutex_lock(&lock);
    CUresult result = CUDA_SUCCESS;
    if (atomic_load(&used) == HOST_RANGES_MAX)
        result = CUDA_ERROR_OUT_OF_MEMORY;
    else if (overlaps(copy->address, copy->address + copy->bytes))
        result = CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED;
    else
        insert(copy);
    pthread_mutex_unlock(&lock);
    if (result)
        free(copy);
    return result;
}

/* Called with the lock held. */
static struct allocation *remove_at(size_t at)
{
    struct allocation *allocation = details[at];
    size_t count = atomic_load(&used);
    begin_change();
    for (size_t i = at + 1; i < count; i++)
        move_entry(i - 1, i);
    atomic_store(&used, count - 1);
    end_change();
    return allocation;
}

CUresult host_remove(uint64_t address, struct allocation *removed)
{
    pthread_mutex_lock(&lock);
    size_t index = position(address);
    struct allocation *found = NULL;
    if (index && details[index - 1]->address == address)
        found = remove_at(index - 1);
    pthread_mutex_unlock(&lock);
    if (!found)
        return CUDA_ERROR_INVALID_VALUE;
    *removed = *found;
    free(found);
    return CUDA_SUCCESS;
}

uint64_t host_next_of_context(const struct context *context)
{
    uint64_t address = 0;
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < atomic_load(&used) && !address; i++)
        if (details[i]->context == context)
            address = details[i]->address;
    pthread_mutex_unlock(&lock);
    return address;
}
