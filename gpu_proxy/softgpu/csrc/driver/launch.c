/* SPDX-License-Identifier: Apache-2.0
 *
 * Kernel launches: all checks happen here, before anything is queued.
 */
#include <stdlib.h>
#include <string.h>

#include "capture.h"
#include "module.h"
#include "stream.h"

enum { STACK_PARAMS = 1024 /* parameters up to here are gathered on the stack */ };

static CUresult check_shape(const struct sg_kernel *kernel, const struct launch_shape *shape)
{
    const uint32_t *grid = shape->grid, *block = shape->block, *wanted = kernel->required_block;
    NEED(grid[0] && grid[1] && grid[2] && block[0] && block[1] && block[2]);
    NEED(grid[0] <= GRID_X_MAX && grid[1] <= GRID_YZ_MAX && grid[2] <= GRID_YZ_MAX);
    NEED(block[0] <= SG_MAX_BLOCK_THREADS && block[1] <= SG_MAX_BLOCK_THREADS && block[2] <= BLOCK_Z_MAX);
    uint32_t threads = block[0] * block[1] * block[2];
    NEED(threads <= SG_MAX_BLOCK_THREADS);
    NEED(!wanted[0] || (wanted[0] == block[0] && wanted[1] == block[1] && wanted[2] == block[2]));
    return threads <= kernel->max_threads ? CUDA_SUCCESS : CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES;
}

static CUresult check_cooperative(const struct context *context, const struct function *function,
                                  const struct launch_shape *shape)
{
    if (!shape->cooperative)
        return CUDA_SUCCESS;
    int threads = (int)(shape->block[0] * shape->block[1] * shape->block[2]);
    int blocks = occupancy_blocks(function->kernel, threads, shape->shared);
    uint64_t wanted = (uint64_t)shape->grid[0] * shape->grid[1] * shape->grid[2];
    uint64_t room = (uint64_t)blocks * (uint64_t)context->device->multiprocessors;
    return wanted <= room ? CUDA_SUCCESS : CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE;
}

static CUresult gather_array(const struct sg_kernel *kernel, void **params, char *buffer)
{
    for (uint32_t i = 0; i < kernel->param_count; i++) {
        NEED(params[i]);
        memcpy(buffer + kernel->params[i].offset, params[i], kernel->params[i].bytes);
    }
    return CUDA_SUCCESS;
}

static CUresult gather_buffer(const struct sg_kernel *kernel, void **extra, char *buffer)
{
    const void *source = NULL;
    const size_t *bytes = NULL;
    enum { EXTRA_WORDS_MAX = 16 };
    for (unsigned i = 0; extra[i] != CU_LAUNCH_PARAM_END; i += 2) {
        NEED(i < EXTRA_WORDS_MAX);
        if (extra[i] == CU_LAUNCH_PARAM_BUFFER_POINTER)
            source = extra[i + 1];
        else if (extra[i] == CU_LAUNCH_PARAM_BUFFER_SIZE)
            bytes = extra[i + 1];
        else
            return CUDA_ERROR_INVALID_VALUE;
    }
    if (!kernel->param_bytes)
        return CUDA_SUCCESS;
    NEED(source && bytes);
    /* Callers may leave out padding at the end, or add some. */
    const struct sg_param *last = &kernel->params[kernel->param_count - 1];
    NEED(*bytes >= last->offset + last->bytes && *bytes <= PARAMS_MAX);
    memcpy(buffer, source, *bytes < kernel->param_bytes ? *bytes : kernel->param_bytes);
    return CUDA_SUCCESS;
}

static CUresult gather(const struct sg_kernel *kernel, void **params, void **extra, char *buffer)
{
    NEED(!(params && extra));
    if (!kernel->param_count)
        return CUDA_SUCCESS;
    NEED(params || extra);
    return params ? gather_array(kernel, params, buffer) : gather_buffer(kernel, extra, buffer);
}

CUresult launch_prepare(struct context *context, struct function *function, const struct launch_shape *shape,
                        void **params, void **extra, void *buffer, struct work_kernel *work)
{
    const struct sg_kernel *kernel = function->kernel;
    if (function->object.context != context->owner)
        return CUDA_ERROR_INVALID_HANDLE;
    TRY(check_shape(kernel, shape));
    NEED(shape->shared <= (uint32_t)function_max_dynamic(kernel, &function->settings));
    TRY(check_cooperative(context, function, shape));
    TRY(function_load(function));
    TRY(gather(kernel, params, extra, buffer));
    *work = (struct work_kernel){.function = function, .dynamic_shared = shape->shared,
                                 .param_bytes = kernel->param_bytes, .cooperative = shape->cooperative,
                                 .params = buffer};
    memcpy(work->grid, shape->grid, sizeof(work->grid));
    memcpy(work->block, shape->block, sizeof(work->block));
    return CUDA_SUCCESS;
}

/* Takes over the caller's reference to the function. */
static CUresult launch_on(struct stream *stream, struct function *function, const struct launch_shape *shape,
                          void **params, void **extra)
{
    _Alignas(16) char small[STACK_PARAMS];
    char *buffer = small;
    uint32_t bytes = function->kernel->param_bytes;
    struct work work = {.kind = WORK_KERNEL};
    if (bytes > sizeof(small) && !(buffer = malloc(bytes))) {
        object_put(&function->object);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    CUresult result =
        launch_prepare(stream->object.context, function, shape, params, extra, buffer, &work.kernel);
    if (!result)
        result = stream_perform(stream, &work, 0);
    else
        object_put(&function->object);
    if (buffer != small)
        free(buffer);
    return result;
}

static CUresult launch(CUfunction handle, const struct launch_shape *shape, CUstream stream_handle, void **params,
                       void **extra)
{
    struct stream *stream = NULL;
    struct function *function = NULL;
    ENTER_CONTEXT(context);
    NEED(handle);
    CUresult result = stream_resolve(context, stream_handle, &stream);
    if (!result)
        result = function_from_handle(stream->object.context, handle, &function);
    if (!result)
        result = launch_on(stream, function, shape, params, extra);
    if (stream)
        object_put(&stream->object);
    return result;
}

CUresult cuLaunchKernel(CUfunction f, unsigned int gx, unsigned int gy, unsigned int gz, unsigned int bx,
                        unsigned int by, unsigned int bz, unsigned int shared, CUstream stream, void **params,
                        void **extra)
{
    struct launch_shape shape = {{gx, gy, gz}, {bx, by, bz}, shared, 0};
    return launch(f, &shape, stream, params, extra);
}

CUresult cuLaunchCooperativeKernel(CUfunction f, unsigned int gx, unsigned int gy, unsigned int gz, unsigned int bx,
                                   unsigned int by, unsigned int bz, unsigned int shared, CUstream stream,
                                   void **params)
{
    struct launch_shape shape = {{gx, gy, gz}, {bx, by, bz}, shared, 1};
    return launch(f, &shape, stream, params, NULL);
}

/* Most attributes are hints for a GPU's scheduler; what would change the result must be refused. */
static CUresult apply_attribute(const CUlaunchAttribute *attribute, struct launch_shape *shape)
{
    switch (attribute->id) {
    case CU_LAUNCH_ATTRIBUTE_COOPERATIVE:
        shape->cooperative = attribute->value.cooperative != 0;
        return CUDA_SUCCESS;
    case CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION:
        if (attribute->value.clusterDim.x <= 1 && attribute->value.clusterDim.y <= 1 &&
            attribute->value.clusterDim.z <= 1)
            return CUDA_SUCCESS;
        driver_log("thread block clusters are not supported");
        return CUDA_ERROR_NOT_SUPPORTED;
    case CU_LAUNCH_ATTRIBUTE_DEVICE_UPDATABLE_KERNEL_NODE:
        driver_log("kernel nodes that a kernel updates are not supported");
        return CUDA_ERROR_NOT_SUPPORTED;
    case CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_EVENT:
    case CU_LAUNCH_ATTRIBUTE_LAUNCH_COMPLETION_EVENT:
        return CUDA_SUCCESS; /* recorded by launch_ex */
    default:
        NEED((unsigned)attribute->id < LAUNCH_ATTRIBUTES);
        return CUDA_SUCCESS;
    }
}

/* Events that a kernel would trigger early are recorded behind it, which is later and so always right. */
static CUresult record_attribute(const CUlaunchAttribute *attribute, CUstream stream)
{
    if (attribute->id == CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_EVENT)
        return cuEventRecord(attribute->value.programmaticEvent.event, stream);
    if (attribute->id == CU_LAUNCH_ATTRIBUTE_LAUNCH_COMPLETION_EVENT)
        return cuEventRecord(attribute->value.launchCompletionEvent.event, stream);
    return CUDA_SUCCESS;
}

CUresult cuLaunchKernelEx(const CUlaunchConfig *config, CUfunction f, void **params, void **extra)
{
    NEED(config && (!config->numAttrs || config->attrs));
    struct launch_shape shape = {{config->gridDimX, config->gridDimY, config->gridDimZ},
                                 {config->blockDimX, config->blockDimY, config->blockDimZ},
                                 config->sharedMemBytes,
                                 0};
    for (unsigned i = 0; i < config->numAttrs; i++)
        TRY(apply_attribute(&config->attrs[i], &shape));
    TRY(launch(f, &shape, config->hStream, params, extra));
    for (unsigned i = 0; i < config->numAttrs; i++)
        TRY(record_attribute(&config->attrs[i], config->hStream));
    return CUDA_SUCCESS;
}
