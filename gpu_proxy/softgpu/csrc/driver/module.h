/* SPDX-License-Identifier: Apache-2.0
 *
 * Modules, libraries, functions and kernels.
 *
 * A `code` is an image of which the helper knows what is in it; kernels are compiled when one of them is first
 * needed, or all at once where CUDA_MODULE_LOADING says EAGER. A module is a code loaded into a context: its
 * globals have device memory. A library is a code that becomes a module in each context where it is used. A
 * function is a kernel of a module, a `kernel` one of a library; cuLaunchKernel takes either.
 */
#ifndef SOFTGPU_MODULE_H
#define SOFTGPU_MODULE_H

#include "work.h"

enum {
    LIBRARY_CONTEXTS_MAX = 64, /* contexts in which one library is in use */
    IMAGE_BYTES_MAX = 1 << 30,
    COMPILE_ERROR_MAX = 64 << 10,
};

struct blob {
    size_t bytes;
    unsigned char data[];
};

struct code {
    _Atomic unsigned references;
    struct blob *source;       /* the image: whatever is compiled is compiled from it */
    struct blob *index;        /* an object; of a small image it has the code as well */
    struct sg_image *shape;    /* the index opened, for names and sizes: never bound, never run */
    size_t kernel_count;
    pthread_mutex_t lock;      /* what follows; held while something is compiled */
    struct blob **kernels;     /* objects, once they have been needed */
    struct blob *functions;
};

struct global {
    uint64_t address;
    uint64_t id; /* of the allocation: another one may have the address later */
};

struct module {
    struct object object;
    struct sg_image *image;
    struct code *code;
    struct global *globals;
    pthread_mutex_t lock;
    struct function **functions; /* by kernel index, made when first asked for */
};

/* What cuFuncSetAttribute and cuKernelSetAttribute may change. */
struct function_settings {
    int max_dynamic_shared; /* -1: never set */
    int carveout;
    CUfunc_cache cache_config;
};

struct function {
    struct object object;
    struct module *module; /* counted */
    size_t index;
    const struct sg_kernel *kernel;
    struct function_settings settings;
    uint64_t kernel_handle; /* the library's kernel that it comes from, or 0 */
};

struct kernel {
    struct object object;
    struct library *library; /* counted */
    size_t index;
    const struct sg_kernel *shape; /* names and sizes */
    struct function_settings settings;
};

struct library {
    struct object object;
    struct code *code;
    pthread_mutex_t lock;
    struct kernel **kernels;
    uint64_t modules[LIBRARY_CONTEXTS_MAX]; /* handles: a context that ends kills its module */
    uint64_t module_contexts[LIBRARY_CONTEXTS_MAX];
};

/* helper.c */
enum helper_kind { HELPER_LOAD, HELPER_KERNEL, HELPER_FUNCTIONS };
/* *payload is malloc'ed: an object, or with an error its text or nothing. */
CUresult helper_ask(enum helper_kind kind, size_t number, const struct blob *image, struct blob **payload);

/* image.c */
struct jit_log {
    char *info, *error;
    size_t info_bytes, error_bytes;
    void **info_size_slot, **error_size_slot; /* option values to overwrite with the lengths */
};
void jit_log_parse(struct jit_log *log, unsigned count, CUjit_option *options, void **values);
CUresult image_bytes(const void *image, const void **start, size_t *bytes);
CUresult image_read_file(const char *path, void **data);

/* source.c */
struct blob *image_source(const void *image, size_t bytes); /* a copy of what the helper can use; NULL: no memory */

/* code.c */
CUresult code_load(const void *image, struct jit_log *log, struct code **code);
CUresult code_load_bytes(const void *data, size_t bytes, struct jit_log *log, struct code **code);
void code_put(struct code *code);
CUresult code_open(const struct code *code, struct sg_image **image);
/* Objects for sg_image_add, compiled now unless they are there; they belong to the code. */
CUresult code_kernel(struct code *code, size_t index, const struct blob **object);
CUresult code_functions(struct code *code, const struct blob **object);

/* module.c */
CUresult module_load(struct context *context, struct code *code, struct module **module);
void module_kill(struct module *module);
CUresult module_function(struct module *module, size_t index, struct function **function); /* counted */
CUresult function_load(struct function *function); /* compiles its kernel, unless that has been done */
CUresult image_find_kernel(const struct sg_image *image, const char *name, size_t *index);
CUresult image_find_global(const struct sg_image *image, const char *name, size_t *index);

/* library.c */
CUresult library_module(struct library *library, struct context *context, struct module **module); /* counted */
CUresult kernel_function(struct kernel *kernel, struct context *context, struct function **function);

/* function.c */
CUresult function_from_handle(struct context *context, CUfunction handle, struct function **function); /* counted */
int function_max_dynamic(const struct sg_kernel *kernel, const struct function_settings *settings);
CUresult kernel_attribute(const struct sg_kernel *kernel, const struct function_settings *settings,
                          CUfunction_attribute attribute, int *value);
CUresult kernel_set_attribute(const struct sg_kernel *kernel, struct function_settings *settings,
                              CUfunction_attribute attribute, int value);

/* occupancy.c */
int occupancy_blocks(const struct sg_kernel *kernel, int block_threads, size_t dynamic_shared);

/* launch.c */
struct launch_shape {
    uint32_t grid[3];
    uint32_t block[3];
    uint32_t shared;
    int cooperative;
};
CUresult launch_prepare(struct context *context, struct function *function, const struct launch_shape *shape,
                        void **params, void **extra, void *buffer, struct work_kernel *work);

#endif
