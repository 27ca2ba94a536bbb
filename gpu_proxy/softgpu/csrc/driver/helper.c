/* SPDX-License-Identifier: Apache-2.0
 *
 * The compile helper: another process that needs memory and time of its own. Requests and responses follow each
 * other on a unix socket, one at a time; wire.py has the same structs.
 */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "module.h"

#define WIRE_MAGIC 0x53474332u
#define OBJECT_BYTES_MAX (1ull << 30)

struct request {
    uint32_t magic, kind, number, zero;
    uint64_t length;
};

struct response {
    uint32_t magic;
    int32_t status;
    uint64_t length;
};

static pthread_mutex_t helper_lock = PTHREAD_MUTEX_INITIALIZER;
static int helper_fd = -1;

extern char **environ;

/* The child's end keeps its number in the child: dup2 onto itself clears close-on-exec there. */
static int spawn_helper(int child_fd)
{
    char number[16];
    const char *python = getenv("VGPU_SOFTGPU_PYTHON");
    char *const arguments[] = {(char *)(uintptr_t)(python && *python ? python : "python3"), "-m",
                               "gpu_proxy.softgpu.compiler", "--fd", number, NULL};
    posix_spawn_file_actions_t actions;
    pid_t pid = 0;
    (void)snprintf(number, sizeof(number), "%d", child_fd);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, child_fd, child_fd);
    int result = posix_spawnp(&pid, arguments[0], &actions, NULL, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (result)
        driver_log("cannot start the compile helper %s: %s", arguments[0], strerror(result));
    return -result;
}

/* Used once: when the exchange has broken off, the number may have come to mean another file. */
static int take_inherited(const char *number)
{
    static int taken;
    int fd = atoi(number);
    if (taken || fd < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
        return -EBADF;
    taken = 1;
    return fd;
}

static int connect_helper(void)
{
    const char *inherited = getenv("VGPU_SOFTGPU_COMPILER_FD");
    if (inherited && *inherited)
        return take_inherited(inherited);
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        return -errno;
    int result = spawn_helper(pair[1]);
    close(pair[1]);
    if (!result)
        return pair[0];
    close(pair[0]);
    return result;
}

static int send_all(int fd, const void *data, size_t bytes)
{
    for (size_t done = 0; done < bytes;) {
        ssize_t sent = send(fd, (const char *)data + done, bytes - done, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            return -EPIPE;
        done += (size_t)sent;
    }
    return 0;
}

static int receive_all(int fd, void *data, size_t bytes)
{
    for (size_t done = 0; done < bytes;) {
        ssize_t got = recv(fd, (char *)data + done, bytes - done, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return -EPIPE;
        done += (size_t)got;
    }
    return 0;
}

/* The answer. *payload is malloc'ed: the object or the error text, terminated. */
static int receive(int fd, struct response *response, struct blob **payload)
{
    if (receive_all(fd, response, sizeof(*response)))
        return -EPIPE;
    if (response->magic != WIRE_MAGIC || response->length > OBJECT_BYTES_MAX)
        return -EPROTO;
    struct blob *blob = malloc(sizeof(*blob) + response->length + 1);
    if (!blob)
        return -ENOMEM;
    blob->bytes = response->length;
    if (receive_all(fd, blob->data, blob->bytes)) {
        free(blob);
        return -EPIPE;
    }
    blob->data[blob->bytes] = '\0';
    *payload = blob;
    return 0;
}

static int exchange(int fd, const struct request *request, const struct blob *image, struct response *response,
                    struct blob **payload)
{
    if (send_all(fd, request, sizeof(*request)) || send_all(fd, image->data, image->bytes))
        return -EPIPE;
    return receive(fd, response, payload);
}

/* A socket on which an exchange broke off is of no more use; the next request starts a new helper. */
CUresult helper_ask(enum helper_kind kind, size_t number, const struct blob *image, struct blob **payload)
{
    struct request request = {WIRE_MAGIC, kind, (uint32_t)number, 0, image->bytes};
    struct response response = {.status = CUDA_ERROR_JIT_COMPILER_NOT_FOUND};
    *payload = NULL;
    pthread_mutex_lock(&helper_lock);
    if (helper_fd < 0)
        helper_fd = connect_helper();
    if (helper_fd < 0) {
        helper_fd = -1;
    } else if (exchange(helper_fd, &request, image, &response, payload)) {
        close(helper_fd);
        helper_fd = -1;
    }
    pthread_mutex_unlock(&helper_lock);
    if (*payload)
        return (CUresult)response.status;
    driver_log("the compile helper (VGPU_SOFTGPU_PYTHON -m gpu_proxy.softgpu.compiler) did not answer");
    return CUDA_ERROR_JIT_COMPILER_NOT_FOUND;
}
