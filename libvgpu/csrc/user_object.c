/* SPDX-License-Identifier: Apache-2.0
 *
 * User objects: the driver counts references, and the destructor runs here, on the callback thread.
 */
#include "fronts.h"
#include "graph.h"

enum { KIND_USER_OBJECT = 19, NO_DESTRUCTOR_SYNC = 1 };

extern const struct idm_call vgpuUserObjectCreate_call;

CUresult vgpu_front_user_object_create(const struct vgpu_entry *entry, void *const args[])
{
    uint64_t *result = *(uint64_t **)args[0], handle, *where = &handle, number;
    void *data = *(void **)args[1];
    CUhostFn destroy = *(CUhostFn *)args[2];
    unsigned references = *(const unsigned *)args[3], flags = *(const unsigned *)args[4];
    CUresult status = vgpu_may_call(vgpu_self());

    (void)entry;
    if (status != CUDA_SUCCESS)
        return status;
    if (!result || !destroy || references == 0 || flags != NO_DESTRUCTOR_SYNC)
        return CUDA_ERROR_INVALID_VALUE;
    if ((status = vgpu_lasting_callback(destroy, data, 1, &number)) != CUDA_SUCCESS)
        return status;
    handle = vgpu_object_new(KIND_USER_OBJECT, 0, 0);
    void *const sent[] = {&where, &number, &references, &flags};
    status = handle ? vgpu_send_chosen(&vgpuUserObjectCreate_call, 0, sent, &handle)
                    : CUDA_ERROR_OUT_OF_MEMORY;
    if (status == CUDA_SUCCESS) {
        *result = handle;
        return status;
    }
    vgpu_forget_callback(number);
    if (handle)
        vgpu_object_drop(handle);
    return status;
}
