/* SPDX-License-Identifier: Apache-2.0
 *
 * Copying graphs, and putting their nodes in an order that respects the edges.
 */
#include <stdlib.h>
#include <string.h>

#include "graph.h"

static void number_nodes(const struct graph *graph)
{
    for (size_t i = 0; i < graph->nodes.used; i++)
        graph->nodes.items[i]->mark = i;
}

static CUresult copy_nodes(const struct graph *source, unsigned depth, struct graph *copy)
{
    for (size_t i = 0; i < source->nodes.used; i++) {
        const struct graph_node *node = source->nodes.items[i];
        struct graph_node *made = NULL;
        TRY(graph_node_new(copy, node->type, NULL, 0, &made));
        made->origin = node->object.handle;
        TRY(node_copy_contents(made, node, depth));
    }
    return CUDA_SUCCESS;
}

static CUresult copy_edges(const struct graph *source, struct graph *copy)
{
    number_nodes(source);
    for (size_t i = 0; i < source->nodes.used; i++) {
        const struct node_list *before = &source->nodes.items[i]->before;
        for (size_t j = 0; j < before->used; j++)
            TRY(graph_edge_add(copy->nodes.items[before->items[j]->mark], copy->nodes.items[i]));
    }
    return CUDA_SUCCESS;
}

CUresult graph_clone(const struct graph *source, unsigned depth, struct graph **out)
{
    struct graph *copy = NULL;
    if (depth >= GRAPH_DEPTH_MAX)
        return CUDA_ERROR_NOT_SUPPORTED;
    TRY(graph_new(&copy));
    copy->origin = source->object.handle;
    CUresult result = copy_nodes(source, depth, copy);
    if (!result)
        result = copy_edges(source, copy);
    if (!result)
        result = user_references_copy(source->references, &copy->references);
    if (result)
        graph_kill(copy);
    else
        *out = copy;
    return result;
}

/* Kahn's algorithm; among nodes that are free to go, the order of creation. */
CUresult graph_order(const struct graph *graph, struct graph_node ***out)
{
    size_t count = graph->nodes.used, tail = 0;
    struct graph_node **order = malloc((count + 1) * sizeof(struct graph_node *));
    if (!order)
        return CUDA_ERROR_OUT_OF_MEMORY;
    for (size_t i = 0; i < count; i++) {
        struct graph_node *node = graph->nodes.items[i];
        node->mark = node->before.used;
        if (!node->mark)
            order[tail++] = node;
    }
    for (size_t head = 0; head < tail; head++)
        for (size_t i = 0; i < order[head]->after.used; i++)
            if (--order[head]->after.items[i]->mark == 0)
                order[tail++] = order[head]->after.items[i];
    if (tail != count) {
        free(order);
        return CUDA_ERROR_INVALID_VALUE;
    }
    *out = order;
    return CUDA_SUCCESS;
}

struct graph_node *graph_find_origin(const struct graph *graph, uint64_t origin)
{
    for (size_t i = 0; i < graph->nodes.used; i++) {
        struct graph_node *node = graph->nodes.items[i];
        if (node->origin == origin)
            return node;
        struct graph_node *inner = node->child ? graph_find_origin(node->child, origin) : NULL;
        if (inner)
            return inner;
    }
    return NULL;
}
