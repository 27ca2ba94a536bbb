/* SPDX-License-Identifier: Apache-2.0
 *
 * Images: loading an object, handing out its tables, binding its globals to device memory.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "elf_object.h"
#include "image.h"
#include "thread.h"

static const struct sg_image_v1 *find_tables(struct sg_object *object)
{
    for (size_t i = 0; i < object->symbol_count; i++) {
        const Elf64_Sym *symbol = &object->symbols[i];
        if (symbol->st_shndx == SHN_UNDEF || strcmp(sg_object_symbol_name(object, symbol), "sg_image_v1") != 0)
            continue;
        return (const void *)(uintptr_t)sg_object_symbol(object, symbol);
    }
    return NULL;
}

static int describe(struct sg_image *image)
{
    const struct sg_image_v1 *tables = image->tables;

    image->kernels = calloc(tables->kernel_count + 1, sizeof *image->kernels);
    image->globals = calloc(tables->global_count + 1, sizeof *image->globals);
    if (!image->kernels || !image->globals)
        return -ENOMEM;
    for (uint32_t i = 0; i < tables->kernel_count; i++) {
        const struct sg_object_kernel *from = &tables->kernels[i];
        struct sg_kernel *to = &image->kernels[i];
        *to = (struct sg_kernel){
            .name = from->name, .param_count = from->param_count, .param_bytes = from->param_bytes,
            .params = from->params, .static_shared_bytes = from->static_shared_bytes,
            .local_bytes = from->window_bytes, .max_threads = from->max_threads,
            .ptx_version = tables->ptx_version, .target = tables->target, .image = image, .code = from,
        };
        memcpy(to->required_block, from->required_block, sizeof to->required_block);
    }
    for (uint32_t i = 0; i < tables->global_count; i++) {
        const struct sg_object_global *from = &tables->globals[i];
        image->globals[i] = (struct sg_global){from->name, from->bytes, from->align, from->is_constant, from->init};
    }
    return 0;
}

static int load(struct sg_object *object, struct sg_image *image, const void *bytes, size_t size)
{
    int result = sg_object_open(object, bytes, size);

    if (result == 0)
        result = sg_object_lay_out(object);
    if (result == 0)
        result = sg_object_copy(object);
    if (result == 0)
        result = sg_object_relocate(object);
    if (result == 0)
        result = sg_object_protect(object);
    image->base = object->base;
    image->mapped_bytes = object->region_start[SG_REGION_COUNT];
    image->text_bytes = object->region_start[SG_REGION_CONSTANT];
    if (result < 0)
        return result;
    image->tables = find_tables(object);
    if (!image->tables || image->tables->magic != SG_IMAGE_MAGIC)
        return sg_object_fail(object, "it has no image table");
    if (image->tables->thread_bytes != sizeof(struct sg_thread))
        return sg_object_fail(object, "it was made by another version of the compiler");
    return describe(image);
}

int sg_image_load(const void *bytes, size_t size, struct sg_image **out, char error[SG_ERROR_BYTES])
{
    struct sg_object object = {.error = error};
    struct sg_image *image = calloc(1, sizeof *image);
    int result = -ENOMEM;

    error[0] = 0;
    *out = NULL;
    if (image)
        result = load(&object, image, bytes, size);
    free(object.section_offset);
    if (result < 0) {
        if (!error[0])
            snprintf(error, SG_ERROR_BYTES, "loading an image: %s", strerror(-result));
        if (image)
            sg_image_unload(image);
        return result;
    }
    *out = image;
    return 0;
}

void sg_image_unload(struct sg_image *image)
{
    if (image->base)
        munmap(image->base, image->mapped_bytes);
    free(image->kernels);
    free(image->globals);
    free(image);
}

size_t sg_image_kernel_count(const struct sg_image *image)
{
    return image->tables->kernel_count;
}

const struct sg_kernel *sg_image_kernel(const struct sg_image *image, size_t index)
{
    return index < image->tables->kernel_count ? &image->kernels[index] : NULL;
}

size_t sg_image_global_count(const struct sg_image *image)
{
    return image->tables->global_count;
}

const struct sg_global *sg_image_global(const struct sg_image *image, size_t index)
{
    return index < image->tables->global_count ? &image->globals[index] : NULL;
}

void sg_image_bind(struct sg_image *image, size_t index, uint64_t address)
{
    if (index < image->tables->global_count)
        image->tables->addresses[index] = address;
}

static int patch_pointer(const struct sg_image *image, const struct sg_object_pointer *pointer)
{
    const struct sg_image_v1 *tables = image->tables;

    if (pointer->global >= tables->global_count || pointer->target >= tables->global_count || pointer->width > 8 ||
        pointer->shift >= 64 || pointer->offset + pointer->width > tables->globals[pointer->global].bytes)
        return -ENOEXEC;
    uint64_t value = (tables->addresses[pointer->target] + (uint64_t)pointer->addend) >> pointer->shift;
    memcpy((void *)(uintptr_t)(tables->addresses[pointer->global] + pointer->offset), &value, pointer->width);
    return 0;
}

int sg_image_finish(struct sg_image *image)
{
    const struct sg_image_v1 *tables = image->tables;

    for (uint32_t i = 0; i < tables->global_count; i++) {
        const struct sg_object_global *global = &tables->globals[i];
        if (!tables->addresses[i])
            return -EINVAL;
        void *address = (void *)(uintptr_t)tables->addresses[i];
        if (global->init)
            memcpy(address, global->init, global->bytes);
        else
            memset(address, 0, global->bytes);
    }
    for (uint32_t i = 0; i < tables->pointer_count; i++) {
        int result = patch_pointer(image, &tables->pointers[i]);
        if (result < 0)
            return result;
    }
    return 0;
}
