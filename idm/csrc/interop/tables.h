/* SPDX-License-Identifier: Apache-2.0
 *
 * The export tables that are implemented. Slots that nothing is known to call return
 * CUDA_ERROR_NOT_SUPPORTED.
 */
#ifndef IDM_INTEROP_TABLES_H
#define IDM_INTEROP_TABLES_H

#include "interop.h"

int interop_unsupported(void);

#define INTEROP_SLOT(function) ((const void *)(uintptr_t)(function))
#define INTEROP_UNSUPPORTED INTEROP_SLOT(interop_unsupported)
#define INTEROP_TABLE_BYTES(slots) ((const void *)(uintptr_t)((slots) * sizeof(void *)))

extern const void *const interop_callback_hooks_table[];
extern const void *const interop_thread_table[];
extern const void *const interop_storage_table[];
extern const void *const interop_context_checks_table[];
extern const void *const interop_tools_context_table[];
extern const void *const interop_tools_module_table[];

#endif
