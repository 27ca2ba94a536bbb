/* SPDX-License-Identifier: Apache-2.0
 *
 * Mapping at fixed addresses: the pinned window, and memory that the application has at the same place.
 */
#define _GNU_SOURCE
#include "mapping.h"

#include <errno.h>
#include <sys/mman.h>

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

static void *at(uint64_t address)
{
    return (void *)(uintptr_t)address;
}

static int claim(uint64_t address, uint64_t bytes)
{
    void *got = mmap(at(address), bytes, PROT_NONE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);

    if (got == MAP_FAILED)
        return -errno;
    if (got == at(address))
        return 0;
    munmap(got, bytes); /* a kernel before 4.17 takes the address for a hint */
    return -EEXIST;
}

int vx_window_reserve(uint64_t base, uint64_t bytes)
{
    return claim(base, bytes);
}

static int map_over(uint64_t address, uint64_t bytes, int fd)
{
    void *got = mmap(at(address), bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);

    return got == MAP_FAILED ? -errno : 0;
}

int vx_window_map(uint64_t address, uint64_t bytes, int fd)
{
    return map_over(address, bytes, fd);
}

int vx_window_unmap(uint64_t address, uint64_t bytes)
{
    void *got = mmap(at(address), bytes, PROT_NONE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);

    return got == MAP_FAILED ? -errno : 0;
}

int vx_map_new(uint64_t address, uint64_t bytes, int fd)
{
    int result = claim(address, bytes);

    return result ? result : map_over(address, bytes, fd);
}

int vx_unmap(uint64_t address, uint64_t bytes)
{
    return munmap(at(address), bytes) ? -errno : 0;
}
