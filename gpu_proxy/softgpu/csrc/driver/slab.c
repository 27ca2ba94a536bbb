/* SPDX-License-Identifier: Apache-2.0
 *
 * Small allocations: a chunk of 2 MiB is cut into slots of one size.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"

/* Four sizes a doubling, from 256 bytes to SLAB_SLOT_MAX. */
enum { SIZE_CLASSES = 40 };

struct slab {
    struct slab *next, *previous; /* in the list of its class, when it has a free slot */
    uint64_t address;
    size_t slot_bytes;
    unsigned slots, used;
    unsigned size_class;
    unsigned first_hint;          /* no free slot below this one */
    struct allocation *allocations;
};

static struct slab *with_room[SIZE_CLASSES];

static size_t class_bytes(unsigned size_class)
{
    if (size_class < 4)
        return 256u * (size_class + 1);
    unsigned doubling = (size_class - 4) / 4, quarter = (size_class - 4) % 4;
    return ((size_t)1280 + 256u * quarter) << doubling;
}

static unsigned class_of(size_t bytes)
{
    unsigned size_class = 0;
    while (class_bytes(size_class) < bytes || class_bytes(size_class) % DEVICE_ALIGN)
        size_class++;
    return size_class;
}

size_t slab_slot_bytes(size_t bytes)
{
    return class_bytes(class_of(bytes));
}

static void list_add(struct slab *slab)
{
    struct slab **head = &with_room[slab->size_class];
    slab->previous = NULL;
    slab->next = *head;
    if (*head)
        (*head)->previous = slab;
    *head = slab;
}

static void list_remove(struct slab *slab)
{
    if (slab->previous)
        slab->previous->next = slab->next;
    else
        with_room[slab->size_class] = slab->next;
    if (slab->next)
        slab->next->previous = slab->previous;
}

static struct slab *slab_make(unsigned size_class)
{
    struct slab *slab = calloc(1, sizeof(*slab));
    if (!slab)
        return NULL;
    slab->size_class = size_class;
    slab->slot_bytes = class_bytes(size_class);
    slab->slots = (unsigned)(CHUNK_BYTES / slab->slot_bytes);
    slab->allocations = calloc(slab->slots, sizeof(*slab->allocations));
    if (!slab->allocations || arena_take(CHUNK_BYTES, CHUNK_BYTES, 0, &slab->address)) {
        free(slab->allocations);
        free(slab);
        return NULL;
    }
    if (arena_commit(slab->address, CHUNK_BYTES)) {
        arena_give(slab->address, CHUNK_BYTES);
        free(slab->allocations);
        free(slab);
        return NULL;
    }
    *arena_chunk(slab->address) = (struct chunk){.kind = CHUNK_SLAB, .slab = slab};
    list_add(slab);
    return slab;
}

int slab_take(size_t bytes, struct allocation **out)
{
    unsigned size_class = class_of(bytes);
    struct slab *slab = with_room[size_class] ? with_room[size_class] : slab_make(size_class);
    if (!slab)
        return -ENOMEM;
    unsigned slot = slab->first_hint;
    while (slab->allocations[slot].kind != MEMORY_NONE)
        slot++;
    slab->first_hint = slot + 1;
    if (++slab->used == slab->slots)
        list_remove(slab);
    slab->allocations[slot].address = slab->address + slot * slab->slot_bytes;
    *out = &slab->allocations[slot];
    return 0;
}

static void slab_drop(struct slab *slab)
{
    list_remove(slab);
    if (arena_decommit(slab->address, CHUNK_BYTES) == 0)
        arena_give(slab->address, CHUNK_BYTES);
    free(slab->allocations);
    free(slab);
}

void slab_release(struct slab *slab, uint64_t address)
{
    unsigned slot = (unsigned)((address - slab->address) / slab->slot_bytes);
    memset(&slab->allocations[slot], 0, sizeof(slab->allocations[slot]));
    if (slot < slab->first_hint)
        slab->first_hint = slot;
    if (slab->used-- == slab->slots)
        list_add(slab);
    /* One empty slab of a size stays, so that taking and giving back in turn is cheap. */
    if (!slab->used && (slab->next || slab->previous))
        slab_drop(slab);
}

struct allocation *slab_find(struct slab *slab, uint64_t address)
{
    unsigned slot = (unsigned)((address - slab->address) / slab->slot_bytes);
    if (slot >= slab->slots || slab->allocations[slot].kind == MEMORY_NONE)
        return NULL;
    return &slab->allocations[slot];
}
