/* SPDX-License-Identifier: Apache-2.0
 *
 * Modules and libraries: images go ahead in pieces, then one call loads them.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fronts.h"
#include "params.h"
#include "vgpu.h"

enum {
    KIND_MODULE = 4, KIND_LIBRARY = 6, LOG_MAX = 256 << 10,
    /* CUjit_option numbers whose values are buffers of the application */
    OPTION_INFO_BUFFER = 3, OPTION_INFO_BYTES = 4, OPTION_ERROR_BUFFER = 5, OPTION_ERROR_BYTES = 6,
};

CUresult vgpu_read_jit_options(unsigned count, const unsigned *numbers, void *const *values,
                               struct vgpu_jit_options *options)
{
    memset(options, 0, sizeof *options);
    if (count > VGPU_JIT_OPTIONS_MAX || (count && (!numbers || !values)))
        return CUDA_ERROR_INVALID_VALUE;
    for (unsigned i = 0; i < count; i++) {
        uint64_t value = (uint64_t)(uintptr_t)values[i];
        if (numbers[i] == OPTION_INFO_BUFFER)
            options->info = values[i];
        else if (numbers[i] == OPTION_ERROR_BUFFER)
            options->error = values[i];
        else if (numbers[i] == OPTION_INFO_BYTES)
            options->info_bytes = (unsigned)(value > LOG_MAX ? LOG_MAX : value);
        else if (numbers[i] == OPTION_ERROR_BYTES)
            options->error_bytes = (unsigned)(value > LOG_MAX ? LOG_MAX : value);
        else {
            options->numbers[options->count] = numbers[i];
            options->values[options->count++] = value;
        }
    }
    if (!options->info)
        options->info_bytes = 0;
    if (!options->error)
        options->error_bytes = 0;
    return CUDA_SUCCESS;
}

void vgpu_report_log_bytes(unsigned count, const unsigned *numbers, void **values,
                             const struct vgpu_jit_options *options)
{
    for (unsigned i = 0; i < count; i++) {
        if (numbers[i] == OPTION_INFO_BYTES && options->info)
            values[i] = (void *)(uintptr_t)strnlen(options->info, options->info_bytes);
        if (numbers[i] == OPTION_ERROR_BYTES && options->error)
            values[i] = (void *)(uintptr_t)strnlen(options->error, options->error_bytes);
    }
}

static CUresult load(const struct idm_call *call, unsigned kind, const void *data, size_t bytes,
                     struct vgpu_jit_options *options, uint64_t *result)
{
    struct vgpu_thread *thread = vgpu_self();
    CUresult status = vgpu_may_call(thread);
    uint64_t upload, handle, *where = &handle;
    const unsigned *numbers = options->numbers;
    const uint64_t *values = options->values;

    if (status != CUDA_SUCCESS)
        return status;
    if (kind == KIND_MODULE && !vgpu_current(thread))
        return CUDA_ERROR_INVALID_CONTEXT;
    if (!result || bytes == 0)
        return result ? CUDA_ERROR_INVALID_IMAGE : CUDA_ERROR_INVALID_VALUE;
    if ((status = vgpu_upload(data, bytes, &upload)) != CUDA_SUCCESS)
        return status;
    handle = vgpu_object_new(kind, kind == KIND_MODULE ? vgpu_current(thread) : 0, 0);
    void *const args[] = {&where, &upload, &options->count, &numbers, &values,
                          &options->info_bytes, &options->info, &options->error_bytes, &options->error};
    status = handle ? vgpu_send_chosen(call, 0, args, &handle) : CUDA_ERROR_OUT_OF_MEMORY;
    vgpu_object_drop(upload);
    if (status == CUDA_SUCCESS)
        *result = handle;
    else if (handle)
        vgpu_object_drop(handle);
    return status;
}

static CUresult load_image(const struct idm_call *call, unsigned kind, const void *image,
                           struct vgpu_jit_options *options, uint64_t *result)
{
    const void *start;

    if (!image)
        return CUDA_ERROR_INVALID_VALUE;
    size_t bytes = vgpu_image_bytes(image, &start);
    return load(call, kind, start, bytes, options, result);
}

static CUresult load_file(const struct idm_call *call, unsigned kind, const char *path,
                          struct vgpu_jit_options *options, uint64_t *result)
{
    struct stat about;
    CUresult status = CUDA_ERROR_FILE_NOT_FOUND;
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;

    if (!path)
        return CUDA_ERROR_INVALID_VALUE;
    if (fd < 0)
        return status;
    if (fstat(fd, &about) == 0 && about.st_size > 0) {
        /* One byte more: PTX in a file has no terminator. */
        size_t bytes = (size_t)about.st_size;
        char *text = calloc(1, bytes + 1);
        size_t got = 0;
        ssize_t now = 1;
        while (text && got < bytes && (now = read(fd, text + got, bytes - got)) > 0)
            got += (size_t)now;
        if (text && got == bytes)
            status = load_image(call, kind, text, options, result);
        free(text);
    }
    close(fd);
    return status;
}

static uint64_t *result_at(void *const args[], unsigned index)
{
    return *(uint64_t **)args[index];
}

static const void *pointer_at(void *const args[], unsigned index)
{
    return *(const void **)args[index];
}

CUresult vgpu_module_load_image(const void *image, CUmodule *module)
{
    struct vgpu_jit_options options = {.count = 0};

    return load_image(&vgpuModuleLoad_call, KIND_MODULE, image, &options, (uint64_t *)module);
}

CUresult vgpu_front_module_load_data(const struct vgpu_entry *entry, void *const args[])
{
    (void)entry;
    return vgpu_module_load_image(pointer_at(args, 1), (CUmodule *)result_at(args, 0));
}

CUresult vgpu_front_module_load_fat_binary(const struct vgpu_entry *entry, void *const args[])
{
    return vgpu_front_module_load_data(entry, args);
}

CUresult vgpu_front_module_load_data_ex(const struct vgpu_entry *entry, void *const args[])
{
    struct vgpu_jit_options options;
    unsigned count = *(const unsigned *)args[2];
    void **values = *(void ***)args[4];
    CUresult status = vgpu_read_jit_options(count, pointer_at(args, 3), values, &options);

    (void)entry;
    if (status != CUDA_SUCCESS)
        return status;
    status = load_image(&vgpuModuleLoad_call, KIND_MODULE, pointer_at(args, 1), &options, result_at(args, 0));
    vgpu_report_log_bytes(count, pointer_at(args, 3), values, &options);
    return status;
}

CUresult vgpu_front_module_load(const struct vgpu_entry *entry, void *const args[])
{
    struct vgpu_jit_options options = {.count = 0};

    (void)entry;
    return load_file(&vgpuModuleLoad_call, KIND_MODULE, pointer_at(args, 1), &options, result_at(args, 0));
}

/* Library options (host functions, binary preservation) say nothing that the worker needs. */
CUresult vgpu_front_library_load_data(const struct vgpu_entry *entry, void *const args[])
{
    struct vgpu_jit_options options;
    unsigned count = *(const unsigned *)args[4];
    void **values = *(void ***)args[3];
    CUresult status = vgpu_read_jit_options(count, pointer_at(args, 2), values, &options);

    (void)entry;
    if (status != CUDA_SUCCESS)
        return status;
    status = load_image(&vgpuLibraryLoad_call, KIND_LIBRARY, pointer_at(args, 1), &options, result_at(args, 0));
    vgpu_report_log_bytes(count, pointer_at(args, 2), values, &options);
    return status;
}

CUresult vgpu_front_library_load_from_file(const struct vgpu_entry *entry, void *const args[])
{
    struct vgpu_jit_options options;
    unsigned count = *(const unsigned *)args[4];
    void **values = *(void ***)args[3];
    CUresult status = vgpu_read_jit_options(count, pointer_at(args, 2), values, &options);

    (void)entry;
    if (status != CUDA_SUCCESS)
        return status;
    status = load_file(&vgpuLibraryLoad_call, KIND_LIBRARY, pointer_at(args, 1), &options, result_at(args, 0));
    vgpu_report_log_bytes(count, pointer_at(args, 2), values, &options);
    return status;
}
