/* SPDX-License-Identifier: Apache-2.0
 *
 * A doorbell: how one side wakes the other when it sleeps. On one kernel it is an eventfd; between two domains
 * it is a port of an event channel, on a file of /dev/xen/evtchn. Both are polled in the same way.
 */
#ifndef IDM_BELL_H
#define IDM_BELL_H

#include <stdint.h>

struct idm_bell {
    int fd;         /* -1: there is none */
    uint32_t port;  /* local port of the event channel, or 0 for an eventfd (Xen never gives out port 0) */
};

/* Wake the peer. 0 or -errno; a doorbell that is rung already stays so. */
int idm_bell_ring(struct idm_bell bell);

/* Take back what was rung, so that poll sleeps again; look at the shared memory after this. 0 or -errno. */
int idm_bell_clear(struct idm_bell bell);

#endif
