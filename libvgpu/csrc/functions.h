/* SPDX-License-Identifier: Apache-2.0
 *
 * What is kept with a kernel's handle.
 */
#ifndef VGPU_FUNCTIONS_H
#define VGPU_FUNCTIONS_H

#include "vgpu.h"

enum { VGPU_KIND_FUNCTION = 5, VGPU_LAYOUT_MAX = 448 };

/* Check what the worker told about a kernel, and keep it with the handle. */
CUresult vgpu_function_keep(uint64_t handle, const char *name, const struct vgpu_function_info *info,
                            const struct vgpu_param_info *layout);
/* Ask for it when the back end chose the handle. */
CUresult vgpu_function_describe(uint64_t handle);

#endif
