/* SPDX-License-Identifier: Apache-2.0
 *
 * Images: how long one is, and sending it to the worker ahead of the call that loads it. The application
 * passes a pointer without a length, so the length has to be read from the image itself.
 */
#include <elf.h>
#include <string.h>

#include "vgpu.h"

#define WRAPPER_MAGIC 0x466243B1u
#define FATBIN_MAGIC 0xBA55ED50u
enum { PIECE = 48 << 10 };
#define IMAGE_MAX (1ull << 31) /* longest image that is taken for one */

static size_t fatbin_bytes(const uint8_t *image)
{
    uint16_t header;
    uint64_t size;

    memcpy(&header, image + 6, sizeof header);
    memcpy(&size, image + 8, sizeof size);
    return size > IMAGE_MAX ? 0 : header + size;
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* A bare cubin ends where its last section, segment or table ends. */
static size_t elf_bytes(const uint8_t *image)
{
    Elf64_Ehdr header;

    memcpy(&header, image, sizeof header);
    if (header.e_ident[EI_CLASS] != ELFCLASS64)
        return 0;
    size_t end = larger(header.e_shoff + (size_t)header.e_shnum * sizeof(Elf64_Shdr),
                        header.e_phoff + (size_t)header.e_phnum * sizeof(Elf64_Phdr));
    for (unsigned i = 0; i < header.e_shnum; i++) {
        Elf64_Shdr section;
        memcpy(&section, image + header.e_shoff + i * sizeof section, sizeof section);
        if (section.sh_type != SHT_NOBITS)
            end = larger(end, section.sh_offset + section.sh_size);
    }
    for (unsigned i = 0; i < header.e_phnum; i++) {
        Elf64_Phdr segment;
        memcpy(&segment, image + header.e_phoff + i * sizeof segment, sizeof segment);
        end = larger(end, segment.p_offset + segment.p_filesz);
    }
    return end > IMAGE_MAX ? 0 : end;
}

size_t vgpu_image_bytes(const void *image, const void **start)
{
    uint32_t magic;

    *start = image;
    if (!image)
        return 0;
    memcpy(&magic, image, sizeof magic);
    if (magic == WRAPPER_MAGIC) {
        const void *inner;
        memcpy(&inner, (const uint8_t *)image + 8, sizeof inner);
        if (!inner)
            return 0;
        *start = image = inner;
        memcpy(&magic, image, sizeof magic);
    }
    if (magic == FATBIN_MAGIC)
        return fatbin_bytes(image);
    if (memcmp(image, ELFMAG, SELFMAG) == 0)
        return elf_bytes(image);
    return strlen(image) + 1; /* PTX; what is none of all this the back end will refuse */
}

CUresult vgpu_upload(const void *data, size_t bytes, uint64_t *upload)
{
    uint64_t handle = vgpu_object_new(23, 0, 0), *where = &handle, total = bytes;
    void *const begin[] = {&where, &total};

    if (!handle)
        return CUDA_ERROR_OUT_OF_MEMORY;
    CUresult status = vgpu_send_chosen(&vgpuUpload_call, 0, begin, &handle);
    for (uint64_t offset = 0; offset < bytes && status == CUDA_SUCCESS; offset += PIECE) {
        uint64_t count = bytes - offset < PIECE ? bytes - offset : PIECE;
        const void *from = (const uint8_t *)data + offset;
        void *const piece[] = {&handle, &offset, &count, &from};
        status = vgpu_send(&vgpuUploadData_call, 0, piece);
    }
    if (status != CUDA_SUCCESS)
        vgpu_object_drop(handle);
    *upload = handle;
    return status;
}
