/* SPDX-License-Identifier: Apache-2.0
 *
 * What every demo program does with its results: print one line, and fail if a number is wrong.
 */
#ifndef CHECK_H
#define CHECK_H

#include <cstdio>
#include <cstdlib>
#include <cuda_runtime.h>

/* End the program with the name of the call that failed. */
#define CUDA(call)                                                                                    \
    do {                                                                                              \
        cudaError_t error_ = (call);                                                                  \
        if (error_ != cudaSuccess) {                                                                  \
            std::fprintf(stderr, "%s:%d: %s: %s (%d)\n", __FILE__, __LINE__, #call,                   \
                         cudaGetErrorName(error_), (int)error_);                                      \
            std::exit(2);                                                                             \
        }                                                                                             \
    } while (0)

/* Exit status for `right` of `all` numbers. */
static inline int report(const char *name, long right, long all)
{
    std::printf("%s: %ld of %ld right\n", name, right, all);
    return right == all ? 0 : 1;
}

#endif
