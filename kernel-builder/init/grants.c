/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gntalloc's limit: how many pages the programs of this domain may grant. The kernel's default is
 * 1024, which is 4 MiB. Linux 6.1's gntalloc never recovers when the grant table itself is full,
 * so the limit stays below its size; disks, network and shares need the rest.
 *
 * A guest cannot ask Xen for the table's size: its kernel blocks hypercalls of user space. So it
 * is told, by the number that its configuration has as max_grant_frames.
 */
#include <stdio.h>
#include <stdlib.h>

#include "init.h"

enum {
    FRAMES_DEFAULT = 64, /* what xl gives a domain whose configuration does not say */
    FRAMES_MAX = 1 << 16,
    GRANTS_OF_FRAME = 4096 / 8,
    RESERVED_GRANTS = 4096, /* a busy disk takes about 1,000, a 9p share about 512 */
};

static const char LIMIT[] = "/sys/module/xen_gntalloc/parameters/limit";

static long frames_of_domain(void)
{
    char text[SETTING_BYTES_MAX], *end;
    if (!setting("grant-frames", text, sizeof text))
        return FRAMES_DEFAULT;
    long frames = strtol(text, &end, 10);
    if (!*end && frames > 0 && frames <= FRAMES_MAX)
        return frames;
    say("vgpu.grant-frames=%s is not the number that max_grant_frames is", text);
    return FRAMES_DEFAULT;
}

void set_grant_limit(void)
{
    char text[24];
    long all = frames_of_domain() * GRANTS_OF_FRAME;
    long reserved = all / 2 < RESERVED_GRANTS ? all / 2 : RESERVED_GRANTS;
    snprintf(text, sizeof text, "%ld", all - reserved);
    if (!put(LIMIT, text))
        complain("%s", LIMIT);
}
