/* SPDX-License-Identifier: Apache-2.0
 *
 * What a forked child has: none of its parent's session, and none of the threads that may have held a lock
 * when it was made. After cuInit it has handles and pointers of its parent, so every call of it fails. Before
 * that it has nothing, whatever its parent had begun, and may attach for itself.
 */
#include <sys/mman.h>
#include <unistd.h>

#include "interop.h"
#include "vgpu.h"

/* The linker's names for the section that VGPU_LOCK and VGPU_RWLOCK fill. */
extern const struct vgpu_lock __start_vgpu_locks[] __attribute__((visibility("hidden")));
extern const struct vgpu_lock __stop_vgpu_locks[] __attribute__((visibility("hidden")));

static void renew_locks(void)
{
    for (const struct vgpu_lock *lock = __start_vgpu_locks; lock < __stop_vgpu_locks; lock++) {
        if (lock->mutex)
            pthread_mutex_init(lock->mutex, NULL);
        if (lock->rwlock)
            pthread_rwlock_init(lock->rwlock, NULL);
    }
    pthread_mutex_init(&vgpu.attach, NULL);
    pthread_mutex_init(&vgpu.ring, NULL);
}

/* The parent's, of which a child that lives long must keep nothing open. */
static void leave_session(void)
{
    close(vgpu.socket);
    close(vgpu.request_doorbell.fd);
    for (unsigned i = 0; i < vgpu.doorbells; i++)
        close(vgpu.slot_doorbells[i].fd);
    /* Not there after a complete handshake (MADV_DONTFORK), but there in the middle of one. */
    if (vgpu.region)
        munmap(vgpu.region, IDM_REGION_BYTES);
    vgpu.socket = -1;
    vgpu.request_doorbell.fd = -1;
    vgpu.doorbells = 0;
    vgpu.region = NULL;
}

static void in_child(void)
{
    interop_after_fork();
    renew_locks();
    if (atomic_load(&vgpu.initialised)) {
        atomic_store(&vgpu.initialised, 0);
        atomic_store(&vgpu.state, VGPU_FORKED);
        leave_session();
    } else if (atomic_load(&vgpu.state) == VGPU_READY || atomic_load(&vgpu.attaching)) {
        leave_session();
        if (vgpu.window_base)
            munmap((void *)(uintptr_t)vgpu.window_base, VGPU_WINDOW_BYTES);
        vgpu.window_base = 0;
        atomic_store(&vgpu.attaching, 0);
        atomic_store(&vgpu.state, VGPU_NEW);
    }
}

__attribute__((constructor)) static void at_load(void)
{
    pthread_atfork(interop_before_fork, interop_after_fork, in_child);
}
