/* SPDX-License-Identifier: Apache-2.0
 *
 * Lines for the operator, on standard error.
 */
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "driver.h"

void driver_log(const char *format, ...)
{
    char line[1024];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    fprintf(stderr, "softgpu: %s\n", line);
}

uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}
