/* SPDX-License-Identifier: Apache-2.0
 *
 * For programs that use the driver interface without the vendor's header: functions by name, checked calls.
 */
#ifndef DRIVER_H
#define DRIVER_H

#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static long checks_right, checks_all;

static inline void *driver_function(const char *name)
{
    static void *library;
    void *found;

    if (!library)
        library = dlopen("libcuda.so.1", RTLD_NOW);
    if (!library) {
        fprintf(stderr, "%s\n", dlerror());
        exit(3);
    }
    found = dlsym(library, name);
    if (!found) {
        fprintf(stderr, "%s: not found\n", name);
        exit(3);
    }
    return found;
}

/* Call a function whose arguments are all integers and pointers. */
#define CU(name, ...) (((int (*)())driver_function(#name))(__VA_ARGS__))

/* Call, and count whether the result is the expected one. */
#define EXPECT(result, name, ...) expect(result, CU(name, __VA_ARGS__), #name, __LINE__)
#define HOLDS(condition) expect(1, (condition) ? 1 : 0, #condition, __LINE__)

static inline int expect(int expected, int found, const char *what, int line)
{
    checks_all++;
    checks_right += found == expected;
    if (found != expected)
        fprintf(stderr, "line %d: %s: %d, not %d\n", line, what, found, expected);
    return found == expected;
}

static inline int report(const char *name)
{
    printf("%s: %ld of %ld right\n", name, checks_right, checks_all);
    return checks_right == checks_all ? 0 : 1;
}

#endif
