/* SPDX-License-Identifier: Apache-2.0 */
#include "bell.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Xen's interface for event channels: IOCTL_EVTCHN_NOTIFY, type 'E', number 4, one word. */
#define EVTCHN_NOTIFY _IOC(_IOC_NONE, 'E', 4, sizeof(uint32_t))

enum { PORTS_AT_ONCE = 16 };

int idm_bell_ring(struct idm_bell bell)
{
    uint64_t one = 1;
    uint32_t port = bell.port;

    if (bell.port)
        return ioctl(bell.fd, EVTCHN_NOTIFY, &port) < 0 ? -errno : 0;
    /* A full eventfd already wakes its owner. */
    return write(bell.fd, &one, sizeof one) < 0 && errno != EAGAIN ? -errno : 0;
}

/* Reading a port masks it; writing it back lets it fire again. */
static int clear_ports(int fd)
{
    uint32_t ports[PORTS_AT_ONCE];
    ssize_t length;

    while ((length = read(fd, ports, sizeof ports)) > 0)
        if (write(fd, ports, (size_t)length) < 0)
            return -errno;
    return length < 0 && errno != EAGAIN ? -errno : 0;
}

int idm_bell_clear(struct idm_bell bell)
{
    uint64_t count;

    if (bell.port)
        return clear_ports(bell.fd);
    return read(bell.fd, &count, sizeof count) < 0 && errno != EAGAIN ? -errno : 0;
}
