/* SPDX-License-Identifier: Apache-2.0
 *
 * The environment variables that configure the software GPU. A value that makes no sense is reported and
 * the default used, since there is nobody to return an error to.
 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "driver.h"

#define DEFAULT_MEMORY_BYTES (16ull << 30)
#define MEMORY_MIN_BYTES (16ull << 20)
#define MEMORY_MAX_BYTES (1ull << 40)
enum { QUEUE_WORKS = 65536, QUEUE_WORKS_MIN = 16, QUEUE_WORKS_MAX = 1 << 20 };

static unsigned shift_of(char unit)
{
    const char *found = unit ? strchr("KMGT", unit & ~0x20) : NULL;
    return found ? 10u * (unsigned)(found - "KMGT" + 1) : 0;
}

static size_t parse_bytes(const char *name, const char *text)
{
    char *end = NULL;
    unsigned long long value = strtoull(text, &end, 10);
    unsigned shift = shift_of(*end);
    int good = end != text && (*end == '\0' || (shift && end[1] == '\0'));
    if (good && value <= MEMORY_MAX_BYTES >> shift && value << shift >= MEMORY_MIN_BYTES)
        return (size_t)(value << shift);
    driver_log("%s=%s is no size from 16M to 1T; using 16G", name, text);
    return DEFAULT_MEMORY_BYTES;
}

static int parse_int(const char *name, int smallest, int largest, int fallback)
{
    const char *text = getenv(name);
    if (!text || !*text)
        return fallback;
    char *end = NULL;
    long value = strtol(text, &end, 10);
    if (*end == '\0' && value >= smallest && value <= largest)
        return (int)value;
    driver_log("%s=%s is not in %d..%d; using %d", name, text, smallest, largest, fallback);
    return fallback;
}

static int usable_cpus(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) != 0)
        return 1;
    int count = CPU_COUNT(&set);
    return count > 0 ? count : 1;
}

static void parse_compute(struct driver *target)
{
    const char *text = getenv("VGPU_SOFTGPU_COMPUTE");
    target->compute_major = 8;
    target->compute_minor = 0;
    if (!text || !*text)
        return;
    int major = 0, minor = 0;
    char rest = 0;
    if (sscanf(text, "%d.%d%c", &major, &minor, &rest) == 2 && major >= 5 && major <= 99 && minor >= 0 &&
        minor <= 9) {
        target->compute_major = major;
        target->compute_minor = minor;
        return;
    }
    driver_log("VGPU_SOFTGPU_COMPUTE=%s is no capability such as 8.0; using 8.0", text);
}

/* The same on every start and in every process: applications compare it. */
static void fill_uuid(struct device *device)
{
    static const unsigned char base[16] = {0x56, 0x47, 0x50, 0x55, 0x73, 0x6f, 0x4f, 0x74,
                                           0x8f, 0x74, 0x47, 0x50, 0x55, 0x00, 0x00, 0x00};
    memcpy(device->uuid, base, sizeof(base));
    device->uuid[15] = (unsigned char)device->ordinal;
}

static void fill_device(struct device *device, int ordinal, size_t bytes, int processors)
{
    const char *name = getenv("VGPU_SOFTGPU_NAME");
    device->ordinal = ordinal;
    device->total_bytes = bytes;
    device->multiprocessors = processors;
    (void)snprintf(device->name, sizeof(device->name), "%s", name && *name ? name : "Software GPU");
    pthread_mutex_init(&device->lock, NULL);
    fill_uuid(device);
}

int config_load(struct driver *target)
{
    const char *memory = getenv("VGPU_SOFTGPU_MEMORY");
    const char *mode = getenv("CUDA_MODULE_LOADING");
    size_t bytes = memory && *memory ? parse_bytes("VGPU_SOFTGPU_MEMORY", memory) : DEFAULT_MEMORY_BYTES;
    target->engine_threads = (unsigned)parse_int("VGPU_SOFTGPU_THREADS", 0, 1024, 0);
    target->launch_blocking = parse_int("CUDA_LAUNCH_BLOCKING", 0, 1, 0);
    target->loading_mode = mode && strcmp(mode, "EAGER") == 0 ? CU_MODULE_EAGER_LOADING : CU_MODULE_LAZY_LOADING;
    target->queue_works = (unsigned)parse_int("VGPU_SOFTGPU_QUEUE", QUEUE_WORKS_MIN, QUEUE_WORKS_MAX, QUEUE_WORKS);
    parse_compute(target);
    target->device_count = parse_int("VGPU_SOFTGPU_DEVICES", 1, DEVICES_MAX, 1);
    int processors = target->engine_threads ? (int)target->engine_threads : usable_cpus();
    for (int i = 0; i < target->device_count; i++)
        fill_device(&target->devices[i], i, bytes, processors);
    return 0;
}
