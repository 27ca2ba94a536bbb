/* SPDX-License-Identifier: Apache-2.0
 *
 * Hooks with settable answers, and helpers that run where Python would be too slow.
 */
#include "interop.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { FUNCTIONS = 3 };

int fake_version = 13000;
int fake_devices = 2;
void *fake_context;
char fake_log[4096];
unsigned fake_destroyed[2]; /* how often the destructor ran, and how often for the context that died */
void *fake_visited[FUNCTIONS];
unsigned fake_visits;

static int driver_version(void) { return fake_version; }
static int device_count(void) { return fake_devices; }
static void *current_context(void) { return fake_context; }

static int device_identity(int device, unsigned char uuid[16], int pci[3])
{
    if (device >= fake_devices)
        return 101;
    memset(uuid, 0x10 + device, 16);
    pci[0] = 0;
    pci[1] = 0xA0 + device;
    pci[2] = device;
    return 0;
}

static int primary_context(void **context, int device)
{
    *context = (void *)(uintptr_t)(0xC000 + device);
    return 0;
}

static int context_number(void *context, uint64_t *number)
{
    *number = (uintptr_t)context + 1;
    return 0;
}

static int module_load(void **module, const void *image)
{
    *module = (void *)((uintptr_t)image + 1);
    return 0;
}

static int module_function_count(unsigned *count, void *module)
{
    *count = module ? FUNCTIONS : 0;
    return 0;
}

static int module_functions(void **functions, unsigned count, void *module)
{
    for (unsigned i = 0; i < count; i++)
        functions[i] = (char *)module + i;
    return 0;
}

static void log_text(const char *format, ...)
{
    size_t used = strlen(fake_log);
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(fake_log + used, sizeof(fake_log) - used, format, arguments);
    va_end(arguments);
    strncat(fake_log, "\n", sizeof(fake_log) - strlen(fake_log) - 1);
}

const struct interop_hooks fake_hooks = {
    driver_version,  device_count, device_identity,       current_context,  primary_context,
    context_number, module_load,  module_function_count, module_functions, log_text,
};

void fake_destructor(void *context, void *key, void *value)
{
    (void)key;
    __atomic_add_fetch(&fake_destroyed[0], 1, __ATOMIC_RELAXED);
    if (context == value)
        __atomic_add_fetch(&fake_destroyed[1], 1, __ATOMIC_RELAXED);
}

void fake_visitor(void *data, void *function, void *context)
{
    (void)data, (void)context;
    if (fake_visits < FUNCTIONS)
        fake_visited[fake_visits] = function;
    fake_visits++;
}

void fake_md2(const void *data, size_t bytes, unsigned char digest[16])
{
    struct interop_md2 md2;

    interop_md2_start(&md2);
    interop_md2_add(&md2, data, bytes);
    interop_md2_finish(&md2, digest);
}

void fake_hmac(const unsigned char key[16], const void *data, size_t bytes, unsigned char mac[16])
{
    struct interop_md2 md2;

    interop_hmac_start(&md2, key);
    interop_md2_add(&md2, data, bytes);
    interop_hmac_finish(&md2, key, mac);
}

/* Nanoseconds for one read. */
double fake_time_get(void *context, void *key, unsigned rounds)
{
    struct timespec start, end;
    void *value;

    clock_gettime(CLOCK_MONOTONIC, &start);
    for (unsigned i = 0; i < rounds; i++)
        interop_storage_get(&value, context, key);
    clock_gettime(CLOCK_MONOTONIC, &end);
    return ((double)(end.tv_sec - start.tv_sec) * 1e9 + (double)(end.tv_nsec - start.tv_nsec)) / rounds;
}

struct stress {
    void *context;
    unsigned rounds, wrong;
};

/* Writers keep value == context ^ key, so a reader can tell a torn read. */
static void *write_pairs(void *argument)
{
    struct stress *stress = argument;

    for (unsigned i = 0; i < stress->rounds; i++) {
        uintptr_t key = 1 + i % 61;

        interop_storage_put(stress->context, (void *)key, (void *)((uintptr_t)stress->context ^ key), NULL);
        if (i % 3 == 0)
            interop_storage_delete(stress->context, (void *)(uintptr_t)(1 + (i * 7) % 61));
        if (i % 500 == 499)
            interop_context_destroyed(stress->context);
    }
    return NULL;
}

static void *read_pairs(void *argument)
{
    struct stress *stress = argument;

    for (unsigned i = 0; i < stress->rounds; i++) {
        uintptr_t context = (uintptr_t)stress->context + i % 2, key = 1 + i % 61;
        void *value;

        if (interop_storage_get(&value, (void *)context, (void *)key) == 0
            && (uintptr_t)value != (context ^ key))
            stress->wrong++;
        /* This one is never deleted, so it must always be found. */
        if (interop_storage_get(&value, (void *)0x7777, (void *)1) != 0 || value != (void *)0x7776)
            stress->wrong++;
    }
    return NULL;
}

/* Two writers and two readers; returns the number of wrong reads. */
unsigned fake_stress(unsigned rounds)
{
    struct stress stress[4];
    pthread_t threads[4];
    unsigned wrong = 0;

    interop_storage_put((void *)0x7777, (void *)1, (void *)0x7776, NULL);
    for (unsigned i = 0; i < 4; i++) {
        stress[i] = (struct stress){(void *)(uintptr_t)(0x1000 + i % 2), rounds, 0};
        if (i >= 2)
            stress[i].context = (void *)0x1000;
        pthread_create(&threads[i], NULL, i < 2 ? write_pairs : read_pairs, &stress[i]);
    }
    for (unsigned i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        wrong += stress[i].wrong;
    }
    return wrong;
}
