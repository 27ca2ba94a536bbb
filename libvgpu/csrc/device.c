/* SPDX-License-Identifier: Apache-2.0
 *
 * Questions about devices, answered from the snapshot that came with the session.
 */
#include <stdio.h>
#include <string.h>

#include "fronts.h"
#include "vgpu.h"

/* The device of a trailing CUdevice argument, or NULL with the status to return. */
static const struct idm_device *device_at(void *const args[], unsigned index, CUresult *status)
{
    const struct idm_device *device = NULL;

    *status = CUDA_ERROR_NOT_INITIALIZED;
    if (atomic_load_explicit(&vgpu.initialised, memory_order_acquire)) {
        device = vgpu_device(*(const int *)args[index]);
        *status = device ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
    }
    return device;
}

static void *out(void *const args[], unsigned index)
{
    return *(void **)args[index];
}

CUresult vgpu_front_device_get(const struct vgpu_entry *entry, void *const args[])
{
    CUresult status;
    const struct idm_device *device = device_at(args, 1, &status);
    CUdevice *result = out(args, 0);

    (void)entry;
    if (!device || !result)
        return device ? CUDA_ERROR_INVALID_VALUE : status;
    *result = *(const int *)args[1];
    return CUDA_SUCCESS;
}

CUresult vgpu_front_device_get_count(const struct vgpu_entry *entry, void *const args[])
{
    int *count = out(args, 0);

    (void)entry;
    if (!atomic_load(&vgpu.initialised))
        return CUDA_ERROR_NOT_INITIALIZED;
    if (!count)
        return CUDA_ERROR_INVALID_VALUE;
    *count = vgpu.device_count;
    return CUDA_SUCCESS;
}

CUresult vgpu_front_device_get_name(const struct vgpu_entry *entry, void *const args[])
{
    CUresult status;
    const struct idm_device *device = device_at(args, 2, &status);
    int length = *(const int *)args[1];

    (void)entry;
    if (!device || !out(args, 0) || length <= 0)
        return device ? CUDA_ERROR_INVALID_VALUE : status;
    snprintf(out(args, 0), (size_t)length, "%.255s", device->name);
    return CUDA_SUCCESS;
}

CUresult vgpu_front_device_get_uuid(const struct vgpu_entry *entry, void *const args[])
{
    CUresult status;
    const struct idm_device *device = device_at(args, 1, &status);

    (void)entry;
    if (!device || !out(args, 0))
        return device ? CUDA_ERROR_INVALID_VALUE : status;
    memcpy(out(args, 0), device->uuid, sizeof device->uuid);
    return CUDA_SUCCESS;
}

CUresult vgpu_front_device_get_uuid_v2(const struct vgpu_entry *entry, void *const args[])
{
    return vgpu_front_device_get_uuid(entry, args);
}

CUresult vgpu_front_device_get_luid(const struct vgpu_entry *entry, void *const args[])
{
    CUresult status;
    const struct idm_device *device = device_at(args, 2, &status);

    (void)entry;
    if (!device || !out(args, 0) || !out(args, 1))
        return device ? CUDA_ERROR_INVALID_VALUE : status;
    if (!device->luid_valid)
        return CUDA_ERROR_NOT_SUPPORTED;
    memcpy(out(args, 0), device->luid, sizeof device->luid);
    *(unsigned *)out(args, 1) = device->luid_mask;
    return CUDA_SUCCESS;
}

CUresult vgpu_front_device_total_mem(const struct vgpu_entry *entry, void *const args[])
{
    CUresult status;
    const struct idm_device *device = device_at(args, 1, &status);

    (void)entry;
    if (!device || !out(args, 0))
        return device ? CUDA_ERROR_INVALID_VALUE : status;
    *(size_t *)out(args, 0) = device->memory_bytes;
    return CUDA_SUCCESS;
}

CUresult vgpu_front_device_get_attribute(const struct vgpu_entry *entry, void *const args[])
{
    CUresult status;
    const struct idm_device *device = device_at(args, 2, &status);
    unsigned attribute = *(const unsigned *)args[1];

    (void)entry;
    if (!device || !out(args, 0))
        return device ? CUDA_ERROR_INVALID_VALUE : status;
    if (attribute >= IDM_ATTRIBUTES || !device->attribute_valid[attribute])
        return CUDA_ERROR_INVALID_VALUE;
    *(int *)out(args, 0) = device->attributes[attribute];
    return CUDA_SUCCESS;
}

CUresult vgpu_front_device_get_pci_bus_id(const struct vgpu_entry *entry, void *const args[])
{
    CUresult status;
    const struct idm_device *device = device_at(args, 2, &status);
    int length = *(const int *)args[1];

    (void)entry;
    if (!device || !out(args, 0) || length <= 0)
        return device ? CUDA_ERROR_INVALID_VALUE : status;
    snprintf(out(args, 0), (size_t)length, "%04x:%02x:%02x.0", (unsigned)device->pci[0],
             (unsigned)device->pci[1], (unsigned)device->pci[2]);
    return CUDA_SUCCESS;
}

CUresult vgpu_front_device_get_by_pci_bus_id(const struct vgpu_entry *entry, void *const args[])
{
    const char *text = out(args, 1);
    unsigned domain = 0, bus, slot;

    (void)entry;
    if (!atomic_load(&vgpu.initialised))
        return CUDA_ERROR_NOT_INITIALIZED;
    if (!out(args, 0) || !text)
        return CUDA_ERROR_INVALID_VALUE;
    if (sscanf(text, "%x:%x:%x", &domain, &bus, &slot) != 3) {
        domain = 0;
        if (sscanf(text, "%x:%x", &bus, &slot) != 2)
            return CUDA_ERROR_INVALID_VALUE;
    }
    for (int i = 0; i < vgpu.device_count; i++) {
        const int32_t *pci = vgpu_device(i)->pci;
        if ((unsigned)pci[0] == domain && (unsigned)pci[1] == bus && (unsigned)pci[2] == slot) {
            *(CUdevice *)out(args, 0) = i;
            return CUDA_SUCCESS;
        }
    }
    return CUDA_ERROR_INVALID_DEVICE;
}

CUresult vgpu_front_device_compute_capability(const struct vgpu_entry *entry, void *const args[])
{
    CUresult status;
    const struct idm_device *device = device_at(args, 2, &status);

    (void)entry;
    if (!device || !out(args, 0) || !out(args, 1))
        return device ? CUDA_ERROR_INVALID_VALUE : status;
    *(int *)out(args, 0) = device->compute[0];
    *(int *)out(args, 1) = device->compute[1];
    return CUDA_SUCCESS;
}

/* CUdevprop is a list of older attributes, in this order. */
CUresult vgpu_front_device_get_properties(const struct vgpu_entry *entry, void *const args[])
{
    static const uint8_t attributes[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14};
    CUresult status;
    const struct idm_device *device = device_at(args, 1, &status);
    int32_t *properties = out(args, 0);

    (void)entry;
    if (!device || !properties)
        return device ? CUDA_ERROR_INVALID_VALUE : status;
    for (size_t i = 0; i < sizeof attributes; i++)
        properties[i] = device->attributes[attributes[i]];
    return CUDA_SUCCESS;
}
