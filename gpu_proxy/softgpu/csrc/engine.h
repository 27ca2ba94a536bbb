/* SPDX-License-Identifier: Apache-2.0
 *
 * The execution engine of the software GPU: loads objects that the compile helper made from PTX, and runs
 * their kernels on CPU threads. It knows nothing of the CUDA API; the driver above it owns memory, streams
 * and modules.
 *
 * Order of use: sg_engine_start once; sg_image_load for each module; sg_image_bind for each global with the
 * device address that the driver chose; sg_image_finish; sg_image_add for the code of a kernel that is wanted
 * and not ready; then sg_run, from any thread, several at a time.
 */
#ifndef SOFTGPU_ENGINE_H
#define SOFTGPU_ENGINE_H

#include <stddef.h>
#include <stdint.h>

enum {
    SG_ERROR_BYTES = 512,     /* longest error text, terminator included */
    SG_MAX_BLOCK_THREADS = 1024,
    SG_MAX_SHARED_BYTES = 160 * 1024, /* static and dynamic together */
    SG_WARP = 32,
};

/* What went wrong in a kernel; the driver turns it into a sticky CUresult. */
enum sg_fault_kind {
    SG_FAULT_NONE = 0,
    SG_FAULT_ILLEGAL_ADDRESS,   /* outside every allocation of the session */
    SG_FAULT_MISALIGNED,
    SG_FAULT_ILLEGAL_INSTRUCTION, /* also a call through a pointer that is no device function */
    SG_FAULT_TRAP,              /* trap instruction: CUDA_ERROR_LAUNCH_FAILED; brkpt is ignored */
    SG_FAULT_ASSERT,            /* __assertfail */
    SG_FAULT_STACK_OVERFLOW,    /* recursion deeper than the thread's stack: CUDA_ERROR_LAUNCH_FAILED */
    SG_FAULT_HARDWARE,          /* any other CPU exception inside kernel code */
    SG_FAULT_CANCELLED,         /* sg_cancel was called */
};

struct sg_fault {
    enum sg_fault_kind kind;
    uint64_t address;           /* of an illegal access, else 0 */
    char text[SG_ERROR_BYTES];  /* names kernel and reason */
};

/* Where kernels may read and write. The fast path of each checked access is one comparison against the
 * arena; `check` decides about everything else (pinned and managed host memory). Pages of the arena that
 * belong to no allocation are PROT_NONE: the engine turns the SIGSEGV into SG_FAULT_ILLEGAL_ADDRESS. */
struct sg_memory {
    uint64_t arena_base;
    uint64_t arena_bytes;
    /* 1 if [address, address + bytes) lies in host memory that the session registered. Called from kernel
     * threads at any time; must not block for long. */
    int (*check)(uint64_t address, uint64_t bytes, int is_write);
    /* Device-side printf and assert output, already formatted. May be NULL: standard output. */
    void (*print)(const char *text, size_t bytes);
};

struct sg_param {
    uint32_t offset; /* in the parameter buffer */
    uint32_t bytes;
};

struct sg_image;

struct sg_kernel {
    const char *name;
    uint32_t param_count;
    uint32_t param_bytes;           /* size of the whole parameter buffer */
    const struct sg_param *params;
    uint32_t static_shared_bytes;
    uint32_t local_bytes;           /* declared .local memory of one thread */
    uint32_t max_threads;           /* .maxntid product or SG_MAX_BLOCK_THREADS */
    uint32_t required_block[3];     /* .reqntid or zeros */
    uint32_t ptx_version;           /* .version 8.5 -> 85 */
    uint32_t target;                /* .target sm_80 -> 80 */
    uint32_t calls_pointers;        /* needs the functions that can be called through pointers */
    const struct sg_image *image;
    const void *code;               /* private to the engine */
};

struct sg_global {
    const char *name;
    uint64_t bytes;
    uint32_t align;
    uint32_t is_constant;
    const void *init;               /* `bytes` bytes, or NULL for zeros */
};

/* Start worker threads (0: one per CPU that the process may run on) and install the fault handlers, which
 * pass every signal that did not happen in kernel code on to the handler that was there before.
 * 0, or -errno. */
int sg_engine_start(unsigned threads, const struct sg_memory *memory);

/* Load the index of a module, with or without code. `object` is the output of the compile helper and is copied.
 * 0, or -errno with a text. */
int sg_image_load(const void *object, size_t bytes, struct sg_image **image, char error[SG_ERROR_BYTES]);
void sg_image_unload(struct sg_image *image); /* after every run that uses it */

size_t sg_image_kernel_count(const struct sg_image *image);
const struct sg_kernel *sg_image_kernel(const struct sg_image *image, size_t index);
size_t sg_image_global_count(const struct sg_image *image);
const struct sg_global *sg_image_global(const struct sg_image *image, size_t index);

/* Say where the driver put global `index`; once for each global before the first run. Initialisers that hold
 * addresses of other globals or of functions are patched into device memory by sg_image_finish. */
void sg_image_bind(struct sg_image *image, size_t index, uint64_t address);

/* After all binds: copies initial values to the bound addresses, pointers resolved. 0, or -errno. */
int sg_image_finish(struct sg_image *image);

/* Load an object with more code of a finished image; kernels that have code keep it. Kernels may run meanwhile,
 * but only one thread at a time may add. 0, or -errno with a text. */
int sg_image_add(struct sg_image *image, const void *object, size_t bytes, char error[SG_ERROR_BYTES]);

/* Whether a kernel has been compiled and loaded; and what one with `calls_pointers` also needs. */
int sg_kernel_is_ready(const struct sg_kernel *kernel);
int sg_image_has_functions(const struct sg_image *image);

struct sg_launch {
    const struct sg_kernel *kernel;
    uint32_t grid[3];
    uint32_t block[3];
    uint32_t dynamic_shared_bytes;
    const void *params;             /* param_bytes bytes, laid out as kernel->params says */
    int cooperative;                /* all blocks resident at once, grid-wide barriers allowed */
    const volatile int *cancel;     /* non-zero: stop soon with SG_FAULT_CANCELLED; may be NULL */
};

/* Run a grid of a kernel that is ready to its end; blocks the caller, which takes part in the work. The caller
 * has checked the dimensions. 0, or -EFAULT with `fault` filled in. */
int sg_run(const struct sg_launch *launch, struct sg_fault *fault);

#endif
