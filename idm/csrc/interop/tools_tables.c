/* SPDX-License-Identifier: Apache-2.0
 *
 * The export tables of contexts and modules that the mathematical libraries use (cuBLASLt, cuFFT, cuDNN).
 */
#include "tables.h"

#include <stdlib.h>

enum { CONTEXT_SLOTS = 95, MODULE_SLOTS = 32 };

static int context_number(void *context, uint64_t *number)
{
    if (!number)
        return INTEROP_INVALID_VALUE;
    if (!context)
        context = interop_hooks->current_context();
    if (!context)
        return INTEROP_INVALID_CONTEXT;
    return interop_hooks->context_number(context, number);
}

/* cuBLAS 12 reads a property of a stream here that is 0 for every stream outside a green context. */
static int zero_property(const void *first, const void *second, uint64_t *value)
{
    (void)first, (void)second;
    if (!value)
        return INTEROP_INVALID_VALUE;
    *value = 0;
    return INTEROP_SUCCESS;
}

/* What later became cuStreamGetGreenCtx: a stream that belongs to no green context has none. */
static int green_context(unsigned flags, void *stream, void **context)
{
    (void)flags, (void)stream;
    if (!context)
        return INTEROP_INVALID_VALUE;
    *context = NULL;
    return INTEROP_SUCCESS;
}

const void *const interop_tools_context_table[CONTEXT_SLOTS] = {
    INTEROP_TABLE_BYTES(CONTEXT_SLOTS),
    [1 ... 3] = INTEROP_UNSUPPORTED,
    [4] = INTEROP_SLOT(context_number),
    [5 ... 38] = INTEROP_UNSUPPORTED,
    [39] = INTEROP_SLOT(zero_property),
    [40 ... 50] = INTEROP_UNSUPPORTED,
    [51] = INTEROP_SLOT(green_context),
    [52 ... CONTEXT_SLOTS - 1] = INTEROP_UNSUPPORTED,
};

typedef void function_visitor(void *data, void *function, void *context);

/* The module's functions, in memory that the caller frees; NULL when there are none. */
static void **list_functions(void *module, unsigned *count)
{
    if (interop_hooks->module_function_count(count, module) != INTEROP_SUCCESS || *count == 0)
        return NULL;
    if (*count > INTEROP_MODULE_FUNCTIONS) {
        interop_hooks->log("a module has %u functions, at most %d are enumerated", *count,
                           INTEROP_MODULE_FUNCTIONS);
        return NULL;
    }
    void **functions = calloc(*count, sizeof(*functions));

    if (!functions || interop_hooks->module_functions(functions, *count, module) == INTEROP_SUCCESS)
        return functions;
    free(functions);
    return NULL;
}

/* Returns the number of functions visited; its caller takes 0 for a failure. */
static int visit_functions(void *context, void *module, function_visitor *visitor, void *data)
{
    unsigned count = 0;

    if (!visitor)
        return 0;
    void **functions = list_functions(module, &count);

    if (!functions)
        return 0;
    for (unsigned i = 0; i < count; i++)
        visitor(data, functions[i], context);
    free(functions);
    return (int)count;
}

const void *const interop_tools_module_table[MODULE_SLOTS] = {
    INTEROP_TABLE_BYTES(MODULE_SLOTS),
    [1 ... 6] = INTEROP_UNSUPPORTED,
    [7] = INTEROP_SLOT(visit_functions),
    [8 ... MODULE_SLOTS - 1] = INTEROP_UNSUPPORTED,
};
