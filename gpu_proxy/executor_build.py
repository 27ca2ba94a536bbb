# SPDX-License-Identifier: Apache-2.0
"""Builds gpu_proxy._executor, cffi's binding: `python -m gpu_proxy.executor_build`."""

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
struct vx;
struct idm_counters;
struct idm_bell { int fd; uint32_t port; };
struct vx *vx_open(void *region, struct idm_counters *counters, const struct idm_bell *doorbells,
                   uint32_t doorbell_count, int use_c);
int vx_run(struct vx *x);
void vx_watch(struct vx *x);
const struct idm_record *vx_request(const struct vx *x);
const char *vx_reason(const struct vx *x);
uint64_t vx_current(const struct vx *x);
void vx_stop(struct vx *x);
void vx_set_function(struct vx *x, uint32_t number, uint64_t address);
int vx_set_driver(struct vx *x, uint32_t index, uint64_t address);
void vx_set_output(struct vx *x, int fd);
void vx_set_queue(struct vx *x, uint32_t works);
void vx_note_output(struct vx *x);
int vx_set_flags(struct vx *x, uint64_t context_object, uint64_t host, uint64_t device);
void vx_forget_flags(struct vx *x, uint64_t context_object);
int vx_set_context(struct vx *x, uint64_t handle);
void vx_forget_context(struct vx *x);
void vx_answer(struct vx *x, uint32_t slot, uint32_t sequence, uint32_t reply, int32_t status,
               const void *data, uint32_t bytes);
void vx_late(struct vx *x, uint32_t thread, int32_t status);
int32_t vx_take_late(struct vx *x, uint32_t thread);
void vx_note_status(struct vx *x, int32_t status);
void vx_clear_sticky(struct vx *x);
void vx_count(struct vx *x, uint64_t bytes_in, uint64_t bytes_out, uint64_t launches);
void vx_count_memory(struct vx *x, int64_t device_bytes, int64_t host_bytes);
int vx_install(struct vx *x, uint64_t handle, unsigned kind, uint64_t object, uint64_t context,
               uint64_t parent);
void vx_set_object_limit(struct vx *x, uint32_t limit);
int vx_is_full(struct vx *x);
int vx_keep_stream(struct vx *x, uint64_t handle);
int vx_keep_event(struct vx *x, uint64_t event);
void vx_context_ended(struct vx *x);
int vx_lookup(struct vx *x, uint64_t handle, unsigned kind, uint64_t *object);
int vx_lookup_in(struct vx *x, uint64_t handle, unsigned kind, uint64_t *object, uint64_t *context);
uint64_t vx_handle_of(struct vx *x, unsigned kind, uint64_t object, uint64_t context,
                      uint64_t parent);
int vx_drop(struct vx *x, uint64_t handle);
uint32_t vx_drop_dependents(struct vx *x, uint64_t handle);
int vx_set_accounted(struct vx *x, uint64_t handle);
int vx_is_accounted(struct vx *x, uint64_t handle);
int vx_stream(struct vx *x, uint64_t word, uint32_t thread, uint32_t flags, uint64_t *stream);
void vx_forget_pools(struct vx *x, uint64_t context_object);
int vx_range_add(struct vx *x, uint64_t base, uint64_t bytes, uint32_t is_host);
int vx_range_remove(struct vx *x, uint64_t base, uint64_t *bytes);
int vx_range_covers(struct vx *x, uint64_t base, uint64_t bytes);
uint64_t vx_range_find(struct vx *x, uint64_t address, uint64_t *bytes, uint32_t *is_host);
int vx_wait_stream(struct vx *x, uint64_t stream, uint32_t slot, uint32_t sequence, uint32_t bytes);
int vx_wait_context(struct vx *x, uint64_t context_handle, uint32_t slot, uint32_t sequence,
                    int beside_captures);
uint32_t vx_capture_count(const struct vx *x);
int vx_capture_room(struct vx *x);
void vx_capture_began(struct vx *x, uint64_t stream, uint32_t thread, uint32_t mode);
int vx_capture_may_end(struct vx *x, uint64_t stream, uint32_t thread);
void vx_capture_settle(struct vx *x, uint64_t stream);
int vx_capture_unsafe(struct vx *x, uint32_t thread, uint32_t mode, uint64_t event);
int vx_capture_refuses(struct vx *x, uint64_t stream);
int vx_wait_event(struct vx *x, uint64_t event, uint32_t slot, uint32_t sequence);
int vx_release_chunk_after(struct vx *x, uint64_t stream, uint32_t chunk);
void vx_release_chunk(struct vx *x, uint32_t chunk);
int vx_callback(struct vx *x, uint64_t stream, uint64_t callback);
void vx_callback_wait(struct vx *x, uint32_t slot, uint32_t sequence);
void vx_callback_done(struct vx *x, uint64_t callback);
uint64_t vx_destructor_address(void);
uint64_t vx_new_destructor(struct vx *x, uint64_t number);
int vx_add_handshakes(struct vx *x, uint64_t context_object, uint64_t host, uint64_t device);
uint32_t vx_take_handshake(struct vx *x, uint64_t context_object, uint32_t graph);
uint64_t vx_handshake_address(struct vx *x, uint32_t number);
uint64_t vx_handshake_context(struct vx *x, uint64_t device);
uint32_t vx_new_host_graph(struct vx *x);
int vx_bind_host_graph(struct vx *x, uint32_t number, uint64_t executable, uint32_t nodes);
void vx_end_host_graph(struct vx *x, uint32_t number);
int vx_may_launch(struct vx *x, uint64_t executable);
int vx_poll_handshakes(struct vx *x);
void vx_graph_launched(struct vx *x, uint64_t executable, uint64_t stream);
uint64_t vx_parent(struct vx *x, uint64_t handle);
int vx_window_reserve(uint64_t base, uint64_t bytes);
int vx_window_map(uint64_t address, uint64_t bytes, int fd);
int vx_window_unmap(uint64_t address, uint64_t bytes);
int vx_map_new(uint64_t address, uint64_t bytes, int fd);
int vx_unmap(uint64_t address, uint64_t bytes);
enum { IDM_REGION_BYTES, IDM_SLOTS_AT, IDM_STAGING_AT, IDM_CHUNK_BYTES, IDM_CHUNKS, IDM_SLOT_BYTES,
       IDM_SLOT_DATA, IDM_NO_SLOT, VX_PYTHON, VX_STOPPED, VX_MALFORMED, VX_WAITED,
       VX_CALLBACKS, VX_CONTEXTS, VX_DUE, VX_HANDSHAKES, VX_HANDSHAKE_BLOCK,
       VX_HANDSHAKE_BYTES, ... };
"""


def build(sanitize: str = "") -> Path:
    """Build the extension module in place; its path."""
    root = cbuild.root()
    core, own = root / "idm" / "csrc", root / "gpu_proxy" / "csrc"
    out = root / "build" / "executor"
    generated = cbuild.write_if_changed(out / "descriptors.c", descriptors.descriptors(load()))
    ffi = FFI()
    ffi.cdef(CDEF)
    ffi.set_source("gpu_proxy._executor", '#include "executor.h"\n#include "mapping.h"\n')
    binding = out / "_executor.c"
    ffi.emit_c_code(str(binding))
    return cbuild.extension(
        "gpu_proxy/_executor",
        binding=binding,
        sources=[
            generated,
            *sorted(own.glob("*.c")),
            core / "ring.c",
            core / "bell.c",
            core / "codec.c",
        ],
        includes=[core, own],
        sanitize=sanitize,
    )


if __name__ == "__main__":
    print(build())
