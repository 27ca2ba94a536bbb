# SPDX-License-Identifier: Apache-2.0
"""Builds idm._ring, the cffi binding of ring and codec: `python -m idm.ring_build`."""

from __future__ import annotations

from pathlib import Path

from cffi import FFI

from idm import cbuild
from idm.api.table import load
from idm.gen import descriptors

CDEF = """
struct idm_record {
    uint32_t bytes; uint16_t call; uint16_t slot; uint32_t sequence; uint32_t thread;
    uint64_t context; uint32_t reply; uint16_t flags; uint16_t gauge;
};
struct idm_call { const char *symbol; uint16_t number; uint8_t param_count; uint8_t mode; ...; };
struct idm_producer { uint64_t produced; ...; };
struct idm_consumer { uint64_t consumed; ...; };
void idm_producer_init(struct idm_producer *producer, void *region);
void idm_consumer_init(struct idm_consumer *consumer, void *region);
struct idm_record *idm_reserve(struct idm_producer *producer, uint32_t bytes, int *error);
int idm_publish(struct idm_producer *producer, uint32_t bytes);
int idm_take(struct idm_consumer *consumer, struct idm_record *record);
void idm_prepare_to_wait(struct idm_consumer *consumer);
void idm_end_wait(struct idm_consumer *consumer);
int idm_complete(void *region, unsigned slot, uint32_t sequence, int32_t status, uint32_t bytes);
const struct idm_call *idm_call_by_number(unsigned number);
int idm_request_bytes(const struct idm_call *call, void *const args[]);
void idm_pack_request(const struct idm_call *call, void *const args[], const uint64_t handles[],
                      struct idm_record *record);
size_t idm_results_bytes(const struct idm_call *call, void *const args[]);
int idm_unpack_results(const struct idm_call *call, void *const args[], const uint8_t *data,
                       size_t bytes);
int idm_check_request(const struct idm_call *call, const struct idm_record *record);
size_t idm_results_capacity(const struct idm_call *call, const struct idm_record *record);
enum { IDM_RING_BYTES, IDM_RECORD_MAX, IDM_SLOTS, IDM_SLOT_BYTES, IDM_SLOT_DATA, IDM_DOORBELLS,
       IDM_CHUNK_BYTES, IDM_CHUNKS, IDM_NO_SLOT, IDM_CALL_PAD, IDM_HEADER_AT, IDM_FRONT_AT,
       IDM_BACK_AT, IDM_SLOTS_AT, IDM_RING_AT, IDM_STAGING_AT, IDM_REGION_BYTES, IDM_MAGIC,
       IDM_VERSION, IDM_HANDLE_MAX, IDM_DEVICES_MAX, IDM_ATTRIBUTES, ... };
"""


def build(sanitize: str = "") -> Path:
    """Build the extension module in place; its path."""
    root = cbuild.root()
    core, out = root / "idm" / "csrc", root / "build" / "ring"
    generated = cbuild.write_if_changed(out / "descriptors.c", descriptors.descriptors(load()))
    ffi = FFI()
    ffi.cdef(CDEF)
    ffi.set_source("idm._ring", '#include "codec.h"\n#include "ring.h"\n')
    binding = out / "_ring.c"
    ffi.emit_c_code(str(binding))
    return cbuild.extension(
        "idm/_ring",
        binding=binding,
        sources=[generated, core / "ring.c", core / "codec.c"],
        includes=[core],
        sanitize=sanitize,
    )


if __name__ == "__main__":
    print(build())
