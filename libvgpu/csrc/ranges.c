/* SPDX-License-Identifier: Apache-2.0
 *
 * What the application's addresses are: device allocations, pinned and managed memory. Device addresses
 * are reserved in this process too, so that no other mapping can take them and pointer questions have one
 * answer.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vgpu.h"

VGPU_RWLOCK(lock);
static struct vgpu_range *ranges; /* sorted by base, disjoint */
static size_t count, capacity;
static uint64_t last_number;

static size_t upper_bound(uint64_t address)
{
    size_t low = 0, high = count;

    while (low < high) {
        size_t middle = (low + high) / 2;
        if (ranges[middle].base <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static int make_room(void)
{
    if (count < capacity)
        return 0;
    size_t wanted = capacity ? 2 * capacity : 256;
    struct vgpu_range *grown = realloc(ranges, wanted * sizeof *grown);
    if (!grown)
        return -ENOMEM;
    ranges = grown;
    capacity = wanted;
    return 0;
}

int vgpu_range_add(const struct vgpu_range *range)
{
    pthread_rwlock_wrlock(&lock);
    int result = make_room();
    if (result == 0) {
        size_t at = upper_bound(range->base);
        memmove(&ranges[at + 1], &ranges[at], (count - at) * sizeof *ranges);
        ranges[at] = *range;
        ranges[at].number = ++last_number;
        count++;
    }
    pthread_rwlock_unlock(&lock);
    return result;
}

int vgpu_range_remove(uint64_t base, struct vgpu_range *removed)
{
    int result = -ENOENT;

    pthread_rwlock_wrlock(&lock);
    size_t at = upper_bound(base);
    if (at > 0 && ranges[at - 1].base == base) {
        *removed = ranges[at - 1];
        memmove(&ranges[at - 1], &ranges[at], (count - at) * sizeof *ranges);
        count--;
        result = 0;
    }
    pthread_rwlock_unlock(&lock);
    return result;
}

int vgpu_range_find(uint64_t address, struct vgpu_range *found)
{
    int result = -ENOENT;

    pthread_rwlock_rdlock(&lock);
    size_t at = upper_bound(address);
    if (at > 0 && address - ranges[at - 1].base < ranges[at - 1].bytes) {
        *found = ranges[at - 1];
        result = 0;
    }
    pthread_rwlock_unlock(&lock);
    return result;
}

int vgpu_range_covers(uint64_t base, uint64_t bytes)
{
    struct vgpu_range range;

    return vgpu_range_find(base, &range) == 0 && bytes <= range.bytes - (base - range.base);
}

int vgpu_is_shared(const void *address, size_t bytes)
{
    struct vgpu_range range;
    uint64_t base = (uint64_t)(uintptr_t)address;

    return vgpu_range_find(base, &range) == 0 && range.kind != VGPU_DEVICE && range.kind != VGPU_RESERVED &&
           range.kind != VGPU_GLOBAL && bytes <= range.bytes - (base - range.base);
}

/* A context is gone, and its allocations with it. */
void vgpu_ranges_drop_context(uint64_t context)
{
    pthread_rwlock_wrlock(&lock);
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (ranges[i].context == context &&
            (ranges[i].kind == VGPU_DEVICE || ranges[i].kind == VGPU_GLOBAL)) {
            if (ranges[i].kind == VGPU_DEVICE)
                vgpu_release_pages(ranges[i].base, ranges[i].bytes);
            continue;
        }
        ranges[kept++] = ranges[i];
    }
    count = kept;
    pthread_rwlock_unlock(&lock);
}

/* --- Reserved pages: small allocations share pages, so each page counts its allocations. --- */

struct page_count {
    uint64_t page;
    uint32_t count;
};

VGPU_LOCK(pages_lock);
static struct page_count *shared_pages; /* pages that an allocation covers only partly; small, unsorted */
static size_t shared_count, shared_capacity;

enum { PAGE = 4096 };

static int map_none(uint64_t base, uint64_t bytes)
{
    void *got = mmap((void *)(uintptr_t)base, bytes, PROT_NONE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);

    if (got == MAP_FAILED)
        return -errno;
    if (got != (void *)(uintptr_t)base) { /* a kernel before 4.17 takes the address for a hint */
        munmap(got, bytes);
        return -EEXIST;
    }
    return 0;
}

static struct page_count *find_page(uint64_t page)
{
    for (size_t i = 0; i < shared_count; i++)
        if (shared_pages[i].page == page)
            return &shared_pages[i];
    return NULL;
}

static int hold_page(uint64_t page)
{
    struct page_count *held = find_page(page);

    if (held) {
        held->count++;
        return 0;
    }
    if (shared_count == shared_capacity) {
        size_t wanted = shared_capacity ? 2 * shared_capacity : 64;
        struct page_count *grown = realloc(shared_pages, wanted * sizeof *grown);
        if (!grown)
            return -ENOMEM;
        shared_pages = grown;
        shared_capacity = wanted;
    }
    int result = map_none(page, PAGE);
    if (result == 0)
        shared_pages[shared_count++] = (struct page_count){page, 1};
    return result;
}

static void drop_page(uint64_t page)
{
    struct page_count *held = find_page(page);

    if (held && --held->count == 0) {
        munmap((void *)(uintptr_t)page, PAGE);
        *held = shared_pages[--shared_count];
    }
}

/* Split into pages that the allocation has alone, and at most two that it may share. */
struct span {
    uint64_t whole, whole_end, first, last; /* first, last: pages held by count, or 0 */
};

static struct span span_of(uint64_t base, uint64_t bytes)
{
    uint64_t end = base + bytes;
    struct span span = {(base + PAGE - 1) & ~(uint64_t)(PAGE - 1), end & ~(uint64_t)(PAGE - 1), 0, 0};

    if (base % PAGE)
        span.first = base & ~(uint64_t)(PAGE - 1);
    if (end % PAGE && (end & ~(uint64_t)(PAGE - 1)) != span.first)
        span.last = end & ~(uint64_t)(PAGE - 1);
    if (span.whole_end < span.whole)
        span.whole_end = span.whole;
    return span;
}

int vgpu_reserve_pages(uint64_t base, uint64_t bytes)
{
    struct span span = span_of(base, bytes);
    int result = 0;

    pthread_mutex_lock(&pages_lock);
    if (span.whole_end > span.whole)
        result = map_none(span.whole, span.whole_end - span.whole);
    if (result == 0 && span.first && (result = hold_page(span.first)) && span.whole_end > span.whole)
        munmap((void *)(uintptr_t)span.whole, span.whole_end - span.whole);
    if (result == 0 && span.last && (result = hold_page(span.last))) {
        if (span.whole_end > span.whole)
            munmap((void *)(uintptr_t)span.whole, span.whole_end - span.whole);
        if (span.first)
            drop_page(span.first);
    }
    pthread_mutex_unlock(&pages_lock);
    return result;
}

void vgpu_release_pages(uint64_t base, uint64_t bytes)
{
    struct span span = span_of(base, bytes);

    pthread_mutex_lock(&pages_lock);
    if (span.whole_end > span.whole)
        munmap((void *)(uintptr_t)span.whole, span.whole_end - span.whole);
    if (span.first)
        drop_page(span.first);
    if (span.last)
        drop_page(span.last);
    pthread_mutex_unlock(&pages_lock);
}
