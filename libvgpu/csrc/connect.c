/* SPDX-License-Identifier: Apache-2.0
 *
 * Attaching to the zone's back end: find the socket, shake hands, map what comes back.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <glob.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "vgpu.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

enum { FIXED_FDS = 2, WELCOME_FDS = FIXED_FDS + 1 + IDM_DOORBELLS, WINDOW_TRIES = 8, PATH_BYTES = 256, ANSWER_MS = 30000 };

struct vgpu_process vgpu = {
    .attach = PTHREAD_MUTEX_INITIALIZER,
    .ring = PTHREAD_MUTEX_INITIALIZER,
    .socket = -1,
    .request_doorbell = {.fd = -1},
};

/* The one match of a pattern. 0, -ENOENT, or -E2BIG after listing what there is. */
static int find_socket(const char *pattern, char path[PATH_BYTES])
{
    glob_t found;
    int result = -ENOENT;

    if (glob(pattern, GLOB_BRACE, NULL, &found) == 0) {
        if (found.gl_pathc == 1 && strlen(found.gl_pathv[0]) < PATH_BYTES) {
            strcpy(path, found.gl_pathv[0]);
            result = 0;
        } else {
            result = -E2BIG;
            for (size_t i = 0; i < found.gl_pathc; i++)
                vgpu_log(VGPU_ERROR, "found %s", found.gl_pathv[i]);
            vgpu_log(VGPU_ERROR, "more than one zone: name one socket in VGPU_SOCKET");
        }
    }
    globfree(&found);
    return result;
}

static int socket_path(char path[PATH_BYTES])
{
    const char *given = getenv("VGPU_SOCKET");
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    char pattern[PATH_BYTES];

    if (given && *given) {
        if (strlen(given) >= PATH_BYTES) {
            vgpu_log(VGPU_ERROR, "VGPU_SOCKET is longer than %d bytes", PATH_BYTES - 1);
            return -ENAMETOOLONG;
        }
        strcpy(path, given);
        return 0;
    }
    /* In a pod domain the zone's agent has the first; elsewhere each zone has a directory. */
    int result = find_socket("/run/vgpu/{,*/}" IDM_SOCKET_NAME, path);
    if (result == -ENOENT && runtime && *runtime) {
        snprintf(pattern, sizeof pattern, "%s/vgpu/*/" IDM_SOCKET_NAME, runtime);
        result = find_socket(pattern, path);
    }
    if (result == -ENOENT)
        vgpu_log(VGPU_ERROR,
                 "no back end: VGPU_SOCKET is not set, and there is no /run/vgpu/{,*/}" IDM_SOCKET_NAME
                 " and no $XDG_RUNTIME_DIR/vgpu/*/" IDM_SOCKET_NAME);
    return result;
}

static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int made = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    if (made < 0 || strlen(path) >= sizeof address.sun_path) {
        vgpu_log(VGPU_ERROR, "cannot reach the back end at %s: the path is too long or sockets fail", path);
        if (made >= 0)
            close(made);
        return -ENAMETOOLONG;
    }
    strcpy(address.sun_path, path);
    int error;
    do
        error = connect(made, (const struct sockaddr *)&address, sizeof address) == 0 ? 0 : errno;
    while (error == EINTR);
    if (error == 0)
        return made;
    close(made);
    vgpu_log(VGPU_ERROR, "cannot reach the back end at %s: %s", path, strerror(error));
    return -error;
}

/* Reserve address space for pinned memory, far from where libraries and the heap grow. */
static uint64_t reserve_window(unsigned attempt)
{
    for (unsigned i = 0; i < 64; i++) {
        uint64_t base = ((uint64_t)(0x10 + (attempt * 7 + i) % 0x38) << 40) | (uint64_t)(i + attempt) << 32;
        void *got = mmap((void *)(uintptr_t)base, VGPU_WINDOW_BYTES, PROT_NONE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
        if (got == (void *)(uintptr_t)base)
            return base;
        if (got != MAP_FAILED)
            munmap(got, VGPU_WINDOW_BYTES);
    }
    return 0;
}

static int send_hello(int socket_fd, uint64_t window)
{
    struct idm_hello hello = {.type = IDM_MSG_HELLO, .magic = IDM_MAGIC, .version_min = IDM_VERSION,
                              .version_max = IDM_VERSION, .window_base = window,
                              .window_bytes = VGPU_WINDOW_BYTES};

    snprintf(hello.program, sizeof hello.program, "%s", program_invocation_short_name);
    return send(socket_fd, &hello, sizeof hello, MSG_NOSIGNAL) == sizeof hello ? 0 : -errno;
}

/* One message with its descriptors. Its length, or -errno. */
static ssize_t receive(int socket_fd, void *buffer, size_t bytes, int fds[], int *fd_count)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int) * WELCOME_FDS)];
        struct cmsghdr align;
    } control;
    struct iovec part = {buffer, bytes};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    ssize_t length;

    do
        length = recvmsg(socket_fd, &message, MSG_CMSG_CLOEXEC);
    while (length < 0 && errno == EINTR);
    *fd_count = 0;
    if (length < 0)
        return -errno;
    for (struct cmsghdr *part_of = CMSG_FIRSTHDR(&message); part_of; part_of = CMSG_NXTHDR(&message, part_of))
        if (part_of->cmsg_level == SOL_SOCKET && part_of->cmsg_type == SCM_RIGHTS) {
            *fd_count = (int)((part_of->cmsg_len - CMSG_LEN(0)) / sizeof(int));
            memcpy(fds, CMSG_DATA(part_of), (size_t)*fd_count * sizeof(int));
        }
    return length;
}

union answer {
    uint32_t type;
    struct idm_welcome welcome;
    struct idm_refused refused;
    struct idm_memory memory;
};

static void *map_shared(int fd, size_t bytes, int protection)
{
    struct stat status;

    /* Granted pages are a device's: it maps all of them or nothing. */
    if (fstat(fd, &status) != 0 || (!S_ISCHR(status.st_mode) && (uint64_t)status.st_size < bytes))
        return NULL;
    void *mapped = mmap(NULL, bytes, protection, MAP_SHARED, fd, 0);
    return mapped == MAP_FAILED ? NULL : mapped;
}

static int snapshot_is_sane(const struct idm_snapshot *snapshot, uint64_t bytes)
{
    return snapshot->magic == IDM_MAGIC && snapshot->device_count >= 0 &&
           snapshot->device_count <= IDM_DEVICES_MAX &&
           bytes >= sizeof *snapshot + (size_t)snapshot->device_count * sizeof snapshot->devices[0];
}

static int take_welcome(const struct idm_welcome *welcome, const int fds[], int fd_count)
{
    if (welcome->version != IDM_VERSION || welcome->doorbells > IDM_DOORBELLS ||
        fd_count != FIXED_FDS + 1 + (int)welcome->doorbells || welcome->snapshot_bytes < sizeof(struct idm_snapshot) || welcome->snapshot_bytes > (1u << 24))
        return -EPROTO;
    vgpu.region = map_shared(fds[0], IDM_REGION_BYTES, PROT_READ | PROT_WRITE);
    vgpu.snapshot = map_shared(fds[1], welcome->snapshot_bytes, PROT_READ);
    close(fds[0]);
    close(fds[1]);
    if (!vgpu.region || !vgpu.snapshot || !snapshot_is_sane(vgpu.snapshot, welcome->snapshot_bytes))
        return -EPROTO;
    /* A forked child must never touch its parent's ring. */
    madvise(vgpu.region, IDM_REGION_BYTES, MADV_DONTFORK);
    vgpu.request_doorbell = (struct idm_bell){fds[FIXED_FDS], welcome->ports[0]};
    vgpu.doorbells = welcome->doorbells;
    for (unsigned i = 0; i < vgpu.doorbells; i++)
        vgpu.slot_doorbells[i] = (struct idm_bell){fds[FIXED_FDS + 1 + i], welcome->ports[1 + i]};
    vgpu.front = (struct idm_front *)(vgpu.region + IDM_FRONT_AT);
    vgpu.back = (const struct idm_back *)(vgpu.region + IDM_BACK_AT);
    vgpu.stream_works = atomic_load_explicit(&vgpu.back->stream_works, memory_order_acquire);
    vgpu.session = welcome->session;
    snprintf(vgpu.zone, sizeof vgpu.zone, "%.63s", welcome->zone);
    idm_producer_init(&vgpu.producer, vgpu.region);
    return 0;
}

/* A poll that signals do not cut short. */
static int poll_for(struct pollfd *wait, int milliseconds)
{
    struct timespec start, now;
    int left = milliseconds, ready;

    clock_gettime(CLOCK_MONOTONIC, &start);
    while ((ready = poll(wait, 1, left)) < 0 && errno == EINTR) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        int64_t passed = (now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000;
        left = passed < milliseconds ? (int)(milliseconds - passed) : 0;
    }
    return ready;
}

/* One try at a session. 0, -EAGAIN when another window is wanted, or -errno after saying why. */
static int shake_hands(const char *path, unsigned attempt)
{
    union answer answer;
    int fds[WELCOME_FDS], fd_count = 0;
    int made = connect_to(path);

    if (made < 0)
        return made;
    uint64_t window = reserve_window(attempt);
    vgpu.socket = made; /* at once, for a child that is forked meanwhile */
    vgpu.window_base = window;
    struct pollfd wait = {.fd = made, .events = POLLIN};
    int result = window ? send_hello(made, window) : -ENOMEM;
    ssize_t length = -ETIMEDOUT;
    memset(&answer, 0, sizeof answer);
    if (result == 0 && poll_for(&wait, ANSWER_MS) == 1)
        length = receive(made, &answer, sizeof answer, fds, &fd_count);
    if (length >= (ssize_t)sizeof answer.welcome && answer.type == IDM_MSG_WELCOME) {
        result = take_welcome(&answer.welcome, fds, fd_count);
    } else if (length >= (ssize_t)sizeof answer.refused && answer.type == IDM_MSG_REFUSED) {
        result = answer.refused.reason == IDM_REFUSED_WINDOW ? -EAGAIN : -ECONNREFUSED;
        if (result != -EAGAIN)
            vgpu_log(VGPU_ERROR, "the back end at %s refused the session: %.*s", path,
                     (int)sizeof answer.refused.text - 1, answer.refused.text);
    } else if (result == 0) {
        result = length < 0 ? (int)length : -ECONNRESET;
        vgpu_log(VGPU_ERROR, "the back end at %s did not answer: %s", path, strerror(-result));
    }
    if (result == -EPROTO)
        vgpu_log(VGPU_ERROR, "the back end at %s speaks another protocol", path);
    if (result != 0) {
        if (window)
            munmap((void *)(uintptr_t)window, VGPU_WINDOW_BYTES);
        close(made);
        vgpu.socket = -1;
        vgpu.window_base = 0;
    }
    return result;
}

static CUresult attach_locked(void)
{
    char path[PATH_BYTES];
    int result = socket_path(path);

    for (unsigned attempt = 0; result == 0 && attempt < WINDOW_TRIES; attempt++) {
        result = shake_hands(path, attempt);
        if (result != -EAGAIN)
            break;
        result = 0;
    }
    if (result != 0 || !vgpu.region) {
        /* Said once: a runtime asks again and again, and the answer would be the same. */
        vgpu.failure = CUDA_ERROR_NO_DEVICE;
        atomic_store(&vgpu.state, VGPU_FAILED);
        return vgpu.failure;
    }
    vgpu_read_environment();
    atomic_store(&vgpu.state, VGPU_READY);
    vgpu_send_environment();
    vgpu_log(VGPU_INFO, "zone %s, session %llu, %d device(s)", vgpu.zone,
             (unsigned long long)vgpu.session, vgpu.device_count);
    return CUDA_SUCCESS;
}

CUresult vgpu_attach(void)
{
    CUresult status = CUDA_SUCCESS;

    switch (atomic_load_explicit(&vgpu.state, memory_order_acquire)) {
    case VGPU_READY:
        return CUDA_SUCCESS;
    case VGPU_FORKED:
        return CUDA_ERROR_NOT_INITIALIZED;
    case VGPU_FAILED:
        return vgpu.failure;
    default:
        break;
    }
    pthread_mutex_lock(&vgpu.attach);
    if (atomic_load(&vgpu.state) == VGPU_NEW) {
        atomic_store(&vgpu.attaching, 1);
        status = attach_locked();
        atomic_store(&vgpu.attaching, 0);
    } else if (atomic_load(&vgpu.state) == VGPU_FAILED) {
        status = vgpu.failure;
    }
    pthread_mutex_unlock(&vgpu.attach);
    return status;
}

int vgpu_session_alive(void)
{
    struct pollfd wait = {.fd = vgpu.socket, .events = POLLRDHUP};

    if (atomic_load(&vgpu.dead))
        return 0;
    return poll(&wait, 1, 0) <= 0 || !(wait.revents & (POLLHUP | POLLRDHUP | POLLERR));
}

CUresult vgpu_died(const char *what)
{
    int alive = 0;

    if (atomic_compare_exchange_strong(&vgpu.dead, &alive, VGPU_CODE_DEAD))
        vgpu_log(VGPU_ERROR, "the session with zone %s is over: %s", vgpu.zone, what);
    return (CUresult)VGPU_CODE_DEAD;
}

/* Pinned memory arrives as a descriptor on the socket, before the call that asked for it is answered. */
VGPU_LOCK(memory_lock);
static struct early { uint64_t token, bytes; int fd; } early[64]; /* for threads that come later */

static int take_early(uint64_t token, uint64_t bytes)
{
    for (size_t i = 0; i < sizeof early / sizeof *early; i++)
        if (early[i].token == token && token) {
            early[i].token = 0;
            if (early[i].bytes == bytes)
                return early[i].fd;
            close(early[i].fd);
            return -EPROTO;
        }
    return -ENOENT;
}

static void keep_early(uint64_t token, uint64_t bytes, int fd)
{
    struct early *place = &early[0];

    for (size_t i = 1; i < sizeof early / sizeof *early; i++)
        if (early[i].token < place->token)
            place = &early[i];
    /* The oldest is of a call that failed later on; those that are waited for are younger. */
    if (place->token)
        close(place->fd);
    *place = (struct early){token, bytes, fd};
}

int vgpu_receive_memory(uint64_t token, uint64_t bytes)
{
    int result;

    pthread_mutex_lock(&memory_lock);
    while ((result = take_early(token, bytes)) == -ENOENT) {
        union answer answer;
        int fds[WELCOME_FDS], fd_count = 0;
        memset(&answer, 0, sizeof answer);
        ssize_t length = receive(vgpu.socket, &answer, sizeof answer, fds, &fd_count);
        if (length != sizeof answer.memory || answer.type != IDM_MSG_MEMORY || fd_count != 1) {
            result = -EPROTO;
            break;
        }
        keep_early(answer.memory.token, answer.memory.bytes, fds[0]);
    }
    pthread_mutex_unlock(&memory_lock);
    return result;
}
