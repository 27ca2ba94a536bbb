/* SPDX-License-Identifier: Apache-2.0
 *
 * MD2 (RFC 1319) and HMAC (RFC 2104) over it. The integrity check of libcudart is built on them; they give
 * no security today and must not be used for any.
 */
#include "interop.h"

#include <string.h>

enum { BLOCK = 16, ROUNDS = 18 };

static const unsigned char substitution[256] = {
    41, 46, 67, 201, 162, 216, 124, 1, 61, 54, 84, 161, 236, 240, 6, 19,
    98, 167, 5, 243, 192, 199, 115, 140, 152, 147, 43, 217, 188, 76, 130, 202,
    30, 155, 87, 60, 253, 212, 224, 22, 103, 66, 111, 24, 138, 23, 229, 18,
    190, 78, 196, 214, 218, 158, 222, 73, 160, 251, 245, 142, 187, 47, 238, 122,
    169, 104, 121, 145, 21, 178, 7, 63, 148, 194, 16, 137, 11, 34, 95, 33,
    128, 127, 93, 154, 90, 144, 50, 39, 53, 62, 204, 231, 191, 247, 151, 3,
    255, 25, 48, 179, 72, 165, 181, 209, 215, 94, 146, 42, 172, 86, 170, 198,
    79, 184, 56, 210, 150, 164, 125, 182, 118, 252, 107, 226, 156, 116, 4, 241,
    69, 157, 112, 89, 100, 113, 135, 32, 134, 91, 207, 101, 230, 45, 168, 2,
    27, 96, 37, 173, 174, 176, 185, 246, 28, 70, 97, 105, 52, 64, 126, 15,
    85, 71, 163, 35, 221, 81, 175, 58, 195, 92, 249, 206, 186, 197, 234, 38,
    44, 83, 13, 110, 133, 40, 132, 9, 211, 223, 205, 244, 65, 129, 77, 82,
    106, 220, 55, 200, 108, 193, 171, 250, 36, 225, 123, 8, 12, 189, 177, 74,
    120, 136, 149, 139, 227, 99, 232, 109, 233, 203, 213, 254, 59, 0, 29, 57,
    242, 239, 183, 14, 102, 88, 208, 228, 166, 119, 114, 248, 235, 117, 75, 10,
    49, 68, 80, 180, 143, 237, 31, 26, 219, 153, 141, 51, 159, 17, 131, 20,
};

static void add_to_checksum(struct interop_md2 *md2)
{
    unsigned char last = md2->checksum[BLOCK - 1];

    for (unsigned i = 0; i < BLOCK; i++) {
        md2->checksum[i] ^= substitution[md2->block[i] ^ last];
        last = md2->checksum[i];
    }
}

static void transform(struct interop_md2 *md2)
{
    unsigned char work[3 * BLOCK];
    unsigned char last = 0;

    memcpy(work, md2->state, BLOCK);
    memcpy(work + BLOCK, md2->block, BLOCK);
    for (unsigned i = 0; i < BLOCK; i++)
        work[2 * BLOCK + i] = md2->state[i] ^ md2->block[i];
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < sizeof(work); i++)
            last = work[i] ^= substitution[last];
        last = (unsigned char)(last + round);
    }
    memcpy(md2->state, work, BLOCK);
}

void interop_md2_start(struct interop_md2 *md2)
{
    memset(md2, 0, sizeof(*md2));
}

void interop_md2_add(struct interop_md2 *md2, const void *data, size_t bytes)
{
    const unsigned char *next = data;

    for (size_t i = 0; i < bytes; i++) {
        md2->block[md2->used++] = next[i];
        if (md2->used < BLOCK)
            continue;
        transform(md2);
        add_to_checksum(md2);
        md2->used = 0;
    }
}

void interop_md2_finish(struct interop_md2 *md2, unsigned char digest[16])
{
    unsigned char padding = (unsigned char)(BLOCK - md2->used);

    memset(md2->block + md2->used, padding, padding);
    transform(md2);
    add_to_checksum(md2);
    memcpy(md2->block, md2->checksum, BLOCK);
    transform(md2);
    memcpy(digest, md2->state, BLOCK);
}

/* The key is exactly one block of MD2, so RFC 2104 neither hashes nor pads it. */
static void add_key(struct interop_md2 *md2, const unsigned char key[16], unsigned char mask)
{
    unsigned char masked[BLOCK];

    for (unsigned i = 0; i < BLOCK; i++)
        masked[i] = key[i] ^ mask;
    interop_md2_start(md2);
    interop_md2_add(md2, masked, sizeof(masked));
}

void interop_hmac_start(struct interop_md2 *inner, const unsigned char key[16])
{
    add_key(inner, key, 0x36);
}

void interop_hmac_finish(struct interop_md2 *inner, const unsigned char key[16], unsigned char mac[16])
{
    struct interop_md2 outer;
    unsigned char digest[BLOCK];

    interop_md2_finish(inner, digest);
    add_key(&outer, key, 0x5C);
    interop_md2_add(&outer, digest, sizeof(digest));
    interop_md2_finish(&outer, mac);
}
