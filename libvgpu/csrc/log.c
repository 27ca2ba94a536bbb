/* SPDX-License-Identifier: Apache-2.0
 *
 * VGPU_LOG=error|warn|info|debug: what the front end says on stderr. The default is warn.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vgpu.h"

static int level_from_environment(void)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    const char *wanted = getenv("VGPU_LOG");

    for (int i = 0; wanted && i < 4; i++)
        if (strcmp(wanted, names[i]) == 0)
            return i;
    return VGPU_WARNING;
}

int vgpu_log_enabled(enum vgpu_level level)
{
    static _Atomic int known = -1;

    if (atomic_load_explicit(&known, memory_order_relaxed) < 0)
        atomic_store(&known, level_from_environment());
    return (int)level <= atomic_load_explicit(&known, memory_order_relaxed);
}

void vgpu_log(enum vgpu_level level, const char *format, ...)
{
    char line[1024];
    va_list arguments;

    if (!vgpu_log_enabled(level))
        return;
    int used = snprintf(line, sizeof line, "libvgpu[%d]: ", (int)getpid());
    va_start(arguments, format);
    int more = vsnprintf(line + used, sizeof line - (size_t)used - 1, format, arguments);
    va_end(arguments);
    size_t length = (size_t)used + (more > 0 ? (size_t)more : 0);
    if (length > sizeof line - 2)
        length = sizeof line - 2;
    line[length++] = '\n';
    if (write(STDERR_FILENO, line, length) < 0)
        return; /* Nobody to tell. */
}
