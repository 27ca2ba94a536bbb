/* SPDX-License-Identifier: Apache-2.0
 *
 * Context local storage: values that libraries keep for a (context, key) pair. libcudart reads one on nearly
 * every call, and writes come only when a context is first used, so readers take no lock: a sequence number
 * tells them that a writer was at work, and they read again.
 */
#include "interop.h"

#include <pthread.h>
#include <stdatomic.h>

enum { TRIES = 64 }; /* reads without the lock before a reader waits for the writer */

/* An open-addressing table with linear probing; an entry without a context is free. */
struct entry {
    _Atomic(void *) context, key, value;
    _Atomic(interop_destructor *) destructor;
};

static struct entry entries[INTEROP_STORAGE_ENTRIES];
static unsigned used;                   /* under the lock */
static _Atomic unsigned sequence;       /* odd while a writer is at work */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* Fields are loaded with acquire and stored with release: a reader that sees a new field then also sees the
 * sequence number that its writer set before, and reads again. */
#define LOAD(field) atomic_load_explicit(&(field), memory_order_acquire)
#define STORE(field, value) atomic_store_explicit(&(field), value, memory_order_release)

static unsigned slot_after(unsigned slot)
{
    return (slot + 1) % INTEROP_STORAGE_ENTRIES;
}

static unsigned home(const void *context, const void *key)
{
    uint64_t mixed = (uint64_t)(uintptr_t)context * 0x9E3779B97F4A7C15u;

    mixed = (mixed ^ (uintptr_t)key) * 0x9E3779B97F4A7C15u;
    return (unsigned)(mixed >> 40) % INTEROP_STORAGE_ENTRIES;
}

/* The pair's entry, or the free one where it would go. There is one: the table is never full. A reader that
 * a writer overtakes may run through all of it and then reads again. */
static struct entry *find(const void *context, const void *key)
{
    unsigned slot = home(context, key);

    for (unsigned i = 0; i < INTEROP_STORAGE_ENTRIES; i++, slot = slot_after(slot)) {
        const void *found = LOAD(entries[slot].context);

        if (!found || (found == context && LOAD(entries[slot].key) == key))
            break;
    }
    return &entries[slot];
}

void interop_storage_lock(void)
{
    pthread_mutex_lock(&lock);
}

void interop_storage_unlock(void)
{
    pthread_mutex_unlock(&lock);
}

static void begin_write(void)
{
    pthread_mutex_lock(&lock);
    atomic_store_explicit(&sequence, sequence + 1, memory_order_relaxed);
}

static void end_write(void)
{
    STORE(sequence, sequence + 1);
    pthread_mutex_unlock(&lock);
}

static void move(struct entry *to, struct entry *from)
{
    STORE(to->context, LOAD(from->context));
    STORE(to->key, LOAD(from->key));
    STORE(to->value, LOAD(from->value));
    STORE(to->destructor, LOAD(from->destructor));
}

/* Free an entry and close the gap, so that no probe stops before what it looks for. */
static void drop(struct entry *entry)
{
    unsigned gap = (unsigned)(entry - entries);
    unsigned slot = slot_after(gap);

    for (; LOAD(entries[slot].context); slot = slot_after(slot)) {
        unsigned wanted = home(LOAD(entries[slot].context), LOAD(entries[slot].key));
        unsigned distance = (slot - wanted) % INTEROP_STORAGE_ENTRIES;

        if (distance < (slot - gap) % INTEROP_STORAGE_ENTRIES)
            continue;
        move(&entries[gap], &entries[slot]);
        gap = slot;
    }
    STORE(entries[gap].context, NULL);
    used--;
}

static void *resolve(void *context)
{
    if (context)
        return context;
    return interop_hooks ? interop_hooks->current_context() : NULL;
}

int interop_storage_put(void *context, void *key, void *value, interop_destructor *destructor)
{
    int result = INTEROP_SUCCESS;

    context = resolve(context);
    if (!context)
        return INTEROP_INVALID_CONTEXT;
    begin_write();
    struct entry *entry = find(context, key);

    if (LOAD(entry->context) || used < INTEROP_STORAGE_ENTRIES - 1) {
        used += !LOAD(entry->context);
        STORE(entry->key, key);
        STORE(entry->value, value);
        STORE(entry->destructor, destructor);
        STORE(entry->context, context);
    } else {
        result = INTEROP_OUT_OF_MEMORY;
    }
    end_write();
    if (result != INTEROP_SUCCESS)
        interop_hooks->log("context local storage is full: %d entries", INTEROP_STORAGE_ENTRIES);
    return result;
}

int interop_storage_delete(void *context, void *key)
{
    context = resolve(context);
    if (!context)
        return INTEROP_INVALID_CONTEXT;
    begin_write();
    struct entry *entry = find(context, key);
    int found = LOAD(entry->context) != NULL;

    if (found)
        drop(entry);
    end_write();
    return found ? INTEROP_SUCCESS : INTEROP_INVALID_HANDLE;
}

static int read_entry(void **value, const void *context, const void *key)
{
    struct entry *entry = find(context, key);

    *value = LOAD(entry->value);
    return LOAD(entry->context) == context && LOAD(entry->key) == key;
}

static int get_locked(void **value, const void *context, const void *key)
{
    pthread_mutex_lock(&lock);
    int found = read_entry(value, context, key);

    pthread_mutex_unlock(&lock);
    return found;
}

static int get(void **value, const void *context, const void *key)
{
    for (int i = 0; i < TRIES; i++) {
        unsigned before = LOAD(sequence);
        int found = read_entry(value, context, key);

        if (!(before & 1) && atomic_load_explicit(&sequence, memory_order_relaxed) == before)
            return found;
    }
    return get_locked(value, context, key);
}

int interop_storage_get(void **value, void *context, void *key)
{
    void *found;

    if (!value)
        return INTEROP_INVALID_VALUE;
    context = resolve(context);
    if (!context)
        return INTEROP_INVALID_CONTEXT;
    if (!get(&found, context, key))
        return INTEROP_INVALID_HANDLE;
    *value = found;
    return INTEROP_SUCCESS;
}

/* Take one entry of the context out of the table. 0: there is none. */
static int take(void *context, void **key, void **value, interop_destructor **destructor)
{
    int taken = 0;

    begin_write();
    for (unsigned slot = 0; slot < INTEROP_STORAGE_ENTRIES && !taken; slot++) {
        struct entry *entry = &entries[slot];

        if (LOAD(entry->context) != context)
            continue;
        *key = LOAD(entry->key);
        *value = LOAD(entry->value);
        *destructor = LOAD(entry->destructor);
        drop(entry);
        taken = 1;
    }
    end_write();
    return taken;
}

void interop_context_destroyed(void *context)
{
    void *key, *value;
    interop_destructor *destructor;

    if (!context)
        return;
    /* Destructors run without the lock, since they may use the storage; the bound ends one that stores
     * again. */
    for (int i = 0; i < INTEROP_STORAGE_ENTRIES && take(context, &key, &value, &destructor); i++)
        if (destructor)
            destructor(context, key, value);
}
