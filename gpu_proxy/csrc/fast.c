/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows that C runs. Most need nothing but their descriptor: handles become objects, pointers are checked,
 * results go to private memory, and the driver's function is called with integer arguments. The internal
 * rows, and those that would block, have a function of their own below.
 */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "executor.h"

enum { KIND_CONTEXT = 1, KIND_STREAM = 2, KIND_EVENT = 3, STREAM_PER_THREAD = 2, IN_SLOT = -1 };

/* The application numbers its threads; each has one real stream a context behind CU_STREAM_PER_THREAD. */
static int thread_stream(struct vx *x, uint32_t thread, uint64_t *stream)
{
    for (uint32_t i = 0; i < x->thread_stream_count; i++)
        if (x->thread_streams[i].thread == thread && x->thread_streams[i].context == x->current) {
            *stream = (uint64_t)(uintptr_t)x->thread_streams[i].stream;
            return VX_SUCCESS;
        }
    if (x->thread_stream_count == VX_THREAD_STREAMS)
        return VX_OUT_OF_MEMORY;
    struct vx_thread_stream *made = &x->thread_streams[x->thread_stream_count];
    int status = x->driver.stream_create(&made->stream, 0);
    if (status != VX_SUCCESS)
        return status;
    made->thread = thread;
    made->context = x->current;
    x->thread_stream_count++;
    *stream = (uint64_t)(uintptr_t)made->stream;
    return VX_SUCCESS;
}

int vx_stream(struct vx *x, uint64_t word, uint32_t thread, uint32_t flags, uint64_t *stream)
{
    if (word == STREAM_PER_THREAD || (word == 0 && flags & IDM_FLAG_PER_THREAD))
        return thread_stream(x, thread, stream);
    *stream = word;
    if (word < STREAM_PER_THREAD)
        return VX_SUCCESS;
    return vx_lookup(x, word, KIND_STREAM, stream) ? VX_INVALID_HANDLE : VX_SUCCESS;
}

static int resolve_handle(struct vx *x, const struct idm_param *param, uint64_t word, uint64_t *value)
{
    const struct idm_record *record = &x->request.record;

    if (param->kind == KIND_STREAM)
        return vx_stream(x, word, record->thread, record->flags, value);
    *value = 0;
    if (word == 0 && param->flags & IDM_NULL)
        return VX_SUCCESS;
    if (vx_lookup(x, word, param->kind, value))
        return param->kind == KIND_CONTEXT ? VX_INVALID_CONTEXT : VX_INVALID_HANDLE;
    return VX_SUCCESS;
}

static int check_pointer(struct vx *x, const struct idm_param *param, uint64_t word)
{
    uint64_t bytes = 0;

    if (param->flags & (IDM_READS | IDM_WRITES)) {
        uint64_t count = param->count ? idm_words(&x->request.record)[param->count - 1] : 1;
        if (__builtin_mul_overflow(count, param->scale, &bytes))
            return VX_INVALID_VALUE;
        if (bytes == 0)
            return VX_SUCCESS;
    } else if (word == 0) {
        return VX_SUCCESS;
    }
    return vx_range_covers(x, word, bytes) ? VX_SUCCESS : VX_INVALID_VALUE;
}

/* Handles inside an array are replaced in the private copy. */
static int resolve_array(struct vx *x, const struct idm_param *param, unsigned index)
{
    uint64_t *handles = (uint64_t *)(uintptr_t)(const void *)idm_data(&x->request.record, index);
    uint32_t count = idm_data_bytes(&x->request.record, index) / 8;

    for (uint32_t i = 0; i < count; i++) {
        int status = resolve_handle(x, param, handles[i], &handles[i]);
        if (status != VX_SUCCESS)
            return status;
    }
    return VX_SUCCESS;
}

struct arguments {
    uint64_t value[IDM_PARAMS_MAX];
    uint64_t created[IDM_PARAMS_MAX];
    uint32_t result_bytes;
};

static int resolve(struct vx *x, struct arguments *arguments)
{
    const struct idm_record *record = &x->request.record;
    const uint64_t *words = idm_words(record);
    int status = VX_SUCCESS;

    for (unsigned i = 0; i < x->call->param_count && status == VX_SUCCESS; i++) {
        const struct idm_param *param = &x->call->params[i];
        uint64_t *value = &arguments->value[i];
        *value = words[i];
        switch (param->wire) {
        case IDM_HANDLE_IN:
            status = resolve_handle(x, param, words[i], value);
            break;
        case IDM_DEVICE_PTR:
            status = check_pointer(x, param, words[i]);
            break;
        case IDM_ARRAY_IN:
            status = param->kind ? resolve_array(x, param, i) : VX_SUCCESS;
            /* fall through */
        case IDM_STRUCT_IN:
        case IDM_BYTES_IN:
        case IDM_STRING_IN:
            *value = idm_data_bytes(record, i) ? (uint64_t)(uintptr_t)idm_data(record, i) : 0;
            break;
        case IDM_CREATES:
            *value = (uint64_t)(uintptr_t)&arguments->created[i];
            break;
        case IDM_OUT:
        case IDM_ARRAY_OUT:
        case IDM_BYTES_OUT:
        case IDM_INOUT:
            *value = 0;
            if (idm_data_bytes(record, i)) {
                uint8_t *at = x->results + arguments->result_bytes;
                *value = (uint64_t)(uintptr_t)at;
                memset(at, 0, idm_round8(idm_data_bytes(record, i)));
                if (param->wire == IDM_INOUT)
                    memcpy(at, idm_data(record, i), idm_data_bytes(record, i));
                arguments->result_bytes += (uint32_t)idm_round8(idm_data_bytes(record, i));
            }
            break;
        default:
            break;
        }
    }
    return status;
}

/* Created objects enter the table when the call succeeded; dropped ones leave it in any case, since the
 * front end does not name them again. -ENOSPC: the zone may not have more. */
static int keep_objects(struct vx *x, const struct arguments *arguments, int status)
{
    const uint64_t *words = idm_words(&x->request.record);
    int result = 0;

    for (unsigned i = 0; i < x->call->param_count && result == 0; i++) {
        const struct idm_param *param = &x->call->params[i];
        if (param->wire == IDM_CREATES && status == VX_SUCCESS)
            result = vx_install(x, words[i], param->kind, arguments->created[i],
                                x->request.record.context,
                                param->parent ? words[param->parent - 1] : 0);
        if (param->flags & IDM_DROPS) {
            vx_drop_dependents(x, words[i]);
            vx_drop(x, words[i]);
        }
    }
    return result;
}

static int call_driver(struct vx *x, struct arguments *arguments)
{
    const uint64_t *v = arguments->value;
    vx_function function = x->functions[x->call->number];

    /* Every argument of these rows is an integer or a pointer, so extra ones do no harm on x86-64. */
    int status = function(v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7], v[8], v[9], v[10], v[11]);
    int kept = keep_objects(x, arguments, status);
    if (kept == -EPROTO) {
        snprintf(x->reason, sizeof x->reason, "a handle that the front end may not choose");
        x->stop = 1;
    }
    return kept == -ENOSPC ? VX_OUT_OF_MEMORY : status;
}

static int run_generic(struct vx *x)
{
    struct arguments arguments = {.result_bytes = 0};
    const struct idm_record *record = &x->request.record;
    int status = resolve(x, &arguments);

    if (status == VX_SUCCESS)
        status = call_driver(x, &arguments);
    if (record->slot == IDM_NO_SLOT)
        return status;
    vx_note_status(x, status);
    vx_answer(x, record->slot, record->sequence, record->reply, status, x->results,
              arguments.result_bytes);
    return IN_SLOT;
}

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
    return IN_SLOT;
}

static int run_copy_in(struct vx *x)
{
    uint64_t stream, count = word(x, 2);
    int status = stream_at(x, 3, &stream);

    if (status != VX_SUCCESS || count == 0)
        return status;
    if (!vx_range_covers(x, word(x, 0), count) || idm_data_bytes(request(x), 1) != count)
        return VX_INVALID_VALUE;
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
    return IN_SLOT;
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

enum { ATTRIBUTE_BYTES = 72, ATTRIBUTES_MAX = 32, ATTRIBUTE_COOPERATIVE = 2 };

static int launch_attributes(struct vx *x, uint8_t *attributes, struct launch_config *config)
{
    uint32_t bytes = idm_data_bytes(request(x), 12);

    if (bytes > ATTRIBUTES_MAX * ATTRIBUTE_BYTES)
        return VX_INVALID_VALUE;
    if (bytes)
        memcpy(attributes, idm_data(request(x), 12), bytes);
    config->attribute_count = bytes / ATTRIBUTE_BYTES;
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
    return status == VX_SUCCESS ? IN_SLOT : status;
}

static int run_event_synchronize(struct vx *x)
{
    uint64_t event;

    if (vx_lookup(x, word(x, 0), KIND_EVENT, &event))
        return VX_INVALID_HANDLE;
    int status = vx_wait_event(x, event, request(x)->slot, request(x)->sequence);
    return status == VX_SUCCESS ? IN_SLOT : status;
}

static int run_ctx_synchronize(struct vx *x)
{
    int status = vx_wait_context(x, request(x)->context, request(x)->slot, request(x)->sequence);
    return status == VX_SUCCESS ? IN_SLOT : status;
}

static int run_ctx_synchronize_v2(struct vx *x)
{
    int status = vx_set_context(x, word(x, 0));

    if (status == VX_SUCCESS)
        status = vx_wait_context(x, word(x, 0), request(x)->slot, request(x)->sequence);
    return status == VX_SUCCESS ? IN_SLOT : status;
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
    return IN_SLOT;
}

static int run_callback_done(struct vx *x)
{
    vx_callback_done(x, word(x, 0));
    return VX_SUCCESS;
}

/* Rows that C runs by hand; the descriptors' names say which. */
static const struct {
    const char *symbol;
    int (*run)(struct vx *x); /* a CUresult, or IN_SLOT when the answer is given or pending */
} by_hand[] = {
    {"vgpuFlush", run_flush},
    {"vgpuLateError", run_late_error},
    {"vgpuCopyIn", run_copy_in},
    {"vgpuCopyInChunk", run_copy_in_chunk},
    {"vgpuCopyOut", run_copy_out},
    {"vgpuCopy", run_copy},
    {"vgpuLaunch", run_launch},
    {"vgpuCallback", run_callback},
    {"vgpuCallbackWait", run_callback_wait},
    {"vgpuCallbackDone", run_callback_done},
    {"cuStreamSynchronize", run_stream_synchronize},
    {"cuEventSynchronize", run_event_synchronize},
    {"cuCtxSynchronize", run_ctx_synchronize},
    {"cuCtxSynchronize_v2", run_ctx_synchronize_v2},
};

typedef int (*runner)(struct vx *x);

/* Filled on first use: the runner of each number, so that the hot path is one load. */
static runner runners[VX_CALLS];

static void fill_runners(void)
{
    for (size_t i = 0; i < idm_call_count; i++) {
        const struct idm_call *call = idm_calls[i];
        int generic = !(call->flags & IDM_INTERNAL);
        for (unsigned p = 0; p < call->param_count; p++)
            if (call->params[p].wire == IDM_OUT_HANDLE || call->params[p].wire == IDM_STRUCT_BY_VALUE)
                generic = 0;
        runners[call->number] = generic ? run_generic : NULL;
        for (size_t j = 0; j < sizeof by_hand / sizeof *by_hand; j++)
            if (strcmp(by_hand[j].symbol, call->symbol) == 0)
                runners[call->number] = by_hand[j].run;
    }
}

int vx_can_execute(const struct vx *x, const struct idm_call *call)
{
    if (!x->use_c || !(call->flags & IDM_FAST))
        return 0;
    if (!runners[0x0F00])
        fill_runners();
    runner run = runners[call->number];
    /* At the limit Python asks the ledger for more objects first. */
    if (run == run_generic && x->object_count >= x->object_limit)
        return 0;
    return run && (run != run_generic || x->functions[call->number]);
}

void vx_execute(struct vx *x)
{
    const struct idm_record *record = request(x);
    int status = VX_SUCCESS;

    if (!(x->call->flags & IDM_NO_CONTEXT))
        status = vx_set_context(x, record->context);
    if (status == VX_SUCCESS)
        status = runners[x->call->number](x);
    if (status == IN_SLOT)
        return;
    if (record->slot == IDM_NO_SLOT) {
        vx_late(x, record->thread, status);
        return;
    }
    vx_note_status(x, status);
    vx_answer(x, record->slot, record->sequence, record->reply, status, NULL, 0);
}
