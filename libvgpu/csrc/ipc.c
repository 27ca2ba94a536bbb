/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory of other processes of the zone: mapped in the worker, its addresses reserved here.
 */
#include "fronts.h"
#include "vgpu.h"

extern const struct idm_call vgpuIpcOpenMemory_call, cuIpcCloseMemHandle_call;

static CUresult close_in_worker(uint64_t address)
{
    void *const args[] = {&address};

    return vgpu_send(&cuIpcCloseMemHandle_call, 0, args);
}

static CUresult keep(const struct vgpu_entry *entry, uint64_t address, uint64_t bytes)
{
    struct vgpu_range range = {.base = address, .bytes = bytes, .context = vgpu_current(vgpu_self()),
                               .kind = VGPU_IMPORTED};

    /* Opening again would give the same address, so there is nothing to try. */
    if (vgpu_reserve_pages(address, bytes)) {
        vgpu_log(VGPU_ERROR, "%s: the address is already mapped in this process", entry->call->symbol);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    if (vgpu_range_add(&range)) {
        vgpu_release_pages(address, bytes);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    return CUDA_SUCCESS;
}

CUresult vgpu_front_ipc_open_mem_handle(const struct vgpu_entry *entry, void *const args[])
{
    uint64_t *result = *(uint64_t **)args[0], address = 0, bytes = 0, *address_at = &address, *bytes_at = &bytes;
    const void *identifier = args[1];
    void *const sent[] = {&identifier, args[2], &address_at, &bytes_at};
    struct vgpu_thread *thread = vgpu_self();
    CUresult status = vgpu_may_call(thread);

    if (status != CUDA_SUCCESS)
        return status;
    if (!vgpu_current(thread))
        return CUDA_ERROR_INVALID_CONTEXT;
    if (!result)
        return CUDA_ERROR_INVALID_VALUE;
    status = vgpu_send(&vgpuIpcOpenMemory_call, 0, sent);
    if (status != CUDA_SUCCESS)
        return status;
    status = keep(entry, address, bytes);
    if (status == CUDA_SUCCESS)
        *result = address;
    else
        close_in_worker(address);
    return status;
}

CUresult vgpu_front_ipc_close_mem_handle(const struct vgpu_entry *entry, void *const args[])
{
    uint64_t address = *(const uint64_t *)args[0];
    struct vgpu_range range;

    if (vgpu_range_find(address, &range) || range.base != address || range.kind != VGPU_IMPORTED)
        return CUDA_ERROR_INVALID_VALUE;
    CUresult status = vgpu_forward(entry, args);
    if (status == CUDA_SUCCESS && vgpu_range_remove(address, &range) == 0)
        vgpu_release_pages(range.base, range.bytes);
    return status;
}
