/* SPDX-License-Identifier: Apache-2.0
 *
 * What several hand-written functions take apart: kernel parameters and JIT options.
 */
#ifndef VGPU_PARAMS_H
#define VGPU_PARAMS_H

#include "vgpu.h"

enum { VGPU_PARAM_BYTES_MAX = 32768, VGPU_JIT_OPTIONS_MAX = 32 };

/* What a launch or a node needs of a kernel. One that was found by listing is loaded at its first use. */
CUresult vgpu_function_use(uint64_t handle, struct vgpu_function **function);

/* Gather a kernel's parameters into `buffer` of VGPU_PARAM_BYTES_MAX bytes, by the layout of its handle. */
CUresult vgpu_gather_params(void **parameters, void **extra, const struct vgpu_function *function,
                            uint8_t *buffer, unsigned *bytes);

/* JIT options, taken apart: plain numbers travel, log buffers are filled from the answer. */
struct vgpu_jit_options {
    unsigned count;
    unsigned numbers[VGPU_JIT_OPTIONS_MAX];
    uint64_t values[VGPU_JIT_OPTIONS_MAX];
    char *info, *error;
    unsigned info_bytes, error_bytes;
};

CUresult vgpu_read_jit_options(unsigned count, const unsigned *numbers, void *const *values,
                               struct vgpu_jit_options *options);
/* After the call the size options hold how much was written. */
void vgpu_report_log_bytes(unsigned count, const unsigned *numbers, void **values,
                           const struct vgpu_jit_options *options);

#endif
