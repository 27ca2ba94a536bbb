/* SPDX-License-Identifier: Apache-2.0
 *
 * Application functions that outlive the call that names them: host functions of graph nodes, which each
 * launch calls, and destructors of user objects. A graph that was instantiated may call a node's function
 * for as long as the process runs, so those are kept.
 */
#include <stdlib.h>
#include <string.h>

#include "graph.h"

/* Numbers of these callbacks have this bit; those of streams never reach it. */
#define LASTING (1ull << 62)
enum { LASTING_MAX = 1 << 20 };

struct lasting {
    CUhostFn function; /* NULL: free */
    void *data;
    int once;
};

VGPU_LOCK(lock);
static struct lasting *table;
static size_t used, capacity;

static int make_room(void)
{
    if (used < capacity)
        return 1;
    size_t wanted = capacity ? 2 * capacity : 64;
    struct lasting *grown = wanted > LASTING_MAX ? NULL : realloc(table, wanted * sizeof *grown);
    if (!grown)
        return 0;
    table = grown;
    capacity = wanted;
    return 1;
}

CUresult vgpu_lasting_callback(CUhostFn function, void *data, int once, uint64_t *number)
{
    if (!function)
        return CUDA_ERROR_INVALID_VALUE;
    CUresult status = vgpu_start_callback_thread();
    if (status != CUDA_SUCCESS)
        return status;
    pthread_mutex_lock(&lock);
    if (make_room()) {
        *number = LASTING | used;
        table[used++] = (struct lasting){function, data, once};
    } else {
        status = CUDA_ERROR_OUT_OF_MEMORY;
    }
    pthread_mutex_unlock(&lock);
    if (status != CUDA_SUCCESS)
        vgpu_log(VGPU_WARNING, "more than %d functions in graphs and user objects", LASTING_MAX);
    return status;
}

/* The entry of a number, or NULL; the caller holds the lock. */
static struct lasting *entry_of(uint64_t number)
{
    uint32_t index = (uint32_t)number; /* Between the two is what the back end knows the call by. */

    return number & LASTING && index < used && table[index].function ? &table[index] : NULL;
}

void vgpu_forget_callback(uint64_t number)
{
    pthread_mutex_lock(&lock);
    struct lasting *entry = entry_of(number);
    if (entry)
        entry->function = NULL;
    pthread_mutex_unlock(&lock);
}

int vgpu_find_callback(uint64_t number, CUhostFn *function, void **data)
{
    pthread_mutex_lock(&lock);
    const struct lasting *entry = entry_of(number);
    if (entry) {
        *function = entry->function;
        *data = entry->data;
    }
    pthread_mutex_unlock(&lock);
    return entry ? 0 : -1;
}

int vgpu_run_lasting(uint64_t number)
{
    struct lasting found = {0};

    if (!(number & LASTING))
        return 0;
    pthread_mutex_lock(&lock);
    struct lasting *entry = entry_of(number);
    if (entry) {
        found = *entry;
        if (entry->once)
            entry->function = NULL;
    }
    pthread_mutex_unlock(&lock);
    if (found.function)
        found.function(found.data);
    return 1;
}
