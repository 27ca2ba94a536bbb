/* SPDX-License-Identifier: Apache-2.0
 *
 * Graphs: nodes that hold work, and plans, which are what a launch executes: the works of all nodes in an
 * order that respects the edges. A plan never changes; changing an executable graph makes a new plan, so
 * launches that are queued keep what they were launched with.
 *
 * One lock guards all graphs and captures; they are built rarely, and launched through plans. It is taken
 * before memory_lock and never while a stream's or a context's lock is held.
 */
#ifndef SOFTGPU_GRAPH_H
#define SOFTGPU_GRAPH_H

#include "work.h"

enum {
    GRAPH_NODES_MAX = 1 << 20, /* in one graph */
    GRAPH_DEPTH_MAX = 16,      /* child graphs inside child graphs */
    VALUES_PER_NODE_MAX = 256,
};

struct graph;
struct graph_memory;
struct user_reference;

struct node_list {
    struct graph_node **items;
    size_t used, room;
};

struct graph_node {
    struct object object;
    struct graph *graph;      /* NULL once the node is destroyed; not counted: the graph owns the node */
    CUgraphNodeType type;
    struct work work;         /* of kernel, memcpy, memset, host and event nodes */
    CUDA_MEMCPY3D copy;       /* as the application gave it */
    void **param_pointers;    /* kernel: what cuGraphKernelNodeGetParams returns */
    struct graph *child;
    CUstreamBatchMemOpParams *values;
    unsigned value_count;
    struct graph_memory *memory; /* of an allocation node */
    CUdeviceptr freed;        /* of a free node */
    struct node_list before, after;
    int disabled;
    uint64_t origin;          /* the handle of the node that this one is a copy of, or 0 */
    unsigned local_id;
    size_t mark;              /* scratch: edges not yet visited, or the index in its graph */
};

struct graph {
    struct object object;
    struct node_list nodes;    /* in the order of creation */
    struct graph_node *parent; /* the child graph node that owns it, or NULL */
    unsigned id, next_local_id;
    uint64_t origin;           /* the handle of the graph that this one is a copy of, or 0 */
    struct user_reference *references;
};

struct plan {
    _Atomic unsigned references;
    struct user_reference *users;
    size_t count, room;
    struct work *works;
};

struct graph_exec {
    struct object object;
    struct graph *graph;        /* a private copy: later changes of the original do not matter */
    struct plan *plan;
    cuuint64_t flags;
    unsigned id;
    struct stream *last_stream; /* launches of one executable graph follow each other; counted */
    uint64_t last_sequence;
};

extern pthread_mutex_t graph_lock;

/* Holds the lock to the end of the scope. */
#define GRAPH_GUARD                                                                                          \
    int guard_ __attribute__((cleanup(graph_guard_leave), unused)) = graph_guard_enter()
int graph_guard_enter(void);
void graph_guard_leave(const int *guard);

/* Look up a live object, counted to the end of the scope. */
#define GET_GRAPH(name, handle)                                                                              \
    struct graph *name __attribute__((cleanup(graph_put))) = object_get(HANDLE(handle), KIND_GRAPH);         \
    if (!name)                                                                                               \
    return CUDA_ERROR_INVALID_VALUE
#define GET_NODE(name, handle)                                                                               \
    struct graph_node *name __attribute__((cleanup(graph_node_put))) =                                       \
        object_get(HANDLE(handle), KIND_GRAPH_NODE);                                                         \
    if (!name || !name->graph)                                                                               \
    return CUDA_ERROR_INVALID_VALUE
#define GET_EXEC(name, handle)                                                                               \
    struct graph_exec *name __attribute__((cleanup(graph_exec_put))) =                                       \
        object_get(HANDLE(handle), KIND_GRAPH_EXEC);                                                         \
    if (!name)                                                                                               \
    return CUDA_ERROR_INVALID_VALUE
void graph_put(struct graph *const *graph);
void graph_node_put(struct graph_node *const *node);
void graph_exec_put(struct graph_exec *const *exec);

/* graph.c; all with the lock held. */
CUresult graph_new(struct graph **graph);
void graph_kill(struct graph *graph);
CUresult graph_node_new(struct graph *graph, CUgraphNodeType type, struct graph_node *const *before, size_t count,
                        struct graph_node **node);
void graph_node_kill(struct graph_node *node);
CUresult graph_edge_add(struct graph_node *from, struct graph_node *to);
int graph_edge_remove(struct graph_node *from, struct graph_node *to);
int node_list_add(struct node_list *list, struct graph_node *node);
int node_list_has(const struct node_list *list, const struct graph_node *node);

/* graph_copy.c */
CUresult graph_clone(const struct graph *source, unsigned depth, struct graph **copy);
CUresult graph_order(const struct graph *graph, struct graph_node ***order); /* INVALID_VALUE: a cycle */
struct graph_node *graph_find_origin(const struct graph *graph, uint64_t origin);

/* node_params.c: fill a node that is new, or change one that is not. */
CUresult node_set_kernel(struct graph_node *node, const CUDA_KERNEL_NODE_PARAMS *params, int cooperative);
CUresult node_set_copy(struct graph_node *node, const CUDA_MEMCPY3D *params);
CUresult node_set_memset(struct graph_node *node, const CUDA_MEMSET_NODE_PARAMS *params);
CUresult node_set_host(struct graph_node *node, CUhostFn fn, void *data);
CUresult node_set_event(struct graph_node *node, CUevent handle);
CUresult node_set_values(struct graph_node *node, const CUstreamBatchMemOpParams *values, unsigned count);
CUresult node_set_child(struct graph_node *node, const struct graph *child, unsigned depth);
/* Takes over the work's references. */
CUresult node_set_work(struct graph_node *node, struct work *work);
CUresult node_set_any(struct graph_node *node, const CUgraphNodeParams *params);
CUresult node_copy_contents(struct graph_node *target, const struct graph_node *source, unsigned depth);
void node_release_contents(struct graph_node *node);

/* The table refuses these to applications, so it has no prototypes for them; gpu_proxy calls them. */
CUresult cuGraphAddBatchMemOpNode(CUgraphNode *out, CUgraph handle, const CUgraphNode *dependencies, size_t count,
                                  const CUDA_BATCH_MEM_OP_NODE_PARAMS *params);
CUresult cuGraphBatchMemOpNodeGetParams(CUgraphNode handle, CUDA_BATCH_MEM_OP_NODE_PARAMS *params);
CUresult cuGraphBatchMemOpNodeSetParams(CUgraphNode handle, const CUDA_BATCH_MEM_OP_NODE_PARAMS *params);
CUresult cuGraphExecBatchMemOpNodeSetParams(CUgraphExec exec_handle, CUgraphNode handle,
                                            const CUDA_BATCH_MEM_OP_NODE_PARAMS *params);

/* node_get.c */
CUresult node_get_kernel(struct graph_node *node, CUDA_KERNEL_NODE_PARAMS *params);
CUDA_MEMSET_NODE_PARAMS node_get_memset(const struct graph_node *node);
CUDA_MEMCPY3D node_describe_copy(const struct work_copy *copy);

/* graph_exec.c */
CUresult exec_refresh(struct graph_exec *exec); /* a new plan after a change */
CUresult exec_node(const struct graph_exec *exec, CUgraphNode handle, CUgraphNodeType type, struct graph_node **node);
CUresult graph_launch(struct graph_exec *exec, struct stream *stream);

/* plan.c */
CUresult plan_make(const struct graph *graph, struct plan **plan);
void plan_put(struct plan *plan);
void plan_hold(struct plan *plan);
enum outcome plan_run(struct stream *stream, struct work_graph *work, uint64_t sequence);

/* graph_memory.c */
CUresult graph_memory_take(struct context *context, size_t bytes, struct graph_memory **memory, CUdeviceptr *address);
void graph_memory_hold(struct graph_memory *memory);
void graph_memory_put(struct graph_memory *memory);
void graph_memory_freed_in_graph(CUdeviceptr address);
void graph_memory_launched(struct graph_memory *memory);
CUresult graph_memory_free(CUdeviceptr address); /* by the application; takes the lock itself */

/* user_object.c */
void user_references_drop(struct user_reference *references);
CUresult user_references_copy(const struct user_reference *source, struct user_reference **copy);

#endif
