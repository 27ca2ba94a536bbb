/* SPDX-License-Identifier: Apache-2.0
 *
 * Packing by descriptor. The front end packs a request from the addresses of a call's arguments and
 * unpacks the results into them; the back end checks a private copy of a record before anything uses it.
 */
#ifndef IDM_CODEC_H
#define IDM_CODEC_H

#include "call.h"
#include "idm.h"

/* Bytes of the record for this call with these arguments, or -EMSGSIZE when it exceeds IDM_RECORD_MAX, or
 * -EINVAL when a pointer that must be given is null. */
int idm_request_bytes(const struct idm_call *call, void *const args[]);

/* Fill a record after its header. `handles` holds one chosen handle for each CREATES parameter, in order. */
void idm_pack_request(const struct idm_call *call, void *const args[], const uint64_t handles[],
                      struct idm_record *record);

/* Bytes of results that this call can bring with these arguments. */
size_t idm_results_bytes(const struct idm_call *call, void *const args[]);

/* Copy results to where the arguments point. `data` is a private copy or stays unchanged meanwhile; `bytes`
 * comes from the peer. 0 or -EPROTO. */
int idm_unpack_results(const struct idm_call *call, void *const args[], const uint8_t *data, size_t bytes);

/* Check a private copy of a record against its row: lengths, offsets, counts, terminators. 0 or -EPROTO. */
int idm_check_request(const struct idm_call *call, const struct idm_record *record);

/* Bytes of results that the front end of this (checked) record can take. */
size_t idm_results_capacity(const struct idm_call *call, const struct idm_record *record);

/* Parameter words of a record. */
static inline const uint64_t *idm_words(const struct idm_record *record)
{
    return (const uint64_t *)(const void *)(record + 1);
}

/* Variable data of parameter `index` in a checked record. */
static inline const uint8_t *idm_data(const struct idm_record *record, unsigned index)
{
    return (const uint8_t *)record + (idm_words(record)[index] >> 32);
}

static inline uint32_t idm_data_bytes(const struct idm_record *record, unsigned index)
{
    return (uint32_t)idm_words(record)[index];
}

#endif
