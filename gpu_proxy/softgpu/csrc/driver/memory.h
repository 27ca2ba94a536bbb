/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory that kernels may use: the arena (device memory) and registered host memory.
 *
 * The arena is one reserved range of addresses, cut into chunks of 2 MiB. Pages that belong to no allocation
 * are inaccessible, so a stray access faults. A table with one entry a chunk says what an address belongs to.
 */
#ifndef SOFTGPU_MEMORY_H
#define SOFTGPU_MEMORY_H

#include "driver.h"

#define CHUNK_SHIFT 21
#define CHUNK_BYTES (1ull << CHUNK_SHIFT)
#define PAGE_BYTES 4096ull

enum {
    HOST_RANGES_MAX = 65536,   /* pinned and registered ranges at a time */
    DEVICE_ALIGN = 256,
    SLAB_SLOT_MAX = 128 << 10, /* larger allocations have chunks of their own */
};

enum memory_kind {
    MEMORY_NONE = 0,
    MEMORY_DEVICE,
    MEMORY_POOL,       /* cuMemAllocAsync and friends */
    MEMORY_MAPPED,     /* cuMemMap */
    MEMORY_HOST,       /* cuMemHostAlloc */
    MEMORY_REGISTERED, /* cuMemHostRegister */
    MEMORY_MANAGED,
    MEMORY_GRAPH,      /* of a graph's allocation node */
};

struct pool;

/* What is known about an allocation; handed out by value, so that nobody keeps a pointer to a freed one. */
struct allocation {
    uint64_t address;
    size_t bytes;
    size_t charged;          /* what it counts against the device */
    enum memory_kind kind;
    unsigned flags;
    int readable, writable;
    uint64_t id;
    struct device *device;
    struct context *context; /* not counted; only compared and looked up by identity */
    uint64_t context_handle;
    uint64_t pool_handle;
    struct pool *pool;       /* that was charged for it; counted, and only memory_release looks at it */
    int freeing;             /* a stream-ordered free is queued */
};

/* ranges.c: free ranges of numbers, sorted and joined. Callers lock. */
struct range {
    uint64_t start, count;
};
struct ranges {
    struct range *items;
    size_t used, room;
};
int ranges_give(struct ranges *ranges, uint64_t start, uint64_t count);
int ranges_take(struct ranges *ranges, uint64_t count, uint64_t align, uint64_t *start);
int ranges_take_at(struct ranges *ranges, uint64_t start, uint64_t count);

/* arena.c */
struct mapping; /* a piece of a VMM reservation, vmm.c */
struct slab;

enum chunk_kind { CHUNK_FREE = 0, CHUNK_SLAB, CHUNK_LARGE, CHUNK_RESERVED };

struct chunk {
    enum chunk_kind kind;
    union {
        struct slab *slab;
        struct allocation *large;
        struct mapping *mapping; /* of a reserved chunk, or NULL */
    };
};

extern pthread_rwlock_t memory_lock; /* the chunk table and all that hangs off it */

int arena_open(void);
uint64_t arena_base(void);
uint64_t arena_bytes(void);
int arena_contains(uint64_t address);
struct chunk *arena_chunk(uint64_t address); /* of an address inside the arena */
/* Whole chunks of addresses, still inaccessible. 0, or -ENOMEM. Called with the lock held for writing. */
int arena_take(uint64_t bytes, uint64_t align, uint64_t wanted, uint64_t *address);
void arena_give(uint64_t address, uint64_t bytes);
int arena_commit(uint64_t address, uint64_t bytes);
int arena_decommit(uint64_t address, uint64_t bytes);

/* slab.c; called with the lock held for writing, except slab_find. */
int slab_take(size_t bytes, struct allocation **out);
void slab_release(struct slab *slab, uint64_t address);
struct allocation *slab_find(struct slab *slab, uint64_t address); /* inside a slot in use, or NULL */
size_t slab_slot_bytes(size_t bytes);

/* memory.c */
/* Charged to the pool, or to the device when that is NULL. */
CUresult memory_take(struct device *device, struct context *context, size_t bytes, enum memory_kind kind,
                     struct pool *pool, uint64_t *address);
/* `id` 0: whatever is there. Otherwise only the allocation with this id. */
CUresult memory_release(uint64_t address, uint64_t id);
CUresult memory_wait_owner(const struct allocation *allocation);
int memory_find(uint64_t address, struct allocation *found);
int memory_mark_freeing(uint64_t address);
/* Takes from pools what they keep unused before it says that there is no memory. */
CUresult memory_charge(struct device *device, size_t bytes);
CUresult memory_try_charge(struct device *device, size_t bytes);
void memory_uncharge(struct device *device, size_t bytes);
/* CUDA_ERROR_INVALID_VALUE unless kernels and copies may use all of it. */
CUresult memory_check(uint64_t address, size_t bytes, int is_write);
void memory_release_context(struct context *context);

/* hostmem.c */
int host_check(uint64_t address, uint64_t bytes, int is_write);
int host_find(uint64_t address, struct allocation *found);
int host_find_overlap(uint64_t address, uint64_t bytes);
CUresult host_add(const struct allocation *allocation);
CUresult host_remove(uint64_t address, struct allocation *removed);
uint64_t host_next_of_context(const struct context *context); /* 0: none */
int host_is_pinned(const void *address, size_t bytes);

/* hostalloc.c */
CUresult host_free_any(uint64_t address, enum memory_kind kind);
void host_release_context(struct context *context);

/* vmm.c */
struct allocation *mapping_allocation(struct mapping *mapping);

uint64_t memory_next_id(void);

#endif
