/* SPDX-License-Identifier: Apache-2.0
 *
 * One piece of work: what a stream executes, and what a graph node holds.
 */
#ifndef SOFTGPU_WORK_H
#define SOFTGPU_WORK_H

#include "driver.h"

struct event;
struct function;
struct plan;
struct stream;

enum work_kind {
    WORK_EMPTY = 0,
    WORK_KERNEL,
    WORK_COPY,
    WORK_SET,
    WORK_HOST,
    WORK_CALLBACK,
    WORK_RECORD,
    WORK_WAIT_POINT, /* until a stream has completed a sequence number */
    WORK_WAIT_EVENT, /* until the event's latest record has happened; in graphs */
    WORK_VALUE,      /* a stream memory operation */
    WORK_FREE,       /* release an allocation in stream order */
    WORK_GRAPH,
};

enum { PARAMS_MAX = 32764 /* bytes of kernel parameters, as CUDA has it */ };

struct work_kernel {
    struct function *function; /* counted */
    uint32_t grid[3];
    uint32_t block[3];
    uint32_t dynamic_shared;
    uint32_t param_bytes;
    int cooperative;
    const void *params;
};

/* `depth` slices of `height` rows of `width` bytes. */
struct work_copy {
    char *dst;
    const char *src;
    size_t dst_pitch, dst_slice;
    size_t src_pitch, src_slice;
    size_t width, height, depth;
    void *owned; /* staged source, freed when done */
};

/* `height` rows of `width` elements. */
struct work_set {
    char *dst;
    size_t pitch;
    size_t width, height;
    uint32_t value;
    uint32_t element_bytes;
};

struct work_host {
    CUhostFn fn;
    void *data;
};

struct work_callback {
    CUstreamCallback fn;
    void *data;
    CUstream stream; /* as the application named it */
};

struct work_record {
    struct event *event; /* counted */
    uint64_t generation; /* a later record makes this one's time stamp irrelevant */
};

struct work_point {
    struct stream *stream; /* counted */
    uint64_t sequence;
};

struct work_free {
    uint64_t address;
    uint64_t id;
};

struct work_graph {
    struct plan *plan; /* counted */
    size_t next;
};

struct work {
    enum work_kind kind;
    int owns_params; /* the kernel's parameters are this work's own */
    union {
        struct work_kernel kernel;
        struct work_copy copy;
        struct work_set set;
        struct work_host host;
        struct work_callback callback;
        struct work_record record;
        struct work_point point;
        struct work_free free;
        struct work_graph graph;
        CUstreamBatchMemOpParams value;
    };
};

/* What became of a piece of work. After WORK_PARKED the stream belongs to whoever resumes it. */
enum outcome { WORK_DONE, WORK_PARKED };

enum outcome work_run(struct stream *stream, struct work *work, uint64_t sequence);
enum outcome work_skip(struct stream *stream, struct work *work); /* after a fault: only release and notify */

/* Drop what the work refers to. */
void work_release(struct work *work);

/* A deep copy, for graphs. 0, or -ENOMEM. */
int work_copy_of(struct work *target, const struct work *source);

/* copy_run.c */
void copy_run(const struct work_copy *copy);
void set_run(const struct work_set *set);

/* value.c */
int value_run(const CUstreamBatchMemOpParams *operation); /* 1: done, 0: not yet */

#endif
