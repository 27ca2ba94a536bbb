/* SPDX-License-Identifier: Apache-2.0
 *
 * What all files of the software GPU's driver share: entry checks, configuration, devices, contexts and
 * the calling thread's state.
 */
#ifndef SOFTGPU_DRIVER_H
#define SOFTGPU_DRIVER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "api.h"
#include "engine.h"
#include "objects.h"

enum {
    DRIVER_VERSION = 13000,
    DEVICES_MAX = 16,
    CONTEXT_STACK_MAX = 64,    /* contexts that a thread may push */
    THREAD_STREAMS_MAX = 16,   /* contexts in which one thread may use its per-thread stream */
    DEVICE_NAME_BYTES = 64,
    SHARED_PER_BLOCK = 48 * 1024,
    SHARED_PER_SM = 164 * 1024,
    SHARED_RESERVED = 1024,
    SHARED_OPTIN_WANTED = SHARED_PER_SM - SHARED_RESERVED,
    /* Static and dynamic together: never more than the engine can give. */
    SHARED_OPTIN = (int)SG_MAX_SHARED_BYTES < SHARED_OPTIN_WANTED ? (int)SG_MAX_SHARED_BYTES
                                                                   : SHARED_OPTIN_WANTED,
    THREADS_PER_SM = 2048,
    BLOCKS_PER_SM = 32,
    REGISTERS_PER_SM = 65536,
    REGISTERS_PER_THREAD = 32, /* what every kernel reports */
    /* Numbers of enumerators that a driver of this version knows; newer ones are invalid values. */
    DEVICE_ATTRIBUTES = 148,
    FUNCTION_ATTRIBUTES = 16,
    LAUNCH_ATTRIBUTES = 17,
    LIMIT_COUNT = 10,
    CONTEXT_FLAGS = 0xff,
    GRID_X_MAX = 0x7fffffff,
    GRID_YZ_MAX = 65535,
    BLOCK_Z_MAX = 64,
};

struct stream;
struct capture;

struct device {
    int ordinal;
    char name[DEVICE_NAME_BYTES];
    unsigned char uuid[16];
    size_t total_bytes;
    _Atomic size_t used_bytes;
    _Atomic size_t graph_bytes, graph_bytes_high; /* of these, what graphs have allocated */
    int multiprocessors;
    pthread_mutex_t lock;        /* primary context */
    struct context *primary;     /* made at the first retain, then kept for good */
    unsigned primary_retains;
    unsigned primary_flags;
    struct pool *default_pool;
    uint64_t current_pool; /* handle; 0: the default one */
};

struct driver {
    int device_count;
    struct device devices[DEVICES_MAX];
    int compute_major;
    int compute_minor;
    unsigned engine_threads;
    CUmoduleLoadingMode loading_mode;
    int launch_blocking;
    unsigned queue_works;        /* calls that one stream holds before a submitter waits */
};

extern struct driver driver;

struct context {
    struct object object;
    struct device *device;
    int is_primary;
    struct context *owner;       /* of memory that is made in it: itself, or the primary one */
    int multiprocessors;         /* that are its own */
    uint64_t green;              /* the green context that it is part of, or 0 */
    struct context *next_green;  /* of a primary context: the first one that uses its memory; under its lock */
    _Atomic int alive;
    _Atomic int sticky;          /* CUresult of a fault; every later call returns it */
    volatile int cancel;         /* tells running kernels to stop: the context is going away */
    unsigned flags;
    unsigned api_version;
    uint64_t id;
    pthread_mutex_t lock;        /* the two lists */
    struct object *objects;
    struct stream *streams;
    struct stream *legacy;
    size_t limits[LIMIT_COUNT];
    CUfunc_cache cache_config;
    CUsharedconfig shared_config;
};

/* State of the calling thread. */
struct thread_stream {
    struct context *context;
    struct stream *stream;
};

struct thread {
    struct context *stack[CONTEXT_STACK_MAX];
    unsigned depth;
    struct thread_stream streams[THREAD_STREAMS_MAX];
    uint64_t number;             /* never used again for another thread */
    CUstreamCaptureMode capture_mode;
    int null_is_per_thread;      /* inside a _ptds or _ptsz variant */
    int in_host_function;
};

struct thread *thread_self(void);

/* CUDA_SUCCESS when the driver can be used in this process. */
CUresult driver_enter(void);

/* As above, and the current context, which must live and have no sticky error. Valid during the call: the
 * thread's stack holds a reference. */
CUresult context_enter(struct context **context);

#define ENTER()                                                                                              \
    do {                                                                                                     \
        CUresult entered_ = driver_enter();                                                                  \
        if (entered_ != CUDA_SUCCESS)                                                                        \
            return entered_;                                                                                 \
    } while (0)

#define ENTER_CONTEXT(name)                                                                                  \
    struct context *name = NULL;                                                                             \
    do {                                                                                                     \
        CUresult entered_ = context_enter(&name);                                                            \
        if (entered_ != CUDA_SUCCESS)                                                                        \
            return entered_;                                                                                 \
    } while (0)

#define TRY(call)                                                                                            \
    do {                                                                                                     \
        CUresult tried_ = (call);                                                                            \
        if (tried_ != CUDA_SUCCESS)                                                                          \
            return tried_;                                                                                   \
    } while (0)

#define NEED(condition)                                                                                      \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            return CUDA_ERROR_INVALID_VALUE;                                                                 \
    } while (0)

/* device.c */
struct device *device_get(CUdevice ordinal);
CUresult device_retain_primary(struct device *device, struct context **context);

/* context.c */
struct context *context_current(void); /* NULL when there is none; it may be dead or faulted */
CUresult context_from_handle(CUcontext handle, struct context **context); /* counted */
CUresult context_check(struct context *context); /* alive, and no sticky error */
CUresult context_create(struct device *device, unsigned flags, int is_primary, struct context **context);
void context_shut(struct context *context); /* cancel and wait for its work, then free all it owns */
CUresult context_adopt(struct context *context, struct object *object, enum kind kind, object_free_fn free_fn);
void context_disown(struct object *object);
CUresult context_wait_idle(struct context *context);
void context_fault(struct context *context, CUresult result);
CUresult context_wait_all_idle(void);

/* hooks.c */
void interop_forget_context(struct context *context);

/* config.c */
int config_load(struct driver *target);

/* log.c */
void driver_log(const char *format, ...) __attribute__((format(printf, 1, 2)));

uint64_t now_ns(void);

#endif
