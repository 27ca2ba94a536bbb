/* SPDX-License-Identifier: Apache-2.0
 *
 * Executable graphs: instantiation, launch, update.
 */
#include <stdlib.h>
#include <string.h>

#include "capture.h"
#include "graph.h"

#define INSTANTIATE_FLAGS                                                                                    \
    (CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH | CUDA_GRAPH_INSTANTIATE_FLAG_UPLOAD |                  \
     CUDA_GRAPH_INSTANTIATE_FLAG_USE_NODE_PRIORITY)

void graph_exec_put(struct graph_exec *const *exec)
{
    if (*exec)
        object_put(&(*exec)->object);
}

static void exec_free(struct object *object)
{
    free((struct graph_exec *)object);
}

/* What was launched goes on: the streams hold the plan. Called with the lock held. */
static void exec_kill(struct graph_exec *exec)
{
    if (!object_kill(&exec->object))
        return;
    graph_kill(exec->graph);
    plan_put(exec->plan);
    if (exec->last_stream)
        object_put(&exec->last_stream->object);
    exec->last_stream = NULL;
    object_put(&exec->object);
}

CUresult exec_refresh(struct graph_exec *exec)
{
    struct plan *plan = NULL;
    TRY(plan_make(exec->graph, &plan));
    if (exec->plan)
        plan_put(exec->plan);
    exec->plan = plan;
    return CUDA_SUCCESS;
}

CUresult exec_node(const struct graph_exec *exec, CUgraphNode handle, CUgraphNodeType type, struct graph_node **node)
{
    NEED(object_is_alive(&exec->object));
    *node = graph_find_origin(exec->graph, HANDLE(handle));
    NEED(handle && *node && (*node)->type == type);
    return CUDA_SUCCESS;
}

static CUresult instantiate(CUgraphExec *out, CUgraph handle, cuuint64_t flags)
{
    static unsigned next_id = 1;
    ENTER();
    NEED(out);
    if (flags & CUDA_GRAPH_INSTANTIATE_FLAG_DEVICE_LAUNCH)
        return CUDA_ERROR_NOT_SUPPORTED;
    NEED(!(flags & ~(cuuint64_t)INSTANTIATE_FLAGS));
    GRAPH_GUARD;
    GET_GRAPH(graph, handle);
    struct graph_exec *exec = calloc(1, sizeof(*exec));
    if (!exec)
        return CUDA_ERROR_OUT_OF_MEMORY;
    exec->flags = flags;
    exec->id = next_id++;
    CUresult result = graph_clone(graph, 0, &exec->graph);
    if (!result)
        result = exec_refresh(exec);
    if (!result && object_register(&exec->object, KIND_GRAPH_EXEC, exec_free))
        result = CUDA_ERROR_OUT_OF_MEMORY;
    if (!result) {
        *out = AS_HANDLE(CUgraphExec, exec);
        return CUDA_SUCCESS;
    }
    if (exec->plan)
        plan_put(exec->plan);
    if (exec->graph)
        graph_kill(exec->graph);
    free(exec);
    return result;
}

CUresult cuGraphInstantiateWithFlags(CUgraphExec *exec, CUgraph graph, unsigned long long flags)
{
    return instantiate(exec, graph, flags);
}

CUresult cuGraphInstantiate_v2(CUgraphExec *exec, CUgraph graph, CUgraphNode *error_node, char *log, size_t log_bytes)
{
    if (error_node)
        *error_node = NULL;
    if (log && log_bytes)
        *log = '\0';
    return instantiate(exec, graph, 0);
}

CUresult cuGraphInstantiate(CUgraphExec *exec, CUgraph graph, CUgraphNode *error_node, char *log, size_t log_bytes)
{
    return cuGraphInstantiate_v2(exec, graph, error_node, log, log_bytes);
}

CUresult cuGraphInstantiateWithParams(CUgraphExec *exec, CUgraph graph, CUDA_GRAPH_INSTANTIATE_PARAMS *params)
{
    NEED(params);
    CUresult result = instantiate(exec, graph, params->flags);
    params->hErrNode_out = NULL;
    params->result_out = result ? CUDA_GRAPH_INSTANTIATE_ERROR : CUDA_GRAPH_INSTANTIATE_SUCCESS;
    return result;
}

CUresult cuGraphExecDestroy(CUgraphExec handle)
{
    ENTER();
    GRAPH_GUARD;
    GET_EXEC(exec, handle);
    exec_kill(exec);
    return CUDA_SUCCESS;
}

CUresult cuGraphExecGetFlags(CUgraphExec handle, cuuint64_t *flags)
{
    ENTER();
    NEED(flags);
    GRAPH_GUARD;
    GET_EXEC(exec, handle);
    *flags = exec->flags & ~(cuuint64_t)CUDA_GRAPH_INSTANTIATE_FLAG_UPLOAD;
    return CUDA_SUCCESS;
}

CUresult cuGraphExecGetId(CUgraphExec handle, unsigned int *id)
{
    ENTER();
    NEED(id);
    GRAPH_GUARD;
    GET_EXEC(exec, handle);
    *id = exec->id;
    return CUDA_SUCCESS;
}

/* The plan and the previous launch, each counted. The lock is not held while work is queued, which may wait. */
static int begin_launch(struct graph_exec *exec, struct plan **plan, struct work_point *previous)
{
    GRAPH_GUARD;
    if (!object_is_alive(&exec->object))
        return 0;
    *plan = exec->plan;
    plan_hold(*plan);
    *previous = (struct work_point){exec->last_stream, exec->last_sequence};
    if (previous->stream)
        object_hold(&previous->stream->object);
    return 1;
}

static void end_launch(struct graph_exec *exec, struct stream *stream, uint64_t sequence)
{
    GRAPH_GUARD;
    if (!object_is_alive(&exec->object))
        return;
    if (exec->last_stream)
        object_put(&exec->last_stream->object);
    object_hold(&stream->object);
    exec->last_stream = stream;
    exec->last_sequence = sequence;
}

CUresult graph_launch(struct graph_exec *exec, struct stream *stream)
{
    struct plan *plan = NULL;
    struct work_point previous = {0};
    uint64_t sequence = 0;
    NEED(begin_launch(exec, &plan, &previous));
    CUresult result = CUDA_SUCCESS;
    if (previous.stream && previous.stream != stream && !stream_reached(previous.stream, previous.sequence)) {
        struct work wait = {.kind = WORK_WAIT_POINT, .point = previous};
        result = stream_submit(stream, &wait, SUBMIT_PART, &sequence);
    } else if (previous.stream) {
        object_put(&previous.stream->object);
    }
    if (result) {
        plan_put(plan);
        return result;
    }
    struct work work = {.kind = WORK_GRAPH, .graph = {plan, 0}};
    TRY(stream_submit(stream, &work, 0, &sequence));
    end_launch(exec, stream, sequence);
    return CUDA_SUCCESS;
}

static CUresult launch_or_capture(struct graph_exec *exec, struct stream *stream)
{
    return stream->capture ? capture_child(stream, exec->graph) : graph_launch(exec, stream);
}

CUresult cuGraphLaunch(CUgraphExec handle, CUstream stream_handle)
{
    struct stream *stream = NULL;
    ENTER_CONTEXT(context);
    GET_EXEC(exec, handle);
    CUresult result = stream_resolve(context, stream_handle, &stream);
    if (!result)
        result = launch_or_capture(exec, stream);
    if (stream)
        object_put(&stream->object);
    return result;
}

/* There is nothing to move beforehand. */
CUresult cuGraphUpload(CUgraphExec handle, CUstream stream_handle)
{
    struct stream *stream = NULL;
    ENTER_CONTEXT(context);
    GET_EXEC(exec, handle);
    CUresult result = stream_resolve(context, stream_handle, &stream);
    if (stream)
        object_put(&stream->object);
    return result;
}

static void number(const struct graph *graph)
{
    for (size_t i = 0; i < graph->nodes.used; i++)
        graph->nodes.items[i]->mark = i;
}

static int same_edges(const struct graph_node *a, const struct graph_node *b)
{
    if (a->before.used != b->before.used)
        return 0;
    for (size_t i = 0; i < a->before.used; i++) {
        int found = 0;
        for (size_t j = 0; j < b->before.used && !found; j++)
            found = a->before.items[i]->mark == b->before.items[j]->mark;
        if (!found)
            return 0;
    }
    return 1;
}

/* Nodes are paired in the order of their creation, which is what capturing the same code again gives. */
static CUgraphExecUpdateResult compare(const struct graph *old, const struct graph *new, struct graph_node **culprit)
{
    *culprit = NULL;
    if (old->nodes.used != new->nodes.used)
        return CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED;
    number(old);
    number(new);
    for (size_t i = 0; i < old->nodes.used; i++) {
        const struct graph_node *a = old->nodes.items[i];
        *culprit = new->nodes.items[i];
        if (a->type != (*culprit)->type)
            return CU_GRAPH_EXEC_UPDATE_ERROR_NODE_TYPE_CHANGED;
        if (!same_edges(a, *culprit))
            return CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED;
        struct graph_node *inner = NULL;
        CUgraphExecUpdateResult result =
            a->child ? compare(a->child, (*culprit)->child, &inner) : CU_GRAPH_EXEC_UPDATE_SUCCESS;
        if (result)
            return result;
    }
    *culprit = NULL;
    return CU_GRAPH_EXEC_UPDATE_SUCCESS;
}

static CUresult take_over(struct graph_exec *exec, const struct graph *graph)
{
    for (size_t i = 0; i < graph->nodes.used; i++) {
        struct graph_node *node = exec->graph->nodes.items[i];
        int disabled = node->disabled;
        TRY(node_copy_contents(node, graph->nodes.items[i], 0));
        node->disabled = disabled;
    }
    return exec_refresh(exec);
}

CUresult cuGraphExecUpdate_v2(CUgraphExec exec_handle, CUgraph handle, CUgraphExecUpdateResultInfo *info)
{
    struct graph_node *culprit = NULL;
    ENTER();
    NEED(info);
    GRAPH_GUARD;
    GET_EXEC(exec, exec_handle);
    GET_GRAPH(graph, handle);
    NEED(object_is_alive(&exec->object));
    memset(info, 0, sizeof(*info));
    info->result = compare(exec->graph, graph, &culprit);
    if (culprit)
        info->errorNode = AS_HANDLE(CUgraphNode, culprit);
    return info->result ? CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE : take_over(exec, graph);
}

CUresult cuGraphExecUpdate(CUgraphExec exec, CUgraph graph, CUgraphNode *error_node, CUgraphExecUpdateResult *result)
{
    CUgraphExecUpdateResultInfo info = {0};
    CUresult outcome = cuGraphExecUpdate_v2(exec, graph, &info);
    if (error_node)
        *error_node = info.errorNode;
    if (result)
        *result = info.result;
    return outcome;
}
