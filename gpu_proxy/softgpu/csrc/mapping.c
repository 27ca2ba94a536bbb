/* SPDX-License-Identifier: Apache-2.0
 *
 * One object in memory: its sections copied, relocated and protected, and its tables found.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "elf_object.h"
#include "image.h"
#include "thread.h"

static const void *find_table(struct sg_object *object, const char *name)
{
    for (size_t i = 0; i < object->symbol_count; i++) {
        const Elf64_Sym *symbol = &object->symbols[i];
        if (symbol->st_shndx != SHN_UNDEF && strcmp(sg_object_symbol_name(object, symbol), name) == 0)
            return (const void *)(uintptr_t)sg_object_symbol(object, symbol);
    }
    return NULL;
}

static int find_tables(struct sg_object *object, struct sg_mapping *mapping, const struct sg_image_v1 **tables)
{
    const struct sg_image_v1 *image = find_table(object, "sg_image_v1");
    const struct sg_code_v1 *code = find_table(object, "sg_code_v1");

    if ((!image && !code) || (image && image->magic != SG_IMAGE_MAGIC) || (code && code->magic != SG_CODE_MAGIC))
        return sg_object_fail(object, "it has no tables");
    if ((image && image->thread_bytes != sizeof(struct sg_thread)) ||
        (code && code->thread_bytes != sizeof(struct sg_thread)))
        return sg_object_fail(object, "it was made by another version of the compiler");
    *tables = image;
    mapping->code = code;
    return 0;
}

static int load(struct sg_object *object, struct sg_mapping *mapping, const struct sg_image_v1 **tables,
                const void *bytes, size_t size)
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
    mapping->base = object->base;
    mapping->mapped_bytes = object->region_start[SG_REGION_COUNT];
    mapping->text_bytes = object->region_start[SG_REGION_CONSTANT];
    return result == 0 ? find_tables(object, mapping, tables) : result;
}

int sg_mapping_load(const void *bytes, size_t size, struct sg_mapping **out, const struct sg_image_v1 **tables,
                    char error[SG_ERROR_BYTES])
{
    struct sg_object object = {.error = error};
    struct sg_mapping *mapping = calloc(1, sizeof *mapping);
    int result = -ENOMEM;

    error[0] = 0;
    if (mapping)
        result = load(&object, mapping, tables, bytes, size);
    free(object.section_offset);
    if (result == 0) {
        *out = mapping;
        return 0;
    }
    if (!error[0])
        snprintf(error, SG_ERROR_BYTES, "loading an object: %s", strerror(-result));
    if (mapping)
        sg_mapping_unload(mapping);
    return result;
}

void sg_mapping_unload(struct sg_mapping *mapping)
{
    if (mapping->base)
        munmap(mapping->base, mapping->mapped_bytes);
    free(mapping);
}
