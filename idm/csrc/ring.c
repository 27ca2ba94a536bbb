/* SPDX-License-Identifier: Apache-2.0 */
#include "ring.h"

#include <string.h>

void idm_producer_init(struct idm_producer *producer, void *region)
{
    uint8_t *base = region;

    producer->front = (struct idm_front *)(base + IDM_FRONT_AT);
    producer->back = (const struct idm_back *)(base + IDM_BACK_AT);
    producer->ring = base + IDM_RING_AT;
    producer->produced = 0;
}

void idm_consumer_init(struct idm_consumer *consumer, void *region)
{
    uint8_t *base = region;

    consumer->front = (const struct idm_front *)(base + IDM_FRONT_AT);
    consumer->back = (struct idm_back *)(base + IDM_BACK_AT);
    consumer->ring = base + IDM_RING_AT;
    consumer->consumed = 0;
}

static void write_filler(struct idm_producer *producer, uint32_t bytes)
{
    struct idm_record *filler =
        (struct idm_record *)(producer->ring + producer->produced % IDM_RING_BYTES);

    /* A filler can be shorter than a header: only the first eight bytes are certain to be there. */
    filler->bytes = bytes;
    filler->call = IDM_CALL_PAD;
    filler->slot = IDM_NO_SLOT;
    producer->produced += bytes;
}

struct idm_record *idm_reserve(struct idm_producer *producer, uint32_t bytes, int *error)
{
    uint64_t consumed = atomic_load_explicit(&producer->back->consumed, memory_order_acquire);
    uint64_t used = producer->produced - consumed;
    uint32_t to_end = IDM_RING_BYTES - (uint32_t)(producer->produced % IDM_RING_BYTES);
    uint32_t needed = bytes > to_end ? to_end + bytes : bytes;

    *error = used > IDM_RING_BYTES ? -EPROTO : 0;
    if (*error || needed > IDM_RING_BYTES - used)
        return NULL;
    if (bytes > to_end)
        write_filler(producer, to_end);
    return (struct idm_record *)(producer->ring + producer->produced % IDM_RING_BYTES);
}

int idm_publish(struct idm_producer *producer, uint32_t bytes)
{
    producer->produced += bytes;
    /* Publish after the payload: the consumer reads `produced` first. */
    atomic_store_explicit(&producer->front->produced, producer->produced, memory_order_release);
    /* The consumer sets `waiting`, then looks at `produced`; we do it the other way round. Without this
     * fence both could miss the other's store. */
    atomic_thread_fence(memory_order_seq_cst);
    return atomic_load_explicit(&producer->back->waiting, memory_order_relaxed) != 0;
}

static int record_is_sane(uint32_t bytes, uint16_t call, uint64_t available, uint32_t to_end)
{
    if (bytes % 8 || bytes > available || bytes > to_end)
        return 0;
    if (call == IDM_CALL_PAD)
        return bytes == to_end;
    return bytes >= sizeof(struct idm_record) && bytes <= IDM_RECORD_MAX;
}

/* The first word of a record, read once: the producer could change it between two reads. */
static struct idm_record peek(const uint8_t *at)
{
    struct idm_record head;

    memset(&head, 0, sizeof head);
    uint64_t first = __atomic_load_n((const uint64_t *)(const void *)at, __ATOMIC_RELAXED);
    memcpy(&head, &first, sizeof first);
    return head;
}

int idm_take(struct idm_consumer *consumer, struct idm_record *record)
{
    for (;;) {
        uint64_t produced = atomic_load_explicit(&consumer->front->produced, memory_order_acquire);
        uint64_t available = produced - consumer->consumed;
        if (available == 0)
            return 0;
        if (available > IDM_RING_BYTES || available % 8)
            return -EPROTO;

        uint32_t offset = (uint32_t)(consumer->consumed % IDM_RING_BYTES);
        struct idm_record head = peek(consumer->ring + offset);
        if (!record_is_sane(head.bytes, head.call, available, IDM_RING_BYTES - offset))
            return -EPROTO;
        int is_filler = head.call == IDM_CALL_PAD;
        if (!is_filler) {
            memcpy(record, consumer->ring + offset, head.bytes);
            record->bytes = head.bytes; /* The copy may differ from what was checked. */
            record->call = head.call;
            record->slot = head.slot;
        }
        consumer->consumed += head.bytes;
        atomic_store_explicit(&consumer->back->consumed, consumer->consumed, memory_order_release);
        if (!is_filler)
            return (int)head.bytes;
    }
}

void idm_prepare_to_wait(struct idm_consumer *consumer)
{
    atomic_store_explicit(&consumer->back->waiting, 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst);
}

void idm_end_wait(struct idm_consumer *consumer)
{
    atomic_store_explicit(&consumer->back->waiting, 0, memory_order_relaxed);
}

int idm_complete(void *region, unsigned slot, uint32_t sequence, int32_t status, uint32_t bytes)
{
    struct idm_slot *answer = idm_slot_at(region, slot);
    struct idm_front *front = (struct idm_front *)((uint8_t *)region + IDM_FRONT_AT);

    answer->status = status;
    answer->bytes = bytes;
    /* Publish after the results: the waiting thread reads `done` first. */
    atomic_store_explicit(&answer->done, sequence, memory_order_release);
    atomic_thread_fence(memory_order_seq_cst);
    return atomic_load_explicit(&front->parked[slot], memory_order_relaxed) != 0;
}
