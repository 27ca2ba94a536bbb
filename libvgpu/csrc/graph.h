/* SPDX-License-Identifier: Apache-2.0
 *
 * Nodes of graphs as they cross the ring: one structure for every kind, and the bytes of kernel parameters.
 */
#ifndef VGPU_GRAPH_H
#define VGPU_GRAPH_H

#include "params.h"
#include "vgpu.h"

enum { VGPU_KIND_GRAPH = 8, VGPU_KIND_GRAPH_EXEC = 9, VGPU_KIND_NODE = 10 };

struct vgpu_node {
    CUgraphNodeParams params;
    unsigned param_bytes;
    uint8_t bytes[VGPU_PARAM_BYTES_MAX];
};

/* What the application passed, checked and made fit to cross. `symbol` names the call in log lines. */
CUresult vgpu_node_kernel(const CUDA_KERNEL_NODE_PARAMS *kernel, struct vgpu_node *node);
CUresult vgpu_node_kernel_v1(const CUDA_KERNEL_NODE_PARAMS_v1 *kernel, struct vgpu_node *node);
CUresult vgpu_node_memcpy(const char *symbol, const CUDA_MEMCPY3D *copy, CUcontext context,
                          struct vgpu_node *node);
CUresult vgpu_node_memset(const CUDA_MEMSET_NODE_PARAMS *memset, CUcontext context, struct vgpu_node *node);
CUresult vgpu_node_host(CUhostFn function, void *data, struct vgpu_node *node);
CUresult vgpu_node_any(const char *symbol, const CUgraphNodeParams *params, struct vgpu_node *node);

/* What the worker tells about a node, as the application sees it. Kernel parameters are kept with the
 * node's handle, and stay there until it is asked for again or dies. */
CUresult vgpu_node_read(uint64_t handle, CUgraphNodeParams *params);

/* Application functions that the driver calls more than once, or later than a stream knows. */
CUresult vgpu_lasting_callback(CUhostFn function, void *data, int once, uint64_t *number);
void vgpu_forget_callback(uint64_t number);
int vgpu_find_callback(uint64_t number, CUhostFn *function, void **data);
/* Call it if it is one of these. 0: it is not. */
int vgpu_run_lasting(uint64_t number);
CUresult vgpu_start_callback_thread(void);

#endif
