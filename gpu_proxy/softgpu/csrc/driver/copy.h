/* SPDX-License-Identifier: Apache-2.0
 *
 * Copies, from the calls' parameters to work.
 */
#ifndef SOFTGPU_COPY_H
#define SOFTGPU_COPY_H

#include "stream.h"

enum { STAGE_BYTES_MAX = 16 << 20 /* pageable sources up to here are staged, larger ones are waited for */ };

/* One side of a copy. */
enum side { SIDE_DEVICE, SIDE_HOST, SIDE_ANY };

/* Copy bytes in the order of a stream; `wait` for the calls that are synchronous. */
CUresult copy_linear(CUstream handle, void *dst, enum side dst_side, const void *src, enum side src_side,
                     size_t bytes, int wait);

CUresult copy_resolve_3d(const CUDA_MEMCPY3D *params, struct work_copy *copy, int *src_pageable, int *dst_pageable);
CUresult copy_submit(struct stream *stream, struct work_copy *copy, int src_pageable, int dst_pageable, int wait);

#define DEVICE_POINTER(address) ((void *)(uintptr_t)(address))

#endif
