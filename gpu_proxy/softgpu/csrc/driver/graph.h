/* SPDX-License-Identifier: Apache-2.0
 *
 * Graphs: nodes that hold work, and plans, which are what a launch executes: the works of all nodes in an
 * order that respects the edges. A plan never changes; changing an executable graph makes a new plan, so
 * launches that are queued keep what they were launched with.
 *
 * One lock guards all graphs and captures; they are built rarely and launched through plans.
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

struct node_list {
    struct graph_node **items;
    size_t used, room;
};

struct graph_node {
    struct object object;
    struct graph *graph;      /* not counted: the graph owns the node */
    CUgraphNodeType type;
    struct work work;         /* of kernel, memcpy, memset, host and event nodes */
    CUDA_MEMCPY3D copy;       /* as the application gave it */
    void **param_pointers;    /* kernel: what cuGraphKernelNodeGetParams returns */
    struct graph *child;
    CUstreamBatchMemOpParams *values;
    unsigned value_count;
    CUDA_MEM_ALLOC_NODE_PARAMS_v2 alloc;
    struct graph_memory *memory; /* of an allocation node */
    CUdeviceptr freed;
    struct node_list before, after;
    int disabled;
    uint64_t origin;          /* the handle of the node that this one is a copy of, or its own */
    size_t mark;              /* scratch: edges not yet visited, or the index in a copy */
};

struct graph {
    struct object object;
    struct node_list nodes;   /* in the order of creation */
    struct graph_node *parent; /* the child graph node that owns it, or NULL */
    uint64_t id;
    struct user_reference *references;
    struct capture *capture;  /* being captured into; such a graph is not destroyed under it */
};

struct plan {
    _Atomic unsigned references;
    size_t count;
    struct work works[];
};

struct graph_exec {
    struct object object;
    struct graph *graph;      /* a private copy, so that later changes of the original do not matter */
    struct plan *plan;
    cuuint64_t flags;
    uint64_t id;
    struct stream *last_stream; /* launches of one executable graph follow each other; counted */
    uint64_t last_sequence;
};

extern pthread_mutex_t graph_lock;

/* graph.c; all with the lock held. */
CUresult graph_new(struct graph **graph);
void graph_kill(struct graph *graph);
CUresult graph_node_new(struct graph *graph, CUgraphNodeType type, struct graph_node *const *before, size_t count,
                        struct graph_node **node);
void graph_node_kill(struct graph_node *node);
CUresult graph_edge_add(struct graph_node *from, struct graph_node *to);
int graph_edge_remove(struct graph_node *from, struct graph_node *to);
int node_list_add(struct node_list *list, struct graph_node *node);
int node_list_remove(struct node_list *list, const struct graph_node *node);
CUresult graph_clone(const struct graph *source, unsigned depth, struct graph **copy);
CUresult graph_order(struct graph *graph, struct graph_node ***order); /* malloc'ed; INVALID_VALUE: a cycle */
struct graph_node *graph_find_origin(struct graph *graph, uint64_t origin);
CUresult graph_lookup(CUgraph handle, struct graph **graph);         /* counted */
CUresult graph_node_lookup(CUgraphNode handle, struct graph_node **node);

/* Node contents, node_params.c. */
CUresult node_set_kernel(struct graph_node *node, const CUDA_KERNEL_NODE_PARAMS_v2 *params, int cooperative);
CUresult node_set_copy(struct graph_node *node, const CUDA_MEMCPY3D *params);
CUresult node_set_memset(struct graph_node *node, const CUDA_MEMSET_NODE_PARAMS *params);
CUresult node_set_host(struct graph_node *node, CUhostFn fn, void *data);
CUresult node_set_event(struct graph_node *node, CUevent handle);
CUresult node_set_values(struct graph_node *node, const CUstreamBatchMemOpParams *values, unsigned count);
CUresult node_copy_contents(struct graph_node *target, const struct graph_node *source, unsigned depth);
void node_release_contents(struct graph_node *node);

/* plan.c */
CUresult plan_make(struct graph *graph, struct plan **plan);
void plan_put(struct plan *plan);
void plan_hold(struct plan *plan);
enum outcome plan_run(struct stream *stream, struct work_graph *work, uint64_t sequence);

/* graph_memory.c */
void graph_memory_put(struct graph_memory *memory);
void graph_memory_hold(struct graph_memory *memory);
CUresult graph_memory_take(struct context *context, size_t bytes, struct graph_memory **memory, CUdeviceptr *address);

/* user_object.c */
void user_references_drop(struct user_reference *references);
CUresult user_references_copy(const struct user_reference *source, struct user_reference **copy);

#endif
