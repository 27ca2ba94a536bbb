/* SPDX-License-Identifier: Apache-2.0
 *
 * The session's objects. The table is the worker's own: the zone names entries by number, and every number is
 * checked here before anything is done with it.
 */
#include <stdlib.h>
#include <string.h>

#include "executor.h"

enum { KIND_STREAM = 2 };

static struct vx_object *slot_of(struct vx *x, uint64_t handle)
{
    uint32_t index = IDM_HANDLE_INDEX(handle);

    return index < IDM_HANDLE_MAX ? &x->objects[index] : NULL;
}

static void note_index(struct vx *x, uint32_t index)
{
    uint32_t *top = &x->object_top[index >= VX_OWN_INDEX];

    if (index >= *top)
        *top = index + 1;
}

void vx_set_object_limit(struct vx *x, uint32_t limit)
{
    x->object_limit = limit < IDM_HANDLE_MAX ? limit : IDM_HANDLE_MAX;
}

static int is_full(const struct vx *x)
{
    return x->object_count >= x->object_limit;
}

int vx_is_full(struct vx *x)
{
    pthread_mutex_lock(&x->lock);
    int full = is_full(x);
    pthread_mutex_unlock(&x->lock);
    return full;
}

/* The caller holds the lock. */
static int install(struct vx *x, uint64_t handle, unsigned kind, uint64_t object, uint64_t context,
                   uint64_t parent)
{
    struct vx_object *entry = slot_of(x, handle);
    int result = 0;

    if (!entry || IDM_HANDLE_KIND(handle) != kind || kind == 0)
        result = -EPROTO;
    else if (entry->handle || IDM_HANDLE_GENERATION(handle) <= entry->generation)
        result = -EPROTO;
    else if (is_full(x))
        result = -ENOSPC;
    if (result == 0) {
        *entry = (struct vx_object){.handle = handle, .object = object, .context = context,
                                    .parent = parent, .generation = IDM_HANDLE_GENERATION(handle)};
        note_index(x, IDM_HANDLE_INDEX(handle));
        x->object_count++;
        atomic_store_explicit(&x->counters->handles, x->object_count, memory_order_relaxed);
    }
    return result;
}

int vx_install(struct vx *x, uint64_t handle, unsigned kind, uint64_t object, uint64_t context,
               uint64_t parent)
{
    pthread_mutex_lock(&x->lock);
    int result = install(x, handle, kind, object, context, parent);
    pthread_mutex_unlock(&x->lock);
    return result;
}

int vx_lookup(struct vx *x, uint64_t handle, unsigned kind, uint64_t *object)
{
    uint64_t context;

    return vx_lookup_in(x, handle, kind, object, &context);
}

int vx_lookup_in(struct vx *x, uint64_t handle, unsigned kind, uint64_t *object, uint64_t *context)
{
    struct vx_object *entry = slot_of(x, handle);
    int result = -ENOENT;

    pthread_mutex_lock(&x->lock);
    if (entry && handle && entry->handle == handle && IDM_HANDLE_KIND(handle) == kind) {
        *object = entry->object;
        *context = entry->context;
        result = 0;
    }
    pthread_mutex_unlock(&x->lock);
    return result;
}

static void clear(struct vx *x, struct vx_object *entry)
{
    uint32_t generation = entry->generation;

    if (IDM_HANDLE_KIND(entry->handle) == KIND_STREAM)
        vx_capture_gone(x, entry->object);
    if (entry->accounted)
        atomic_fetch_sub_explicit(&x->accounted_count, 1, memory_order_relaxed);
    memset(entry, 0, sizeof *entry);
    entry->generation = generation;
    x->object_count--;
    atomic_store_explicit(&x->counters->handles, x->object_count, memory_order_relaxed);
}

uint64_t vx_parent(struct vx *x, uint64_t handle)
{
    struct vx_object *entry = slot_of(x, handle);
    uint64_t parent = 0;

    pthread_mutex_lock(&x->lock);
    if (entry && handle && entry->handle == handle)
        parent = entry->parent;
    pthread_mutex_unlock(&x->lock);
    return parent;
}

int vx_drop(struct vx *x, uint64_t handle)
{
    struct vx_object *entry = slot_of(x, handle);
    int result = -ENOENT;

    pthread_mutex_lock(&x->lock);
    if (entry && handle && entry->handle == handle) {
        clear(x, entry);
        result = 0;
    }
    pthread_mutex_unlock(&x->lock);
    return result;
}

static const uint32_t first_index[2] = {0, VX_OWN_INDEX};

/* The caller holds the lock. */
static int each_object(struct vx *x, vx_visitor *visitor, void *data)
{
    int result = 0;

    for (int half = 0; half < 2; half++)
        for (uint32_t i = first_index[half]; i < x->object_top[half] && result == 0; i++)
            if (x->objects[i].handle)
                result = visitor(&x->objects[i], data);
    return result;
}

int vx_each_object(struct vx *x, vx_visitor *visitor, void *data)
{
    pthread_mutex_lock(&x->lock);
    int result = each_object(x, visitor, data);
    pthread_mutex_unlock(&x->lock);
    return result;
}

static int depends_on(const struct vx *x, const struct vx_object *entry, uint64_t handle)
{
    uint64_t parent = entry->parent;

    if (entry->context == handle || parent == handle)
        return 1;
    /* What it died with is gone already: a function of a module of a library. */
    return parent && x->objects[IDM_HANDLE_INDEX(parent) % IDM_HANDLE_MAX].handle != parent;
}

/* One walk over all objects; the caller holds the lock. */
static uint32_t drop_once(struct vx *x, uint64_t handle)
{
    uint32_t dropped = 0;

    for (int half = 0; half < 2; half++)
        for (uint32_t i = first_index[half]; i < x->object_top[half]; i++) {
            struct vx_object *entry = &x->objects[i];
            if (entry->handle && entry->handle != handle && depends_on(x, entry, handle)) {
                clear(x, entry);
                dropped++;
            }
        }
    return dropped;
}

uint32_t vx_drop_dependents(struct vx *x, uint64_t handle)
{
    uint32_t dropped = 0, now;

    if (!handle)
        return 0; /* Nothing dies with nothing; most objects have no parent. */
    pthread_mutex_lock(&x->lock);
    while ((now = drop_once(x, handle)) > 0)
        dropped += now;
    pthread_mutex_unlock(&x->lock);
    return dropped;
}

struct wanted {
    uint64_t object, handle;
    unsigned kind;
};

static int same_object(const struct vx_object *entry, void *data)
{
    struct wanted *wanted = data;

    if (entry->object != wanted->object || IDM_HANDLE_KIND(entry->handle) != wanted->kind)
        return 0;
    wanted->handle = entry->handle;
    return 1;
}

/* A free index of the worker's half, or 0. */
static uint32_t own_index(struct vx *x)
{
    uint32_t index = x->object_top[1] ? x->object_top[1] : VX_OWN_INDEX;

    if (index < IDM_HANDLE_MAX)
        return index;
    for (index = VX_OWN_INDEX; index < IDM_HANDLE_MAX; index++)
        if (!x->objects[index].handle)
            return index;
    return 0;
}

uint64_t vx_handle_of(struct vx *x, unsigned kind, uint64_t object, uint64_t context, uint64_t parent)
{
    struct wanted wanted = {.object = object, .kind = kind};
    uint32_t index;

    if (object == 0)
        return 0;
    pthread_mutex_lock(&x->lock);
    if (!each_object(x, same_object, &wanted) && (index = own_index(x)) != 0) {
        wanted.handle = IDM_HANDLE(kind, x->objects[index].generation + 1, index);
        if (install(x, wanted.handle, kind, object, context, parent))
            wanted.handle = 0;
    }
    pthread_mutex_unlock(&x->lock);
    return wanted.handle;
}

int vx_set_accounted(struct vx *x, uint64_t handle)
{
    struct vx_object *entry = slot_of(x, handle);
    int result = -ENOENT;

    pthread_mutex_lock(&x->lock);
    if (entry && handle && entry->handle == handle) {
        if (!entry->accounted)
            atomic_fetch_add_explicit(&x->accounted_count, 1, memory_order_relaxed);
        entry->accounted = 1;
        result = 0;
    }
    pthread_mutex_unlock(&x->lock);
    return result;
}

int vx_is_accounted(struct vx *x, uint64_t handle)
{
    const struct vx_object *entry = slot_of(x, handle);

    /* Most sessions have none, and pay one load. */
    if (!atomic_load_explicit(&x->accounted_count, memory_order_relaxed) || !entry)
        return 0;
    pthread_mutex_lock(&x->lock);
    int accounted = entry->handle == handle && entry->accounted;
    pthread_mutex_unlock(&x->lock);
    return accounted;
}

int vx_set_note(struct vx *x, uint64_t handle, uint32_t note)
{
    struct vx_object *entry = slot_of(x, handle);

    pthread_mutex_lock(&x->lock);
    int is_known = entry && handle && entry->handle == handle;
    if (is_known)
        entry->note = note;
    pthread_mutex_unlock(&x->lock);
    return is_known ? 0 : -ENOENT;
}

uint32_t vx_note(struct vx *x, uint64_t handle)
{
    const struct vx_object *entry = slot_of(x, handle);

    pthread_mutex_lock(&x->lock);
    uint32_t note = entry && handle && entry->handle == handle ? entry->note : 0;
    pthread_mutex_unlock(&x->lock);
    return note;
}
