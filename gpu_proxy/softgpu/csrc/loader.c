/* SPDX-License-Identifier: Apache-2.0
 *
 * Images: loading an object, handing out its tables, binding its globals to device memory.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "image.h"
#include "thread.h"

static void describe_kernel(struct sg_kernel *to, const struct sg_object_kernel *from, const struct sg_image *image)
{
    *to = (struct sg_kernel){
        .name = from->name, .param_count = from->param_count, .param_bytes = from->param_bytes,
        .params = from->params, .static_shared_bytes = from->static_shared_bytes,
        .local_bytes = from->window_bytes, .max_threads = from->max_threads,
        .ptx_version = image->tables->ptx_version, .target = image->tables->target,
        .calls_pointers = from->calls_pointers, .image = image,
    };
    memcpy(to->required_block, from->required_block, sizeof to->required_block);
}

static int describe(struct sg_image *image)
{
    const struct sg_image_v1 *tables = image->tables;

    image->kernels = calloc(tables->kernel_count + 1, sizeof *image->kernels);
    image->globals = calloc(tables->global_count + 1, sizeof *image->globals);
    image->addresses = calloc(tables->global_count + 1, sizeof *image->addresses);
    image->functions = calloc(tables->function_count + 1, sizeof *image->functions);
    if (!image->kernels || !image->globals || !image->addresses || !image->functions)
        return -ENOMEM;
    for (uint32_t i = 0; i < tables->function_count; i++)
        image->functions[i].shape = UINT64_MAX;
    for (uint32_t i = 0; i < tables->kernel_count; i++)
        describe_kernel(&image->kernels[i], &tables->kernels[i], image);
    for (uint32_t i = 0; i < tables->global_count; i++) {
        const struct sg_object_global *from = &tables->globals[i];
        image->globals[i] = (struct sg_global){from->name, from->bytes, from->align, from->is_constant, from->init};
    }
    return 0;
}

/* --- code ---------------------------------------------------------------------------------------------------- */

/* Every number in the tables is checked before the first is used. */
static int check_code(const struct sg_image *image, const struct sg_code_v1 *code)
{
    const struct sg_image_v1 *tables = image->tables;

    for (uint32_t i = 0; i < code->entry_count; i++)
        if (code->entries[i].kernel >= tables->kernel_count)
            return -ENOEXEC;
    for (uint32_t i = 0; i < code->function_count; i++)
        if (code->functions[i].number >= tables->function_count)
            return -ENOEXEC;
    for (uint32_t i = 0; i < code->slot_count; i++)
        if (code->slots[i] >= tables->global_count)
            return -ENOEXEC;
    return 0;
}

/* The code may run when its kernels can be found: so they are published last. */
static void publish(struct sg_image *image, const struct sg_code_v1 *code)
{
    for (uint32_t i = 0; i < code->slot_count; i++)
        code->addresses[i] = image->addresses[code->slots[i]];
    *code->table = image->functions;
    for (uint32_t i = 0; i < code->function_count && !image->has_functions; i++)
        image->functions[code->functions[i].number] = code->functions[i].function;
    if (code->has_functions)
        atomic_store_explicit(&image->has_functions, 1, memory_order_release);
    for (uint32_t i = 0; i < code->entry_count; i++) {
        struct sg_kernel *kernel = &image->kernels[code->entries[i].kernel];
        if (!kernel->code)
            __atomic_store_n((const struct sg_code_entry **)&kernel->code, &code->entries[i], __ATOMIC_RELEASE);
    }
}

static int take_mapping(struct sg_image *image, struct sg_mapping *mapping, char *error)
{
    if (mapping->code && check_code(image, mapping->code) < 0) {
        snprintf(error, SG_ERROR_BYTES, "damaged object: its code is of another module");
        return -ENOEXEC;
    }
    mapping->next = image->mappings;
    atomic_store_explicit(&image->mappings, mapping, memory_order_release);
    if (mapping->code)
        publish(image, mapping->code);
    return 0;
}

int sg_image_load(const void *bytes, size_t size, struct sg_image **out, char error[SG_ERROR_BYTES])
{
    struct sg_mapping *mapping = NULL;
    struct sg_image *image = calloc(1, sizeof *image);

    *out = NULL;
    error[0] = 0;
    if (!image)
        return -ENOMEM;
    int result = sg_mapping_load(bytes, size, &mapping, &image->tables, error);
    if (result == 0 && !image->tables) {
        snprintf(error, SG_ERROR_BYTES, "damaged object: it is no index of a module");
        result = -ENOEXEC;
    }
    if (result == 0)
        result = describe(image);
    if (result == 0)
        result = take_mapping(image, mapping, error);
    if (result == 0) {
        *out = image;
        return 0;
    }
    if (mapping && !image->mappings)
        sg_mapping_unload(mapping);
    sg_image_unload(image);
    return result;
}

int sg_image_add(struct sg_image *image, const void *bytes, size_t size, char error[SG_ERROR_BYTES])
{
    const struct sg_image_v1 *tables = NULL;
    struct sg_mapping *mapping = NULL;
    int result = sg_mapping_load(bytes, size, &mapping, &tables, error);

    if (result == 0 && (tables || !mapping->code)) {
        snprintf(error, SG_ERROR_BYTES, "damaged object: it is no code of a module");
        result = -ENOEXEC;
    }
    if (result == 0)
        result = take_mapping(image, mapping, error);
    if (result < 0 && mapping)
        sg_mapping_unload(mapping);
    return result;
}

int sg_kernel_is_ready(const struct sg_kernel *kernel)
{
    return sg_kernel_entry(kernel) != NULL;
}

int sg_image_has_functions(const struct sg_image *image)
{
    return atomic_load_explicit(&image->has_functions, memory_order_acquire);
}

int sg_image_has_code(const struct sg_image *image, uint64_t address)
{
    const struct sg_mapping *mapping = atomic_load_explicit(&image->mappings, memory_order_acquire);

    for (; mapping; mapping = mapping->next)
        if (address - (uint64_t)(uintptr_t)mapping->base < mapping->text_bytes)
            return 1;
    return 0;
}

void sg_image_unload(struct sg_image *image)
{
    struct sg_mapping *next;

    for (struct sg_mapping *mapping = image->mappings; mapping; mapping = next) {
        next = mapping->next;
        sg_mapping_unload(mapping);
    }
    free(image->kernels);
    free(image->globals);
    free(image->addresses);
    free(image->functions);
    free(image);
}

/* --- what is in an image --------------------------------------------------------------------------------------- */

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
        image->addresses[index] = address;
}

static int patch_pointer(const struct sg_image *image, const struct sg_object_pointer *pointer)
{
    const struct sg_image_v1 *tables = image->tables;

    if (pointer->global >= tables->global_count || pointer->target >= tables->global_count || pointer->width > 8 ||
        pointer->shift >= 64 || pointer->offset + pointer->width > tables->globals[pointer->global].bytes)
        return -ENOEXEC;
    uint64_t value = (image->addresses[pointer->target] + (uint64_t)pointer->addend) >> pointer->shift;
    memcpy((void *)(uintptr_t)(image->addresses[pointer->global] + pointer->offset), &value, pointer->width);
    return 0;
}

int sg_image_finish(struct sg_image *image)
{
    const struct sg_image_v1 *tables = image->tables;

    for (uint32_t i = 0; i < tables->global_count; i++) {
        const struct sg_object_global *global = &tables->globals[i];
        if (!image->addresses[i])
            return -EINVAL;
        void *address = (void *)(uintptr_t)image->addresses[i];
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
    if (image->mappings->code) /* of the first object: now its addresses are known */
        publish(image, image->mappings->code);
    return 0;
}
