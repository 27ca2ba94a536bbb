/* SPDX-License-Identifier: Apache-2.0
 *
 * Programs that nvcc 13 compiles launch kernels by two functions that came with CUDA 12. Linked with these,
 * they run over an unmodified libcudart of CUDA 11, whose nvcc cannot be installed with pip.
 */
#include <stddef.h>

struct dimensions {
    unsigned x, y, z;
};

int cudaLaunchKernel(const void *function, struct dimensions grid, struct dimensions block,
                     void **arguments, size_t shared_bytes, void *stream);
int __cudaGetKernel(const void **kernel, const void *function);
int __cudaLaunchKernel(const void *kernel, struct dimensions grid, struct dimensions block,
                       void **arguments, size_t shared_bytes, void *stream);

int __cudaGetKernel(const void **kernel, const void *function)
{
    *kernel = function;
    return 0;
}

int __cudaLaunchKernel(const void *kernel, struct dimensions grid, struct dimensions block,
                       void **arguments, size_t shared_bytes, void *stream)
{
    return cudaLaunchKernel(kernel, grid, block, arguments, shared_bytes, stream);
}
