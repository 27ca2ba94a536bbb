/* SPDX-License-Identifier: Apache-2.0
 *
 * The tables inside a compiled object (written by codegen/image.py) and what a loaded image is.
 */
#ifndef SOFTGPU_IMAGE_H
#define SOFTGPU_IMAGE_H

#include "engine.h"

struct sg_thread;

enum {
    SG_IMAGE_MAGIC = 0x32494753,
    SG_CODE_MAGIC = 0x32434753,
    SG_KERNEL_NEEDS_FIBERS = 1, /* its threads wait for one another, in functions that it calls */
    SG_KERNEL_COROUTINE = 2,    /* its threads wait for one another, in the kernel itself */
    SG_MAX_LOCAL_BYTES = 512 * 1024,
};

/* --- sg_image_v1: what is in a module; codegen/image.py ------------------------------------------------------ */

struct sg_object_kernel {
    const char *name;
    const struct sg_param *params;
    uint32_t param_count;
    uint32_t param_bytes;
    uint32_t static_shared_bytes;
    uint32_t window_bytes; /* .local variables of the kernel and all that it calls */
    uint32_t max_threads;
    uint32_t required_block[3];
    uint32_t calls_pointers;
};

struct sg_object_global {
    const char *name;
    const void *init;
    uint64_t bytes;
    uint32_t align;
    uint32_t is_constant;
};

/* The address of one global, or some bytes of it, inside the initial value of another. */
struct sg_object_pointer {
    uint32_t global;
    uint32_t target;
    uint64_t offset;
    int64_t addend;
    uint32_t width;
    uint32_t shift;
};

struct sg_image_v1 {
    uint32_t magic;
    uint32_t thread_bytes; /* sizeof(struct sg_thread) that the code is compiled for */
    uint32_t ptx_version;
    uint32_t target;
    uint32_t kernel_count;
    uint32_t global_count;
    uint32_t pointer_count;
    uint32_t function_count; /* of the module: functions are called by their numbers in it */
    const struct sg_object_kernel *kernels;
    const struct sg_object_global *globals;
    const struct sg_object_pointer *pointers;
};

/* --- sg_code_v1: some of its code; codegen/unit.py ----------------------------------------------------------- */

struct sg_code_entry {
    void *(*code)(struct sg_thread *thread); /* one thread if they wait for one another, else a block; a
                                                coroutine returns its handle, others return nothing */
    uint32_t kernel;
    uint32_t flags;
};

/* A function that can be called through pointers. Caller and function must agree on `shape`. */
struct sg_function {
    const void *code;
    uint64_t shape;
};

struct sg_code_function {
    struct sg_function function;
    uint32_t number;
    uint32_t reserved;
};

struct sg_code_v1 {
    uint32_t magic;
    uint32_t thread_bytes;
    uint32_t entry_count;
    uint32_t function_count;
    uint32_t slot_count;
    uint32_t has_functions; /* these are all functions that can be called through pointers */
    const struct sg_code_entry *entries;
    const struct sg_code_function *functions;
    const uint32_t *slots;            /* the globals whose addresses this code reads */
    uint64_t *addresses;              /* of those, written by the loader */
    const struct sg_function **table; /* by number, written by the loader */
};

/* One loaded object: a mapping of code, constants and data, each on pages of its own, the code first. */
struct sg_mapping {
    struct sg_mapping *next;
    uint8_t *base;
    size_t mapped_bytes;
    size_t text_bytes;
    const struct sg_code_v1 *code; /* NULL: it has none */
};

struct sg_image {
    struct sg_mapping *_Atomic mappings; /* grows at its head while kernels run */
    const struct sg_image_v1 *tables;
    struct sg_kernel *kernels;
    struct sg_global *globals;
    uint64_t *addresses; /* of the globals */
    struct sg_function *functions; /* by number; those that are not there agree with no caller */
    _Atomic int has_functions;
};

/* mapping.c: an object in memory, with the tables that it has (NULL: it has none). 0, or -errno with a text. */
int sg_mapping_load(const void *bytes, size_t size, struct sg_mapping **mapping, const struct sg_image_v1 **tables,
                    char error[SG_ERROR_BYTES]);
void sg_mapping_unload(struct sg_mapping *mapping);

/* Whether an address lies in the code of any of its objects. Safe in a signal handler. */
int sg_image_has_code(const struct sg_image *image, uint64_t address);

/* What runs a kernel, or NULL. */
static inline const struct sg_code_entry *sg_kernel_entry(const struct sg_kernel *kernel)
{
    return __atomic_load_n((const struct sg_code_entry *const *)&kernel->code, __ATOMIC_ACQUIRE);
}

/* The address of a function that objects may call, or NULL. */
void *sg_symbol_find(const char *name);

#endif
