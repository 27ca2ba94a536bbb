/* SPDX-License-Identifier: Apache-2.0
 *
 * The address range of all device memory of the process.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "memory.h"

#if defined(__SANITIZE_THREAD__)
/* The thread sanitizer only knows memory near the stack and the heap. */
#define ARENA_LOWEST 0x7eb000000000ull
#define ARENA_HIGHEST 0x7ef000000000ull
#define ARENA_BYTES (64ull << 30)
#else
#define ARENA_LOWEST 0x110000000000ull
#define ARENA_HIGHEST 0x5e0000000000ull
#define ARENA_BYTES (1ull << 40)
#endif
#define ARENA_CHUNKS (ARENA_BYTES / CHUNK_BYTES)
#define ARENA_ALIGN (1ull << 30) /* so that aligned indices are aligned addresses */
#define PLACES_TRIED 64
#define HUGE_PAGE_FROM CHUNK_BYTES

pthread_rwlock_t memory_lock = PTHREAD_RWLOCK_INITIALIZER;

static uint64_t base;
static struct chunk *chunks;
static struct ranges free_chunks;

static uint64_t random_place(void)
{
    uint64_t number = 0;
    if (getrandom(&number, sizeof(number), 0) != (ssize_t)sizeof(number))
        number = now_ns() * 0x9e3779b97f4a7c15ull;
    uint64_t places = (ARENA_HIGHEST - ARENA_BYTES - ARENA_LOWEST) / ARENA_ALIGN;
    return ARENA_LOWEST + number % places * ARENA_ALIGN;
}

static int reserve(void)
{
    for (int i = 0; i < PLACES_TRIED; i++) {
        uint64_t place = random_place();
        void *got = mmap((void *)(uintptr_t)place, ARENA_BYTES, PROT_NONE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
        if (got == (void *)(uintptr_t)place) {
            base = place;
            return 0;
        }
        if (got != MAP_FAILED) /* a kernel that does not know MAP_FIXED_NOREPLACE */
            munmap(got, ARENA_BYTES);
    }
    return -ENOMEM;
}

int arena_open(void)
{
    if (base)
        return 0;
    void *table = mmap(NULL, ARENA_CHUNKS * sizeof(*chunks), PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (table == MAP_FAILED)
        return -ENOMEM;
    chunks = table;
    if (reserve() || ranges_give(&free_chunks, 0, ARENA_CHUNKS))
        return -ENOMEM;
    /* A child cannot use the device, and copying the page tables would make fork slow. */
    madvise((void *)(uintptr_t)base, ARENA_BYTES, MADV_DONTFORK);
    return 0;
}

uint64_t arena_base(void)
{
    return base;
}

uint64_t arena_bytes(void)
{
    return ARENA_BYTES;
}

int arena_contains(uint64_t address)
{
    return base && address - base < ARENA_BYTES;
}

struct chunk *arena_chunk(uint64_t address)
{
    return &chunks[(address - base) >> CHUNK_SHIFT];
}

static uint64_t chunks_of(uint64_t bytes)
{
    return (bytes + CHUNK_BYTES - 1) >> CHUNK_SHIFT;
}

int arena_take(uint64_t bytes, uint64_t align, uint64_t wanted, uint64_t *address)
{
    uint64_t index = (wanted - base) >> CHUNK_SHIFT, count = chunks_of(bytes);
    if (!bytes || bytes > ARENA_BYTES || align > ARENA_ALIGN)
        return -ENOMEM;
    int fixed = wanted && arena_contains(wanted) && wanted % (align > CHUNK_BYTES ? align : CHUNK_BYTES) == 0 &&
                ranges_take_at(&free_chunks, index, count) == 0;
    if (!fixed && ranges_take(&free_chunks, count, align > CHUNK_BYTES ? align >> CHUNK_SHIFT : 1, &index))
        return -ENOMEM;
    *address = base + (index << CHUNK_SHIFT);
    return 0;
}

void arena_give(uint64_t address, uint64_t bytes)
{
    uint64_t index = (address - base) >> CHUNK_SHIFT, count = chunks_of(bytes);
    memset(&chunks[index], 0, count * sizeof(*chunks));
    /* Without memory for the list these addresses are lost, nothing else. */
    (void)ranges_give(&free_chunks, index, count);
}

int arena_commit(uint64_t address, uint64_t bytes)
{
    void *start = (void *)(uintptr_t)address;
    if (mprotect(start, bytes, PROT_READ | PROT_WRITE) != 0)
        return -errno;
    if (bytes >= HUGE_PAGE_FROM)
        madvise(start, bytes, MADV_HUGEPAGE);
    return 0;
}

int arena_decommit(uint64_t address, uint64_t bytes)
{
    void *start = (void *)(uintptr_t)address;
    /* Drop the contents first: the next owner of the pages must read zeros. */
    if (madvise(start, bytes, MADV_DONTNEED) != 0 || mprotect(start, bytes, PROT_NONE) != 0)
        return -errno;
    return 0;
}
