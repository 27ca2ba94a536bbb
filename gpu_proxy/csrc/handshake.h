/* SPDX-License-Identifier: Apache-2.0
 *
 * Host functions of graphs. A node with one is a batch of memory operations on a handshake, two words of host
 * memory: the driver writes which function is due, waits until it is done, and takes that back. The executor
 * looks for what is due and announces it; no thread of the driver waits for the application. An executable
 * graph has its handshakes to itself, because its launches follow one another and those of others do not.
 * docs/decisions/0009-host-functions-in-graphs.md says more.
 *
 * Lanes instantiate graphs, the main thread launches them and looks: all of this is under the lock of
 * handshake.c.
 */
#ifndef VX_HANDSHAKE_H
#define VX_HANDSHAKE_H

#include <stdint.h>

enum {
    VX_HANDSHAKES = 1 << 16,    /* nodes with host functions, in all executable graphs of a session */
    VX_HANDSHAKE_BYTES = 8,
    VX_HANDSHAKE_BLOCK = 512,   /* made at a time, in host memory of one context */
};

struct vx_handshake {
    volatile uint32_t *words;   /* due: number of the function plus one; done: 1. NULL: its context is gone */
    uint64_t device;            /* the same words, as the driver's streams name them */
    uint64_t context;           /* driver object */
    uint32_t graph;             /* number of the executable graph, or 0 */
    uint32_t next;              /* number of the graph's next handshake, or 0 */
    uint8_t taken;
    uint8_t open;               /* announced, and not acknowledged yet */
};

/* An executable graph with host functions. Its handshakes may be more than its nodes: parameters can change. */
struct vx_host_graph {
    uint32_t nodes;             /* that call a function at each launch */
    uint32_t expected;          /* functions of all launches so far that are not due yet */
    uint32_t first;             /* handshake */
    uint8_t used, ended;
    uint8_t lost;               /* the context of a handshake is gone: no launch may use its words */
};

/* Both kinds are named by numbers from 1; 0 is none. */
struct vx_handshakes {
    struct vx_handshake *all;   /* VX_HANDSHAKES of each */
    struct vx_host_graph *graphs;
    uint32_t *busy;             /* graphs that expect a function */
    uint32_t count, graph_count, busy_count;
};

#endif
