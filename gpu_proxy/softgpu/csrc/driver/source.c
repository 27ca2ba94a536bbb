/* SPDX-License-Identifier: Apache-2.0
 *
 * What is kept of an image. The machine code for GPUs, most of a fatbin, is of no use here: of its entries only
 * the heads stay, which say what there would have been.
 */
#include <stdlib.h>
#include <string.h>

#include "module.h"

#define FATBIN_MAGIC 0xba55ed50u

enum { KIND_PTX = 1 };

/* fatbin.py reads the same bytes. */
struct fatbin_head {
    uint32_t magic;
    uint16_t version, head_bytes;
    uint64_t bytes; /* behind the head */
};

struct entry_head {
    uint16_t kind, version;
    uint32_t head_bytes;
    uint64_t bytes; /* behind the head */
    uint32_t stored, unknown;
};

struct cursor {
    const unsigned char *from;
    size_t left;
    unsigned char *to;
};

static void move(struct cursor *cursor, size_t bytes)
{
    memcpy(cursor->to, cursor->from, bytes);
    cursor->to += bytes;
    cursor->from += bytes;
    cursor->left -= bytes;
}

/* 0: this is no entry, and the rest is copied as it is for the helper to complain about. */
static int copy_entry(struct cursor *cursor)
{
    struct entry_head head;
    if (cursor->left < sizeof(head))
        return 0;
    memcpy(&head, cursor->from, sizeof(head));
    if (head.head_bytes < sizeof(head) || head.head_bytes > cursor->left ||
        head.bytes > cursor->left - head.head_bytes)
        return 0;
    unsigned char *copied = cursor->to;
    size_t bytes = (size_t)head.bytes;
    if (head.kind == KIND_PTX) {
        move(cursor, head.head_bytes + bytes);
        return 1;
    }
    move(cursor, head.head_bytes);
    cursor->from += bytes;
    cursor->left -= bytes;
    head.bytes = head.stored = 0;
    memcpy(copied, &head, sizeof(head));
    return 1;
}

static size_t copy_fatbin(unsigned char *to, const unsigned char *image, size_t bytes)
{
    struct fatbin_head head;
    memcpy(&head, image, sizeof(head));
    if (head.head_bytes < sizeof(head) || head.head_bytes > bytes || head.bytes != bytes - head.head_bytes) {
        memcpy(to, image, bytes);
        return bytes;
    }
    struct cursor cursor = {image, bytes, to};
    move(&cursor, head.head_bytes);
    while (copy_entry(&cursor))
        ;
    move(&cursor, cursor.left);
    head.bytes = (uint64_t)(cursor.to - to) - head.head_bytes;
    memcpy(to, &head, sizeof(head));
    return (size_t)(cursor.to - to);
}

struct blob *image_source(const void *image, size_t bytes)
{
    uint32_t magic = 0;
    struct blob *source = malloc(sizeof(*source) + bytes);
    if (!source)
        return NULL;
    if (bytes >= sizeof(struct fatbin_head))
        memcpy(&magic, image, sizeof(magic));
    if (magic != FATBIN_MAGIC) {
        memcpy(source->data, image, bytes);
        source->bytes = bytes;
        return source;
    }
    source->bytes = copy_fatbin(source->data, image, bytes);
    struct blob *smaller = realloc(source, sizeof(*source) + source->bytes);
    return smaller ? smaller : source;
}
