/* SPDX-License-Identifier: Apache-2.0
 *
 * Arrays: device memory with a shape. Rows are stored densely, one after the other.
 */
#ifndef SOFTGPU_ARRAY_H
#define SOFTGPU_ARRAY_H

#include "driver.h"

struct array {
    struct object object;
    CUDA_ARRAY3D_DESCRIPTOR descriptor;
    uint64_t address;
    uint64_t id;
    size_t row_bytes, rows, slices;
};

#endif
