/* SPDX-License-Identifier: Apache-2.0
 *
 * Applying relocations. External functions are reached through stubs next to the code, since the process's
 * libraries may be farther away than a 32-bit offset reaches.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "elf_object.h"
#include "engine.h"
#include "image.h"

const char *sg_object_symbol_name(const struct sg_object *object, const Elf64_Sym *symbol)
{
    return symbol->st_name < object->string_bytes ? object->strings + symbol->st_name : "";
}

/* jmp *2(%rip); the address follows. */
static uint64_t make_stub(struct sg_object *object, const void *function)
{
    static const uint8_t jump[8] = {0xFF, 0x25, 0x02, 0x00, 0x00, 0x00, 0x66, 0x90};
    uint8_t *stub = object->base + object->stub_offset + object->stub_count++ * SG_STUB_BYTES;

    memcpy(stub, jump, sizeof jump);
    memcpy(stub + sizeof jump, &function, sizeof function);
    return (uint64_t)(uintptr_t)stub;
}

static uint64_t find_external(struct sg_object *object, const Elf64_Sym *symbol)
{
    const char *name = sg_object_symbol_name(object, symbol);
    const void *function = sg_symbol_find(name);

    if (!function) {
        snprintf(object->error, SG_ERROR_BYTES, "damaged object: it calls '%s', which no object may call", name);
        return 0;
    }
    /* A symbol used many times may get many stubs, but never more than there are undefined symbols: the
     * first stub for a function is found again below. */
    for (size_t i = 0; i < object->stub_count; i++) {
        uint8_t *stub = object->base + object->stub_offset + i * SG_STUB_BYTES;
        if (memcmp(stub + 8, &function, sizeof function) == 0)
            return (uint64_t)(uintptr_t)stub;
    }
    return make_stub(object, function);
}

uint64_t sg_object_symbol(struct sg_object *object, const Elf64_Sym *symbol)
{
    if (symbol->st_shndx == SHN_UNDEF)
        return symbol->st_name ? find_external(object, symbol) : 0;
    if (symbol->st_shndx >= object->section_count || object->section_offset[symbol->st_shndx] == UINT64_MAX)
        return 0;
    if (symbol->st_value > object->sections[symbol->st_shndx].sh_size)
        return 0;
    return (uint64_t)(uintptr_t)object->base + object->section_offset[symbol->st_shndx] + symbol->st_value;
}

static int patch32(const struct sg_object *object, uint8_t *place, int64_t value)
{
    int32_t narrow = (int32_t)value;

    if (value != narrow)
        return sg_object_fail(object, "relocation out of range");
    memcpy(place, &narrow, sizeof narrow);
    return 0;
}

static int apply(struct sg_object *object, const Elf64_Rela *entry, uint8_t *section, uint64_t section_bytes)
{
    uint64_t index = ELF64_R_SYM(entry->r_info);
    uint32_t type = (uint32_t)ELF64_R_TYPE(entry->r_info);
    uint64_t width = type == R_X86_64_64 || type == R_X86_64_PC64 ? 8 : 4;

    if (entry->r_offset > section_bytes || section_bytes - entry->r_offset < width || index >= object->symbol_count)
        return sg_object_fail(object, "relocation beyond its section");
    uint64_t symbol = sg_object_symbol(object, &object->symbols[index]);
    if (!symbol)
        return object->error[0] ? -ENOEXEC : sg_object_fail(object, "relocation to nowhere");
    uint8_t *place = section + entry->r_offset;
    int64_t value = (int64_t)symbol + entry->r_addend;
    int64_t relative = value - (int64_t)(uintptr_t)place;
    switch (type) {
    case R_X86_64_64:
        memcpy(place, &value, sizeof value);
        return 0;
    case R_X86_64_PC64:
        memcpy(place, &relative, sizeof relative);
        return 0;
    case R_X86_64_PC32:
    case R_X86_64_PLT32:
        return patch32(object, place, relative);
    default:
        snprintf(object->error, SG_ERROR_BYTES, "damaged object: relocation of type %u", type);
        return -ENOEXEC;
    }
}

static int relocate_section(struct sg_object *object, const Elf64_Shdr *table)
{
    if (table->sh_info >= object->section_count || table->sh_offset % 8 != 0)
        return sg_object_fail(object, "relocation table");
    uint64_t offset = object->section_offset[table->sh_info];
    if (offset == UINT64_MAX)
        return 0;
    const Elf64_Shdr *target = &object->sections[table->sh_info];
    const Elf64_Rela *entries = (const void *)(object->bytes + table->sh_offset);
    for (size_t i = 0; i < table->sh_size / sizeof *entries; i++) {
        int result = apply(object, &entries[i], object->base + offset, target->sh_size);
        if (result < 0)
            return result;
    }
    return 0;
}

int sg_object_relocate(struct sg_object *object)
{
    for (size_t i = 0; i < object->section_count; i++) {
        if (object->sections[i].sh_type != SHT_RELA)
            continue;
        int result = relocate_section(object, &object->sections[i]);
        if (result < 0)
            return result;
    }
    return 0;
}
