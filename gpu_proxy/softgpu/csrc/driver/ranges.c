/* SPDX-License-Identifier: Apache-2.0
 *
 * A set of free ranges: taken first fit, joined with their neighbours when given back.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"

static int make_room(struct ranges *ranges)
{
    if (ranges->used < ranges->room)
        return 0;
    size_t room = ranges->room ? 2 * ranges->room : 64;
    struct range *items = realloc(ranges->items, room * sizeof(*items));
    if (!items)
        return -ENOMEM;
    ranges->items = items;
    ranges->room = room;
    return 0;
}

static void remove_at(struct ranges *ranges, size_t index)
{
    ranges->used--;
    memmove(&ranges->items[index], &ranges->items[index + 1], (ranges->used - index) * sizeof(struct range));
}

static int insert_at(struct ranges *ranges, size_t index, uint64_t start, uint64_t count)
{
    if (make_room(ranges))
        return -ENOMEM;
    memmove(&ranges->items[index + 1], &ranges->items[index], (ranges->used - index) * sizeof(struct range));
    ranges->items[index] = (struct range){start, count};
    ranges->used++;
    return 0;
}

/* The first range that starts after `start`. */
static size_t position(const struct ranges *ranges, uint64_t start)
{
    size_t low = 0, high = ranges->used;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (ranges->items[middle].start > start)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

int ranges_give(struct ranges *ranges, uint64_t start, uint64_t count)
{
    size_t at = position(ranges, start);
    struct range *before = at ? &ranges->items[at - 1] : NULL;
    struct range *after = at < ranges->used ? &ranges->items[at] : NULL;
    int joins_before = before && before->start + before->count == start;
    int joins_after = after && start + count == after->start;
    if (joins_before && joins_after) {
        before->count += count + after->count;
        remove_at(ranges, at);
    } else if (joins_before) {
        before->count += count;
    } else if (joins_after) {
        after->start = start;
        after->count += count;
    } else {
        return insert_at(ranges, at, start, count);
    }
    return 0;
}

/* Cut [start, start + count) out of item `index`, which contains it. */
static int cut(struct ranges *ranges, size_t index, uint64_t start, uint64_t count)
{
    struct range *item = &ranges->items[index];
    uint64_t end = start + count, item_end = item->start + item->count;
    if (item->start < start && end < item_end) {
        uint64_t item_start = item->start;
        if (insert_at(ranges, index + 1, end, item_end - end))
            return -ENOMEM;
        ranges->items[index] = (struct range){item_start, start - item_start};
    } else if (item->start < start) {
        item->count = start - item->start;
    } else if (end < item_end) {
        *item = (struct range){end, item_end - end};
    } else {
        remove_at(ranges, index);
    }
    return 0;
}

int ranges_take(struct ranges *ranges, uint64_t count, uint64_t align, uint64_t *start)
{
    for (size_t i = 0; i < ranges->used; i++) {
        const struct range *item = &ranges->items[i];
        uint64_t at = (item->start + align - 1) / align * align;
        if (at < item->start || at - item->start > item->count || item->count - (at - item->start) < count)
            continue;
        *start = at;
        return cut(ranges, i, at, count);
    }
    return -ENOMEM;
}

int ranges_take_at(struct ranges *ranges, uint64_t start, uint64_t count)
{
    size_t at = position(ranges, start);
    if (!at)
        return -ENOMEM;
    const struct range *item = &ranges->items[at - 1];
    uint64_t offset = start - item->start;
    if (offset > item->count || item->count - offset < count)
        return -ENOMEM;
    return cut(ranges, at - 1, start, count);
}
