/* SPDX-License-Identifier: Apache-2.0
 *
 * User objects: counted by the application and by graphs; the last reference calls the destructor.
 */
#include <stdlib.h>

#include "graph.h"

struct user_object {
    struct object object;
    CUhostFn destroy;
    void *data;
    _Atomic uint64_t count;
};

struct user_reference {
    struct user_reference *next;
    struct user_object *user; /* counted as an object, and `count` times as a user object */
    unsigned count;
};

static void user_free(struct object *object)
{
    free((struct user_object *)object);
}

static void release(struct user_object *user, unsigned count)
{
    if (atomic_fetch_sub(&user->count, count) != count)
        return;
    user->destroy(user->data);
    if (object_kill(&user->object))
        object_put(&user->object);
}

CUresult cuUserObjectCreate(CUuserObject *out, void *data, CUhostFn destroy, unsigned int count, unsigned int flags)
{
    ENTER();
    NEED(out && destroy && count && flags == CU_USER_OBJECT_NO_DESTRUCTOR_SYNC);
    struct user_object *user = calloc(1, sizeof(*user));
    if (!user)
        return CUDA_ERROR_OUT_OF_MEMORY;
    user->destroy = destroy;
    user->data = data;
    atomic_init(&user->count, count);
    if (object_register(&user->object, KIND_USER_OBJECT, user_free)) {
        free(user);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    *out = AS_HANDLE(CUuserObject, user);
    return CUDA_SUCCESS;
}

CUresult cuUserObjectRetain(CUuserObject handle, unsigned int count)
{
    ENTER();
    struct user_object *user = object_get(HANDLE(handle), KIND_USER_OBJECT);
    NEED(user);
    atomic_fetch_add(&user->count, count);
    object_put(&user->object);
    return CUDA_SUCCESS;
}

CUresult cuUserObjectRelease(CUuserObject handle, unsigned int count)
{
    ENTER();
    struct user_object *user = object_get(HANDLE(handle), KIND_USER_OBJECT);
    NEED(user);
    int good = count && count <= atomic_load(&user->count);
    if (good)
        release(user, count);
    object_put(&user->object);
    return good ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

static CUresult add_reference(struct user_reference **list, struct user_object *user, unsigned count)
{
    struct user_reference *reference = malloc(sizeof(*reference));
    if (!reference)
        return CUDA_ERROR_OUT_OF_MEMORY;
    object_hold(&user->object);
    *reference = (struct user_reference){*list, user, count};
    *list = reference;
    return CUDA_SUCCESS;
}

void user_references_drop(struct user_reference *references)
{
    while (references) {
        struct user_reference *next = references->next;
        release(references->user, references->count);
        object_put(&references->user->object);
        free(references);
        references = next;
    }
}

CUresult user_references_copy(const struct user_reference *source, struct user_reference **copy)
{
    for (; source; source = source->next) {
        TRY(add_reference(copy, source->user, source->count));
        atomic_fetch_add(&source->user->count, source->count);
    }
    return CUDA_SUCCESS;
}

CUresult cuGraphRetainUserObject(CUgraph handle, CUuserObject user_handle, unsigned int count, unsigned int flags)
{
    ENTER();
    NEED(count && !(flags & ~(unsigned)CU_GRAPH_USER_OBJECT_MOVE));
    GRAPH_GUARD;
    GET_GRAPH(graph, handle);
    struct user_object *user = object_get(HANDLE(user_handle), KIND_USER_OBJECT);
    NEED(user);
    CUresult result = add_reference(&graph->references, user, count);
    if (!result && !(flags & CU_GRAPH_USER_OBJECT_MOVE))
        atomic_fetch_add(&user->count, count);
    object_put(&user->object);
    return result;
}

CUresult cuGraphReleaseUserObject(CUgraph handle, CUuserObject user_handle, unsigned int count)
{
    ENTER();
    GRAPH_GUARD;
    GET_GRAPH(graph, handle);
    for (struct user_reference **link = &graph->references; *link; link = &(*link)->next) {
        struct user_reference *reference = *link;
        if (reference->user->object.handle != HANDLE(user_handle) || reference->count < count)
            continue;
        struct user_object *user = reference->user;
        object_hold(&user->object);
        reference->count -= count;
        if (!reference->count) {
            *link = reference->next;
            object_put(&user->object);
            free(reference);
        }
        release(user, count);
        object_put(&user->object);
        return CUDA_SUCCESS;
    }
    return CUDA_ERROR_INVALID_VALUE;
}
