/* SPDX-License-Identifier: Apache-2.0
 *
 * Opening an ELF object and laying out its sections. Every offset is checked against the object's size.
 */
#include "elf_object.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "engine.h"

int sg_object_fail(const struct sg_object *object, const char *text)
{
    snprintf(object->error, SG_ERROR_BYTES, "damaged object: %s", text);
    return -ENOEXEC;
}

static int within(const struct sg_object *object, uint64_t offset, uint64_t count)
{
    return offset <= object->size && count <= object->size - offset;
}

static int check_header(const struct sg_object *object)
{
    const Elf64_Ehdr *header = (const void *)object->bytes;

    if (object->size < sizeof *header || memcmp(header->e_ident, ELFMAG, SELFMAG) != 0)
        return sg_object_fail(object, "no ELF header");
    if (header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_type != ET_REL || header->e_machine != EM_X86_64)
        return sg_object_fail(object, "not a relocatable x86-64 object");
    if (header->e_shentsize != sizeof(Elf64_Shdr) || header->e_shoff % 8 != 0 || header->e_shnum == 0)
        return sg_object_fail(object, "section headers");
    if (!within(object, header->e_shoff, (uint64_t)header->e_shnum * sizeof(Elf64_Shdr)))
        return sg_object_fail(object, "section headers beyond its end");
    return 0;
}

static int check_section(struct sg_object *object, const Elf64_Shdr *section)
{
    if (section->sh_type != SHT_NOBITS && !within(object, section->sh_offset, section->sh_size))
        return sg_object_fail(object, "section beyond its end");
    if (section->sh_addralign > SG_PAGE || (section->sh_addralign & (section->sh_addralign - 1)) != 0)
        return sg_object_fail(object, "section alignment");
    if (section->sh_type != SHT_SYMTAB)
        return 0;
    if (section->sh_offset % 8 != 0 || section->sh_link >= object->section_count)
        return sg_object_fail(object, "symbol table");
    const Elf64_Shdr *strings = &object->sections[section->sh_link];
    if (strings->sh_type != SHT_STRTAB || !within(object, strings->sh_offset, strings->sh_size) ||
        strings->sh_size == 0 || object->bytes[strings->sh_offset + strings->sh_size - 1] != 0)
        return sg_object_fail(object, "string table");
    object->symbols = (const void *)(object->bytes + section->sh_offset);
    object->symbol_count = section->sh_size / sizeof(Elf64_Sym);
    object->strings = (const char *)object->bytes + strings->sh_offset;
    object->string_bytes = strings->sh_size;
    return 0;
}

int sg_object_open(struct sg_object *object, const void *bytes, size_t size)
{
    object->bytes = bytes;
    object->size = size;
    int result = check_header(object);
    if (result < 0)
        return result;
    const Elf64_Ehdr *header = bytes;
    object->sections = (const void *)(object->bytes + header->e_shoff);
    object->section_count = header->e_shnum;
    for (size_t i = 0; i < object->section_count && result == 0; i++)
        result = check_section(object, &object->sections[i]);
    return result;
}

static enum sg_region region_of(const Elf64_Shdr *section)
{
    if (section->sh_flags & SHF_EXECINSTR)
        return SG_REGION_CODE;
    return section->sh_flags & SHF_WRITE ? SG_REGION_DATA : SG_REGION_CONSTANT;
}

static uint64_t align_up(uint64_t value, uint64_t align)
{
    return align ? (value + align - 1) & ~(align - 1) : value;
}

static size_t count_undefined(const struct sg_object *object)
{
    size_t count = 0;

    for (size_t i = 0; i < object->symbol_count; i++)
        count += object->symbols[i].st_shndx == SHN_UNDEF;
    return count;
}

int sg_object_lay_out(struct sg_object *object)
{
    uint64_t at = 0;

    object->section_offset = calloc(object->section_count, sizeof *object->section_offset);
    if (!object->section_offset)
        return -ENOMEM;
    for (int region = 0; region < SG_REGION_COUNT; region++) {
        object->region_start[region] = at;
        for (size_t i = 0; i < object->section_count; i++) {
            const Elf64_Shdr *section = &object->sections[i];
            if (!(section->sh_flags & SHF_ALLOC)) {
                object->section_offset[i] = UINT64_MAX;
                continue;
            }
            if ((int)region_of(section) != region)
                continue;
            at = align_up(at, section->sh_addralign);
            object->section_offset[i] = at;
            at += section->sh_size;
            if (at > INT32_MAX) /* code reaches everything with 32-bit offsets */
                return sg_object_fail(object, "larger than 2 GiB");
        }
        if (region == SG_REGION_CODE) {
            object->stub_offset = align_up(at, SG_STUB_BYTES);
            at = object->stub_offset + (count_undefined(object) + 1) * SG_STUB_BYTES;
        }
        at = align_up(at, SG_PAGE);
    }
    object->region_start[SG_REGION_COUNT] = at;
    return 0;
}

int sg_object_copy(struct sg_object *object)
{
    size_t bytes = object->region_start[SG_REGION_COUNT];
    void *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (base == MAP_FAILED)
        return -ENOMEM;
    object->base = base;
    for (size_t i = 0; i < object->section_count; i++) {
        const Elf64_Shdr *section = &object->sections[i];
        if (object->section_offset[i] != UINT64_MAX && section->sh_type != SHT_NOBITS)
            memcpy(object->base + object->section_offset[i], object->bytes + section->sh_offset, section->sh_size);
    }
    return 0;
}

int sg_object_protect(const struct sg_object *object)
{
    static const int protection[] = {PROT_READ | PROT_EXEC, PROT_READ, PROT_READ | PROT_WRITE};

    for (int region = 0; region < SG_REGION_COUNT; region++) {
        uint64_t start = object->region_start[region];
        uint64_t bytes = object->region_start[region + 1] - start;
        if (bytes && mprotect(object->base + start, bytes, protection[region]) < 0)
            return -errno;
    }
    return 0;
}
