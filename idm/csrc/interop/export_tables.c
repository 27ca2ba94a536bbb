/* SPDX-License-Identifier: Apache-2.0
 *
 * cuGetExportTable: which table a UUID stands for. A table is an array of addresses whose slot 0 is its size
 * in bytes. What is not known is answered with slots that return CUDA_ERROR_NOT_SUPPORTED, which every
 * library that we have met accepts, while a missing table makes several of them crash.
 */
#include "tables.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

const struct interop_hooks *interop_hooks;

void interop_init(const struct interop_hooks *hooks)
{
    interop_hooks = hooks;
}

int interop_unsupported(void)
{
    return INTEROP_NOT_SUPPORTED;
}

struct known_table {
    unsigned char uuid[16];
    const void *const *slots; /* NULL: the answer is CUDA_ERROR_NOT_FOUND */
};

static const struct known_table known[] = {
    {{0x6B, 0xD5, 0xFB, 0x6C, 0x5B, 0xF4, 0xE7, 0x4A, 0x89, 0x87, 0xD9, 0x39, 0x12, 0xFD, 0x9D, 0xF9},
     interop_cudart_table},
    {{0xA0, 0x94, 0x79, 0x8C, 0x2E, 0x74, 0x2E, 0x74, 0x93, 0xF2, 0x08, 0x00, 0x20, 0x0C, 0x0A, 0x66},
     interop_callback_hooks_table},
    {{0x42, 0xD8, 0x5A, 0x81, 0x23, 0xF6, 0xCB, 0x47, 0x82, 0x98, 0xF6, 0xE7, 0x8A, 0x3A, 0xEC, 0xDC},
     interop_thread_table},
    {{0xC6, 0x93, 0x33, 0x6E, 0x11, 0x21, 0xDF, 0x11, 0xA8, 0xC3, 0x68, 0xF3, 0x55, 0xD8, 0x95, 0x93},
     interop_storage_table},
    {{0x26, 0x3E, 0x88, 0x60, 0x7C, 0xD2, 0x61, 0x43, 0x92, 0xF6, 0xBB, 0xD5, 0x00, 0x6D, 0xFA, 0x7E},
     interop_context_checks_table},
    {{0xD4, 0x08, 0x20, 0x55, 0xBD, 0xE6, 0x70, 0x4B, 0x8D, 0x34, 0xBA, 0x12, 0x3C, 0x66, 0xE1, 0xF2},
     interop_integrity_table},
    {{0x21, 0x31, 0x8C, 0x60, 0x97, 0x14, 0x32, 0x48, 0x8C, 0xA6, 0x41, 0xFF, 0x73, 0x24, 0xC8, 0xF2},
     interop_tools_context_table},
    {{0x6E, 0x16, 0x3F, 0xBE, 0xB9, 0x58, 0x44, 0x4D, 0x83, 0x5C, 0xE1, 0x82, 0xAF, 0xF1, 0x99, 0x1E},
     interop_tools_module_table},
    /* Libraries ask this one before cuInit, to learn whether parts of it may be skipped: they may not. */
    {{0xF8, 0xCF, 0xF9, 0x51, 0x21, 0x46, 0x8B, 0x4E, 0xB9, 0xE2, 0xFB, 0x46, 0x9E, 0x7C, 0x0D, 0xD9}, NULL},
};

/* Each unknown UUID gets a table of its own, since a caller may keep its address as an identity. */
static struct stub_table {
    unsigned char uuid[16];
    const void *slots[INTEROP_STUB_SLOTS];
} stubs[INTEROP_STUB_TABLES];
static unsigned stub_count;
static pthread_mutex_t stub_lock = PTHREAD_MUTEX_INITIALIZER;

static void fill_stub(struct stub_table *stub, const unsigned char uuid[16])
{
    memcpy(stub->uuid, uuid, sizeof(stub->uuid));
    stub->slots[0] = INTEROP_TABLE_BYTES(INTEROP_STUB_SLOTS);
    for (unsigned i = 1; i < INTEROP_STUB_SLOTS; i++)
        stub->slots[i] = INTEROP_UNSUPPORTED;
}

/* The table of an unknown UUID, made when it is first asked for; NULL when there are too many. */
static const void *stub_table(const unsigned char uuid[16], int *made)
{
    struct stub_table *stub = NULL;

    *made = 0;
    pthread_mutex_lock(&stub_lock);
    for (unsigned i = 0; i < stub_count && !stub; i++)
        if (memcmp(stubs[i].uuid, uuid, sizeof(stubs[i].uuid)) == 0)
            stub = &stubs[i];
    if (!stub && stub_count < INTEROP_STUB_TABLES) {
        stub = &stubs[stub_count++];
        fill_stub(stub, uuid);
        *made = 1;
    }
    pthread_mutex_unlock(&stub_lock);
    return stub ? stub->slots : NULL;
}

void interop_before_fork(void)
{
    pthread_mutex_lock(&stub_lock);
    interop_storage_lock();
}

void interop_after_fork(void)
{
    interop_storage_unlock();
    pthread_mutex_unlock(&stub_lock);
}

static void log_uuid(const char *what, const unsigned char uuid[16])
{
    char text[33];

    for (unsigned i = 0; i < 16; i++)
        (void)snprintf(text + 2 * i, 3, "%02x", uuid[i]);
    interop_hooks->log("cuGetExportTable: %s: %s", what, text);
}

static int get_stub_table(const void **table, const unsigned char uuid[16])
{
    int made;

    *table = stub_table(uuid, &made);
    if (made)
        log_uuid("unknown table, its functions return CUDA_ERROR_NOT_SUPPORTED", uuid);
    if (*table)
        return INTEROP_SUCCESS;
    log_uuid("too many unknown tables, refused", uuid);
    return INTEROP_NOT_SUPPORTED;
}

int interop_get_export_table(const void **table, const unsigned char uuid[16])
{
    if (!table || !uuid)
        return INTEROP_INVALID_VALUE;
    *table = NULL;
    if (!interop_hooks)
        return INTEROP_NOT_INITIALIZED;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (memcmp(known[i].uuid, uuid, sizeof(known[i].uuid)) != 0)
            continue;
        *table = known[i].slots;
        return *table ? INTEROP_SUCCESS : INTEROP_NOT_FOUND;
    }
    return get_stub_table(table, uuid);
}
