/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gntalloc's limit: how many pages the programs of this domain may grant. The kernel's default is
 * 1024, which is 4 MiB. Linux 6.1's gntalloc never recovers when the grant table itself is full,
 * so the limit stays below its size; disks, network and shares need the rest.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "init.h"

enum {
    GRANT_TABLE_OP = 20,
    QUERY_SIZE = 6,
    GET_VERSION = 10,
    SELF = 0x7ff0,
    FRAME_BYTES = 4096,
    RESERVED_GRANTS = 4096, /* a busy disk takes about 1,000, a 9p share about 512 */
};

static const char LIMIT[] = "/sys/module/xen_gntalloc/parameters/limit";

/* include/uapi/xen/privcmd.h */
struct hypercall {
    uint64_t number, argument[5];
};
#define HYPERCALL _IOC(_IOC_NONE, 'P', 0, sizeof(struct hypercall))

/* xen/include/public/grant_table.h */
struct query_size {
    uint16_t domain;
    uint32_t frames, frames_max;
    int16_t status;
};
struct get_version {
    uint16_t domain, pad;
    uint32_t version;
};

static bool grant_table_op(unsigned operation, void *argument)
{
    struct hypercall call = {GRANT_TABLE_OP, {operation, (uintptr_t)argument, 1, 0, 0}};
    int device = open("/dev/xen/privcmd", O_RDWR | O_CLOEXEC);
    if (device < 0)
        return false;
    bool done = ioctl(device, HYPERCALL, &call) == 0;
    int why = errno;
    close(device);
    errno = why;
    return done;
}

/* What the domain can grant in all; 0 when Xen does not say. */
static long grants_of_domain(void)
{
    struct query_size size = {.domain = SELF};
    struct get_version version = {.domain = SELF};
    if (!grant_table_op(QUERY_SIZE, &size) || size.status) {
        complain("size of the grant table");
        return 0;
    }
    if (!grant_table_op(GET_VERSION, &version))
        version.version = 1; /* a hypervisor without version 2 */
    return (long)size.frames_max * (FRAME_BYTES / (version.version == 2 ? 16 : 8));
}

void set_grant_limit(void)
{
    char text[SETTING_BYTES_MAX];
    long all = grants_of_domain();
    if (!all)
        return;
    long most = all - (all / 2 < RESERVED_GRANTS ? all / 2 : RESERVED_GRANTS), limit = most;
    if (setting("grants", text, sizeof text)) {
        char *end;
        limit = strtol(text, &end, 10);
        if (*end || limit <= 0 || limit > most) {
            say("vgpu.grants=%s: this domain can have 1 to %ld; max_grant_frames in its"
                " configuration raises that", text, most);
            limit = most;
        }
    }
    snprintf(text, sizeof text, "%ld", limit);
    if (!put(LIMIT, text))
        complain("%s", LIMIT);
}
