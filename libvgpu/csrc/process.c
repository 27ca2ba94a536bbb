/* SPDX-License-Identifier: Apache-2.0
 *
 * Starting: cuInit, versions, and the environment variables that libcuda itself reads.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "fronts.h"
#include "vgpu.h"

enum { BUILT_FOR_DRIVER = 13000, UUID_TEXT = 48 };

const struct idm_device *vgpu_device(int ordinal)
{
    if (ordinal < 0 || ordinal >= vgpu.device_count)
        return NULL;
    return &vgpu.snapshot->devices[vgpu.devices[ordinal]];
}

static void uuid_text(const uint8_t uuid[16], char text[UUID_TEXT])
{
    static const int dash_before[] = {4, 6, 8, 10};
    char *at = text + sprintf(text, "GPU-");

    for (int i = 0; i < 16; i++) {
        for (int d = 0; d < 4; d++)
            if (dash_before[d] == i)
                *at++ = '-';
        at += sprintf(at, "%02x", uuid[i]);
    }
}

/* One item of CUDA_VISIBLE_DEVICES: an ordinal or the beginning of a UUID. -1: no such device. */
static int device_named(const char *item)
{
    char *end, text[UUID_TEXT];
    long ordinal = strtol(item, &end, 10);
    int found = -1;

    if (end != item && *end == 0)
        return ordinal >= 0 && ordinal < vgpu.snapshot->device_count ? vgpu.devices[ordinal] : -1;
    for (int i = 0; i < vgpu.snapshot->device_count; i++) {
        uuid_text(vgpu.snapshot->devices[i].uuid, text);
        if (strncasecmp(text, item, strlen(item)) == 0) {
            if (found >= 0)
                return -1; /* Not unique. */
            found = i;
        }
    }
    return found;
}

static int by_bus(const void *left, const void *right)
{
    const int32_t *a = vgpu.snapshot->devices[*(const int *)left].pci;
    const int32_t *b = vgpu.snapshot->devices[*(const int *)right].pci;

    for (int i = 0; i < 3; i++)
        if (a[i] != b[i])
            return a[i] < b[i] ? -1 : 1;
    return 0;
}

/* The list ends at its first item that names no device, as libcuda has it. */
static void choose_visible(const char *wanted)
{
    char copy[1024], *rest = NULL;
    int chosen[IDM_DEVICES_MAX], count = 0;

    snprintf(copy, sizeof copy, "%s", wanted);
    for (char *item = strtok_r(copy, ", ", &rest); item; item = strtok_r(NULL, ", ", &rest)) {
        int device = device_named(item);
        for (int i = 0; i < count; i++)
            if (chosen[i] == device)
                device = -1; /* Named twice: libcuda shows no device at all. */
        if (device < 0 || count == IDM_DEVICES_MAX)
            break;
        chosen[count++] = device;
    }
    memcpy(vgpu.devices, chosen, sizeof(int) * (size_t)count);
    vgpu.device_count = count;
}

void vgpu_read_environment(void)
{
    const char *order = getenv("CUDA_DEVICE_ORDER"), *visible = getenv("CUDA_VISIBLE_DEVICES");
    const char *blocking = getenv("CUDA_LAUNCH_BLOCKING"), *loading = getenv("CUDA_MODULE_LOADING");

    vgpu.device_count = vgpu.snapshot->device_count;
    for (int i = 0; i < vgpu.device_count; i++)
        vgpu.devices[i] = i;
    if (order && strcmp(order, "PCI_BUS_ID") == 0)
        qsort(vgpu.devices, (size_t)vgpu.device_count, sizeof vgpu.devices[0], by_bus);
    if (visible)
        choose_visible(visible);
    vgpu.launch_blocking = blocking && strcmp(blocking, "1") == 0;
    vgpu.lazy_loading = !loading || strcmp(loading, "EAGER") != 0;
    if (getenv("CUDA_CACHE_PATH"))
        vgpu_log(VGPU_INFO, "CUDA_CACHE_PATH has no effect: the driver domain caches for each zone");
}

/* These the driver reads in the process that calls it, so the worker must have them. */
void vgpu_send_environment(void)
{
    static const char *const names[] = {"CUDA_CACHE_DISABLE", "CUDA_CACHE_MAXSIZE", "CUDA_MODULE_LOADING",
                                        "CUDA_DEVICE_MAX_CONNECTIONS"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char setting[256];
        const char *text = setting, *value = getenv(names[i]);
        if (!value || strlen(value) > 128)
            continue;
        snprintf(setting, sizeof setting, "%s=%s", names[i], value);
        void *const args[] = {&text};
        vgpu_send(&vgpuEnvironment_call, 0, args);
    }
}

CUresult vgpu_front_init(const struct vgpu_entry *entry, void *const args[])
{
    (void)entry;
    if (*(const unsigned *)args[0] != 0)
        return CUDA_ERROR_INVALID_VALUE;
    CUresult status = vgpu_attach();
    if (status != CUDA_SUCCESS)
        return status;
    if (vgpu.device_count == 0)
        return CUDA_ERROR_NO_DEVICE;
    vgpu_interop_start();
    atomic_store_explicit(&vgpu.initialised, 1, memory_order_release);
    return CUDA_SUCCESS;
}

CUresult vgpu_front_driver_get_version(const struct vgpu_entry *entry, void *const args[])
{
    int *version = *(int **)args[0];

    (void)entry;
    if (!version)
        return CUDA_ERROR_INVALID_VALUE;
    /* Without a back end cuInit tells the reason; a runtime that asks for the version first must not
     * conclude that the driver is too old. */
    *version = vgpu_attach() == CUDA_SUCCESS ? vgpu.snapshot->driver_version : BUILT_FOR_DRIVER;
    return CUDA_SUCCESS;
}

CUresult vgpu_front_module_get_loading_mode(const struct vgpu_entry *entry, void *const args[])
{
    unsigned *mode = *(unsigned **)args[0];

    (void)entry;
    if (!mode)
        return CUDA_ERROR_INVALID_VALUE;
    *mode = vgpu.lazy_loading ? 2 : 1;
    return CUDA_SUCCESS;
}

/* Nothing in the zone ever writes to the driver's log, so a callback is accepted and never called. */
CUresult vgpu_front_logs_register_callback(const struct vgpu_entry *entry, void *const args[])
{
    static _Atomic uintptr_t last;
    uintptr_t *registration = *(uintptr_t **)args[2];

    (void)entry;
    if (!*(void **)args[0])
        return CUDA_ERROR_INVALID_VALUE;
    if (registration)
        *registration = atomic_fetch_add(&last, 1) + 1;
    return CUDA_SUCCESS;
}

CUresult vgpu_front_logs_unregister_callback(const struct vgpu_entry *entry, void *const args[])
{
    (void)entry;
    return *(uintptr_t *)args[0] ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

void vgpu_flush(void)
{
    if (atomic_load(&vgpu.initialised) && !atomic_load(&vgpu.dead))
        vgpu_send(&vgpuFlush_call, 0, NULL);
}

/* At a normal exit nothing that was posted may be lost. */
__attribute__((destructor)) static void at_exit(void)
{
    if (atomic_load(&vgpu.state) != VGPU_READY)
        return;
    vgpu_flush();
    vgpu_report_counters();
    /* Threads that still wait end without a word: this is no failure. */
    atomic_store(&vgpu.dead, VGPU_CODE_DEAD);
    shutdown(vgpu.socket, SHUT_RDWR);
}
