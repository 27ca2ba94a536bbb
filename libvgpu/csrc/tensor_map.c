/* SPDX-License-Identifier: Apache-2.0
 *
 * Tensor maps. Every array travels with as many entries as the tensor has dimensions; those that the
 * interface makes shorter are filled up with zeros, which the worker never passes on.
 */
#include <string.h>

#include "fronts.h"
#include "vgpu.h"

enum { RANK_MAX = 5 };

/* A copy of `have` entries with zeros up to RANK_MAX, which then replaces the application's pointer. */
struct padded {
    uint64_t words[RANK_MAX];
    const void *pointer;
};

static void pad(struct padded *copy, void *const args[], unsigned index, unsigned have, size_t entry_bytes)
{
    const void *from = *(const void **)args[index];

    memset(copy->words, 0, sizeof copy->words);
    copy->pointer = from ? copy->words : NULL;
    if (from)
        memcpy(copy->words, from, have * entry_bytes);
}

static int rank_of(void *const args[], unsigned *rank)
{
    *rank = *(const unsigned *)args[2];
    return *rank >= 1 && *rank <= RANK_MAX;
}

static void copy_args(void *const from[], void *to[], unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        to[i] = from[i];
}

CUresult vgpu_front_tensor_map_encode_tiled(const struct vgpu_entry *entry, void *const args[])
{
    struct padded strides;
    void *sent[12];
    unsigned rank;

    if (!rank_of(args, &rank))
        return CUDA_ERROR_INVALID_VALUE;
    copy_args(args, sent, 12);
    pad(&strides, args, 5, rank - 1, sizeof(uint64_t));
    sent[5] = &strides.pointer;
    return vgpu_forward(entry, sent);
}

CUresult vgpu_front_tensor_map_encode_im2col(const struct vgpu_entry *entry, void *const args[])
{
    struct padded strides, lower, upper;
    void *sent[15];
    unsigned rank;

    if (!rank_of(args, &rank) || rank < 3)
        return CUDA_ERROR_INVALID_VALUE;
    copy_args(args, sent, 15);
    pad(&strides, args, 5, rank - 1, sizeof(uint64_t));
    pad(&lower, args, 6, rank - 2, sizeof(int));
    pad(&upper, args, 7, rank - 2, sizeof(int));
    sent[5] = &strides.pointer;
    sent[6] = &lower.pointer;
    sent[7] = &upper.pointer;
    return vgpu_forward(entry, sent);
}

CUresult vgpu_front_tensor_map_encode_im2col_wide(const struct vgpu_entry *entry, void *const args[])
{
    struct padded strides;
    void *sent[15];
    unsigned rank;

    if (!rank_of(args, &rank) || rank < 3)
        return CUDA_ERROR_INVALID_VALUE;
    copy_args(args, sent, 15);
    pad(&strides, args, 5, rank - 1, sizeof(uint64_t));
    sent[5] = &strides.pointer;
    return vgpu_forward(entry, sent);
}
