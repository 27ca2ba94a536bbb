/* SPDX-License-Identifier: Apache-2.0
 *
 * The handle table: slots in pages that are never given back, so that a look-up needs no lock.
 */
#include "objects.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

/* A handle: tag, kind, generation, index. The tag keeps handles apart from addresses and from 0, 1, 2. */
#define HANDLE_TAG 0x53ull
#define HANDLE_TAG_SHIFT 56
#define HANDLE_KIND_SHIFT 48
#define HANDLE_GENERATION_SHIFT 24
#define GENERATION_MASK 0xffffffull
#define INDEX_MASK 0xffffffull

/* A slot's state: reference count, alive bit, generation; changed as one word. */
#define COUNT_MASK 0xffffffffull
#define ALIVE (1ull << 32)
#define STATE_GENERATION_SHIFT 33

struct slot {
    _Atomic uint64_t state;
    struct object *_Atomic object;
    object_free_fn free_fn;
    uint32_t next_free;
};

static struct slot *_Atomic pages[OBJECT_PAGES];
static pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;
static uint32_t used_slots = 1; /* index 0 stays unused and ends the free list */
static uint32_t first_free;

static struct slot *slot_at(uint64_t index)
{
    if (index >= (uint64_t)OBJECT_PAGES * OBJECTS_PER_PAGE)
        return NULL;
    struct slot *page = atomic_load_explicit(&pages[index / OBJECTS_PER_PAGE], memory_order_acquire);
    return page ? &page[index % OBJECTS_PER_PAGE] : NULL;
}

static uint64_t generation_of(uint64_t state)
{
    return (state >> STATE_GENERATION_SHIFT) & GENERATION_MASK;
}

static int add_page(uint32_t index)
{
    struct slot *page = calloc(OBJECTS_PER_PAGE, sizeof(*page));
    if (!page)
        return -ENOMEM;
    atomic_store_explicit(&pages[index / OBJECTS_PER_PAGE], page, memory_order_release);
    return 0;
}

/* Called with the lock held. 0 when the table is full. */
static uint32_t take_index(void)
{
    uint32_t index = first_free;
    if (index) {
        first_free = slot_at(index)->next_free;
        return index;
    }
    if (used_slots == OBJECT_PAGES * OBJECTS_PER_PAGE)
        return 0;
    if (!slot_at(used_slots) && add_page(used_slots))
        return 0;
    return used_slots++;
}

int object_register(struct object *object, enum kind kind, object_free_fn free_fn)
{
    pthread_mutex_lock(&table_lock);
    uint32_t index = take_index();
    pthread_mutex_unlock(&table_lock);
    if (!index)
        return -ENOMEM;
    struct slot *slot = slot_at(index);
    uint64_t generation = (generation_of(atomic_load(&slot->state)) + 1) & GENERATION_MASK;
    object->kind = kind;
    object->handle = HANDLE_TAG << HANDLE_TAG_SHIFT | (uint64_t)kind << HANDLE_KIND_SHIFT |
                     generation << HANDLE_GENERATION_SHIFT | index;
    slot->free_fn = free_fn;
    atomic_store(&slot->object, object);
    atomic_store(&slot->state, generation << STATE_GENERATION_SHIFT | ALIVE | 1);
    return 0;
}

enum kind handle_kind(uint64_t handle)
{
    uint64_t kind = handle >> HANDLE_KIND_SHIFT & 0xff;
    if (handle >> HANDLE_TAG_SHIFT != HANDLE_TAG || kind >= KIND_COUNT)
        return KIND_NONE;
    return (enum kind)kind;
}

void *object_get(uint64_t handle, enum kind kind)
{
    if (handle_kind(handle) != kind)
        return NULL;
    struct slot *slot = slot_at(handle & INDEX_MASK);
    if (!slot)
        return NULL;
    uint64_t generation = handle >> HANDLE_GENERATION_SHIFT & GENERATION_MASK;
    uint64_t state = atomic_load_explicit(&slot->state, memory_order_relaxed);
    do {
        if (!(state & ALIVE) || generation_of(state) != generation)
            return NULL;
    } while (!atomic_compare_exchange_weak(&slot->state, &state, state + 1));
    struct object *object = atomic_load_explicit(&slot->object, memory_order_relaxed);
    if (object->kind == kind)
        return object;
    object_put(object); /* a forged handle: right index and generation, wrong kind */
    return NULL;
}

void object_hold(struct object *object)
{
    atomic_fetch_add(&slot_at(object->handle & INDEX_MASK)->state, 1);
}

int object_try_hold(struct object *object)
{
    struct slot *slot = slot_at(object->handle & INDEX_MASK);
    uint64_t state = atomic_load(&slot->state);
    do {
        if (!(state & COUNT_MASK))
            return 0;
    } while (!atomic_compare_exchange_weak(&slot->state, &state, state + 1));
    return 1;
}

static void release_slot(struct slot *slot, uint32_t index)
{
    struct object *object = atomic_load(&slot->object);
    object_free_fn free_fn = slot->free_fn;
    /* The slot is reused only after the object has left all lists: object_try_hold relies on it. */
    free_fn(object);
    pthread_mutex_lock(&table_lock);
    slot->next_free = first_free;
    first_free = index;
    pthread_mutex_unlock(&table_lock);
}

void object_put(struct object *object)
{
    uint32_t index = (uint32_t)(object->handle & INDEX_MASK);
    struct slot *slot = slot_at(index);
    if ((atomic_fetch_sub(&slot->state, 1) & COUNT_MASK) == 1)
        release_slot(slot, index);
}

int object_kill(struct object *object)
{
    struct slot *slot = slot_at(object->handle & INDEX_MASK);
    return (atomic_fetch_and(&slot->state, ~ALIVE) & ALIVE) != 0;
}

int object_is_alive(const struct object *object)
{
    const struct slot *slot = slot_at(object->handle & INDEX_MASK);
    return (atomic_load(&slot->state) & ALIVE) != 0;
}
