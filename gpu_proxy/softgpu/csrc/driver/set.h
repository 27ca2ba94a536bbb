/* SPDX-License-Identifier: Apache-2.0
 *
 * Checking what a memset, or a graph's memset node, would touch.
 */
#ifndef SOFTGPU_SET_H
#define SOFTGPU_SET_H

#include "stream.h"

CUresult set_check(const struct work_set *set);

#endif
