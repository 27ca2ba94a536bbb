/* SPDX-License-Identifier: Apache-2.0
 *
 * cuGetProcAddress: which exported function a base name, a CUDA version and the stream flag stand for. The
 * list is generated from the call table.
 */
#include "interop.h"

#include <string.h>

/* First row of the name, or NULL. */
static const struct interop_proc *first_row(const char *name)
{
    size_t low = 0, high = interop_proc_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (strcmp(interop_procs[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == interop_proc_count || strcmp(interop_procs[low].name, name) != 0)
        return NULL;
    return &interop_procs[low];
}

/* The newest row that is not newer than `version`, or NULL. */
static const struct interop_proc *newest_row(const struct interop_proc *first, int version)
{
    const struct interop_proc *end = interop_procs + interop_proc_count;
    const struct interop_proc *found = NULL;

    for (const struct interop_proc *row = first; row < end; row++) {
        if (row->since > version || strcmp(row->name, first->name) != 0)
            break;
        found = row;
    }
    return found;
}

/* A row that the caller's version selects but that the reported driver does not have is not replaced by an
 * older one: the caller would call that with the newer parameters. */
static enum interop_proc_status look_up(const char *symbol, int version, uint64_t flags, void **function)
{
    const struct interop_proc *first = first_row(symbol);
    int driver = interop_hooks ? interop_hooks->driver_version() : 0;

    if (!first || (driver > 0 && first->since > driver))
        return INTEROP_SYMBOL_NOT_FOUND;
    const struct interop_proc *row = newest_row(first, version);

    if (!row)
        return INTEROP_VERSION_NOT_SUFFICIENT;
    if (driver > 0 && row->since > driver)
        return INTEROP_SYMBOL_NOT_FOUND;
    int per_thread = (flags & INTEROP_PER_THREAD_STREAM) && row->per_thread
                     && row->per_thread_since <= version;

    *function = (void *)(uintptr_t)(per_thread ? row->per_thread : row->function);
    return INTEROP_FOUND;
}

int interop_get_proc_address(const char *symbol, void **function, int cuda_version, uint64_t flags,
                             int *status)
{
    if (!symbol || !*symbol || !function || cuda_version < 0)
        return INTEROP_INVALID_VALUE;
    if (flags > INTEROP_PER_THREAD_STREAM)
        return INTEROP_INVALID_VALUE;
    *function = NULL;
    enum interop_proc_status found = look_up(symbol, cuda_version, flags, function);

    if (status)
        *status = (int)found;
    return INTEROP_SUCCESS;
}

int interop_get_proc_address_v1(const char *symbol, void **function, int cuda_version, uint64_t flags)
{
    int status;
    int result = interop_get_proc_address(symbol, function, cuda_version, flags, &status);

    if (result == INTEROP_SUCCESS && status != INTEROP_FOUND)
        return INTEROP_NOT_FOUND;
    return result;
}
