/* SPDX-License-Identifier: Apache-2.0
 *
 * A relocatable x86-64 ELF object, checked once when opened.
 */
#ifndef SOFTGPU_ELF_OBJECT_H
#define SOFTGPU_ELF_OBJECT_H

#include <elf.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SG_MAX_SECTIONS = 65000,
    SG_STUB_BYTES = 16,
    SG_PAGE = 4096,
};

/* Sections of one kind lie together, so that each kind can have its own page protection. */
enum sg_region { SG_REGION_CODE, SG_REGION_CONSTANT, SG_REGION_DATA, SG_REGION_COUNT };

struct sg_object {
    const uint8_t *bytes;
    size_t size;
    const Elf64_Shdr *sections;
    size_t section_count;
    const Elf64_Sym *symbols;
    size_t symbol_count;
    const char *strings;
    size_t string_bytes;

    uint64_t *section_offset; /* in the mapping; UINT64_MAX for sections that are not loaded */
    uint64_t region_start[SG_REGION_COUNT + 1];
    uint64_t stub_offset; /* jumps to external functions, at the end of the code */
    size_t stub_count;
    uint8_t *base;
    char *error;
};

/* All return 0 or -errno, with a text in object->error. */
int sg_object_open(struct sg_object *object, const void *bytes, size_t size);
int sg_object_lay_out(struct sg_object *object);
int sg_object_copy(struct sg_object *object);
int sg_object_relocate(struct sg_object *object);
int sg_object_protect(const struct sg_object *object);
int sg_object_fail(const struct sg_object *object, const char *text);

/* Address of a symbol after loading; 0 if it has none. */
uint64_t sg_object_symbol(struct sg_object *object, const Elf64_Sym *symbol);
const char *sg_object_symbol_name(const struct sg_object *object, const Elf64_Sym *symbol);

#endif
