/* SPDX-License-Identifier: Apache-2.0
 *
 * The session's allocations, by address. Every address that a zone names is looked up here before anything is
 * done with it.
 */
#include <stdlib.h>
#include <string.h>

#include "executor.h"

/* Position of the first range whose base is above `address`. */
static size_t upper_bound(const struct vx *x, uint64_t address)
{
    size_t low = 0, high = x->range_count;

    while (low < high) {
        size_t middle = (low + high) / 2;
        if (x->ranges[middle].base <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int vx_range_add(struct vx *x, uint64_t base, uint64_t bytes, uint32_t is_host)
{
    int result = 0;

    if (base == 0 || bytes == 0 || base + bytes < base)
        return -EINVAL;
    pthread_mutex_lock(&x->lock);
    if (x->range_count == x->range_capacity) {
        size_t capacity = x->range_capacity ? 2 * x->range_capacity : 256;
        struct vx_range *grown = realloc(x->ranges, capacity * sizeof *grown);
        if (grown) {
            x->ranges = grown;
            x->range_capacity = capacity;
        } else {
            result = -ENOMEM;
        }
    }
    size_t at = upper_bound(x, base);
    if (result == 0 && ((at > 0 && x->ranges[at - 1].base + x->ranges[at - 1].bytes > base) ||
                        (at < x->range_count && x->ranges[at].base < base + bytes)))
        result = -EEXIST;
    if (result == 0) {
        memmove(&x->ranges[at + 1], &x->ranges[at], (x->range_count - at) * sizeof *x->ranges);
        x->ranges[at] = (struct vx_range){base, bytes, is_host, 0};
        x->range_count++;
    }
    pthread_mutex_unlock(&x->lock);
    return result;
}

int vx_range_remove(struct vx *x, uint64_t base, uint64_t *bytes)
{
    int result = -ENOENT;

    pthread_mutex_lock(&x->lock);
    size_t at = upper_bound(x, base);
    if (at > 0 && x->ranges[at - 1].base == base) {
        *bytes = x->ranges[at - 1].bytes;
        memmove(&x->ranges[at - 1], &x->ranges[at], (x->range_count - at) * sizeof *x->ranges);
        x->range_count--;
        result = 0;
    }
    pthread_mutex_unlock(&x->lock);
    return result;
}

uint64_t vx_range_find(struct vx *x, uint64_t address, uint64_t *bytes, uint32_t *is_host)
{
    uint64_t base = 0;

    pthread_mutex_lock(&x->lock);
    size_t at = upper_bound(x, address);
    if (at > 0 && address - x->ranges[at - 1].base < x->ranges[at - 1].bytes) {
        base = x->ranges[at - 1].base;
        *bytes = x->ranges[at - 1].bytes;
        *is_host = x->ranges[at - 1].is_host;
    }
    pthread_mutex_unlock(&x->lock);
    return base;
}

int vx_range_covers(struct vx *x, uint64_t base, uint64_t bytes)
{
    uint64_t whole = 0;
    uint32_t is_host;
    uint64_t found = vx_range_find(x, base, &whole, &is_host);

    return found != 0 && bytes <= whole - (base - found);
}
