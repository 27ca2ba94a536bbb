/* SPDX-License-Identifier: Apache-2.0
 *
 * Compiling images: they go to the compile helper, another process that needs memory and time of its own,
 * over a unix socket. Requests and responses follow each other on it, one at a time.
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

#define WIRE_MAGIC 0x53474331u
#define OBJECT_BYTES_MAX (1ull << 30)

struct request {
    uint32_t magic, flags;
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

/* One exchange. *payload is malloc'ed: the object or the error text. */
static int exchange(int fd, const void *image, size_t bytes, struct response *response, struct code **payload)
{
    struct request request = {WIRE_MAGIC, 0, bytes};
    if (send_all(fd, &request, sizeof(request)) || send_all(fd, image, bytes) ||
        receive_all(fd, response, sizeof(*response)))
        return -EPIPE;
    if (response->magic != WIRE_MAGIC || response->length > OBJECT_BYTES_MAX)
        return -EPROTO;
    struct code *code = malloc(sizeof(*code) + response->length + 1);
    if (!code)
        return -ENOMEM;
    atomic_init(&code->references, 1);
    code->bytes = response->length;
    if (receive_all(fd, code->data, code->bytes)) {
        free(code);
        return -EPIPE;
    }
    code->data[code->bytes] = '\0';
    *payload = code;
    return 0;
}

/* A socket on which an exchange broke off is of no more use; the next compilation starts a new helper. */
static CUresult ask_helper(const void *image, size_t bytes, struct response *response, struct code **payload)
{
    CUresult result = CUDA_SUCCESS;
    pthread_mutex_lock(&helper_lock);
    if (helper_fd < 0)
        helper_fd = connect_helper();
    if (helper_fd < 0) {
        helper_fd = -1;
        result = CUDA_ERROR_JIT_COMPILER_NOT_FOUND;
    } else if (exchange(helper_fd, image, bytes, response, payload)) {
        close(helper_fd);
        helper_fd = -1;
        result = CUDA_ERROR_JIT_COMPILER_NOT_FOUND;
    }
    pthread_mutex_unlock(&helper_lock);
    if (result)
        driver_log("the compile helper (VGPU_SOFTGPU_PYTHON -m gpu_proxy.softgpu.compiler) did not answer");
    return result;
}

static void report(struct jit_log *log, const char *text, size_t bytes)
{
    driver_log("%.*s", (int)(bytes < 900 ? bytes : 900), text);
    if (!log || !log->error || !log->error_bytes)
        return;
    size_t kept = bytes < log->error_bytes - 1 ? bytes : log->error_bytes - 1;
    memcpy(log->error, text, kept);
    log->error[kept] = '\0';
    if (log->error_size_slot)
        *log->error_size_slot = (void *)(uintptr_t)(kept + 1);
}

CUresult code_compile_bytes(const void *data, size_t bytes, struct jit_log *log, struct code **code)
{
    struct response response;
    struct code *payload = NULL;
    if (log && log->info_size_slot)
        *log->info_size_slot = NULL;
    TRY(ask_helper(data, bytes, &response, &payload));
    if (response.status == 0) {
        if (log && log->error_size_slot)
            *log->error_size_slot = NULL;
        *code = payload;
        return CUDA_SUCCESS;
    }
    report(log, (const char *)payload->data, payload->bytes);
    free(payload);
    return (CUresult)response.status;
}

CUresult code_compile(const void *image, struct jit_log *log, struct code **code)
{
    const void *start = NULL;
    size_t bytes = 0;
    TRY(image_bytes(image, &start, &bytes));
    return code_compile_bytes(start, bytes, log, code);
}

void code_put(struct code *code)
{
    if (atomic_fetch_sub(&code->references, 1) == 1)
        free(code);
}

CUresult code_open(const struct code *code, struct sg_image **image)
{
    char error[SG_ERROR_BYTES] = "";
    int result = sg_image_load(code->data, code->bytes, image, error);
    if (!result)
        return CUDA_SUCCESS;
    driver_log("%s", error[0] ? error : strerror(-result));
    return result == -ENOMEM ? CUDA_ERROR_OUT_OF_MEMORY : CUDA_ERROR_INVALID_IMAGE;
}
