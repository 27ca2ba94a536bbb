/* SPDX-License-Identifier: Apache-2.0 */
#include "handshake.h"

#include <stdlib.h>

#include "executor.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

enum { DUE, DONE };

int vx_open_handshakes(struct vx *x)
{
    struct vx_handshakes *h = &x->handshakes;

    /* Address space, touched as needed; number 0 stays unused. */
    h->all = calloc(VX_HANDSHAKES + 1, sizeof *h->all);
    h->graphs = calloc(VX_HANDSHAKES + 1, sizeof *h->graphs);
    h->busy = calloc(VX_HANDSHAKES, sizeof *h->busy);
    return h->all && h->graphs && h->busy ? 0 : -ENOMEM;
}

/* Whether a block's context is gone, and no graph has any of it. */
static int is_block_free(const struct vx_handshakes *h, uint32_t first)
{
    for (uint32_t i = first; i < first + VX_HANDSHAKE_BLOCK; i++)
        if (h->all[i].context || h->all[i].taken)
            return 0;
    return 1;
}

int vx_add_handshakes(struct vx *x, uint64_t context, uint64_t host, uint64_t device)
{
    struct vx_handshakes *h = &x->handshakes;
    uint32_t first = 1;

    pthread_mutex_lock(&lock);
    while (first <= h->count && !is_block_free(h, first))
        first += VX_HANDSHAKE_BLOCK;
    int has_room = first <= VX_HANDSHAKES;
    for (uint32_t i = 0; has_room && i < VX_HANDSHAKE_BLOCK; i++)
        h->all[first + i] = (struct vx_handshake){
            .words = (volatile uint32_t *)(uintptr_t)(host + i * VX_HANDSHAKE_BYTES),
            .device = device + i * VX_HANDSHAKE_BYTES,
            .context = context,
        };
    if (has_room && first > h->count)
        h->count += VX_HANDSHAKE_BLOCK;
    pthread_mutex_unlock(&lock);
    return has_room ? 0 : -ENOSPC;
}

/* The driver has taken back what it was told last, so the words can serve another graph. */
static int is_settled(const struct vx_handshake *one)
{
    return one->words && !one->words[DUE] && !one->words[DONE];
}

uint32_t vx_take_handshake(struct vx *x, uint64_t context, uint32_t graph)
{
    struct vx_handshakes *h = &x->handshakes;
    uint32_t found = 0;

    pthread_mutex_lock(&lock);
    for (uint32_t i = 1; i <= h->count && !found; i++)
        if (!h->all[i].taken && h->all[i].context == context && is_settled(&h->all[i]))
            found = i;
    if (found) {
        h->all[found].taken = 1;
        h->all[found].graph = graph;
        h->all[found].next = graph ? h->graphs[graph].first : 0;
        if (graph)
            h->graphs[graph].first = found;
    }
    pthread_mutex_unlock(&lock);
    return found;
}

uint64_t vx_handshake_address(struct vx *x, uint32_t number)
{
    pthread_mutex_lock(&lock);
    uint64_t device = number && number <= x->handshakes.count ? x->handshakes.all[number].device : 0;
    pthread_mutex_unlock(&lock);
    return device;
}

uint64_t vx_handshake_context(struct vx *x, uint64_t device)
{
    const struct vx_handshakes *h = &x->handshakes;
    uint64_t context = 0;

    pthread_mutex_lock(&lock);
    for (uint32_t i = 1; i <= h->count && !context; i += VX_HANDSHAKE_BLOCK)
        if (device - h->all[i].device < VX_HANDSHAKE_BLOCK * VX_HANDSHAKE_BYTES)
            context = h->all[i].context;
    pthread_mutex_unlock(&lock);
    return context;
}

/* A graph that has ended gives back what it had once the last launch is through. The caller holds the lock. */
static void let_go(struct vx *x, uint32_t number)
{
    struct vx_handshakes *h = &x->handshakes;
    struct vx_host_graph *graph = &h->graphs[number];

    for (uint32_t i = graph->first; i; i = h->all[i].next)
        if (h->all[i].open)
            return;
    if (!graph->used || !graph->ended || graph->expected)
        return;
    for (uint32_t i = graph->first; i; i = h->all[i].next) {
        h->all[i].taken = 0;
        h->all[i].graph = 0;
    }
    *graph = (struct vx_host_graph){.used = 0};
}

uint32_t vx_new_host_graph(struct vx *x)
{
    struct vx_handshakes *h = &x->handshakes;
    uint32_t number = 1;

    pthread_mutex_lock(&lock);
    while (number <= h->graph_count && h->graphs[number].used)
        number++;
    if (number > VX_HANDSHAKES)
        number = 0;
    else if (number > h->graph_count)
        h->graph_count = number;
    if (number)
        h->graphs[number] = (struct vx_host_graph){.used = 1};
    pthread_mutex_unlock(&lock);
    return number;
}

void vx_end_host_graph(struct vx *x, uint32_t number)
{
    pthread_mutex_lock(&lock);
    x->handshakes.graphs[number].ended = 1;
    let_go(x, number);
    pthread_mutex_unlock(&lock);
}

int vx_bind_host_graph(struct vx *x, uint32_t number, uint64_t executable, uint32_t nodes)
{
    pthread_mutex_lock(&lock);
    x->handshakes.graphs[number].nodes = nodes;
    pthread_mutex_unlock(&lock);
    return vx_set_note(x, executable, number);
}

int vx_may_launch(struct vx *x, uint64_t executable)
{
    uint32_t number = vx_note(x, executable);

    pthread_mutex_lock(&lock);
    int lost = number && x->handshakes.graphs[number].lost;
    pthread_mutex_unlock(&lock);
    return lost ? VX_INVALID_CONTEXT : VX_SUCCESS;
}

void vx_graph_launched(struct vx *x, uint64_t executable, uint64_t stream)
{
    struct vx_handshakes *h = &x->handshakes;
    uint32_t number = vx_note(x, executable);

    /* Into a stream that captures it is not launched but becomes a node. */
    if (!number || vx_is_capturing(x, stream))
        return;
    pthread_mutex_lock(&lock);
    struct vx_host_graph *graph = &h->graphs[number];
    if (graph->nodes && !graph->expected)
        h->busy[h->busy_count++] = number;
    graph->expected += graph->nodes;
    pthread_mutex_unlock(&lock);
}

/* Announce what is due in a graph. The caller holds the lock. */
static int look_at(struct vx *x, struct vx_host_graph *graph)
{
    int found = 0;

    for (uint32_t i = graph->first; i && graph->expected; i = x->handshakes.all[i].next) {
        struct vx_handshake *one = &x->handshakes.all[i];
        uint32_t due = one->words && !one->open ? one->words[DUE] : 0;
        if (!due || vx_announce_lasting(x, i, due - 1))
            continue;
        one->words[DUE] = 0;
        one->open = 1;
        graph->expected--;
        found++;
    }
    return found;
}

int vx_poll_handshakes(struct vx *x)
{
    struct vx_handshakes *h = &x->handshakes;
    int found = 0;

    pthread_mutex_lock(&lock);
    for (uint32_t i = h->busy_count; i-- > 0;) {
        uint32_t number = h->busy[i];
        found += look_at(x, &h->graphs[number]);
        if (!h->graphs[number].expected)
            h->busy[i] = h->busy[--h->busy_count];
    }
    pthread_mutex_unlock(&lock);
    return found;
}

void vx_handshake_done(struct vx *x, uint32_t number)
{
    struct vx_handshakes *h = &x->handshakes;

    pthread_mutex_lock(&lock);
    if (number && number <= h->count && h->all[number].open) {
        struct vx_handshake *one = &h->all[number];
        one->open = 0;
        if (one->words)
            one->words[DONE] = 1;
        if (one->graph)
            let_go(x, one->graph);
    }
    pthread_mutex_unlock(&lock);
}

void vx_forget_handshakes(struct vx *x, uint64_t context)
{
    struct vx_handshakes *h = &x->handshakes;

    pthread_mutex_lock(&lock);
    for (uint32_t i = 1; i <= h->count; i++) {
        struct vx_handshake *one = &h->all[i];
        if (one->context != context)
            continue;
        one->words[DONE] = 1; /* A driver may wait for the streams of a context that ends. */
        one->words = NULL;
        one->context = 0;
        if (one->graph) {
            h->graphs[one->graph].expected = 0;
            h->graphs[one->graph].lost = 1;
        } else {
            one->taken = 0;
        }
    }
    pthread_mutex_unlock(&lock);
}
