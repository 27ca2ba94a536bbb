/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows that C runs by hand: the internal ones, and those that would block. Each returns a CUresult, or
 * VX_IN_SLOT when the answer is given or will be.
 */
#include <string.h>

#include "executor.h"

enum { KIND_EVENT = 3, KIND_GRAPH_EXEC = 9 };

static const struct idm_record *request(struct vx *x)
{
    return &x->request.record;
}

static uint64_t word(struct vx *x, unsigned index)
{
    return idm_words(&x->request.record)[index];
}

static int stream_at(struct vx *x, unsigned index, uint64_t *stream)
{
    return vx_stream(x, word(x, index), request(x)->thread, request(x)->flags, stream);
}

static void count_in(struct vx *x, uint64_t bytes)
{
    atomic_fetch_add_explicit(&x->counters->bytes_in, bytes, memory_order_relaxed);
}

static int run_flush(struct vx *x)
{
    vx_note_output(x);
    return VX_SUCCESS;
}

static int run_late_error(struct vx *x)
{
    uint64_t status = (uint64_t)(int64_t)vx_take_late(x, request(x)->thread);

    vx_answer(x, request(x)->slot, request(x)->sequence, request(x)->reply, VX_SUCCESS, &status,
              sizeof status);
    return VX_IN_SLOT;
}

static int run_copy_in(struct vx *x)
{
    uint64_t stream, count = word(x, 2);
    int status = stream_at(x, 3, &stream);

    if (status != VX_SUCCESS || count == 0)
        return status;
    if (!vx_range_covers(x, word(x, 0), count) || idm_data_bytes(request(x), 1) != count)
        return VX_INVALID_VALUE;
    if ((status = vx_capture_refuses(x, stream)) != VX_SUCCESS)
        return status;
    count_in(x, count);
    /* The source is pageable and private: the driver has consumed it when the call returns. */
    return x->driver.memcpy_htod_async(word(x, 0), idm_data(request(x), 1), count, stream);
}

static int run_copy_in_chunk(struct vx *x)
{
    uint64_t stream, count = word(x, 2);
    uint32_t chunk = (uint32_t)word(x, 1);
    int status = stream_at(x, 3, &stream);

    if (chunk >= IDM_CHUNKS)
        return VX_INVALID_VALUE;
    if (status == VX_SUCCESS && (count > IDM_CHUNK_BYTES || !vx_range_covers(x, word(x, 0), count)))
        status = VX_INVALID_VALUE;
    if (status == VX_SUCCESS)
        status = vx_capture_refuses(x, stream);
    if (status == VX_SUCCESS)
        status = x->driver.memcpy_htod_async(word(x, 0), idm_chunk_at(x->region, chunk), count, stream);
    if (status == VX_SUCCESS) {
        count_in(x, count);
        status = vx_release_chunk_after(x, stream, chunk);
    }
    if (status != VX_SUCCESS)
        vx_release_chunk(x, chunk);
    return status;
}

static int run_copy_out(struct vx *x)
{
    uint64_t stream, count = word(x, 1);
    const struct idm_record *record = request(x);
    int status = stream_at(x, 2, &stream);

    if (status == VX_SUCCESS &&
        (word(x, 3) != count || !vx_range_covers(x, word(x, 0), count)))
        status = VX_INVALID_VALUE;
    if (status == VX_SUCCESS)
        status = vx_capture_refuses(x, stream);
    if (status != VX_SUCCESS)
        return status;
    uint8_t *to = record->reply ? idm_chunk_at(x->region, record->reply - 1)
                                : idm_slot_at(x->region, record->slot)->data;
    status = x->driver.memcpy_dtoh_async(to, word(x, 0), count, stream);
    if (status == VX_SUCCESS)
        status = vx_wait_stream(x, stream, record->slot, record->sequence,
                                (uint32_t)idm_round8(count));
    if (status != VX_SUCCESS)
        return status;
    atomic_fetch_add_explicit(&x->counters->bytes_out, count, memory_order_relaxed);
    return VX_IN_SLOT;
}

static int run_copy(struct vx *x)
{
    uint64_t stream, bytes, count = word(x, 2);
    uint32_t from_host = 0, to_host = 0;
    int status = stream_at(x, 3, &stream);

    if (status != VX_SUCCESS || count == 0)
        return status;
    if (!vx_range_covers(x, word(x, 0), count) || !vx_range_covers(x, word(x, 1), count))
        return VX_INVALID_VALUE;
    vx_range_find(x, word(x, 0), &bytes, &to_host);
    vx_range_find(x, word(x, 1), &bytes, &from_host);
    if (from_host && !to_host)
        count_in(x, count);
    if (to_host && !from_host)
        atomic_fetch_add_explicit(&x->counters->bytes_out, count, memory_order_relaxed);
    return x->driver.memcpy_async(word(x, 0), word(x, 1), count, stream);
}

/* The launch configuration as cuLaunchKernelEx takes it. */
struct launch_config {
    uint32_t grid[3], block[3], shared, padding;
    uint64_t stream, attributes;
    uint32_t attribute_count, padding_end;
};

enum {
    ATTRIBUTE_BYTES = 72, ATTRIBUTES_MAX = 32, ATTRIBUTE_COOPERATIVE = 2,
    /* these hold objects of the driver */
    ATTRIBUTE_EVENT = 7, ATTRIBUTE_COMPLETION_EVENT = 12, ATTRIBUTE_UPDATABLE_NODE = 13,
};

static int is_foreign(uint32_t attribute)
{
    return attribute == ATTRIBUTE_EVENT || attribute == ATTRIBUTE_COMPLETION_EVENT ||
           attribute == ATTRIBUTE_UPDATABLE_NODE;
}

static int launch_attributes(struct vx *x, uint8_t *attributes, struct launch_config *config)
{
    uint32_t bytes = idm_data_bytes(request(x), 12);

    if (bytes > ATTRIBUTES_MAX * ATTRIBUTE_BYTES)
        return VX_INVALID_VALUE;
    if (bytes)
        memcpy(attributes, idm_data(request(x), 12), bytes);
    config->attribute_count = bytes / ATTRIBUTE_BYTES;
    for (uint32_t at = 0; at < bytes; at += ATTRIBUTE_BYTES) {
        uint32_t number;
        memcpy(&number, attributes + at, sizeof number);
        if (is_foreign(number))
            return VX_NOT_SUPPORTED;
    }
    if (word(x, 13)) {
        uint32_t *cooperative = (uint32_t *)(void *)(attributes + bytes);
        memset(cooperative, 0, ATTRIBUTE_BYTES);
        cooperative[0] = ATTRIBUTE_COOPERATIVE;
        cooperative[2] = 1;
        config->attribute_count++;
    }
    config->attributes = (uint64_t)(uintptr_t)attributes;
    return VX_SUCCESS;
}

static int run_launch(struct vx *x)
{
    _Alignas(8) uint8_t attributes[(ATTRIBUTES_MAX + 1) * ATTRIBUTE_BYTES];
    struct launch_config config = {.shared = (uint32_t)word(x, 7)};
    uint64_t function;
    size_t param_bytes = idm_data_bytes(request(x), 10);
    const uint8_t *params = idm_data(request(x), 10);
    /* CU_LAUNCH_PARAM_BUFFER_POINTER, _SIZE, _END */
    void *extra[] = {(void *)1, (void *)(uintptr_t)params, (void *)2, &param_bytes, NULL};
    int status = stream_at(x, 8, &config.stream);

    if (status == VX_SUCCESS && vx_lookup(x, word(x, 0), 5, &function))
        status = VX_INVALID_HANDLE;
    for (unsigned i = 0; i < 3; i++) {
        config.grid[i] = (uint32_t)word(x, 1 + i);
        config.block[i] = (uint32_t)word(x, 4 + i);
    }
    if (status == VX_SUCCESS)
        status = launch_attributes(x, attributes, &config);
    if (status != VX_SUCCESS)
        return status;
    atomic_fetch_add_explicit(&x->counters->launches, 1, memory_order_relaxed);
    x->launches++;
    return x->driver.launch_kernel_ex(&config, function, NULL, param_bytes ? extra : NULL);
}

static int run_stream_synchronize(struct vx *x)
{
    uint64_t stream;
    int status = stream_at(x, 0, &stream);

    if (status == VX_SUCCESS)
        status = vx_wait_stream(x, stream, request(x)->slot, request(x)->sequence, 0);
    return status == VX_SUCCESS ? VX_IN_SLOT : status;
}

static int run_event_synchronize(struct vx *x)
{
    uint64_t event;

    if (vx_lookup(x, word(x, 0), KIND_EVENT, &event))
        return VX_INVALID_HANDLE;
    int status = vx_wait_event(x, event, request(x)->slot, request(x)->sequence);
    return status == VX_SUCCESS ? VX_IN_SLOT : status;
}

static int run_ctx_synchronize(struct vx *x)
{
    int status = vx_wait_context(x, request(x)->context, request(x)->slot, request(x)->sequence, 0);
    return status == VX_SUCCESS ? VX_IN_SLOT : status;
}

static int run_ctx_synchronize_v2(struct vx *x)
{
    uint64_t handle = word(x, 0) ? word(x, 0) : request(x)->context;
    int status = vx_set_context(x, handle);

    if (status == VX_SUCCESS)
        status = vx_wait_context(x, handle, request(x)->slot, request(x)->sequence, 0);
    return status == VX_SUCCESS ? VX_IN_SLOT : status;
}

static int run_idle(struct vx *x)
{
    int status = vx_wait_context(x, request(x)->context, request(x)->slot, request(x)->sequence, 1);
    return status == VX_SUCCESS ? VX_IN_SLOT : status;
}

static int run_capture_unsafe(struct vx *x)
{
    return vx_capture_unsafe(x, request(x)->thread, (uint32_t)word(x, 0), word(x, 1));
}

static int run_graph_launch(struct vx *x)
{
    uint64_t executable, stream;
    int status = vx_lookup(x, word(x, 0), KIND_GRAPH_EXEC, &executable) ? VX_INVALID_HANDLE
                                                                       : stream_at(x, 1, &stream);

    if (status == VX_SUCCESS)
        status = vx_may_launch(x, word(x, 0));
    if (status == VX_SUCCESS)
        status = x->functions[x->call->number](executable, stream);
    if (status == VX_SUCCESS)
        vx_graph_launched(x, word(x, 0), stream);
    return status;
}

static int run_callback(struct vx *x)
{
    uint64_t stream;
    int status = stream_at(x, 0, &stream);

    return status == VX_SUCCESS ? vx_callback(x, stream, word(x, 1)) : status;
}

static int run_callback_wait(struct vx *x)
{
    vx_callback_wait(x, request(x)->slot, request(x)->sequence);
    return VX_IN_SLOT;
}

static int run_callback_done(struct vx *x)
{
    vx_callback_done(x, word(x, 0));
    return VX_SUCCESS;
}

/* Rows that C runs by hand; the descriptors' names say which. */
static const struct {
    const char *symbol;
    int (*run)(struct vx *x); /* a CUresult, or VX_IN_SLOT when the answer is given or pending */
} by_hand[] = {
    {"vgpuFlush", run_flush},
    {"vgpuLateError", run_late_error},
    {"vgpuCopyIn", run_copy_in},
    {"vgpuCopyInChunk", run_copy_in_chunk},
    {"vgpuCopyOut", run_copy_out},
    {"vgpuCopy", run_copy},
    {"vgpuLaunch", run_launch},
    {"cuGraphLaunch", run_graph_launch},
    {"vgpuCallback", run_callback},
    {"vgpuCallbackWait", run_callback_wait},
    {"vgpuCallbackDone", run_callback_done},
    {"cuStreamSynchronize", run_stream_synchronize},
    {"cuEventSynchronize", run_event_synchronize},
    {"cuCtxSynchronize", run_ctx_synchronize},
    {"cuCtxSynchronize_v2", run_ctx_synchronize_v2},
    {"vgpuIdle", run_idle},
    {"vgpuCaptureUnsafe", run_capture_unsafe},
};

vx_runner *vx_runner_by_hand(const char *symbol)
{
    for (size_t i = 0; i < sizeof by_hand / sizeof *by_hand; i++)
        if (strcmp(by_hand[i].symbol, symbol) == 0)
            return by_hand[i].run;
    return NULL;
}
