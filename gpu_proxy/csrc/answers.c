/* SPDX-License-Identifier: Apache-2.0
 *
 * What the front end and the supervisor learn: answers, errors, what kernels have printed, counters.
 */
#include <string.h>
#include <sys/ioctl.h>

#include "executor.h"

void vx_answer(struct vx *x, uint32_t slot, uint32_t sequence, uint32_t reply, int32_t status,
               const void *data, uint32_t bytes)
{
    if (slot >= IDM_SLOTS)
        return;
    atomic_store_explicit(&x->slot_busy[slot], 0, memory_order_release);
    uint8_t *to = reply ? idm_chunk_at(x->region, reply - 1) : idm_slot_at(x->region, slot)->data;
    if (data && bytes)
        memcpy(to, data, bytes);
    if (idm_complete(x->region, slot, sequence, status, bytes) && slot < x->doorbells)
        idm_bell_ring(x->slot_doorbells[slot]); /* Whoever sleeps on a broken one is woken by the socket. */
}

/* CUresults after which the context is of no more use. */
static int is_sticky(int32_t status)
{
    static const int16_t sticky[] = {214, 700, 702, 709, 710, 714, 715, 716, 717, 718, 719};

    for (size_t i = 0; i < sizeof sticky / sizeof *sticky; i++)
        if (sticky[i] == status)
            return 1;
    return 0;
}

void vx_note_status(struct vx *x, int32_t status)
{
    if (status != VX_SUCCESS && status != VX_NOT_READY)
        atomic_fetch_add_explicit(&x->counters->errors, 1, memory_order_relaxed);
    if (is_sticky(status))
        atomic_store_explicit(&x->back->sticky, (uint32_t)status, memory_order_release);
}

void vx_late(struct vx *x, uint32_t thread, int32_t status)
{
    vx_note_status(x, status);
    if (status == VX_SUCCESS || is_sticky(status))
        return;
    pthread_mutex_lock(&x->lock);
    struct vx_late_error *late = &x->late[thread % VX_LATE_THREADS];
    if (late->status == 0)
        *late = (struct vx_late_error){thread, status};
    pthread_mutex_unlock(&x->lock);
    atomic_fetch_add_explicit(&x->back->late, 1, memory_order_release);
}

int32_t vx_take_late(struct vx *x, uint32_t thread)
{
    pthread_mutex_lock(&x->lock);
    struct vx_late_error *late = &x->late[thread % VX_LATE_THREADS];
    int32_t status = late->thread == thread ? late->status : 0;
    if (status)
        late->status = 0;
    pthread_mutex_unlock(&x->lock);
    return status;
}

void vx_clear_sticky(struct vx *x)
{
    atomic_store_explicit(&x->back->sticky, 0, memory_order_release);
}

void vx_count(struct vx *x, uint64_t bytes_in, uint64_t bytes_out, uint64_t launches)
{
    atomic_fetch_add_explicit(&x->counters->bytes_in, bytes_in, memory_order_relaxed);
    atomic_fetch_add_explicit(&x->counters->bytes_out, bytes_out, memory_order_relaxed);
    atomic_fetch_add_explicit(&x->counters->launches, launches, memory_order_relaxed);
    x->launches += launches;
}

void vx_count_memory(struct vx *x, int64_t device_bytes, int64_t host_bytes)
{
    atomic_fetch_add_explicit(&x->counters->device_bytes, (uint64_t)device_bytes, memory_order_relaxed);
    atomic_fetch_add_explicit(&x->counters->host_bytes, (uint64_t)host_bytes, memory_order_relaxed);
}

void vx_set_output(struct vx *x, int fd)
{
    x->output = fd;
}

void vx_note_output(struct vx *x)
{
    int waiting = 0;

    if (x->output < 0 || x->launches == x->launches_seen)
        return;
    x->launches_seen = x->launches;
    if (ioctl(x->output, FIONREAD, &waiting) == 0 && waiting > 0)
        atomic_fetch_add_explicit(&x->back->output, 1, memory_order_release);
}
