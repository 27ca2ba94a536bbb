/* SPDX-License-Identifier: Apache-2.0 */
/* xenstore's wire protocol (xen/include/public/io/xs_wire.h) over the guest's device. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "init.h"

enum { XS_DIRECTORY = 1, XS_READ = 2, XS_ERROR = 16, PAYLOAD_BYTES_MAX = 4096 };

struct header {
    uint32_t kind, request, transaction, length;
};

static const char DEVICE[] = "/dev/xen/xenbus";

static bool read_all(int device, void *to, size_t length)
{
    char *at = to;
    while (length) {
        ssize_t got = read(device, at, length);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        at += got;
        length -= (size_t)got;
    }
    return true;
}

static bool exchange(int device, uint32_t kind, const char *path, char *answer, size_t *length)
{
    struct header header = {.kind = kind, .length = (uint32_t)strlen(path) + 1};
    if (write(device, &header, sizeof header) != (ssize_t)sizeof header)
        return false;
    if (write(device, path, header.length) != (ssize_t)header.length)
        return false;
    if (!read_all(device, &header, sizeof header) || header.length > PAYLOAD_BYTES_MAX)
        return false;
    if (!read_all(device, answer, header.length))
        return false;
    *length = header.length;
    return header.kind != XS_ERROR;
}

/* One request on a connection of its own: a start asks a dozen times, and nothing is left open. */
static bool ask(uint32_t kind, const char *path, char *value, size_t size, size_t ends)
{
    char answer[PAYLOAD_BYTES_MAX];
    size_t length = 0;
    int device = open(DEVICE, O_RDWR | O_CLOEXEC);
    if (device < 0)
        return false;
    bool done = exchange(device, kind, path, answer, &length) && length + ends <= size;
    close(device);
    if (!done)
        return false;
    memcpy(value, answer, length);
    memset(value + length, 0, ends);
    return true;
}

bool store_read(const char *path, char *value, size_t size)
{
    return ask(XS_READ, path, value, size, 1);
}

bool store_list(const char *path, char *names, size_t size)
{
    return ask(XS_DIRECTORY, path, names, size, 1);
}
