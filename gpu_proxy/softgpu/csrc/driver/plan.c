/* SPDX-License-Identifier: Apache-2.0
 *
 * Plans: what a graph's launch executes.
 */
#include <stdlib.h>

#include "graph.h"
#include "stream.h"

static CUresult add_work(struct plan *plan, const struct work *work)
{
    if (plan->count == plan->room) {
        size_t room = plan->room ? 2 * plan->room : 16;
        struct work *works = realloc(plan->works, room * sizeof(*works));
        if (!works)
            return CUDA_ERROR_OUT_OF_MEMORY;
        plan->works = works;
        plan->room = room;
    }
    if (work_copy_of(&plan->works[plan->count], work))
        return CUDA_ERROR_OUT_OF_MEMORY;
    plan->count++;
    return CUDA_SUCCESS;
}

static CUresult add_graph(struct plan *plan, const struct graph *graph);

static CUresult add_node(struct plan *plan, const struct graph_node *node)
{
    if (node->disabled)
        return CUDA_SUCCESS;
    if (node->child)
        return add_graph(plan, node->child);
    if (node->memory)
        graph_memory_launched(node->memory);
    for (unsigned i = 0; i < node->value_count; i++) {
        struct work work = {.kind = WORK_VALUE, .value = node->values[i]};
        TRY(add_work(plan, &work));
    }
    int is_nothing = node->work.kind == WORK_EMPTY || (node->work.kind == WORK_COPY && !node->work.copy.width);
    return is_nothing ? CUDA_SUCCESS : add_work(plan, &node->work);
}

static CUresult add_graph(struct plan *plan, const struct graph *graph)
{
    struct graph_node **order = NULL;
    TRY(graph_order(graph, &order));
    CUresult result = CUDA_SUCCESS;
    for (size_t i = 0; i < graph->nodes.used && !result; i++)
        result = add_node(plan, order[i]);
    free(order);
    return result;
}

CUresult plan_make(const struct graph *graph, struct plan **out)
{
    struct plan *plan = calloc(1, sizeof(*plan));
    if (!plan)
        return CUDA_ERROR_OUT_OF_MEMORY;
    atomic_init(&plan->references, 1);
    CUresult result = add_graph(plan, graph);
    if (!result)
        result = user_references_copy(graph->references, &plan->users);
    if (result)
        plan_put(plan);
    else
        *out = plan;
    return result;
}

void plan_hold(struct plan *plan)
{
    atomic_fetch_add(&plan->references, 1);
}

void plan_put(struct plan *plan)
{
    if (atomic_fetch_sub(&plan->references, 1) != 1)
        return;
    for (size_t i = 0; i < plan->count; i++)
        work_release(&plan->works[i]);
    user_references_drop(plan->users);
    free(plan->works);
    free(plan);
}

enum outcome plan_run(struct stream *stream, struct work_graph *work, uint64_t sequence)
{
    for (; work->next < work->plan->count; work->next++)
        if (work_run(stream, &work->plan->works[work->next], sequence) == WORK_PARKED)
            return WORK_PARKED;
    return WORK_DONE;
}
