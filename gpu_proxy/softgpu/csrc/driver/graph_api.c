/* SPDX-License-Identifier: Apache-2.0
 *
 * Graphs as a whole: making, copying, and asking about nodes and edges.
 */
#include <stdlib.h>
#include <string.h>

#include "graph.h"

CUresult cuGraphCreate(CUgraph *out, unsigned int flags)
{
    struct graph *graph = NULL;
    ENTER();
    NEED(out && !flags);
    GRAPH_GUARD;
    TRY(graph_new(&graph));
    *out = AS_HANDLE(CUgraph, graph);
    return CUDA_SUCCESS;
}

CUresult cuGraphDestroy(CUgraph handle)
{
    ENTER();
    GRAPH_GUARD;
    GET_GRAPH(graph, handle);
    NEED(!graph->parent); /* it goes with the node that it is in */
    graph_kill(graph);
    return CUDA_SUCCESS;
}

CUresult cuGraphClone(CUgraph *out, CUgraph handle)
{
    struct graph *copy = NULL;
    ENTER();
    NEED(out);
    GRAPH_GUARD;
    GET_GRAPH(graph, handle);
    TRY(graph_clone(graph, 0, &copy));
    *out = AS_HANDLE(CUgraph, copy);
    return CUDA_SUCCESS;
}

CUresult cuGraphGetId(CUgraph handle, unsigned int *id)
{
    ENTER();
    NEED(id);
    GRAPH_GUARD;
    GET_GRAPH(graph, handle);
    *id = graph->id;
    return CUDA_SUCCESS;
}

/* The convention of all list queries: without an array, say how many; otherwise fill what fits, and NULL the
 * rest of the room. */
static void give_list(struct graph_node *const *items, size_t count, CUgraphNode *out, size_t *room)
{
    if (!out) {
        *room = count;
        return;
    }
    for (size_t i = 0; i < *room; i++)
        out[i] = i < count ? AS_HANDLE(CUgraphNode, items[i]) : NULL;
    if (*room > count)
        *room = count;
}

CUresult cuGraphGetNodes(CUgraph handle, CUgraphNode *nodes, size_t *count)
{
    ENTER();
    NEED(count);
    GRAPH_GUARD;
    GET_GRAPH(graph, handle);
    give_list(graph->nodes.items, graph->nodes.used, nodes, count);
    return CUDA_SUCCESS;
}

CUresult cuGraphGetRootNodes(CUgraph handle, CUgraphNode *nodes, size_t *count)
{
    struct node_list roots = {0};
    ENTER();
    NEED(count);
    GRAPH_GUARD;
    GET_GRAPH(graph, handle);
    int failed = 0;
    for (size_t i = 0; i < graph->nodes.used && !failed; i++)
        if (!graph->nodes.items[i]->before.used)
            failed = node_list_add(&roots, graph->nodes.items[i]);
    if (!failed)
        give_list(roots.items, roots.used, nodes, count);
    free(roots.items);
    return failed ? CUDA_ERROR_OUT_OF_MEMORY : CUDA_SUCCESS;
}

/* Edges carry no data here; all are full dependencies. */
static void clear_edge_data(CUgraphEdgeData *edges, size_t count)
{
    if (edges)
        memset(edges, 0, count * sizeof(*edges));
}

CUresult cuGraphGetEdges_v2(CUgraph handle, CUgraphNode *from, CUgraphNode *to, CUgraphEdgeData *edges, size_t *count)
{
    size_t total = 0;
    ENTER();
    NEED(count && !from == !to);
    GRAPH_GUARD;
    GET_GRAPH(graph, handle);
    for (size_t i = 0; i < graph->nodes.used; i++) {
        const struct graph_node *node = graph->nodes.items[i];
        for (size_t j = 0; j < node->before.used; j++, total++) {
            if (!from || total >= *count)
                continue;
            from[total] = AS_HANDLE(CUgraphNode, node->before.items[j]);
            to[total] = AS_HANDLE(CUgraphNode, node);
        }
    }
    for (size_t i = total; from && i < *count; i++)
        from[i] = to[i] = NULL;
    if (!from || total < *count)
        *count = total;
    clear_edge_data(edges, from ? *count : 0);
    return CUDA_SUCCESS;
}

CUresult cuGraphGetEdges(CUgraph graph, CUgraphNode *from, CUgraphNode *to, size_t *count)
{
    return cuGraphGetEdges_v2(graph, from, to, NULL, count);
}

static CUresult change_edge(const struct graph *graph, CUgraphNode from_handle, CUgraphNode to_handle, int add)
{
    GET_NODE(from, from_handle);
    GET_NODE(to, to_handle);
    NEED(from->graph == graph && to->graph == graph);
    if (add)
        return graph_edge_add(from, to);
    return graph_edge_remove(from, to) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

/* Programmatic edges are weaker than the order that a plan gives, so they can be treated as full ones. */
static CUresult change_edges(CUgraph handle, const CUgraphNode *from, const CUgraphNode *to, size_t count, int add)
{
    ENTER();
    NEED(!count || (from && to));
    GRAPH_GUARD;
    GET_GRAPH(graph, handle);
    for (size_t i = 0; i < count; i++)
        TRY(change_edge(graph, from[i], to[i], add));
    return CUDA_SUCCESS;
}

CUresult cuGraphAddDependencies(CUgraph graph, const CUgraphNode *from, const CUgraphNode *to, size_t count)
{
    return change_edges(graph, from, to, count, 1);
}

CUresult cuGraphAddDependencies_v2(CUgraph graph, const CUgraphNode *from, const CUgraphNode *to,
                                   const CUgraphEdgeData *edges, size_t count)
{
    (void)edges;
    return change_edges(graph, from, to, count, 1);
}

CUresult cuGraphRemoveDependencies(CUgraph graph, const CUgraphNode *from, const CUgraphNode *to, size_t count)
{
    return change_edges(graph, from, to, count, 0);
}

CUresult cuGraphRemoveDependencies_v2(CUgraph graph, const CUgraphNode *from, const CUgraphNode *to,
                                      const CUgraphEdgeData *edges, size_t count)
{
    (void)edges;
    return change_edges(graph, from, to, count, 0);
}

CUresult cuGraphNodeGetDependencies_v2(CUgraphNode handle, CUgraphNode *nodes, CUgraphEdgeData *edges, size_t *count)
{
    ENTER();
    NEED(count);
    GRAPH_GUARD;
    GET_NODE(node, handle);
    give_list(node->before.items, node->before.used, nodes, count);
    clear_edge_data(edges, nodes ? *count : 0);
    return CUDA_SUCCESS;
}

CUresult cuGraphNodeGetDependencies(CUgraphNode node, CUgraphNode *nodes, size_t *count)
{
    return cuGraphNodeGetDependencies_v2(node, nodes, NULL, count);
}

CUresult cuGraphNodeGetDependentNodes_v2(CUgraphNode handle, CUgraphNode *nodes, CUgraphEdgeData *edges,
                                         size_t *count)
{
    ENTER();
    NEED(count);
    GRAPH_GUARD;
    GET_NODE(node, handle);
    give_list(node->after.items, node->after.used, nodes, count);
    clear_edge_data(edges, nodes ? *count : 0);
    return CUDA_SUCCESS;
}

CUresult cuGraphNodeGetDependentNodes(CUgraphNode node, CUgraphNode *nodes, size_t *count)
{
    return cuGraphNodeGetDependentNodes_v2(node, nodes, NULL, count);
}

CUresult cuGraphDestroyNode(CUgraphNode handle)
{
    ENTER();
    GRAPH_GUARD;
    GET_NODE(node, handle);
    graph_node_kill(node);
    return CUDA_SUCCESS;
}

CUresult cuGraphNodeFindInClone(CUgraphNode *out, CUgraphNode original, CUgraph clone)
{
    ENTER();
    NEED(out);
    GRAPH_GUARD;
    GET_GRAPH(graph, clone);
    const struct graph_node *found = graph_find_origin(graph, HANDLE(original));
    NEED(original && found);
    *out = AS_HANDLE(CUgraphNode, found);
    return CUDA_SUCCESS;
}

CUresult cuGraphNodeGetType(CUgraphNode handle, CUgraphNodeType *type)
{
    ENTER();
    NEED(type);
    GRAPH_GUARD;
    GET_NODE(node, handle);
    *type = node->type;
    return CUDA_SUCCESS;
}

CUresult cuGraphNodeGetLocalId(CUgraphNode handle, unsigned int *id)
{
    ENTER();
    NEED(id);
    GRAPH_GUARD;
    GET_NODE(node, handle);
    *id = node->local_id;
    return CUDA_SUCCESS;
}

CUresult cuGraphNodeGetToolsId(CUgraphNode handle, unsigned long long *id)
{
    ENTER();
    NEED(id);
    GRAPH_GUARD;
    GET_NODE(node, handle);
    *id = (unsigned long long)node->graph->id << 32 | node->local_id;
    return CUDA_SUCCESS;
}

CUresult cuGraphNodeGetContainingGraph(CUgraphNode handle, CUgraph *graph)
{
    ENTER();
    NEED(graph);
    GRAPH_GUARD;
    GET_NODE(node, handle);
    *graph = AS_HANDLE(CUgraph, node->graph);
    return CUDA_SUCCESS;
}
