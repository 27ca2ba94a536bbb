/* SPDX-License-Identifier: Apache-2.0
 *
 * The linker: inputs are uploaded, the worker links, and the image comes back in pieces. It is kept with
 * the link's handle, because the application only gets a pointer to it.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fronts.h"
#include "params.h"

enum { KIND_LINK = 7, INPUT_PTX = 1 };
#define LINKED_MAX (1ull << 31) /* longest image that is taken back */

extern const struct idm_call vgpuLinkCreate_call, vgpuLinkAdd_call, vgpuLinkComplete_call,
    vgpuLinkImage_call, vgpuLinkLog_call;

/* What a link's handle owns, in one block because it is freed as one: the image follows. */
struct link {
    unsigned option_count;
    unsigned *numbers;              /* the application's: its log sizes are written there */
    void **values;
    struct vgpu_jit_options options;
    uint8_t image[];
};

static void *pointer_at(void *const args[], unsigned index)
{
    return *(void **)args[index];
}

static struct vgpu_object *link_at(void *const args[])
{
    struct vgpu_object *object = vgpu_object_find(*(const uint64_t *)args[0], KIND_LINK);

    return object && object->info ? object : NULL;
}

static CUresult ready(void)
{
    struct vgpu_thread *thread = vgpu_self();
    CUresult status = vgpu_may_call(thread);

    if (status != CUDA_SUCCESS)
        return status;
    return vgpu_current(thread) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_CONTEXT;
}

CUresult vgpu_front_link_create(const struct vgpu_entry *entry, void *const args[])
{
    unsigned count = *(const unsigned *)args[0];
    uint64_t *result = pointer_at(args, 3), handle, *where = &handle;
    struct link *link = calloc(1, sizeof *link);
    CUresult status = link ? ready() : CUDA_ERROR_OUT_OF_MEMORY;

    (void)entry;
    if (status == CUDA_SUCCESS)
        status = result ? vgpu_read_jit_options(count, pointer_at(args, 1), pointer_at(args, 2), &link->options)
                        : CUDA_ERROR_INVALID_VALUE;
    handle = status == CUDA_SUCCESS ? vgpu_object_new(KIND_LINK, vgpu_current(vgpu_self()), 0) : 0;
    if (!handle) {
        free(link);
        return status != CUDA_SUCCESS ? status : CUDA_ERROR_OUT_OF_MEMORY;
    }
    link->option_count = count;
    link->numbers = pointer_at(args, 1);
    link->values = pointer_at(args, 2);
    vgpu_object_find(handle, KIND_LINK)->info = link;
    const unsigned *numbers = link->options.numbers;
    const uint64_t *values = link->options.values;
    void *const sent[] = {&where, &link->options.count, &numbers, &values, &link->options.info_bytes,
                          &link->options.error_bytes};
    status = vgpu_send_chosen(&vgpuLinkCreate_call, 0, sent, &handle);
    if (status == CUDA_SUCCESS)
        *result = handle;
    else
        vgpu_object_drop(handle);
    return status;
}

/* The application's log buffers hold what the linker said so far, also and above all when it failed. */
static void fetch_logs(uint64_t handle, struct link *link)
{
    struct vgpu_jit_options *options = &link->options;
    void *const args[] = {&handle, &options->info_bytes, &options->info, &options->error_bytes,
                          &options->error};

    if ((options->info || options->error) && vgpu_send(&vgpuLinkLog_call, 0, args) == CUDA_SUCCESS)
        vgpu_report_log_bytes(link->option_count, link->numbers, link->values, options);
}

/* One input; its options are those of the call, its logs go to the buffers of the link. */
static CUresult add(struct vgpu_object *object, unsigned kind, const void *data, size_t bytes, const char *name,
                    const struct vgpu_jit_options *options)
{
    uint64_t upload, link = object->handle;
    const unsigned *numbers = options->numbers;
    const uint64_t *values = options->values;
    const char *label = name ? name : "";
    CUresult status = vgpu_upload(data, bytes, &upload);

    if (status != CUDA_SUCCESS)
        return status;
    void *const args[] = {&link, &kind, &upload, &label, (void *)&options->count, &numbers, &values};
    status = vgpu_send(&vgpuLinkAdd_call, 0, args);
    vgpu_object_drop(upload);
    if (status != CUDA_SUCCESS)
        fetch_logs(link, object->info);
    return status;
}

CUresult vgpu_front_link_add_data(const struct vgpu_entry *entry, void *const args[])
{
    struct vgpu_object *object = link_at(args);
    struct vgpu_jit_options options;
    const void *data = pointer_at(args, 2);
    size_t bytes = *(const size_t *)args[3];
    CUresult status = ready();

    (void)entry;
    if (status != CUDA_SUCCESS)
        return status;
    if (!object)
        return CUDA_ERROR_INVALID_HANDLE;
    if (!data || bytes == 0)
        return CUDA_ERROR_INVALID_VALUE;
    status = vgpu_read_jit_options(*(const unsigned *)args[5], pointer_at(args, 6), pointer_at(args, 7), &options);
    if (status != CUDA_SUCCESS)
        return status;
    return add(object, *(const unsigned *)args[1], data, bytes, pointer_at(args, 4), &options);
}

/* A whole file, with a terminator behind it; NULL when it cannot be read. */
static char *read_file(const char *path, size_t *bytes)
{
    struct stat about;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char *text = NULL;
    ssize_t now = 1;

    if (fd < 0)
        return NULL;
    if (fstat(fd, &about) == 0 && about.st_size > 0)
        text = calloc(1, (size_t)about.st_size + 1);
    for (*bytes = 0; text && *bytes < (size_t)about.st_size && now > 0; *bytes += now > 0 ? (size_t)now : 0)
        now = read(fd, text + *bytes, (size_t)about.st_size - *bytes);
    close(fd);
    return text;
}

CUresult vgpu_front_link_add_file(const struct vgpu_entry *entry, void *const args[])
{
    struct vgpu_object *object = link_at(args);
    unsigned kind = *(const unsigned *)args[1];
    const char *path = pointer_at(args, 2);
    struct vgpu_jit_options options;
    size_t bytes = 0;
    CUresult status = ready();

    (void)entry;
    if (status != CUDA_SUCCESS)
        return status;
    if (!object)
        return CUDA_ERROR_INVALID_HANDLE;
    status = path ? vgpu_read_jit_options(*(const unsigned *)args[3], pointer_at(args, 4), pointer_at(args, 5),
                                          &options)
                  : CUDA_ERROR_INVALID_VALUE;
    if (status != CUDA_SUCCESS)
        return status;
    char *text = read_file(path, &bytes);
    if (!text)
        return CUDA_ERROR_FILE_NOT_FOUND;
    status = add(object, kind, text, kind == INPUT_PTX ? bytes + 1 : bytes, path, &options);
    free(text);
    return status;
}

static CUresult fetch_image(uint64_t handle, uint8_t *image, uint64_t bytes)
{
    CUresult status = CUDA_SUCCESS;

    for (uint64_t offset = 0; offset < bytes && status == CUDA_SUCCESS; offset += IDM_CHUNK_BYTES) {
        uint64_t count = bytes - offset < IDM_CHUNK_BYTES ? bytes - offset : IDM_CHUNK_BYTES;
        uint8_t *to = image + offset;
        void *const args[] = {&handle, &offset, &count, &to};
        status = vgpu_send(&vgpuLinkImage_call, 0, args);
    }
    return status;
}

CUresult vgpu_front_link_complete(const struct vgpu_entry *entry, void *const args[])
{
    struct vgpu_object *object = link_at(args);
    void **image = pointer_at(args, 1);
    size_t *image_bytes = pointer_at(args, 2);
    uint64_t handle = *(const uint64_t *)args[0], bytes = 0, *bytes_at = &bytes;
    void *const sent[] = {&handle, &bytes_at};
    CUresult status = ready();

    (void)entry;
    if (status != CUDA_SUCCESS)
        return status;
    if (!object || !image || !image_bytes)
        return object ? CUDA_ERROR_INVALID_VALUE : CUDA_ERROR_INVALID_HANDLE;
    status = vgpu_send(&vgpuLinkComplete_call, 0, sent);
    fetch_logs(handle, object->info);
    if (status != CUDA_SUCCESS)
        return status;
    if (bytes > LINKED_MAX)
        return vgpu_died("a linked image is impossibly long");
    struct link *grown = realloc(object->info, sizeof *grown + bytes);
    if (!grown)
        return CUDA_ERROR_OUT_OF_MEMORY;
    object->info = grown;
    status = fetch_image(handle, grown->image, bytes);
    if (status == CUDA_SUCCESS) {
        *image = grown->image;
        *image_bytes = bytes;
    }
    return status;
}
