/* SPDX-License-Identifier: Apache-2.0
 *
 * Copies in two and three dimensions. What the worker can reach goes as it is; pageable memory is packed
 * densely into staging chunks, or unpacked from replies.
 */
#include <stdlib.h>
#include <string.h>

#include "box.h"
#include "fronts.h"

extern const struct idm_call cuMemcpy3DAsync_v2_call, cuMemcpy3DPeerAsync_call, vgpuCopy3DIn_call,
    vgpuCopy3DOut_call;

/* A part of a box that fits a chunk. */
struct piece {
    size_t x, y, z, width, height, depth;
};

static uint64_t piece_bytes(const struct piece *piece)
{
    return piece->width * piece->height * piece->depth;
}

/* Rows of pageable memory and of a dense piece, one way or the other. */
static void move_rows(const struct vgpu_side *host, const struct piece *piece, uint8_t *dense, int pack)
{
    uint8_t *start = (uint8_t *)(uintptr_t)host->address + host->x + piece->x;

    for (size_t z = 0; z < piece->depth; z++)
        for (size_t y = 0; y < piece->height; y++) {
            size_t row = (host->z + piece->z + z) * host->height + host->y + piece->y + y;
            uint8_t *at = start + row * host->pitch;
            uint8_t *packed = dense + (z * piece->height + y) * piece->width;
            if (pack)
                memcpy(packed, at, piece->width);
            else
                memcpy(at, packed, piece->width);
        }
}

/* The copy of one piece; the pageable side becomes the dense buffer, which has no address here. */
static CUDA_MEMCPY3D_PEER piece_copy(const CUDA_MEMCPY3D_PEER *copy, const struct piece *piece)
{
    CUDA_MEMCPY3D_PEER part = *copy;
    struct vgpu_side sides[2] = {vgpu_src_side(copy), vgpu_dst_side(copy)};

    for (int i = 0; i < 2; i++) {
        if (sides[i].type == CU_MEMORYTYPE_HOST) {
            sides[i] = (struct vgpu_side){.type = CU_MEMORYTYPE_HOST, .pitch = piece->width,
                                          .height = piece->height};
        } else {
            sides[i].x += piece->x;
            sides[i].y += piece->y;
            sides[i].z += piece->z;
        }
    }
    vgpu_set_src(&part, &sides[0]);
    vgpu_set_dst(&part, &sides[1]);
    part.WidthInBytes = piece->width;
    part.Height = piece->height;
    part.Depth = piece->depth;
    return part;
}

static CUresult piece_in(const CUDA_MEMCPY3D_PEER *copy, const struct piece *piece, CUstream stream,
                         uint32_t flags)
{
    CUDA_MEMCPY3D_PEER part = piece_copy(copy, piece), *where = &part;
    struct vgpu_side host = vgpu_src_side(copy);
    uint64_t count = piece_bytes(piece);
    int taken = vgpu_take_chunk();

    if (taken < 0)
        return vgpu_died("the back end closed it");
    unsigned chunk = (unsigned)taken;
    move_rows(&host, piece, idm_chunk_at(vgpu.region, chunk), 1);
    vgpu_lend_chunk(chunk);
    void *const args[] = {&where, &chunk, &count, &stream};
    CUresult status = vgpu_post(&vgpuCopy3DIn_call, flags, args);
    if (status != CUDA_SUCCESS)
        vgpu_give_chunk(chunk);
    vgpu_self()->counters.bytes_in += count;
    return status == CUDA_SUCCESS ? vgpu_posted_error() : status;
}

static CUresult piece_out(const CUDA_MEMCPY3D_PEER *copy, const struct piece *piece, CUstream stream,
                          uint32_t flags)
{
    CUDA_MEMCPY3D_PEER part = piece_copy(copy, piece), *where = &part;
    struct vgpu_side host = vgpu_dst_side(copy);
    uint64_t count = piece_bytes(piece);
    uint8_t *dense = malloc(count);

    if (!dense)
        return CUDA_ERROR_OUT_OF_MEMORY;
    void *const args[] = {&where, &count, &stream, &dense};
    CUresult status = vgpu_send(&vgpuCopy3DOut_call, flags, args);
    if (status == CUDA_SUCCESS)
        move_rows(&host, piece, dense, 0);
    free(dense);
    vgpu_self()->counters.bytes_out += count;
    return status;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* The largest pieces that fit a chunk: whole slices, else rows of one slice, else parts of one row. */
static struct piece largest_piece(const CUDA_MEMCPY3D_PEER *copy)
{
    struct piece piece = {.width = smaller(copy->WidthInBytes, IDM_CHUNK_BYTES), .height = 1, .depth = 1};

    if (piece.width == copy->WidthInBytes)
        piece.height = smaller(copy->Height, IDM_CHUNK_BYTES / piece.width);
    if (piece.height == copy->Height)
        piece.depth = smaller(copy->Depth, IDM_CHUNK_BYTES / (piece.width * piece.height));
    return piece;
}

typedef CUresult mover(const CUDA_MEMCPY3D_PEER *copy, const struct piece *piece, CUstream stream,
                       uint32_t flags);

static CUresult in_pieces(const CUDA_MEMCPY3D_PEER *copy, CUstream stream, uint32_t flags, mover *move)
{
    struct piece step = largest_piece(copy);
    CUresult status = CUDA_SUCCESS;

    for (size_t z = 0; z < copy->Depth; z += step.depth)
        for (size_t y = 0; y < copy->Height; y += step.height)
            for (size_t x = 0; x < copy->WidthInBytes && status == CUDA_SUCCESS; x += step.width) {
                struct piece piece = {x, y, z, smaller(step.width, copy->WidthInBytes - x),
                                      smaller(step.height, copy->Height - y),
                                      smaller(step.depth, copy->Depth - z)};
                status = move(copy, &piece, stream, flags);
            }
    return status;
}

/* Both sides are pageable: CUDA copies between them in stream order. */
static CUresult copy_here(const CUDA_MEMCPY3D_PEER *copy, CUstream stream, uint32_t flags)
{
    struct vgpu_side src = vgpu_src_side(copy), dst = vgpu_dst_side(copy);
    CUresult status = vgpu_stream_synchronize(stream, flags);

    for (size_t z = 0; z < copy->Depth && status == CUDA_SUCCESS; z++)
        for (size_t y = 0; y < copy->Height; y++) {
            size_t to = ((dst.z + z) * dst.height + dst.y + y) * dst.pitch + dst.x;
            size_t from = ((src.z + z) * src.height + src.y + y) * src.pitch + src.x;
            memmove((uint8_t *)copy->dstHost + to, (const uint8_t *)copy->srcHost + from, copy->WidthInBytes);
        }
    return status;
}

static CUresult copy_reachable(const CUDA_MEMCPY3D_PEER *copy, int peer, CUstream stream, uint32_t flags)
{
    void *const args[] = {&copy, &stream};

    return vgpu_send(peer ? &cuMemcpy3DPeerAsync_call : &cuMemcpy3DAsync_v2_call, flags, args);
}

static int is_host(const struct vgpu_side *side)
{
    return side->type == CU_MEMORYTYPE_UNIFIED && vgpu_is_shared((const void *)(uintptr_t)side->address, 1);
}

CUresult vgpu_copy_box(const CUDA_MEMCPY3D_PEER *wanted, int peer, CUstream stream, uint32_t flags, int wait)
{
    CUDA_MEMCPY3D_PEER copy = *wanted;
    struct vgpu_side src, dst;
    CUresult status = vgpu_may_copy(stream);

    if (status != CUDA_SUCCESS || copy.WidthInBytes == 0 || copy.Height == 0 || copy.Depth == 0)
        return status;
    int reachable = vgpu_settle_box(&copy, peer);
    if (reachable < 0)
        return (CUresult)-reachable;
    src = vgpu_src_side(&copy);
    dst = vgpu_dst_side(&copy);
    if (reachable) {
        status = copy_reachable(&copy, peer, stream, flags);
        /* Between device memories a synchronous copy does not wait either. */
        int waits = wait && (is_host(&src) || is_host(&dst));
        return status == CUDA_SUCCESS && waits ? vgpu_stream_synchronize(stream, flags) : status;
    }
    if (src.type == CU_MEMORYTYPE_HOST && dst.type == CU_MEMORYTYPE_HOST)
        return vgpu_staged(copy_here(&copy, stream, flags));
    return vgpu_staged(in_pieces(&copy, stream, flags, src.type == CU_MEMORYTYPE_HOST ? piece_in : piece_out));
}
