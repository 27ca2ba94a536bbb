/* SPDX-License-Identifier: Apache-2.0
 *
 * The request ring: one byte ring with many producing threads (serialised by the caller) and one consumer.
 *
 *   producer: idm_reserve, write the record, idm_publish, ring the doorbell if idm_publish says so
 *   consumer: idm_take copies one record out; when there is none, idm_prepare_to_wait, idm_take again,
 *             then sleep on the doorbell
 *
 * A record never wraps: a filler record takes the rest of the ring when one does not fit.
 */
#ifndef IDM_RING_H
#define IDM_RING_H

#include <errno.h>

#include "idm.h"

struct idm_producer {
    struct idm_front *front;
    const struct idm_back *back;
    uint8_t *ring;
    uint64_t produced;  /* private: the shared copy is never read back */
};

struct idm_consumer {
    const struct idm_front *front;
    struct idm_back *back;
    const uint8_t *ring;
    uint64_t consumed;  /* private */
};

void idm_producer_init(struct idm_producer *producer, void *region);
void idm_consumer_init(struct idm_consumer *consumer, void *region);

/* Room for a record of `bytes` (a multiple of eight, at most IDM_RECORD_MAX), or NULL while the ring is
 * full. -EPROTO in `error` when the consumer's index is impossible. */
struct idm_record *idm_reserve(struct idm_producer *producer, uint32_t bytes, int *error);

/* Make the reserved record visible. 1: the consumer sleeps and its doorbell must be rung. */
int idm_publish(struct idm_producer *producer, uint32_t bytes);

/* Copy the next record to `record`, which has IDM_RECORD_MAX bytes. Its length, 0 when the ring is empty,
 * or -EPROTO when what the producer wrote cannot be a record. */
int idm_take(struct idm_consumer *consumer, struct idm_record *record);

/* Announce that the consumer is about to sleep. The caller must look once more before it does. */
void idm_prepare_to_wait(struct idm_consumer *consumer);
void idm_end_wait(struct idm_consumer *consumer);

/* Answer a call: results are already in the slot or the reply chunk. 1: its owner sleeps. */
int idm_complete(void *region, unsigned slot, uint32_t sequence, int32_t status, uint32_t bytes);

static inline struct idm_slot *idm_slot_at(void *region, unsigned slot)
{
    return (struct idm_slot *)((uint8_t *)region + IDM_SLOTS_AT + (size_t)slot * IDM_SLOT_BYTES);
}

/* Works of a gauge that are finished, counted from the session's start. */
static inline _Atomic uint32_t *idm_gauge_at(void *region, unsigned gauge)
{
    return (_Atomic uint32_t *)(void *)((uint8_t *)region + IDM_GAUGES_AT) + gauge;
}

static inline uint8_t *idm_chunk_at(void *region, unsigned chunk)
{
    return (uint8_t *)region + IDM_STAGING_AT + (size_t)chunk * IDM_CHUNK_BYTES;
}

#endif
