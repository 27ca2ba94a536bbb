/* SPDX-License-Identifier: Apache-2.0
 *
 * The functions that compiled objects may call. A name that is not here makes an object unloadable.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "image.h"

struct symbol {
    const char *name;
    void (*function)(void);
};

/* Declared without their types: only the addresses matter here. */
#define RUNTIME(name) void name(void);
#include "symbols.inc"
#undef RUNTIME

#define RUNTIME(name) {#name, name},
#define LIBRARY(name) {#name, __extension__(void (*)(void)) name},
static const struct symbol symbols[] = {
    LIBRARY(memcpy) LIBRARY(memmove) LIBRARY(memset)
    LIBRARY(sinf) LIBRARY(cosf) LIBRARY(exp2f) LIBRARY(log2f) LIBRARY(tanhf)
    LIBRARY(fma) LIBRARY(fmaf) LIBRARY(floor) LIBRARY(floorf) LIBRARY(ceil) LIBRARY(ceilf)
    LIBRARY(trunc) LIBRARY(truncf) LIBRARY(sqrt) LIBRARY(sqrtf) LIBRARY(fmod) LIBRARY(fmodf)
#include "symbols.inc"
};

void *sg_symbol_find(const char *name)
{
    for (size_t i = 0; i < sizeof symbols / sizeof symbols[0]; i++)
        if (strcmp(symbols[i].name, name) == 0)
            return __extension__(void *) symbols[i].function;
    return NULL;
}
