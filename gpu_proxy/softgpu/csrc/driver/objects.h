/* SPDX-License-Identifier: Apache-2.0
 *
 * Every CUDA object (context, stream, event, module ...) has a handle of kind, generation and index. A handle
 * is looked up in a table and never used as an address, so a stale or invented handle is an error code and
 * no crash. Objects are counted: a look-up adds a reference, object_put drops it, and the object is freed
 * when it has been killed and nobody uses it any more.
 *
 * Lock order (outermost first): context->lock, stream->lock, everything else (all leaves).
 */
#ifndef SOFTGPU_OBJECTS_H
#define SOFTGPU_OBJECTS_H

#include <stddef.h>
#include <stdint.h>

enum kind {
    KIND_NONE = 0,
    KIND_CONTEXT,
    KIND_STREAM,
    KIND_EVENT,
    KIND_MODULE,
    KIND_FUNCTION,
    KIND_KERNEL,
    KIND_LIBRARY,
    KIND_LINK,
    KIND_GRAPH,
    KIND_GRAPH_EXEC,
    KIND_GRAPH_NODE,
    KIND_ARRAY,
    KIND_POOL,
    KIND_PHYSICAL, /* CUmemGenericAllocationHandle */
    KIND_USER_OBJECT,
    KIND_GREEN,
    KIND_RESOURCES, /* CUdevResourceDesc */
    KIND_COUNT,
};

enum {
    OBJECTS_PER_PAGE = 4096,
    OBJECT_PAGES = 1024, /* so at most 4 Mi objects at a time in a process */
};

struct context;

/* First member of every object. */
struct object {
    uint64_t handle;
    enum kind kind;
    struct context *context; /* owner, counted, or NULL */
    struct object *next;     /* in the owner's list, under context->lock */
    struct object *previous;
};

typedef void (*object_free_fn)(struct object *object);

/* Give `object` a handle and the first reference. 0, or -ENOMEM when the table is full. */
int object_register(struct object *object, enum kind kind, object_free_fn free_fn);

/* The live object behind a handle with one more reference, or NULL. */
void *object_get(uint64_t handle, enum kind kind);

/* One more reference to an object that the caller already holds. */
void object_hold(struct object *object);
void object_put(struct object *object);

/* One more reference unless the object is being freed; for lists whose members leave in their free function. */
int object_try_hold(struct object *object);

/* Make the handle invalid. True for exactly one caller, who then owns and must put the first reference. */
int object_kill(struct object *object);

int object_is_alive(const struct object *object);

/* The kind of a handle, whatever it refers to. */
enum kind handle_kind(uint64_t handle);

#define HANDLE(pointer) ((uint64_t)(uintptr_t)(pointer))
#define AS_HANDLE(type, object_pointer) ((type)(uintptr_t)(object_pointer)->object.handle)

#endif
