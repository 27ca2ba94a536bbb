/* SPDX-License-Identifier: Apache-2.0
 *
 * Physical allocations: pieces of the memory file.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm.h"

#define FILE_BYTES (1ull << 40) /* sparse: only what is used takes memory */

static int file = -1;
static struct ranges free_space;

int physical_fd(void)
{
    return file;
}

/* Called with memory_lock held for writing. */
static int open_file(void)
{
    if (file >= 0)
        return 0;
    int fd = memfd_create("softgpu", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, (off_t)FILE_BYTES) != 0 || ranges_give(&free_space, 0, FILE_BYTES)) {
        driver_log("no memory file for cuMemCreate: %s", strerror(errno));
        if (fd >= 0)
            close(fd);
        return -ENOMEM;
    }
    file = fd;
    return 0;
}

static void physical_free(struct object *object)
{
    struct physical *physical = (struct physical *)object;
    memory_uncharge(physical->device, physical->bytes);
    free(physical);
}

/* The space goes back at once, under the lock; the object when its last user lets go of it. */
void physical_drop_if_unused(struct physical *physical)
{
    if (physical->handles || physical->mappings || !object_kill(&physical->object))
        return;
    if (fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)physical->offset, (off_t)physical->bytes) == 0)
        (void)ranges_give(&free_space, physical->offset, physical->bytes);
    object_put(&physical->object);
}

static int take_space(struct physical *physical)
{
    pthread_rwlock_wrlock(&memory_lock);
    int result = open_file();
    if (!result)
        result = ranges_take(&free_space, physical->bytes, CHUNK_BYTES, &physical->offset);
    pthread_rwlock_unlock(&memory_lock);
    return result;
}

CUresult physical_make(struct device *device, uint64_t bytes, const CUmemAllocationProp *properties,
                       struct physical **out)
{
    struct physical *physical = calloc(1, sizeof(*physical));
    if (!physical)
        return CUDA_ERROR_OUT_OF_MEMORY;
    *physical = (struct physical){.device = device, .properties = *properties, .bytes = bytes, .handles = 1};
    CUresult result = memory_charge(device, bytes);
    if (result) {
        free(physical);
        return result;
    }
    if (take_space(physical) || object_register(&physical->object, KIND_PHYSICAL, physical_free)) {
        physical_free(&physical->object);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    *out = physical;
    return CUDA_SUCCESS;
}
