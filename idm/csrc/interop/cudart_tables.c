/* SPDX-License-Identifier: Apache-2.0
 *
 * The export tables that every copy of libcudart asks for when it starts.
 */
#include "tables.h"

enum { HOOK_BUFFER_WORDS = 1024, HOOK_LIST_WORDS = 14 };

static int primary_context(void **context, int device)
{
    if (!context)
        return INTEROP_INVALID_VALUE;
    return interop_hooks->primary_context(context, device);
}

static int load_image(void **module, const void *image)
{
    if (!module || !image)
        return INTEROP_INVALID_VALUE;
    return interop_hooks->module_load(module, image);
}

static int load_fatbin(void **module, const void *wrapper, const void *first, const void *second,
                       unsigned flags)
{
    (void)flags;
    if (first || second) {
        interop_hooks->log("CUDART_INTERFACE: a fatbin with options is not supported");
        return INTEROP_NOT_SUPPORTED;
    }
    return load_image(module, wrapper);
}

static int load_raw_fatbin(const void *header, void **module, const void *first, const void *second,
                           unsigned flags)
{
    return load_fatbin(module, header, first, second, flags);
}

static void ignore_size(size_t bytes)
{
    (void)bytes;
}

/* The compilers live in the back end and are there when they are needed. */
static int load_compilers(void)
{
    return INTEROP_SUCCESS;
}

const void *const interop_cudart_table[] = {
    INTEROP_TABLE_BYTES(13),
    INTEROP_SLOT(load_image),
    INTEROP_SLOT(primary_context),
    INTEROP_UNSUPPORTED,
    INTEROP_UNSUPPORTED,
    INTEROP_UNSUPPORTED,
    INTEROP_SLOT(load_fatbin),
    INTEROP_SLOT(ignore_size),
    INTEROP_SLOT(load_raw_fatbin),
    INTEROP_UNSUPPORTED,
    INTEROP_UNSUPPORTED,
    INTEROP_UNSUPPORTED,
    INTEROP_SLOT(load_compilers),
};

/* Buffers that libcudart fills with the callbacks of profilers; zeroes mean that there is none. */
static void *hook_buffer[HOOK_BUFFER_WORDS];
static void *hook_list[HOOK_LIST_WORDS];

static int get_hook_buffer(void **buffer, size_t *words)
{
    *buffer = hook_buffer;
    *words = HOOK_BUFFER_WORDS;
    return INTEROP_SUCCESS;
}

static int get_hook_list(void **buffer, size_t *words)
{
    *buffer = hook_list;
    *words = HOOK_LIST_WORDS;
    return INTEROP_SUCCESS;
}

const void *const interop_callback_hooks_table[] = {
    INTEROP_TABLE_BYTES(7),
    INTEROP_UNSUPPORTED,
    INTEROP_SLOT(get_hook_buffer),
    INTEROP_UNSUPPORTED,
    INTEROP_UNSUPPORTED,
    INTEROP_UNSUPPORTED,
    INTEROP_SLOT(get_hook_list),
};

static int thread_context(void **context)
{
    *context = interop_hooks->current_context();
    return INTEROP_SUCCESS;
}

const void *const interop_thread_table[] = {
    INTEROP_TABLE_BYTES(4),
    INTEROP_UNSUPPORTED,
    INTEROP_SLOT(thread_context),
    INTEROP_UNSUPPORTED,
};

/* This table has no size word: it ends with a null slot. */
const void *const interop_storage_table[] = {
    INTEROP_SLOT(interop_storage_put),
    INTEROP_SLOT(interop_storage_delete),
    INTEROP_SLOT(interop_storage_get),
    NULL,
};

static int check_context(void *context, uint32_t *problem, const void **detail)
{
    (void)context, (void)detail;
    *problem = 0;
    return INTEROP_SUCCESS;
}

static int check_all(void)
{
    return INTEROP_SUCCESS;
}

const void *const interop_context_checks_table[] = {
    INTEROP_TABLE_BYTES(4),
    INTEROP_UNSUPPORTED,
    INTEROP_SLOT(check_context),
    INTEROP_SLOT(check_all),
};

const void *const interop_integrity_table[] = {
    INTEROP_TABLE_BYTES(3),
    INTEROP_SLOT(interop_integrity_check),
    INTEROP_UNSUPPORTED,
};
