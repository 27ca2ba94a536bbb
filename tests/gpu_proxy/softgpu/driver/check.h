/* SPDX-License-Identifier: Apache-2.0
 *
 * What the driver's test programs share: checks that name the line, a context, and a compile helper that
 * hands every image back as it is (the fake engine accepts anything).
 */
#ifndef DRIVER_CHECK_H
#define DRIVER_CHECK_H

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "cuda_abi.h"
#include "api_prototypes.h"

#define WANT(result, call)                                                                                   \
    do {                                                                                                     \
        CUresult got_ = (call);                                                                              \
        if (got_ != (result)) {                                                                              \
            fprintf(stderr, "%s:%d: %s gave %d, not %d\n", __FILE__, __LINE__, #call, (int)got_, (int)(result)); \
            exit(1);                                                                                         \
        }                                                                                                    \
    } while (0)
#define OK(call) WANT(CUDA_SUCCESS, call)
#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                  \
            exit(1);                                                                                         \
        }                                                                                                    \
    } while (0)

static inline int read_exactly(int fd, void *data, size_t bytes)
{
    for (size_t done = 0; done < bytes;) {
        ssize_t got = read(fd, (char *)data + done, bytes - done);
        if (got <= 0)
            return -1;
        done += (size_t)got;
    }
    return 0;
}

struct wire {
    uint32_t magic;
    int32_t status;
    uint64_t length;
};

/* An image that starts with "refuse" is answered with an error text. */
static void *echo_helper(void *argument)
{
    int fd = *(int *)argument;
    struct wire head;
    while (read_exactly(fd, &head, sizeof(head)) == 0) {
        char *image = malloc(head.length + 1);
        CHECK(image && read_exactly(fd, image, head.length) == 0);
        int refuse = head.length > 6 && memcmp(image, "refuse", 6) == 0;
        struct wire answer = {head.magic, refuse ? CUDA_ERROR_INVALID_PTX : 0, refuse ? 8 : head.length};
        CHECK(write(fd, &answer, sizeof(answer)) == sizeof(answer));
        CHECK(write(fd, refuse ? "bad line" : image, answer.length) == (ssize_t)answer.length);
        free(image);
    }
    return NULL;
}

static inline void start_helper(void)
{
    static int pair[2];
    char number[16];
    pthread_t thread;
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    CHECK(pthread_create(&thread, NULL, echo_helper, &pair[0]) == 0);
    (void)snprintf(number, sizeof(number), "%d", pair[1]);
    setenv("VGPU_SOFTGPU_COMPILER_FD", number, 1);
}

static inline CUcontext start(void)
{
    CUcontext context = NULL;
    start_helper();
    OK(cuInit(0));
    OK(cuDevicePrimaryCtxRetain(&context, 0));
    OK(cuCtxSetCurrent(context));
    return context;
}

static inline CUmodule load_module(void)
{
    CUmodule module = NULL;
    OK(cuModuleLoadData(&module, ".version 8.0\n"));
    return module;
}

static inline CUfunction get(CUmodule module, const char *name)
{
    CUfunction function = NULL;
    OK(cuModuleGetFunction(&function, module, name));
    return function;
}

static inline CUresult launch1(CUfunction function, CUstream stream, void *param)
{
    void *params[] = {param};
    return cuLaunchKernel(function, 1, 1, 1, 32, 1, 1, 0, stream, params, NULL);
}

static inline CUresult fill(CUfunction function, CUstream stream, CUdeviceptr at, uint32_t value, uint32_t count)
{
    void *params[] = {&at, &value, &count};
    return cuLaunchKernel(function, 1, 1, 1, 32, 1, 1, 0, stream, params, NULL);
}

static inline uint32_t word_at(CUdeviceptr at)
{
    uint32_t word = 0;
    OK(cuMemcpyDtoH_v2(&word, at, sizeof(word)));
    return word;
}

static inline void sleep_ms(long ms)
{
    struct timespec pause = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&pause, NULL);
}

#endif
