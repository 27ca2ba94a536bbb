/* SPDX-License-Identifier: Apache-2.0
 *
 * The structure of graphs: nodes and edges.
 */
#include "graph.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Recursive: dropping a node may free its event, and that leaves its capture. */
pthread_mutex_t graph_lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;

int graph_guard_enter(void)
{
    pthread_mutex_lock(&graph_lock);
    return 1;
}

void graph_guard_leave(const int *guard)
{
    (void)guard;
    pthread_mutex_unlock(&graph_lock);
}

void graph_put(struct graph *const *graph)
{
    if (*graph)
        object_put(&(*graph)->object);
}

void graph_node_put(struct graph_node *const *node)
{
    if (*node)
        object_put(&(*node)->object);
}

int node_list_add(struct node_list *list, struct graph_node *node)
{
    if (list->used == list->room) {
        size_t room = list->room ? 2 * list->room : 8;
        struct graph_node **items = realloc(list->items, room * sizeof(struct graph_node *));
        if (!items)
            return -ENOMEM;
        list->items = items;
        list->room = room;
    }
    list->items[list->used++] = node;
    return 0;
}

int node_list_has(const struct node_list *list, const struct graph_node *node)
{
    for (size_t i = 0; i < list->used; i++)
        if (list->items[i] == node)
            return 1;
    return 0;
}

static int node_list_remove(struct node_list *list, const struct graph_node *node)
{
    for (size_t i = 0; i < list->used; i++) {
        if (list->items[i] != node)
            continue;
        list->used--;
        memmove(&list->items[i], &list->items[i + 1], (list->used - i) * sizeof(struct graph_node *));
        return 1;
    }
    return 0;
}

static void graph_free(struct object *object)
{
    struct graph *graph = (struct graph *)object;
    free(graph->nodes.items);
    free(graph);
}

CUresult graph_new(struct graph **out)
{
    static unsigned next_id = 1;
    struct graph *graph = calloc(1, sizeof(*graph));
    if (!graph)
        return CUDA_ERROR_OUT_OF_MEMORY;
    graph->id = next_id++;
    if (object_register(&graph->object, KIND_GRAPH, graph_free)) {
        free(graph);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    *out = graph;
    return CUDA_SUCCESS;
}

static void node_free(struct object *object)
{
    struct graph_node *node = (struct graph_node *)object;
    free(node->before.items);
    free(node->after.items);
    free(node);
}

/* The node has left its graph and its neighbours. */
static void bury(struct graph_node *node)
{
    node->graph = NULL;
    node_release_contents(node);
    if (object_kill(&node->object))
        object_put(&node->object);
}

void graph_node_kill(struct graph_node *node)
{
    for (size_t i = 0; i < node->before.used; i++)
        (void)node_list_remove(&node->before.items[i]->after, node);
    for (size_t i = 0; i < node->after.used; i++)
        (void)node_list_remove(&node->after.items[i]->before, node);
    (void)node_list_remove(&node->graph->nodes, node);
    bury(node);
}

void graph_kill(struct graph *graph)
{
    if (!object_kill(&graph->object))
        return;
    for (size_t i = 0; i < graph->nodes.used; i++)
        bury(graph->nodes.items[i]);
    graph->nodes.used = 0;
    user_references_drop(graph->references);
    graph->references = NULL;
    object_put(&graph->object);
}

CUresult graph_edge_add(struct graph_node *from, struct graph_node *to)
{
    NEED(from != to && from->graph && from->graph == to->graph && !node_list_has(&to->before, from));
    if (node_list_add(&to->before, from))
        return CUDA_ERROR_OUT_OF_MEMORY;
    if (node_list_add(&from->after, to)) {
        to->before.used--;
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    return CUDA_SUCCESS;
}

int graph_edge_remove(struct graph_node *from, struct graph_node *to)
{
    return node_list_remove(&to->before, from) && node_list_remove(&from->after, to);
}

static CUresult add_edges(struct graph_node *node, struct graph_node *const *before, size_t count)
{
    for (size_t i = 0; i < count; i++)
        TRY(graph_edge_add(before[i], node));
    return CUDA_SUCCESS;
}

CUresult graph_node_new(struct graph *graph, CUgraphNodeType type, struct graph_node *const *before, size_t count,
                        struct graph_node **out)
{
    if (graph->nodes.used >= GRAPH_NODES_MAX)
        return CUDA_ERROR_OUT_OF_MEMORY;
    struct graph_node *node = calloc(1, sizeof(*node));
    if (!node)
        return CUDA_ERROR_OUT_OF_MEMORY;
    node->type = type;
    node->graph = graph;
    if (object_register(&node->object, KIND_GRAPH_NODE, node_free)) {
        free(node);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    node->local_id = graph->next_local_id++;
    if (node_list_add(&graph->nodes, node)) {
        bury(node);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    CUresult result = add_edges(node, before, count);
    if (result)
        graph_node_kill(node);
    else
        *out = node;
    return result;
}
