/* SPDX-License-Identifier: Apache-2.0
 *
 * The front end's handle table. It chooses handles, so that creations can be posted, and knows which are
 * alive, so that a dead one is an error at once.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "vgpu.h"

enum {
    KIND_CONTEXT = 1, KIND_STREAM = 2, KIND_EVENT = 3, KIND_FUNCTION = 5, KIND_ALLOCATION = 16, GENERATION_MAX = 0xffffff,
    BACK_END = IDM_HANDLE_MAX / 2, /* the back end chooses indexes from here up, we those below */
};

VGPU_LOCK(lock);
static struct vgpu_object *table; /* IDM_HANDLE_MAX entries of address space, touched as needed */
static uint32_t top = 1;          /* index 0 is never used */
static uint32_t back_end_top = BACK_END;
static uint32_t *free_list;
static uint32_t free_count;

static int make_table(void)
{
    size_t bytes = (sizeof *table + sizeof *free_list) * (size_t)IDM_HANDLE_MAX;
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (memory == MAP_FAILED)
        return -1;
    table = memory;
    free_list = (uint32_t *)(void *)(table + IDM_HANDLE_MAX);
    return 0;
}

uint64_t vgpu_object_new(unsigned kind, uint64_t context, uint64_t parent)
{
    uint64_t handle = 0, owner = kind == KIND_STREAM || kind == KIND_EVENT ? context : vgpu_memory_owner(context);

    pthread_mutex_lock(&lock);
    if (table || make_table() == 0) {
        uint32_t index = free_count ? free_list[--free_count] : (top < BACK_END ? top++ : 0);
        if (index) {
            struct vgpu_object *object = &table[index];
            object->generation++;
            handle = IDM_HANDLE(kind, object->generation, index);
            object->handle = handle;
            object->context = owner;
            object->parent = parent;
            object->info = NULL;
            object->flags = 0;
        }
    }
    pthread_mutex_unlock(&lock);
    return handle;
}

/* Whether an index was ever in use; above both tops nothing was written yet. */
static int was_used(uint32_t index)
{
    return index && (index < top || (index >= BACK_END && index < back_end_top));
}

struct vgpu_object *vgpu_object_find(uint64_t handle, unsigned kind)
{
    uint32_t index = IDM_HANDLE_INDEX(handle);

    if (!table || !was_used(index) || IDM_HANDLE_KIND(handle) != kind)
        return NULL;
    struct vgpu_object *object = &table[index];
    return __atomic_load_n(&object->handle, __ATOMIC_ACQUIRE) == handle ? object : NULL;
}

int vgpu_is_alive(uint64_t handle, unsigned kind)
{
    return vgpu_object_find(handle, kind) != NULL;
}

/* An index whose generations are used up is retired. */
static void drop_locked(struct vgpu_object *object)
{
    if (IDM_HANDLE_KIND(object->handle) == KIND_FUNCTION && object->info)
        free(((struct vgpu_function *)object->info)->name);
    free(object->info);
    object->info = NULL;
    __atomic_store_n(&object->handle, 0, __ATOMIC_RELEASE);
    if (object - table < BACK_END && object->generation < GENERATION_MAX)
        free_list[free_count++] = (uint32_t)(object - table);
}

void vgpu_object_drop(uint64_t handle)
{
    uint32_t index = IDM_HANDLE_INDEX(handle);

    pthread_mutex_lock(&lock);
    if (table && was_used(index) && table[index].handle == handle)
        drop_locked(&table[index]);
    pthread_mutex_unlock(&lock);
}

static int depends_on(const struct vgpu_object *object, uint64_t handle)
{
    uint64_t parent = object->parent;

    if (object->context == handle || parent == handle)
        return 1;
    /* What it died with is gone already: a function of a module of a library. */
    return parent && table[IDM_HANDLE_INDEX(parent) % IDM_HANDLE_MAX].handle != parent;
}

/* One walk over all objects; the caller holds the lock. */
static int drop_once(uint64_t handle)
{
    int dropped = 0;

    for (uint32_t i = 1; i < back_end_top; i++) {
        if (i == top)
            i = BACK_END;
        struct vgpu_object *object = &table[i];
        if (i < back_end_top && object->handle && object->handle != handle && depends_on(object, handle)) {
            drop_locked(object);
            dropped = 1;
        }
    }
    return dropped;
}

void vgpu_object_drop_dependents(uint64_t handle)
{
    if (!handle)
        return; /* Nothing dies with nothing; most objects have no parent. */
    pthread_mutex_lock(&lock);
    while (table && drop_once(handle))
        continue;
    pthread_mutex_unlock(&lock);
}

int vgpu_object_adopt(uint64_t handle, unsigned kind, uint64_t parent)
{
    uint32_t index = IDM_HANDLE_INDEX(handle);
    int result = -1;

    if (IDM_HANDLE_KIND(handle) != kind || index >= IDM_HANDLE_MAX)
        return -EPROTO;
    pthread_mutex_lock(&lock);
    struct vgpu_object *object = table ? &table[index] : NULL;
    if (!table && make_table() == 0)
        object = &table[index];
    if (object && object->handle == handle) {
        result = 0;
    } else if (object && index >= BACK_END &&
               IDM_HANDLE_GENERATION(handle) >= object->generation + (object->handle != 0)) {
        /* An older object with this index died in the worker, or one died here that lives on there. */
        if (object->handle)
            drop_locked(object);
        object->generation = IDM_HANDLE_GENERATION(handle);
        object->context = 0;
        object->parent = parent;
        object->flags = 0;
        if (index >= back_end_top)
            back_end_top = index + 1;
        __atomic_store_n(&object->handle, handle, __ATOMIC_RELEASE);
        result = 0;
    }
    pthread_mutex_unlock(&lock);
    return result ? -EPROTO : 0;
}

CUresult vgpu_bad_handle(unsigned kind)
{
    if (kind == KIND_ALLOCATION)
        return CUDA_ERROR_INVALID_VALUE; /* to CUDA it is a number, no handle */
    return kind == KIND_CONTEXT ? CUDA_ERROR_INVALID_CONTEXT : CUDA_ERROR_INVALID_HANDLE;
}
