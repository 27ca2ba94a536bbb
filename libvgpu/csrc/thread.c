/* SPDX-License-Identifier: Apache-2.0
 *
 * What each thread of the application has: a number, a stack of contexts, its counters.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vgpu.h"

/* Initial-exec keeps this at one load; it is one pointer, so it fits the space that libc keeps for
 * libraries that are opened late. */
static _Thread_local struct vgpu_thread *self __attribute__((tls_model("initial-exec")));
static struct vgpu_thread *_Atomic all_threads;
static _Atomic uint32_t last_number;
static struct vgpu_thread spare; /* when memory is exhausted: shared, so contexts may mix, but no crash */

struct vgpu_thread *vgpu_self(void)
{
    if (__builtin_expect(self != NULL, 1))
        return self;
    struct vgpu_thread *made = calloc(1, sizeof *made);
    if (!made)
        return &spare;
    made->number = atomic_fetch_add(&last_number, 1) + 1;
    made->next = atomic_load(&all_threads);
    while (!atomic_compare_exchange_weak(&all_threads, &made->next, made))
        continue;
    self = made;
    return made;
}

/* One JSON line in the file that VGPU_STATS names: the front end's side of the account. */
void vgpu_report_counters(void)
{
    struct vgpu_counters sum = {0};
    const char *path = getenv("VGPU_STATS");

    if (atomic_load(&vgpu.state) != VGPU_READY || !path || !*path)
        return;
    for (const struct vgpu_thread *thread = atomic_load(&all_threads); thread; thread = thread->next) {
        sum.local += thread->counters.local;
        sum.posted += thread->counters.posted;
        sum.forwarded += thread->counters.forwarded;
        sum.bytes_in += thread->counters.bytes_in;
        sum.bytes_out += thread->counters.bytes_out;
        sum.wait_ns += thread->counters.wait_ns;
    }
    FILE *file = fopen(path, "ae");
    if (!file) {
        vgpu_log(VGPU_WARNING, "VGPU_STATS: cannot write %s", path);
        return;
    }
    fprintf(file,
            "{\"pid\": %d, \"zone\": \"%s\", \"session\": %llu, \"device\": \"%s\", \"local\": %llu, "
            "\"posted\": %llu, \"forwarded\": %llu, \"bytes_in\": %llu, \"bytes_out\": %llu, "
            "\"wait_seconds\": %.6f}\n",
            (int)getpid(), vgpu.zone, (unsigned long long)vgpu.session,
            vgpu.device_count ? vgpu_device(0)->name : "", (unsigned long long)sum.local,
            (unsigned long long)sum.posted, (unsigned long long)sum.forwarded,
            (unsigned long long)sum.bytes_in, (unsigned long long)sum.bytes_out,
            (double)sum.wait_ns / 1e9);
    fclose(file);
}
