/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows that C runs. Most need nothing but their descriptor: handles become objects, pointers are checked,
 * results go to private memory, and the driver's function is called with integer arguments. The internal
 * rows, and those that would block, have functions of their own in rows.c.
 */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "executor.h"

enum { KIND_CONTEXT = 1, KIND_STREAM = 2, KIND_EVENT = 3, STREAM_PER_THREAD = 2, STREAMS_OF_CUDA = 3 };

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

static int find_stream(struct vx *x, uint64_t word, uint32_t thread, uint32_t flags, uint64_t *stream)
{
    if (word == STREAM_PER_THREAD || (word == 0 && flags & IDM_FLAG_PER_THREAD))
        return thread_stream(x, thread, stream);
    *stream = word;
    if (word < STREAM_PER_THREAD)
        return VX_SUCCESS;
    uint64_t context = 0;
    if (vx_lookup_in(x, word, KIND_STREAM, stream, &context))
        return VX_INVALID_HANDLE;
    /* The call happens in the stream's context, whichever is current: our own events must belong to it. */
    return context && context != x->request.record.context ? vx_set_context(x, context) : VX_SUCCESS;
}

int vx_stream(struct vx *x, uint64_t word, uint32_t thread, uint32_t flags, uint64_t *stream)
{
    int status = find_stream(x, word, thread, flags, stream);

    x->stream = *stream;
    x->stream_found = status == VX_SUCCESS;
    return status;
}

static int resolve_handle(struct vx *x, const struct idm_param *param, uint64_t word, uint64_t *value)
{
    const struct idm_record *record = &x->request.record;

    if (param->flags & IDM_DROPS && word < STREAMS_OF_CUDA)
        return VX_INVALID_HANDLE; /* CUDA's own streams do not end. */
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

/* Whether the call destroys an event that another call still waits for, or a stream that has work. */
static int ends_later(struct vx *x, const struct arguments *arguments)
{
    const struct idm_param *param = x->call->params;

    if (x->call->param_count != 1 || !(param->flags & IDM_DROPS))
        return 0;
    return (param->kind == KIND_EVENT && vx_keep_event(x, arguments->value[0])) ||
           (param->kind == KIND_STREAM && vx_keep_stream(x, idm_words(&x->request.record)[0]));
}

static int call_driver(struct vx *x, struct arguments *arguments)
{
    const uint64_t *v = arguments->value;
    vx_function function = x->functions[x->call->number];

    /* Every argument of these rows is an integer or a pointer, so extra ones do no harm on x86-64. */
    int status = ends_later(x, arguments) ? VX_SUCCESS
               : function(v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7], v[8], v[9], v[10], v[11]);
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
    return VX_IN_SLOT;
}

/* Filled on first use: the runner of each number, so that the hot path is one load. */
static vx_runner *runners[VX_CALLS];

static void fill_runners(void)
{
    for (size_t i = 0; i < idm_call_count; i++) {
        const struct idm_call *call = idm_calls[i];
        int generic = !(call->flags & IDM_INTERNAL);
        for (unsigned p = 0; p < call->param_count; p++)
            if (call->params[p].wire == IDM_OUT_HANDLE || call->params[p].wire == IDM_STRUCT_BY_VALUE)
                generic = 0;
        runners[call->number] = generic ? run_generic : NULL;
        vx_runner *hand = vx_runner_by_hand(call->symbol);
        if (hand)
            runners[call->number] = hand;
    }
}

int vx_can_execute(struct vx *x, const struct idm_call *call)
{
    if (!x->use_c || !(call->flags & IDM_FAST))
        return 0;
    if (!runners[0x0F00])
        fill_runners();
    vx_runner *run = runners[call->number];
    /* At the limit Python asks the ledger for more objects first. */
    if (run == run_generic && x->object_count >= x->object_limit)
        return 0;
    if (call->param_count && call->params[0].wire == IDM_HANDLE_IN &&
        vx_is_accounted(x, idm_words(&x->request.record)[0]))
        return 0;
    return run && (run != run_generic || x->functions[call->number]);
}

void vx_execute(struct vx *x)
{
    const struct idm_record *record = &x->request.record;
    int status = VX_SUCCESS;

    if (!(x->call->flags & IDM_NO_CONTEXT))
        status = vx_set_context(x, record->context);
    if (status == VX_SUCCESS)
        status = runners[x->call->number](x);
    if (status == VX_IN_SLOT)
        return;
    if (record->slot == IDM_NO_SLOT) {
        vx_late(x, record->thread, status);
        return;
    }
    vx_note_status(x, status);
    vx_answer(x, record->slot, record->sequence, record->reply, status, NULL, 0);
}
