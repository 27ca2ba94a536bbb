/* SPDX-License-Identifier: Apache-2.0
 *
 * Module images: the calls give an address and no length, so it is read from the image.
 */
#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "module.h"

#define WRAPPER_MAGIC 0x466243b1u
#define FATBIN_MAGIC 0xba55ed50u

static uint64_t read_at(const void *image, size_t offset, size_t bytes)
{
    uint64_t value = 0;
    memcpy(&value, (const char *)image + offset, bytes);
    return value;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static uint64_t elf_bytes(const void *image)
{
    Elf64_Ehdr header;
    memcpy(&header, image, sizeof(header));
    uint64_t end = larger(header.e_shoff + (uint64_t)header.e_shnum * header.e_shentsize,
                          header.e_phoff + (uint64_t)header.e_phnum * header.e_phentsize);
    for (unsigned i = 0; i < header.e_shnum && header.e_shentsize >= sizeof(Elf64_Shdr); i++) {
        Elf64_Shdr section;
        memcpy(&section, (const char *)image + header.e_shoff + (size_t)i * header.e_shentsize, sizeof(section));
        if (section.sh_type != SHT_NOBITS)
            end = larger(end, section.sh_offset + section.sh_size);
    }
    for (unsigned i = 0; i < header.e_phnum && header.e_phentsize >= sizeof(Elf64_Phdr); i++) {
        Elf64_Phdr segment;
        memcpy(&segment, (const char *)image + header.e_phoff + (size_t)i * header.e_phentsize, sizeof(segment));
        end = larger(end, segment.p_offset + segment.p_filesz);
    }
    return end;
}

static int is_text(const char *image)
{
    unsigned char first = (unsigned char)*image;
    return first == '\t' || first == '\n' || first == '\r' || (first >= ' ' && first < 0x7f);
}

CUresult image_bytes(const void *image, const void **start, size_t *bytes)
{
    NEED(image);
    uint32_t magic = (uint32_t)read_at(image, 0, is_text(image) ? strnlen(image, 4) : 4);
    if (magic == WRAPPER_MAGIC) {
        image = (const void *)(uintptr_t)read_at(image, 8, 8);
        NEED(image);
        magic = (uint32_t)read_at(image, 0, 4);
    }
    uint64_t length = 0;
    if (magic == FATBIN_MAGIC)
        length = read_at(image, 6, 2) + read_at(image, 8, 8);
    else if (memcmp(&magic, ELFMAG, SELFMAG) == 0)
        length = elf_bytes(image);
    else if (is_text(image))
        length = strnlen(image, IMAGE_BYTES_MAX) + 1;
    if (!length || length > IMAGE_BYTES_MAX)
        return CUDA_ERROR_INVALID_IMAGE;
    *start = image;
    *bytes = length;
    return CUDA_SUCCESS;
}

static CUresult read_stream(FILE *file, char **data)
{
    if (fseek(file, 0, SEEK_END) != 0)
        return CUDA_ERROR_INVALID_IMAGE;
    long end = ftell(file);
    if (end <= 0 || end > IMAGE_BYTES_MAX || fseek(file, 0, SEEK_SET) != 0)
        return CUDA_ERROR_INVALID_IMAGE;
    /* Zeros behind the end terminate text, and let a short file be looked at as any image. */
    *data = calloc(1, (size_t)end + sizeof(Elf64_Ehdr));
    if (!*data)
        return CUDA_ERROR_OUT_OF_MEMORY;
    if (fread(*data, 1, (size_t)end, file) == (size_t)end)
        return CUDA_SUCCESS;
    free(*data);
    return CUDA_ERROR_INVALID_IMAGE;
}

CUresult image_read_file(const char *path, void **data)
{
    char *contents = NULL;
    NEED(path);
    FILE *file = fopen(path, "rbe");
    if (!file)
        return CUDA_ERROR_FILE_NOT_FOUND;
    CUresult result = read_stream(file, &contents);
    fclose(file);
    *data = contents;
    return result;
}

void jit_log_parse(struct jit_log *log, unsigned count, CUjit_option *options, void **values)
{
    *log = (struct jit_log){0};
    for (unsigned i = 0; options && values && i < count; i++) {
        switch (options[i]) {
        case CU_JIT_INFO_LOG_BUFFER:
            log->info = values[i];
            break;
        case CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES:
            log->info_bytes = (size_t)(uintptr_t)values[i] & 0xffffffffu;
            log->info_size_slot = &values[i];
            break;
        case CU_JIT_ERROR_LOG_BUFFER:
            log->error = values[i];
            break;
        case CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES:
            log->error_bytes = (size_t)(uintptr_t)values[i] & 0xffffffffu;
            log->error_size_slot = &values[i];
            break;
        default: /* the others choose how machine code for a GPU is made */
            break;
        }
    }
}
