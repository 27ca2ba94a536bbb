/* SPDX-License-Identifier: Apache-2.0
 *
 * The tables inside a compiled object (written by codegen/image.py) and what a loaded image is.
 */
#ifndef SOFTGPU_IMAGE_H
#define SOFTGPU_IMAGE_H

#include "engine.h"

struct sg_thread;

enum {
    SG_IMAGE_MAGIC = 0x31494753,
    SG_KERNEL_NEEDS_FIBERS = 1, /* its threads wait for one another, in functions that it calls */
    SG_KERNEL_COROUTINE = 2,    /* its threads wait for one another, in the kernel itself */
    SG_MAX_LOCAL_BYTES = 512 * 1024,
};

struct sg_object_kernel {
    const char *name;
    const struct sg_param *params;
    void *(*code)(struct sg_thread *thread); /* one thread if they wait for one another, else a block; a
                                                coroutine returns its handle, others return nothing */
    uint32_t param_count;
    uint32_t param_bytes;
    uint32_t static_shared_bytes;
    uint32_t depot_bytes;  /* .local variables of the kernel itself */
    uint32_t window_bytes; /* of the kernel and all that it calls */
    uint32_t max_threads;
    uint32_t required_block[3];
    uint32_t flags;
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
    uint32_t thread_bytes; /* sizeof(struct sg_thread) that the code was compiled for */
    uint32_t ptx_version;
    uint32_t target;
    uint32_t kernel_count;
    uint32_t global_count;
    uint32_t pointer_count;
    uint32_t reserved;
    const struct sg_object_kernel *kernels;
    const struct sg_object_global *globals;
    const struct sg_object_pointer *pointers;
    uint64_t *addresses; /* of the globals, read by the code */
};

struct sg_image {
    uint8_t *base; /* one mapping: code, constants, data, each on pages of its own */
    size_t mapped_bytes;
    size_t text_bytes; /* the code is at the start */
    const struct sg_image_v1 *tables;
    struct sg_kernel *kernels;
    struct sg_global *globals;
};

static inline int sg_image_has_code(const struct sg_image *image, uint64_t address)
{
    return address - (uint64_t)(uintptr_t)image->base < image->text_bytes;
}

/* The address of a function that objects may call, or NULL. */
void *sg_symbol_find(const char *name);

#endif
