/* SPDX-License-Identifier: Apache-2.0
 *
 * Launches: the parameters are gathered by the layout that came with the kernel's handle, and posted.
 */
#include <stdlib.h>
#include <string.h>

#include "fronts.h"
#include "params.h"
#include "vgpu.h"

enum {
    KIND_STREAM = 2, KIND_FUNCTION = 5, PARAM_BYTES_MAX = VGPU_PARAM_BYTES_MAX, ATTRIBUTES_MAX = 32,
    /* CUdevice_attribute numbers */
    MAX_BLOCK_THREADS = 1, MAX_BLOCK_X = 2, MAX_GRID_X = 5, MAX_BLOCK_SHARED = 8,
    /* CUfunction_attribute numbers */
    FUNCTION_MAX_THREADS = 0, FUNCTION_STATIC_SHARED = 1,
    /* what an `extra` list holds */
    EXTRA_END = 0, EXTRA_POINTER = 1, EXTRA_BYTES = 2,
};

struct launch {
    uint64_t function;
    unsigned grid[3], block[3], shared;
    CUstream stream;
    void **parameters, **extra;
    const void *attributes;
    unsigned attribute_count, cooperative;
};

/* Bytes of dynamic shared memory that the kernel may have now. */
static int64_t dynamic_limit(const struct vgpu_function *function, const int32_t *limits)
{
    int32_t asked = atomic_load_explicit(&function->dynamic_max, memory_order_relaxed);

    return asked ? asked : limits[MAX_BLOCK_SHARED] - function->attributes[FUNCTION_STATIC_SHARED];
}

/* Beyond what the device or this kernel allows: an error at once, as CUDA has it. */
static CUresult check_limits(const struct launch *launch, const struct vgpu_function *function)
{
    const int32_t *limits = vgpu_device(0)->attributes;
    uint64_t threads = 1;

    for (unsigned i = 0; i < 3; i++) {
        if (launch->grid[i] == 0 || launch->block[i] == 0 ||
            launch->grid[i] > (unsigned)limits[MAX_GRID_X + i] ||
            launch->block[i] > (unsigned)limits[MAX_BLOCK_X + i])
            return CUDA_ERROR_INVALID_VALUE;
        threads *= launch->block[i];
    }
    if (threads > (unsigned)limits[MAX_BLOCK_THREADS] || launch->shared > dynamic_limit(function, limits))
        return CUDA_ERROR_INVALID_VALUE;
    if (function->attribute_valid >> FUNCTION_MAX_THREADS & 1 &&
        threads > (unsigned)function->attributes[FUNCTION_MAX_THREADS])
        return CUDA_ERROR_INVALID_VALUE;
    return CUDA_SUCCESS;
}

static CUresult gather_extra(void *const *extra, uint8_t *buffer, unsigned *bytes)
{
    const void *from = NULL;
    size_t length = 0;

    for (; *extra != (void *)EXTRA_END; extra += 2) {
        if (*extra == (void *)EXTRA_POINTER)
            from = extra[1];
        else if (*extra == (void *)EXTRA_BYTES)
            length = *(const size_t *)extra[1];
        else
            return CUDA_ERROR_INVALID_VALUE;
    }
    if (length > PARAM_BYTES_MAX || (length && !from))
        return CUDA_ERROR_INVALID_VALUE;
    memcpy(buffer, from ? from : buffer, length);
    *bytes = (unsigned)length;
    return CUDA_SUCCESS;
}

CUresult vgpu_gather_params(void **parameters, void **extra, const struct vgpu_function *function,
                            uint8_t *buffer, unsigned *bytes)
{
    if (extra && parameters)
        return CUDA_ERROR_INVALID_VALUE;
    if (extra)
        return gather_extra(extra, buffer, bytes);
    if (function->param_count && !parameters)
        return CUDA_ERROR_INVALID_VALUE;
    memset(buffer, 0, function->param_bytes);
    for (unsigned i = 0; i < function->param_count; i++)
        memcpy(buffer + function->params[i].offset, parameters[i], function->params[i].bytes);
    *bytes = function->param_bytes;
    return CUDA_SUCCESS;
}

static CUresult send(const struct vgpu_entry *entry, const struct launch *launch)
{
    uint8_t buffer[PARAM_BYTES_MAX];
    const void *params = buffer;
    unsigned bytes = 0;
    struct vgpu_function *function;
    struct vgpu_thread *thread = vgpu_self();
    CUresult status = vgpu_may_call(thread);
    uint64_t stream = (uint64_t)(uintptr_t)launch->stream;

    if (status != CUDA_SUCCESS)
        return status;
    if (!vgpu_current(thread))
        return CUDA_ERROR_INVALID_CONTEXT;
    if (stream > 2 && !vgpu_is_alive(stream, KIND_STREAM))
        return CUDA_ERROR_INVALID_HANDLE;
    if ((status = vgpu_function_use(launch->function, &function)) != CUDA_SUCCESS ||
        (status = check_limits(launch, function)) != CUDA_SUCCESS ||
        (status = vgpu_gather_params(launch->parameters, launch->extra, function, buffer, &bytes)) != CUDA_SUCCESS)
        return status;
    void *const args[] = {(void *)&launch->function, (void *)&launch->grid[0], (void *)&launch->grid[1],
                          (void *)&launch->grid[2], (void *)&launch->block[0], (void *)&launch->block[1],
                          (void *)&launch->block[2], (void *)&launch->shared, (void *)&launch->stream,
                          &bytes, &params, (void *)&launch->attribute_count, (void *)&launch->attributes,
                          (void *)&launch->cooperative};
    status = vgpu_send(&vgpuLaunch_call, entry->flags, args);
    if (status == CUDA_SUCCESS && vgpu.launch_blocking)
        status = vgpu_send(&vgpuIdle_call, 0, NULL);
    return status;
}

static unsigned number_at(void *const args[], unsigned index)
{
    return *(const unsigned *)args[index];
}

static void plain_launch(void *const args[], struct launch *launch)
{
    *launch = (struct launch){
        .function = *(const uint64_t *)args[0],
        .grid = {number_at(args, 1), number_at(args, 2), number_at(args, 3)},
        .block = {number_at(args, 4), number_at(args, 5), number_at(args, 6)},
        .shared = number_at(args, 7),
        .stream = *(CUstream *)args[8],
        .parameters = *(void ***)args[9],
    };
}

CUresult vgpu_front_launch_kernel(const struct vgpu_entry *entry, void *const args[])
{
    struct launch launch;

    plain_launch(args, &launch);
    launch.extra = *(void ***)args[10];
    return send(entry, &launch);
}

CUresult vgpu_front_launch_cooperative_kernel(const struct vgpu_entry *entry, void *const args[])
{
    struct launch launch;

    plain_launch(args, &launch);
    launch.cooperative = 1;
    return send(entry, &launch);
}

/* Attributes that name objects travel as handles; the worker would have to translate them. */
enum { LAUNCH_ATTRIBUTE_BYTES = 72, PROGRAMMATIC_EVENT = 7, COMPLETION_EVENT = 12, UPDATABLE_NODE = 13 };

static CUresult check_attributes(const struct vgpu_entry *entry, const uint8_t *attributes, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        unsigned number;
        memcpy(&number, attributes + i * LAUNCH_ATTRIBUTE_BYTES, sizeof number);
        if (number == PROGRAMMATIC_EVENT || number == COMPLETION_EVENT || number == UPDATABLE_NODE) {
            vgpu_log(VGPU_WARNING, "%s: launch attribute %u is not supported", entry->call->symbol, number);
            return CUDA_ERROR_NOT_SUPPORTED;
        }
    }
    return CUDA_SUCCESS;
}

CUresult vgpu_front_launch_kernel_ex(const struct vgpu_entry *entry, void *const args[])
{
    const CUlaunchConfig *config = *(const CUlaunchConfig **)args[0];

    if (!config || (config->numAttrs && !config->attrs) || config->numAttrs > ATTRIBUTES_MAX)
        return CUDA_ERROR_INVALID_VALUE;
    CUresult status = check_attributes(entry, (const uint8_t *)config->attrs, config->numAttrs);
    if (status != CUDA_SUCCESS)
        return status;
    struct launch launch = {
        .function = *(const uint64_t *)args[1],
        .grid = {config->gridDimX, config->gridDimY, config->gridDimZ},
        .block = {config->blockDimX, config->blockDimY, config->blockDimZ},
        .shared = config->sharedMemBytes,
        .stream = config->hStream,
        .parameters = *(void ***)args[2],
        .extra = *(void ***)args[3],
        .attributes = config->attrs,
        .attribute_count = config->numAttrs,
    };
    return send(entry, &launch);
}
