/* SPDX-License-Identifier: Apache-2.0
 *
 * What the driver's test programs share: checks that name the line, a context, and a compile helper that
 * hands every image back as it is (the fake engine accepts anything).
 */
#ifndef DRIVER_CHECK_H
#define DRIVER_CHECK_H

#include <pthread.h>
#include <stdatomic.h>
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

struct request {
    uint32_t magic, kind, number, zero;
    uint64_t length;
};

struct response {
    uint32_t magic;
    int32_t status;
    uint64_t length;
};

enum { LOAD, KERNEL, FUNCTIONS, KINDS };

static _Atomic unsigned asked[KINDS]; /* requests that the helper has answered */
static _Atomic uint64_t last_bytes;   /* of the image in the last one */

static int starts_with(const char *image, size_t bytes, const char *word)
{
    return bytes >= strlen(word) && memcmp(image, word, strlen(word)) == 0;
}

static void answer(int fd, uint32_t magic, CUresult status, const void *data, size_t bytes)
{
    struct response response = {magic, (int32_t)status, bytes};
    CHECK(write(fd, &response, sizeof(response)) == sizeof(response));
    CHECK(write(fd, data, bytes) == (ssize_t)bytes);
}

/* An image is its own index, and code says only what it is. Images that start with "refuse" are refused, and so
 * is the code of those that start with "lazy bad". */
static void *echo_helper(void *argument)
{
    int fd = *(int *)argument;
    struct request head;
    while (read_exactly(fd, &head, sizeof(head)) == 0) {
        char *image = malloc(head.length + 1), code[32];
        CHECK(image && read_exactly(fd, image, head.length) == 0);
        CHECK(head.kind < KINDS);
        atomic_fetch_add(&asked[head.kind], 1);
        last_bytes = head.length;
        int length = snprintf(code, sizeof(code), head.kind == KERNEL ? "code %u" : "functions", head.number);
        if (starts_with(image, head.length, head.kind == LOAD ? "refuse" : "lazy bad"))
            answer(fd, head.magic, CUDA_ERROR_INVALID_PTX, "bad line", 8);
        else if (head.kind == LOAD)
            answer(fd, head.magic, CUDA_SUCCESS, image, head.length);
        else
            answer(fd, head.magic, CUDA_SUCCESS, code, (size_t)length);
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
