/* SPDX-License-Identifier: Apache-2.0
 *
 * libvgpu: the front end. An application loads it as libcuda.so.1. Every exported function is a generated
 * stub that passes a descriptor and the addresses of its arguments to vgpu_invoke, which answers in the
 * zone, posts a record, or forwards one and waits.
 *
 * Locks, in this order: vgpu.attach, those of contexts (context.c, green.c), objects, ranges, window,
 * vgpu.ring. None is held while waiting for the back end, except the first two.
 */
#ifndef VGPU_H
#define VGPU_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "bell.h"
#include "call.h"
#include "codec.h"
#include "cuda_abi.h"
#include "idm.h"
#include "ring.h"

enum {
    VGPU_CONTEXT_STACK = 64,        /* contexts pushed on one thread */
    VGPU_RESERVE_TRIES = 8,         /* addresses asked for before an allocation fails */
    VGPU_CODE_DEAD = 709,           /* the session is gone: CUDA_ERROR_CONTEXT_IS_DESTROYED */
    VGPU_COPY_SLOTS = 4,            /* chunks of one device-to-host copy in flight */
};
#define VGPU_WINDOW_BYTES (1ull << 40) /* address space for pinned memory, on both sides */

struct vgpu_entry;
typedef CUresult vgpu_front(const struct vgpu_entry *entry, void *const args[]);

/* One exported symbol. */
struct vgpu_entry {
    const struct idm_call *call;
    vgpu_front *front;              /* hand-written, or NULL */
    uint32_t flags;                 /* IDM_FLAG_PER_THREAD for _ptds and _ptsz variants */
    _Atomic uint32_t *logged;       /* refused rows: 1 once it was logged */
};

CUresult vgpu_invoke(const struct vgpu_entry *entry, void *const args[]);
CUresult vgpu_refuse(const struct vgpu_entry *entry);

/* A lock that a forked child gets anew: whoever held it is a thread of the parent (fork.c). */
struct vgpu_lock {
    pthread_mutex_t *mutex;
    pthread_rwlock_t *rwlock;
};
#define VGPU_IN_LOCKS __attribute__((section("vgpu_locks"), used))
#define VGPU_LOCK(name)                                                                                      \
    static pthread_mutex_t name = PTHREAD_MUTEX_INITIALIZER;                                                 \
    static const struct vgpu_lock name##_entry VGPU_IN_LOCKS = {&name, NULL}
#define VGPU_RWLOCK(name)                                                                                    \
    static pthread_rwlock_t name = PTHREAD_RWLOCK_INITIALIZER;                                               \
    static const struct vgpu_lock name##_entry VGPU_IN_LOCKS = {NULL, &name}

/* --- Threads ------------------------------------------------------------------------------------- */

struct vgpu_counters {
    uint64_t local, posted, forwarded, bytes_in, bytes_out, wait_ns;
};

struct vgpu_thread {
    uint32_t number;                /* from 1; travels in every record */
    uint32_t late_seen;             /* value of back->late when this thread last looked */
    uint32_t slot_hint;             /* slot used last */
    uint32_t depth;                 /* of the context stack */
    uint64_t stack[VGPU_CONTEXT_STACK];
    int capture_mode;
    void *capture;                  /* arrays of the last capture info, owned (capture.c) */
    struct vgpu_counters counters;
    struct vgpu_thread *next;       /* all threads ever, for the counters at exit */
};

struct vgpu_thread *vgpu_self(void);

static inline uint64_t vgpu_current(const struct vgpu_thread *thread)
{
    return thread->depth ? thread->stack[thread->depth - 1] : 0;
}

/* --- Process ------------------------------------------------------------------------------------- */

enum vgpu_state { VGPU_NEW, VGPU_READY, VGPU_FAILED, VGPU_FORKED };

struct vgpu_process {
    _Atomic int state;              /* enum vgpu_state */
    _Atomic int initialised;        /* cuInit succeeded */
    _Atomic int attaching;          /* a thread shakes hands */
    CUresult failure;               /* what cuInit returns when state is VGPU_FAILED */
    _Atomic int dead;               /* CUresult of every later call once the session is gone, or 0 */
    int socket;
    struct idm_bell request_doorbell;
    struct idm_bell slot_doorbells[IDM_DOORBELLS];
    unsigned doorbells;             /* slots that have one */
    uint8_t *region;
    struct idm_front *front;
    const struct idm_back *back;
    const struct idm_snapshot *snapshot;
    uint32_t stream_works;          /* that a stream may have unfinished; 0: no limit */
    int device_count;               /* visible ones */
    int devices[IDM_DEVICES_MAX];   /* visible ordinal -> ordinal in the snapshot */
    char zone[64];
    uint64_t session;
    uint64_t window_base;
    int launch_blocking;
    int lazy_loading;

    pthread_mutex_t attach, ring;
    struct idm_producer producer;
};

extern struct vgpu_process vgpu;

/* A forked child has handles and pointers of its parent, but no session and no ring. */
static inline int vgpu_is_forked(void)
{
    return atomic_load_explicit(&vgpu.state, memory_order_acquire) == VGPU_FORKED;
}

/* Connect to the zone's back end if that has not been tried yet. */
CUresult vgpu_attach(void);
void vgpu_read_environment(void);
void vgpu_send_environment(void);
/* Whether a call may go out now: initialised, not forked, not dead, no sticky or late error. */
CUresult vgpu_may_call(struct vgpu_thread *thread);
/* The session ended; every waiter and every later call gets VGPU_CODE_DEAD. */
CUresult vgpu_died(const char *what);
int vgpu_session_alive(void);
const struct idm_device *vgpu_device(int ordinal);
void vgpu_flush(void);
void vgpu_report_counters(void);

enum vgpu_level { VGPU_ERROR, VGPU_WARNING, VGPU_INFO, VGPU_DEBUG };
void vgpu_log(enum vgpu_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
int vgpu_log_enabled(enum vgpu_level level);

/* --- Calls --------------------------------------------------------------------------------------- */

/* Pack, send, and for synchronous calls wait and unpack. Checks handles and pointers first. */
CUresult vgpu_forward(const struct vgpu_entry *entry, void *const args[]);
/* The same for a row that is not the entry's own: hand-written functions send internal rows. The error of a
 * posted call comes later, but while a stream captures at once, as the rules for captures want it. */
CUresult vgpu_send(const struct idm_call *call, uint32_t flags, void *const args[]);
/* The two halves of sending a posted row: not CUDA_SUCCESS means that nobody has it; then its error. */
CUresult vgpu_post(const struct idm_call *call, uint32_t flags, void *const args[]);
CUresult vgpu_posted_error(void);
/* Handles in `chosen` were allocated by the caller, one for each CREATES parameter. */
CUresult vgpu_send_chosen(const struct idm_call *call, uint32_t flags, void *const args[],
                          const uint64_t chosen[]);

/* A synchronous call in two halves, so that several can be in flight. */
struct vgpu_ticket {
    unsigned slot;
    uint32_t sequence;
    uint32_t reply;                 /* chunk plus one, or 0 */
};
/* Put a record into the ring, posted when there is no ticket. */
CUresult vgpu_publish(const struct idm_call *call, uint32_t flags, void *const args[],
                      const uint64_t chosen[], const struct vgpu_ticket *ticket, uint32_t bytes);
CUresult vgpu_start(const struct idm_call *call, uint32_t flags, void *const args[],
                    const uint64_t chosen[], size_t result_bytes, struct vgpu_ticket *ticket);
/* The same with the reply chunk that the caller took; ticket->reply is set, and the caller's on failure. */
CUresult vgpu_start_with(const struct idm_call *call, uint32_t flags, void *const args[],
                         const uint64_t chosen[], struct vgpu_ticket *ticket);
CUresult vgpu_finish(const struct idm_call *call, void *const args[], struct vgpu_ticket *ticket);

/* 0, or -1 when the session died. */
int vgpu_take_slot(struct vgpu_thread *thread, struct vgpu_ticket *ticket);
void vgpu_give_slot(unsigned slot);
CUresult vgpu_wait_slot(unsigned slot, uint32_t sequence);

/* Count a record in the gauge of its stream, with vgpu.ring held. The gauge, 0 for none, or -1: the stream takes
 * no more now. And take it back, when the record is not published after all. */
int vgpu_gauge_take(const struct idm_call *call, const struct vgpu_thread *thread, uint32_t flags,
                    void *const args[], uint32_t bytes);
void vgpu_gauge_return(int number, uint32_t works);

/* Staging chunks. -1 when the session died. */
int vgpu_take_chunk(void);
int vgpu_try_chunk(void);                   /* -1: there is none now */
void vgpu_give_chunk(unsigned chunk);       /* the front end is done with it */
void vgpu_lend_chunk(unsigned chunk);       /* the back end will release it */

/* --- Objects ------------------------------------------------------------------------------------- */

struct vgpu_function {
    char *name;
    int32_t attributes[32];
    uint32_t attribute_valid;       /* bit per attribute number */
    _Atomic int32_t dynamic_max;    /* bytes of dynamic shared memory that were asked for; 0: the default */
    _Atomic int is_loaded;          /* so that no launch has to wait for it */
    uint32_t param_count, param_bytes;
    struct vgpu_param_info { uint32_t offset, bytes; } params[];
};

/* What the worker tells about a kernel with its handle; layout of idm.api.internal.FUNCTION_INFO. */
struct vgpu_function_info {
    uint32_t param_count, param_bytes;
    uint32_t attribute_valid, reserved[5];
    int32_t attributes[32];
};
_Static_assert(sizeof(struct vgpu_function_info) == 160, "idm.api.internal.FUNCTION_INFO");

struct vgpu_object {
    uint64_t handle;                /* 0: free */
    uint64_t context;               /* dies with it */
    uint64_t parent;                /* module or library, dies with it */
    void *info;                     /* kind-specific, owned */
    uint32_t generation;
    uint32_t flags;
};

uint64_t vgpu_object_new(unsigned kind, uint64_t context, uint64_t parent);
struct vgpu_object *vgpu_object_find(uint64_t handle, unsigned kind); /* NULL: not alive */
void vgpu_object_drop(uint64_t handle);
void vgpu_object_drop_dependents(uint64_t handle);
/* Take in a handle that the back end chose, in the upper half of the indexes. 0, or -EPROTO. */
int vgpu_object_adopt(uint64_t handle, unsigned kind, uint64_t parent);
int vgpu_is_alive(uint64_t handle, unsigned kind);
CUresult vgpu_bad_handle(unsigned kind);

/* --- Memory -------------------------------------------------------------------------------------- */

enum vgpu_range_kind { VGPU_DEVICE = 1, VGPU_PINNED, VGPU_REGISTERED, VGPU_MANAGED, VGPU_RESERVED, VGPU_GLOBAL };

struct vgpu_range {
    uint64_t base, bytes;
    uint64_t context;
    uint64_t number;                /* of the allocation: CU_POINTER_ATTRIBUTE_BUFFER_ID */
    uint32_t kind;                  /* enum vgpu_range_kind */
    uint32_t flags;
    int device;
};

int vgpu_range_add(const struct vgpu_range *range);
int vgpu_range_remove(uint64_t base, struct vgpu_range *removed);
int vgpu_range_find(uint64_t address, struct vgpu_range *found);
int vgpu_range_covers(uint64_t base, uint64_t bytes);
void vgpu_ranges_drop_context(uint64_t context);
/* 1: the worker has these pages at the same address, so copies need no staging. */
int vgpu_is_shared(const void *address, size_t bytes);

/* Reserve the pages of a device allocation so that nothing else in the process lands there. -errno. */
int vgpu_reserve_pages(uint64_t base, uint64_t bytes);
void vgpu_release_pages(uint64_t base, uint64_t bytes);

uint64_t vgpu_window_take(uint64_t bytes);  /* 0: full */
void vgpu_window_give(uint64_t address, uint64_t bytes);
int vgpu_receive_memory(uint64_t token, uint64_t bytes);
uint64_t vgpu_token(void);

CUresult vgpu_copy_in(uint64_t dst, const void *src, size_t count, CUstream stream, uint32_t flags);
CUresult vgpu_copy_out(void *dst, uint64_t src, size_t count, CUstream stream, uint32_t flags);
CUresult vgpu_copy_shared(uint64_t dst, uint64_t src, size_t count, CUstream stream, uint32_t flags);
CUresult vgpu_stream_synchronize(CUstream stream, uint32_t flags);
/* Whether some stream of the process captures. */
int vgpu_captures_open(void);
/* Whether this thread may make an unsafe call while some stream captures. */
CUresult vgpu_may_be_unsafe(const struct idm_call *call, void *const args[]);
/* 1: the stream captures. Costs a question only while some stream of the process does. */
int vgpu_is_capturing(CUstream stream, uint32_t flags);
/* Say why a copy of pageable memory failed, if a capture is the reason. */
CUresult vgpu_staged(CUresult status);
/* Whether this thread may copy on that stream now: attached, a current context, the stream alive. */
CUresult vgpu_may_copy(CUstream stream);
/* A copy of a box between any two kinds of memory. `peer`: contexts are given. `wait`: return only when it
 * has happened, where CUDA does so too. */
CUresult vgpu_copy_box(const CUDA_MEMCPY3D_PEER *copy, int peer, CUstream stream, uint32_t flags, int wait);
/* Settle what each side is. 1: no side is pageable; 0: one is; or -CUresult. */
int vgpu_settle_box(CUDA_MEMCPY3D_PEER *copy, int peer);

/* Lengths of an image; 0 when it is none that CUDA knows. */
size_t vgpu_image_bytes(const void *image, const void **start);
CUresult vgpu_upload(const void *data, size_t bytes, uint64_t *upload);
CUresult vgpu_module_load_image(const void *image, CUmodule *module);

void vgpu_interop_start(void);
void vgpu_context_gone(uint64_t context);
/* The context that what is made in this one belongs to, but for streams and events. */
uint64_t vgpu_memory_owner(uint64_t context);

/* The call descriptors that hand-written code sends. */
extern const struct idm_call vgpuFlush_call, vgpuLateError_call, vgpuCopyIn_call, vgpuCopyInChunk_call,
    vgpuCopyOut_call, vgpuCopy_call, vgpuLaunch_call, vgpuUpload_call, vgpuUploadData_call,
    vgpuModuleLoad_call, vgpuLibraryLoad_call, vgpuModuleGetFunction_call, vgpuLibraryGetKernel_call,
    vgpuHostAlloc_call, vgpuHostFree_call, vgpuCallback_call, vgpuCallbackWait_call,
    vgpuCallbackDone_call, vgpuPrimaryRetain_call, vgpuPrimaryRelease_call, vgpuContextCreate_call,
    vgpuEnvironment_call, vgpuOutput_call, vgpuIdle_call, cuStreamSynchronize_call,
    cuCtxDestroy_v2_call, cuMemAlloc_v2_call, cuMemFree_v2_call,
    cuMemsetD8Async_call, cuMemsetD16Async_call, cuMemsetD32Async_call;

#endif
