/* SPDX-License-Identifier: Apache-2.0
 *
 * The executor: takes records from the ring in their order of publication, checks them, and runs those
 * whose row is FAST over driver function addresses. Everything else is handed to Python, one record at a
 * time. It never blocks in the driver: what may block starts in order and finishes by polling.
 *
 * Threads: vx_run belongs to the worker's main thread. Helper lanes (Python threads) may call vx_answer,
 * vx_late, the object and the range functions at any time; those take the executor's lock.
 */
#ifndef VX_EXECUTOR_H
#define VX_EXECUTOR_H

#include <pthread.h>
#include <stdint.h>

#include "bell.h"
#include "call.h"
#include "codec.h"
#include "gauge.h"
#include "handshake.h"
#include "idm.h"
#include "ring.h"

enum {
    VX_OWN_INDEX = IDM_HANDLE_MAX / 2, /* first index of handles that the worker chooses */
    VX_CALLS = 0x1000,          /* call numbers */
    VX_PENDING_MAX = 8192,      /* operations that are waited for by polling */
    VX_LATE_THREADS = 4096,     /* threads whose late errors are told apart */
    VX_THREAD_STREAMS = 4096,   /* per-thread default streams of one session */
    VX_CALLBACKS = 1024,        /* host functions that were announced and not yet acknowledged */
    VX_DUE = 2 * VX_CALLBACKS,  /* functions that are due and not yet fetched, those of graphs included */
    VX_CONTEXTS = 64,           /* contexts of one session: their pooled events, their flags */
    VX_TEXT = 256,
};

/* Results of vx_run. */
enum vx_outcome { VX_PYTHON = 1, VX_STOPPED = 2, VX_MALFORMED = 3, VX_WAITED = 4 };

/* CUresult values that this file decides about itself. */
enum vx_status {
    VX_SUCCESS = 0, VX_INVALID_VALUE = 1, VX_OUT_OF_MEMORY = 2, VX_INVALID_CONTEXT = 201,
    VX_INVALID_HANDLE = 400, VX_NOT_READY = 600, VX_CONTEXT_GONE = 709, VX_NOT_SUPPORTED = 801,
    VX_CAPTURE_UNSUPPORTED = 900, VX_CAPTURED_EVENT = 907, VX_WRONG_THREAD = 908,
};

typedef int (*vx_function)();

struct vx_object {
    uint64_t handle;            /* 0: free */
    uint64_t object;            /* the driver's own */
    uint64_t context;           /* handle of the context that it dies with, or 0 */
    uint64_t parent;            /* handle of the module or library that it dies with, or 0 */
    uint32_t generation;        /* of the last handle with this index */
    uint32_t note;              /* of executable graphs: their struct vx_host_graph, or 0 */
    uint32_t accounted;         /* executable graphs: a launch may take memory */
};

struct vx_range {
    uint64_t base, bytes;
    uint32_t is_host, reserved;
};

struct vx_pending {
    uint8_t kind;               /* enum vx_pending_kind */
    uint8_t orphan;             /* its context ends: the driver is not asked about it any more */
    uint8_t owned;              /* the application has destroyed the event that is waited for */
    uint16_t slot;
    uint32_t sequence, bytes, chunk, event_count;
    uint64_t context;           /* driver object */
    uint64_t callback;          /* or the stream that ends: driver object */
    void **events;              /* event_count of them, or &one */
    void *one;
};

struct vx_event_pool {
    uint64_t context;           /* driver object; 0: unused */
    uint32_t count, capacity;
    void **events;
};

/* VX_CALLBACKS words in host memory of a context, which its streams can wait on. */
struct vx_flags {
    uint64_t context;           /* driver object; 0: unused */
    volatile uint32_t *host;
    uint64_t device;
};

struct vx_thread_stream {
    uint64_t context;           /* driver object */
    uint32_t thread;
    void *stream;
};

struct vx_capture {
    uint64_t stream, context;   /* driver objects: where it began, and the context of that stream */
    uint32_t thread, mode;      /* of the application */
};

struct vx_late_error {
    uint32_t thread;
    int32_t status;
};

/* Driver functions that the executor needs for itself, by their names without suffix. */
struct vx_driver {
    vx_function ctx_set_current, event_create, event_record, event_query, event_destroy, stream_create,
        memcpy_htod_async, memcpy_dtoh_async, memcpy_async, launch_kernel_ex, stream_wait_value32,
        stream_query, stream_is_capturing, stream_destroy;
};

struct vx {
    void *region;
    struct idm_back *back;
    struct idm_consumer consumer;
    struct idm_counters *counters;
    struct idm_bell request_doorbell;
    const struct idm_bell *slot_doorbells;
    uint32_t doorbells;         /* slots that have one */
    int use_c;
    int output;                 /* read end of the pipe that kernels print to, or -1 */
    uint64_t launches, launches_seen; /* so that only work since the last look is looked for */
    volatile int stop;
    _Atomic uint8_t watching;   /* vx_run ends with VX_WAITED when the application has waited */
    uint8_t waited;
    uint64_t busy_since;        /* when the ring was last found not empty, CLOCK_MONOTONIC */

    vx_function functions[VX_CALLS];
    struct vx_driver driver;
    uint64_t current;           /* driver object of the current context of the main thread */
    uint64_t stream;            /* driver object of the stream that the record names, once it was found */
    int stream_found;
    struct vx_gauges gauges;    /* of the main thread, like what is pending */
    struct vx_handshakes handshakes;

    pthread_mutex_t lock;       /* objects, ranges, captures, late errors */
    struct vx_object *objects;
    uint32_t object_limit;      /* objects that may be alive */
    uint32_t object_top[2];     /* indexes in use: chosen by the front end, and from VX_OWN_INDEX up */
    uint32_t object_count;
    _Atomic uint32_t accounted_count;
    struct vx_range *ranges;
    size_t range_count, range_capacity;
    struct vx_capture *captures;
    _Atomic uint32_t capture_count; /* only this thread raises it */
    uint32_t capture_capacity;
    struct vx_late_error late[VX_LATE_THREADS];

    struct vx_pending pending[VX_PENDING_MAX];
    uint32_t pending_count;
    struct vx_event_pool pools[VX_CONTEXTS];
    struct vx_thread_stream thread_streams[VX_THREAD_STREAMS];
    uint32_t thread_stream_count;
    _Atomic uint8_t slot_busy[IDM_SLOTS]; /* 1: a call is not answered yet */
    uint32_t contexts_ending;   /* ends of contexts that began */
    _Atomic uint32_t contexts_ended; /* and that the driver has finished, on a lane */

    uint64_t due[VX_DUE];       /* this and the next lines: under the lock of callbacks.c */
    int32_t due_status[VX_DUE];
    uint32_t due_first, due_count;
    uint32_t callbacks_open;
    int waiter_slot;            /* slot of a vgpuCallbackWait that has no answer yet, or -1 */
    uint32_t waiter_sequence;
    struct vx_destructor *destructors; /* that are due, oldest first */
    struct vx_flags flags[VX_CONTEXTS]; /* this and the next line: under the lock of flags.c */
    uint32_t flags_raised;      /* the last function that has returned */

    const struct idm_call *call; /* of the record in `request` */
    int in_python;              /* vx_run handed it to Python */
    char reason[VX_TEXT];       /* why the session is malformed */
    union {
        struct idm_record record;
        uint8_t bytes[IDM_RECORD_MAX];
    } request;
    uint8_t results[IDM_CHUNK_BYTES];
};

struct vx *vx_open(void *region, struct idm_counters *counters, const struct idm_bell *doorbells,
                   uint32_t doorbell_count, int use_c);
int vx_run(struct vx *x);
/* Have vx_run end once with VX_WAITED, when the next wait of the application is over. */
void vx_watch(struct vx *x);
const struct idm_record *vx_request(const struct vx *x);
const char *vx_reason(const struct vx *x);
uint64_t vx_current(const struct vx *x);
void vx_stop(struct vx *x);
void vx_set_function(struct vx *x, uint32_t number, uint64_t address);
/* Sets one member of struct vx_driver by its position; used once at start. */
int vx_set_driver(struct vx *x, uint32_t index, uint64_t address);
void vx_set_output(struct vx *x, int fd);
/* Tell the front end when kernels have printed. */
void vx_note_output(struct vx *x);
/* The words that streams of a context wait on; they are used until vx_forget_pools. 0, or -ENOSPC. */
int vx_set_flags(struct vx *x, uint64_t context_object, uint64_t host, uint64_t device);

/* Make the context behind `handle` current for the main thread. A CUresult. */
int vx_set_context(struct vx *x, uint64_t handle);
/* The main thread's current context was changed behind the executor's back, or no longer exists. */
void vx_forget_context(struct vx *x);

/* Return when there is a record in the ring, or the session stops. */
void vx_idle(struct vx *x);

/* Results go to the slot, or to the reply chunk when there is one. */
void vx_answer(struct vx *x, uint32_t slot, uint32_t sequence, uint32_t reply, int32_t status,
               const void *data, uint32_t bytes);
/* Keep an error of a posted call for its thread; publishes sticky ones. */
void vx_late(struct vx *x, uint32_t thread, int32_t status);
int32_t vx_take_late(struct vx *x, uint32_t thread);
void vx_note_status(struct vx *x, int32_t status);
void vx_clear_sticky(struct vx *x); /* the context that had the error is gone */
void vx_count(struct vx *x, uint64_t bytes_in, uint64_t bytes_out, uint64_t launches);
void vx_count_memory(struct vx *x, int64_t device_bytes, int64_t host_bytes);

/* Objects. Negative results are -errno: -EPROTO for a handle that the front end may not choose. */
int vx_install(struct vx *x, uint64_t handle, unsigned kind, uint64_t object, uint64_t context,
               uint64_t parent);
/* How many objects may be alive: the worker raises it with what the zone's ledger grants. */
void vx_set_object_limit(struct vx *x, uint32_t limit);
int vx_is_full(struct vx *x);
int vx_lookup(struct vx *x, uint64_t handle, unsigned kind, uint64_t *object);
/* The same, and the handle of the context that the object belongs to. */
int vx_lookup_in(struct vx *x, uint64_t handle, unsigned kind, uint64_t *object, uint64_t *context);
/* The handle of an object that the driver named: a known one, or a new one. 0 when the table is full. */
uint64_t vx_handle_of(struct vx *x, unsigned kind, uint64_t object, uint64_t context, uint64_t parent);
/* The first object for which nothing but 0 is returned ends the walk; used by context-wide waits. */
typedef int vx_visitor(const struct vx_object *object, void *data);
int vx_each_object(struct vx *x, vx_visitor *visitor, void *data);
int vx_drop(struct vx *x, uint64_t handle);
/* Drop everything that dies with `handle`; the number of objects dropped. */
uint32_t vx_drop_dependents(struct vx *x, uint64_t handle);
int vx_set_note(struct vx *x, uint64_t handle, uint32_t note); /* 0, or -ENOENT */
uint32_t vx_note(struct vx *x, uint64_t handle);
/* Calls that begin with this object go to Python from now on. */
int vx_set_accounted(struct vx *x, uint64_t handle);
int vx_is_accounted(struct vx *x, uint64_t handle);
/* The stream that a parameter word means for this thread; its context becomes current. A CUresult. */
int vx_stream(struct vx *x, uint64_t word, uint32_t thread, uint32_t flags, uint64_t *stream);
/* A context begins to end: what waits in it is finished when vx_context_ended says that the driver is
 * through, so that no chunk or slot is used again while a copy may still reach it. */
void vx_forget_pools(struct vx *x, uint64_t context_object);
void vx_context_ended(struct vx *x);

/* Allocations of the session. */
int vx_range_add(struct vx *x, uint64_t base, uint64_t bytes, uint32_t is_host);
int vx_range_remove(struct vx *x, uint64_t base, uint64_t *bytes);
/* 1 when [base, base + bytes) lies inside one allocation; bytes may be 0. */
int vx_range_covers(struct vx *x, uint64_t base, uint64_t bytes);
/* The allocation around an address: its base, or 0. */
uint64_t vx_range_find(struct vx *x, uint64_t address, uint64_t *bytes, uint32_t *is_host);

/* Captures, by the driver's stream that each began on. */
uint32_t vx_capture_count(const struct vx *x);
int vx_capture_room(struct vx *x);  /* before one begins: a CUresult */
/* The stream's context is current. */
void vx_capture_began(struct vx *x, uint64_t stream, uint32_t thread, uint32_t mode);
int vx_capture_may_end(struct vx *x, uint64_t stream, uint32_t thread); /* a CUresult */
void vx_capture_settle(struct vx *x, uint64_t stream); /* the driver may have ended it */
void vx_capture_gone(struct vx *x, uint64_t stream);   /* the stream is destroyed; with the lock held */
/* Each is a CUresult. What is refused spoils the capture that is the reason, as in CUDA. */
int vx_capture_unsafe(struct vx *x, uint32_t thread, uint32_t mode, uint64_t event);
int vx_capture_refuses(struct vx *x, uint64_t stream); /* to wait for the stream, or to copy by staging */
int vx_capture_refuses_context(struct vx *x, const uint64_t *streams, uint32_t count);
/* Streams that do not capture, nor wait for one that does; their number. */
uint32_t vx_capture_leave_out(struct vx *x, uint64_t *streams, uint32_t count);

/* Waiting by polling. Each records an event on the stream in order. A CUresult. */
int vx_wait_stream(struct vx *x, uint64_t stream, uint32_t slot, uint32_t sequence, uint32_t bytes);
/* `beside_captures`: leave out what is being captured, which is an error otherwise. */
int vx_wait_context(struct vx *x, uint64_t context_handle, uint32_t slot, uint32_t sequence,
                    int beside_captures);
int vx_wait_event(struct vx *x, uint64_t event, uint32_t slot, uint32_t sequence);
/* 1: a call waits for this event, which is destroyed after it instead of now. */
int vx_keep_event(struct vx *x, uint64_t event);
/* 1: the stream has work, and is destroyed after it instead of now. */
int vx_keep_stream(struct vx *x, uint64_t handle);
int vx_release_chunk_after(struct vx *x, uint64_t stream, uint32_t chunk);
int vx_callback(struct vx *x, uint64_t stream, uint64_t callback);
void vx_callback_wait(struct vx *x, uint32_t slot, uint32_t sequence);
void vx_callback_done(struct vx *x, uint64_t callback);
void vx_announce(struct vx *x, uint64_t callback, int32_t status);
int vx_announce_lasting(struct vx *x, uint32_t handshake, uint32_t number); /* 0, or -EAGAIN */
/* Where a stream of the current context waits for a function; 0 when the context has no flags. */
uint64_t vx_flag_address(struct vx *x, uint64_t callback);
void vx_raise_flags(struct vx *x, uint64_t callback);
void vx_forget_flags(struct vx *x, uint64_t context_object);
/* What the driver calls for a user object, and the data to call it with; 0 when the number is none. */
uint64_t vx_destructor_address(void);
uint64_t vx_new_destructor(struct vx *x, uint64_t number);
void vx_destructor(void *data);

/* Host functions of graphs. Numbers of handshakes and of graphs are from 1; 0 says that there is none left. */
int vx_open_handshakes(struct vx *x); /* -errno */
/* VX_HANDSHAKE_BLOCK of them, in host memory of a context. 0, or -ENOSPC. */
int vx_add_handshakes(struct vx *x, uint64_t context_object, uint64_t host, uint64_t device);
uint32_t vx_take_handshake(struct vx *x, uint64_t context_object, uint32_t graph);
uint64_t vx_handshake_address(struct vx *x, uint32_t number);
/* The context object of the handshake at an address; 0 when there is none. */
uint64_t vx_handshake_context(struct vx *x, uint64_t device);
uint32_t vx_new_host_graph(struct vx *x);
int vx_bind_host_graph(struct vx *x, uint32_t number, uint64_t executable, uint32_t nodes);
void vx_end_host_graph(struct vx *x, uint32_t number);
int vx_may_launch(struct vx *x, uint64_t executable); /* a CUresult */
void vx_graph_launched(struct vx *x, uint64_t executable, uint64_t stream);
int vx_poll_handshakes(struct vx *x); /* the number of functions that were announced */
void vx_handshake_done(struct vx *x, uint32_t number);
void vx_forget_handshakes(struct vx *x, uint64_t context_object);
/* The object that an object dies with, or 0. */
uint64_t vx_parent(struct vx *x, uint64_t handle);
int vx_poll_pending(struct vx *x); /* the number of operations that finished */
int vx_add_pending(struct vx *x, struct vx_pending *pending);
void vx_release_chunk(struct vx *x, uint32_t chunk);
void vx_release_events(struct vx *x, struct vx_pending *pending);
/* Events of the current context. A CUresult. */
int vx_take_event(struct vx *x, void **event);
void vx_give_event(struct vx *x, uint64_t context, void *event);
void vx_forget_events(struct vx *x, uint64_t context);

/* Gauges. -errno; how many works a stream takes in the driver; after each record that has one. */
int vx_open_gauges(struct vx *x);
void vx_set_queue(struct vx *x, uint32_t works);
void vx_count_works(struct vx *x);
int vx_poll_gauges(struct vx *x); /* the number of marks that have happened */
void vx_forget_gauges(struct vx *x, uint64_t context);
int vx_is_capturing(struct vx *x, uint64_t stream);

/* Runs the record in x->request: a CUresult, or VX_IN_SLOT when the answer is given or pending. */
typedef int vx_runner(struct vx *x);
enum { VX_IN_SLOT = -1 };
vx_runner *vx_runner_by_hand(const char *symbol); /* NULL: the row has none */

/* One record that the C executor runs; the answer or late error included. */
void vx_execute(struct vx *x);
int vx_can_execute(struct vx *x, const struct idm_call *call);

#endif
