/* SPDX-License-Identifier: Apache-2.0
 *
 * Copies of boxes between pageable, pinned and device memory and arrays, of sizes below and above a chunk.
 */
#include "check.h"

enum { MARGIN = 3 };

static uint8_t *host(size_t bytes, unsigned seed)
{
    uint8_t *memory = malloc(bytes);

    HOLDS(memory != NULL);
    fill(memory, bytes, seed);
    return memory;
}

/* There and back through device memory with other pitches and offsets; what is around must stay. */
static void there_and_back(size_t width, size_t height, size_t depth, int asynchronous)
{
    size_t pitch = width + 13, rows = height + 2, bytes = pitch * rows * (depth + 1);
    size_t device_pitch = (width + MARGIN + 511) & ~(size_t)511, device_rows = height + 1;
    uint8_t *from = host(bytes, 1), *to = host(bytes, 2), *before = host(bytes, 2);
    CUdeviceptr memory = device_memory(device_pitch * device_rows * depth);
    CUDA_MEMCPY3D in = {
        .srcMemoryType = CU_MEMORYTYPE_HOST, .srcHost = from, .srcPitch = pitch, .srcHeight = rows,
        .srcXInBytes = 5, .srcY = 1, .srcZ = 1,
        .dstMemoryType = CU_MEMORYTYPE_DEVICE, .dstDevice = memory, .dstPitch = device_pitch,
        .dstHeight = device_rows, .dstXInBytes = MARGIN, .dstY = 1,
        .WidthInBytes = width, .Height = height, .Depth = depth,
    };
    CUDA_MEMCPY3D out = {
        .srcMemoryType = CU_MEMORYTYPE_UNIFIED, .srcDevice = memory, .srcPitch = device_pitch,
        .srcHeight = device_rows, .srcXInBytes = MARGIN, .srcY = 1,
        .dstMemoryType = CU_MEMORYTYPE_UNIFIED, .dstDevice = (CUdeviceptr)(uintptr_t)to, .dstPitch = pitch,
        .dstHeight = rows, .dstXInBytes = 5, .dstY = 1, .dstZ = 1,
        .WidthInBytes = width, .Height = height, .Depth = depth,
    };
    CUstream stream;

    if (asynchronous) {
        OK(cuStreamCreate(&stream, 1));
        OK(cuMemcpy3DAsync_v2(&in, stream));
        OK(cuMemcpy3DAsync_v2(&out, stream));
        OK(cuStreamSynchronize(stream));
        OK(cuStreamDestroy_v2(stream));
    } else {
        OK(cuMemcpy3D_v2(&in));
        OK(cuMemcpy3D_v2(&out));
    }
    for (size_t z = 0; z < depth; z++)
        for (size_t y = 0; y < height; y++) {
            size_t at = ((z + 1) * rows + y + 1) * pitch + 5;
            HOLDS(memcmp(to + at, from + at, width) == 0);
            memcpy(to + at, before + at, width);
        }
    HOLDS(memcmp(to, before, bytes) == 0);
    OK(cuMemFree_v2(memory));
    free(from);
    free(to);
    free(before);
}

static void two_dimensions(void)
{
    enum { WIDTH = 700, HEIGHT = 31, PITCH = 1024 };
    uint8_t *from = host(PITCH * HEIGHT, 3), *to = host(PITCH * HEIGHT, 4), *pinned;
    CUdeviceptr memory = device_memory(PITCH * HEIGHT);
    CUDA_MEMCPY2D in = {
        .srcMemoryType = CU_MEMORYTYPE_HOST, .srcHost = from, .srcPitch = PITCH,
        .dstMemoryType = CU_MEMORYTYPE_DEVICE, .dstDevice = memory, .dstPitch = PITCH,
        .WidthInBytes = WIDTH, .Height = HEIGHT,
    };
    CUDA_MEMCPY2D out = {
        .srcMemoryType = CU_MEMORYTYPE_DEVICE, .srcDevice = memory, .srcPitch = PITCH,
        .dstMemoryType = CU_MEMORYTYPE_HOST, .dstHost = to, .dstPitch = PITCH,
        .WidthInBytes = WIDTH, .Height = HEIGHT,
    };

    OK(cuMemcpy2DUnaligned_v2(&in));
    OK(cuMemcpy2D_v2(&out));
    for (int y = 0; y < HEIGHT; y++)
        HOLDS(memcmp(to + PITCH * y, from + PITCH * y, WIDTH) == 0);

    /* Pinned memory goes straight, pageable to pageable through no device at all. */
    OK(cuMemHostAlloc((void **)&pinned, PITCH * HEIGHT, 0));
    out.dstHost = pinned;
    OK(cuMemcpy2DAsync_v2(&out, NULL));
    OK(cuStreamSynchronize(NULL));
    for (int y = 0; y < HEIGHT; y++)
        HOLDS(memcmp(pinned + PITCH * y, from + PITCH * y, WIDTH) == 0);
    OK(cuMemFreeHost(pinned));
    in.dstMemoryType = CU_MEMORYTYPE_HOST;
    in.dstHost = to;
    memset(to, 0, PITCH * HEIGHT);
    OK(cuMemcpy2D_v2(&in));
    for (int y = 0; y < HEIGHT; y++)
        HOLDS(memcmp(to + PITCH * y, from + PITCH * y, WIDTH) == 0 && to[PITCH * y + WIDTH] == 0);
    OK(cuMemFree_v2(memory));
    free(from);
    free(to);
}

static void arrays(void)
{
    enum { WIDTH = 4096, ROWS = 64 };
    uint8_t *from = host(WIDTH * ROWS, 5), *to = host(WIDTH * ROWS, 6);
    CUDA_ARRAY_DESCRIPTOR flat = {.Width = WIDTH, .Format = CU_AD_FORMAT_UNSIGNED_INT8, .NumChannels = 1};
    CUDA_ARRAY_DESCRIPTOR plane = {.Width = WIDTH / 4, .Height = ROWS, .Format = CU_AD_FORMAT_FLOAT,
                                   .NumChannels = 1};
    CUarray array;

    OK(cuArrayCreate_v2(&array, &flat));
    OK(cuMemcpyHtoA_v2(array, 100, from, 1000));
    OK(cuMemcpyAtoH_v2(to, array, 100, 1000));
    HOLDS(memcmp(to, from, 1000) == 0);
    OK(cuArrayDestroy(array));
    OK(cuArrayCreate_v2(&array, &plane));
    CUDA_MEMCPY2D in = {
        .srcMemoryType = CU_MEMORYTYPE_HOST, .srcHost = from, .srcPitch = WIDTH,
        .dstMemoryType = CU_MEMORYTYPE_ARRAY, .dstArray = array, .WidthInBytes = WIDTH, .Height = ROWS,
    };
    CUDA_MEMCPY2D out = {
        .srcMemoryType = CU_MEMORYTYPE_ARRAY, .srcArray = array, .srcY = 7, .srcXInBytes = 16,
        .dstMemoryType = CU_MEMORYTYPE_HOST, .dstHost = to, .dstPitch = 64, .WidthInBytes = 32, .Height = 9,
    };
    OK(cuMemcpy2D_v2(&in));
    OK(cuMemcpy2D_v2(&out));
    for (int y = 0; y < 9; y++)
        HOLDS(memcmp(to + 64 * y, from + WIDTH * (y + 7) + 16, 32) == 0);
    OK(cuArrayDestroy(array));
    EXPECT(CUDA_ERROR_INVALID_HANDLE, cuMemcpy2D_v2(&out));
    free(from);
    free(to);
}

static void between_contexts(CUcontext context)
{
    uint8_t *from = host(4096, 7), to[4096];
    CUdeviceptr memory = device_memory(8192);
    CUDA_MEMCPY3D_PEER copy = {
        .srcMemoryType = CU_MEMORYTYPE_HOST, .srcHost = from, .srcPitch = 64, .srcHeight = 64,
        .dstMemoryType = CU_MEMORYTYPE_DEVICE, .dstDevice = memory, .dstPitch = 128, .dstHeight = 64,
        .dstContext = context, .WidthInBytes = 64, .Height = 64, .Depth = 1,
    };

    OK(cuMemcpy3DPeer(&copy));
    OK(cuMemcpyDtoH_v2(to, memory, sizeof to));
    for (int y = 0; y < 32; y++)
        HOLDS(memcmp(to + 128 * y, from + 64 * y, 64) == 0);
    copy.dstContext = NULL;
    if (getenv("VGPU_SOCKET")) /* the software GPU has only one device and looks at no context */
        EXPECT(CUDA_ERROR_INVALID_CONTEXT, cuMemcpy3DPeer(&copy));
    OK(cuMemFree_v2(memory));
    free(from);
}

static void errors(void)
{
    uint8_t bytes[64] = {0};
    CUdeviceptr memory = device_memory(4096);
    CUDA_MEMCPY2D copy = {
        .srcMemoryType = CU_MEMORYTYPE_HOST, .srcHost = bytes, .srcPitch = 8,
        .dstMemoryType = CU_MEMORYTYPE_DEVICE, .dstDevice = memory, .dstPitch = 4096,
        .WidthInBytes = 8, .Height = 2,
    };

    EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemcpy2D_v2(&copy)); /* its second row is behind the allocation */
    EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemcpy2D_v2(NULL));
    copy.dstPitch = 4; /* less than a row */
    EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemcpy2D_v2(&copy));
    copy.Height = 0;
    OK(cuMemcpy2D_v2(&copy));
    OK(cuMemFree_v2(memory));
}

int main(void)
{
    CUcontext context = start();

    for (int asynchronous = 0; asynchronous < 2; asynchronous++) {
        there_and_back(1, 1, 1, asynchronous);
        there_and_back(4000, 1, 1, asynchronous);
        there_and_back(17, 23, 5, asynchronous);
        there_and_back(9000, 200, 2, asynchronous);
        there_and_back(700001, 3, 1, asynchronous);
        there_and_back(100, 50, 300, asynchronous);
    }
    two_dimensions();
    arrays();
    between_contexts(context);
    errors();
    return 0;
}
