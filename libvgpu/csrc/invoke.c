/* SPDX-License-Identifier: Apache-2.0
 *
 * One call, from its stub to its result. This is the only marshalling code of the front end.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vgpu.h"

enum { KIND_STREAM = 2, KIND_FUNCTION = 5, STREAMS_OF_CUDA = 3, CREATED_MAX = 4 };

CUresult vgpu_refuse(const struct vgpu_entry *entry)
{
    if (!atomic_exchange(entry->logged, 1))
        vgpu_log(VGPU_WARNING, "%s is not supported (CUDA_ERROR_NOT_SUPPORTED)", entry->call->symbol);
    return CUDA_ERROR_NOT_SUPPORTED;
}

CUresult vgpu_invoke(const struct vgpu_entry *entry, void *const args[])
{
    if (entry->call->flags & IDM_UNSAFE && vgpu_captures_open()) {
        CUresult status = vgpu_may_be_unsafe(entry->call, args);
        if (status != CUDA_SUCCESS)
            return status;
    }
    if (entry->front) {
        if (entry->call->mode == IDM_MODE_LOCAL)
            vgpu_self()->counters.local++;
        return entry->front(entry, args);
    }
    return vgpu_forward(entry, args);
}

static CUresult fetch_late_error(struct vgpu_thread *thread, uint32_t late)
{
    int status = 0;
    int *where = &status;
    void *const args[] = {&where};

    thread->late_seen = late;
    CUresult sent = vgpu_send(&vgpuLateError_call, 0, args);
    return sent != CUDA_SUCCESS ? sent : (CUresult)status;
}

CUresult vgpu_may_call(struct vgpu_thread *thread)
{
    if (!atomic_load_explicit(&vgpu.initialised, memory_order_acquire))
        return CUDA_ERROR_NOT_INITIALIZED;
    int dead = atomic_load_explicit(&vgpu.dead, memory_order_relaxed);
    if (dead)
        return (CUresult)dead;
    uint32_t sticky = atomic_load_explicit(&vgpu.back->sticky, memory_order_relaxed);
    if (sticky)
        return (CUresult)sticky;
    uint32_t late = atomic_load_explicit(&vgpu.back->late, memory_order_relaxed);
    if (late != thread->late_seen)
        return fetch_late_error(thread, late);
    return CUDA_SUCCESS;
}

static uint64_t word_at(void *const args[], unsigned index)
{
    uint64_t word;

    memcpy(&word, args[index], sizeof word);
    return word;
}

static CUresult check_handle(const struct idm_param *param, uint64_t handle)
{
    if (param->flags & IDM_DROPS && handle < STREAMS_OF_CUDA)
        return vgpu_bad_handle(param->kind); /* CUDA's own streams do not end. */
    if ((param->kind == KIND_STREAM && handle < STREAMS_OF_CUDA) ||
        (handle == 0 && param->flags & IDM_NULL) || vgpu_is_alive(handle, param->kind))
        return CUDA_SUCCESS;
    return vgpu_bad_handle(param->kind);
}

static CUresult check_extent(const struct idm_call *call, void *const args[],
                             const struct idm_param *param, uint64_t address)
{
    uint64_t count = param->count ? word_at(args, param->count - 1u) : 1, bytes;

    if (__builtin_mul_overflow(count, param->scale, &bytes))
        return CUDA_ERROR_INVALID_VALUE;
    (void)call;
    return bytes == 0 || vgpu_range_covers(address, bytes) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

/* What CUDA reports at once and the zone can know: dead handles, foreign pointers, bad devices. */
static CUresult check_arguments(const struct idm_call *call, void *const args[])
{
    CUresult status = CUDA_SUCCESS;

    for (unsigned i = 0; i < call->param_count && status == CUDA_SUCCESS; i++) {
        const struct idm_param *param = &call->params[i];
        if (param->wire == IDM_HANDLE_IN)
            status = check_handle(param, word_at(args, i));
        else if (param->wire == IDM_DEVICE_PTR && param->flags & (IDM_READS | IDM_WRITES))
            status = check_extent(call, args, param, word_at(args, i));
        else if (param->flags & IDM_DEVICE && param->wire == IDM_SCALAR &&
                 !vgpu_device(*(const int *)args[i]))
            status = CUDA_ERROR_INVALID_DEVICE;
    }
    return status;
}

CUresult vgpu_start_with(const struct idm_call *call, uint32_t flags, void *const args[],
                         const uint64_t chosen[], struct vgpu_ticket *ticket)
{
    int bytes = idm_request_bytes(call, args);

    if (bytes < 0) {
        if (bytes == -EMSGSIZE)
            vgpu_log(VGPU_WARNING, "%s: arguments longer than %d bytes", call->symbol, IDM_RECORD_MAX);
        return CUDA_ERROR_INVALID_VALUE;
    }
    if (vgpu_take_slot(vgpu_self(), ticket))
        return vgpu_died("the back end closed it");
    CUresult status = vgpu_publish(call, flags, args, chosen, ticket, (uint32_t)bytes);
    if (status != CUDA_SUCCESS)
        vgpu_give_slot(ticket->slot);
    return status;
}

CUresult vgpu_start(const struct idm_call *call, uint32_t flags, void *const args[],
                    const uint64_t chosen[], size_t result_bytes, struct vgpu_ticket *ticket)
{
    if (vgpu_is_forked())
        return CUDA_ERROR_NOT_INITIALIZED;
    ticket->reply = 0;
    if (result_bytes > IDM_CHUNK_BYTES)
        return CUDA_ERROR_INVALID_VALUE;
    if (result_bytes > IDM_SLOT_DATA) {
        int chunk = vgpu_take_chunk();
        if (chunk < 0)
            return vgpu_died("the back end closed it");
        ticket->reply = (uint32_t)chunk + 1;
    }
    CUresult status = vgpu_start_with(call, flags, args, chosen, ticket);
    if (status != CUDA_SUCCESS && ticket->reply)
        vgpu_give_chunk(ticket->reply - 1);
    return status;
}

/* Kernels have printed: the text belongs on the application's standard output. */
static void fetch_output(void)
{
    static _Atomic uint32_t seen;
    uint32_t now = atomic_load_explicit(&vgpu.back->output, memory_order_acquire);
    char text[2048], *text_at = text;
    unsigned capacity = sizeof text, length = 0, *length_at = &length;
    void *const args[] = {&capacity, &text_at, &length_at};

    if (now == atomic_load_explicit(&seen, memory_order_relaxed))
        return;
    atomic_store(&seen, now); /* First, because the call below ends here as well. */
    fflush(stdout);
    while (vgpu_send(&vgpuOutput_call, 0, args) == CUDA_SUCCESS && length && length <= sizeof text)
        if (write(STDOUT_FILENO, text, length) < 0)
            return;
}

CUresult vgpu_finish(const struct idm_call *call, void *const args[], struct vgpu_ticket *ticket)
{
    CUresult status = vgpu_wait_slot(ticket->slot, ticket->sequence);

    if (status != CUDA_SUCCESS) {
        /* The session is dead. Whoever waits for a slot gets this one, and learns it too. */
        vgpu_give_slot(ticket->slot);
        return status;
    }
    const struct idm_slot *answer = idm_slot_at(vgpu.region, ticket->slot);
    uint32_t bytes = answer->bytes;
    status = (CUresult)answer->status;
    size_t capacity = ticket->reply ? IDM_CHUNK_BYTES : IDM_SLOT_DATA;
    const uint8_t *data = ticket->reply ? idm_chunk_at(vgpu.region, ticket->reply - 1) : answer->data;
    /* A failed call may bring results too: a compiler's log. */
    if ((status == CUDA_SUCCESS || bytes) &&
        (bytes > capacity || idm_unpack_results(call, args, data, bytes) != 0))
        status = vgpu_died("an answer is malformed");
    vgpu_give_slot(ticket->slot);
    if (ticket->reply)
        vgpu_give_chunk(ticket->reply - 1);
    fetch_output();
    return status;
}

static CUresult post(const struct idm_call *call, uint32_t flags, void *const args[], const uint64_t chosen[])
{
    if (vgpu_is_forked())
        return CUDA_ERROR_NOT_INITIALIZED;
    int bytes = idm_request_bytes(call, args);
    if (bytes < 0)
        return CUDA_ERROR_INVALID_VALUE;
    return vgpu_publish(call, flags, args, chosen, NULL, (uint32_t)bytes);
}

CUresult vgpu_post(const struct idm_call *call, uint32_t flags, void *const args[])
{
    return post(call, flags, args, NULL);
}

CUresult vgpu_posted_error(void)
{
    if (!vgpu_captures_open())
        return CUDA_SUCCESS;
    return fetch_late_error(vgpu_self(), atomic_load_explicit(&vgpu.back->late, memory_order_relaxed));
}

CUresult vgpu_send_chosen(const struct idm_call *call, uint32_t flags, void *const args[],
                          const uint64_t chosen[])
{
    struct vgpu_ticket ticket;

    if (call->mode == IDM_POSTED) {
        CUresult posted = post(call, flags, args, chosen);
        return posted == CUDA_SUCCESS ? vgpu_posted_error() : posted;
    }
    CUresult status = vgpu_start(call, flags, args, chosen, idm_results_bytes(call, args), &ticket);
    return status != CUDA_SUCCESS ? status : vgpu_finish(call, args, &ticket);
}

CUresult vgpu_send(const struct idm_call *call, uint32_t flags, void *const args[])
{
    return vgpu_send_chosen(call, flags, args, NULL);
}

/* Choose a handle for each object that the call creates. Their number, or -1. */
static int choose_handles(const struct idm_call *call, void *const args[], uint64_t chosen[])
{
    int created = 0;

    for (unsigned i = 0; i < call->param_count; i++) {
        const struct idm_param *param = &call->params[i];
        if (param->wire != IDM_CREATES)
            continue;
        if (created == CREATED_MAX || !*(void **)args[i])
            return -1;
        uint64_t parent = param->parent ? word_at(args, param->parent - 1u) : 0;
        uint64_t context = call->flags & IDM_NO_CONTEXT ? 0 : vgpu_current(vgpu_self());
        chosen[created] = vgpu_object_new(param->kind, context, parent);
        if (!chosen[created++])
            return -1;
    }
    return created;
}

/* Created handles reach the application, or are dropped again; dropped ones are dead from now on. */
static void settle_handles(const struct idm_call *call, void *const args[], const uint64_t chosen[],
                           CUresult status)
{
    int created = 0;

    for (unsigned i = 0; i < call->param_count; i++) {
        const struct idm_param *param = &call->params[i];
        if (param->wire == IDM_CREATES) {
            if (status == CUDA_SUCCESS)
                **(uint64_t **)args[i] = chosen[created];
            else
                vgpu_object_drop(chosen[created]);
            created++;
        }
        if (param->flags & IDM_DROPS && (status == CUDA_SUCCESS || call->mode == IDM_POSTED)) {
            vgpu_object_drop_dependents(word_at(args, i));
            vgpu_object_drop(word_at(args, i));
        }
    }
}

static int brings_handles(const struct idm_param *param)
{
    return param->wire == IDM_OUT_HANDLE || (param->wire == IDM_ARRAY_OUT && param->kind);
}

/* Room for handles in a parameter's array, taken before the call overwrites its count. */
static uint64_t handle_room(const struct idm_call *call, void *const args[], unsigned index)
{
    const struct idm_param *param = &call->params[index];
    uint64_t count = 0;

    if (!*(void **)args[index])
        return 0;
    if (param->wire == IDM_OUT_HANDLE)
        return 1;
    const struct idm_param *counter = &call->params[param->count - 1];
    const void *at = counter->wire == IDM_INOUT ? *(void **)args[param->count - 1] : args[param->count - 1];
    if (at)
        memcpy(&count, at, counter->size);
    return count;
}

/* What a handle from the back end dies with: its graph, or the module or library that it was found in. */
static uint64_t parent_of_found(const struct idm_call *call, void *const args[], unsigned kind)
{
    enum { KIND_GRAPH = 8, KIND_GRAPH_NODE = 10 };

    if (kind != KIND_FUNCTION && kind != KIND_GRAPH && kind != KIND_GRAPH_NODE)
        return 0;
    for (unsigned i = 0; i < call->param_count; i++) {
        if (call->params[i].wire != IDM_HANDLE_IN || call->params[i].kind == KIND_STREAM)
            continue;
        uint64_t owner = word_at(args, i);
        const struct vgpu_object *node = vgpu_object_find(owner, KIND_GRAPH_NODE);
        return node && kind == KIND_GRAPH_NODE ? node->parent : owner;
    }
    return 0;
}

/* A handle that the driver made on its own, for instance a graph's node, enters our table when seen. */
static CUresult adopt_handles(const struct idm_call *call, void *const args[], const uint64_t room[])
{
    for (unsigned i = 0; i < call->param_count; i++) {
        const uint64_t *handles = room[i] ? *(uint64_t **)args[i] : NULL;
        unsigned kind = call->params[i].kind;
        for (uint64_t j = 0; j < room[i]; j++)
            if (handles[j] >= STREAMS_OF_CUDA &&
                vgpu_object_adopt(handles[j], kind, parent_of_found(call, args, kind)))
                return vgpu_died("an answer has a handle of the wrong kind");
    }
    return CUDA_SUCCESS;
}

CUresult vgpu_forward(const struct vgpu_entry *entry, void *const args[])
{
    const struct idm_call *call = entry->call;
    struct vgpu_thread *thread = vgpu_self();
    uint64_t chosen[CREATED_MAX], room[IDM_PARAMS_MAX] = {0};
    CUresult status = vgpu_may_call(thread);

    if (status != CUDA_SUCCESS)
        return status;
    if (!(call->flags & IDM_NO_CONTEXT) && !vgpu_current(thread))
        return CUDA_ERROR_INVALID_CONTEXT;
    if ((status = check_arguments(call, args)) != CUDA_SUCCESS)
        return status;
    if (choose_handles(call, args, chosen) < 0)
        return CUDA_ERROR_INVALID_VALUE;
    for (unsigned i = 0; i < call->param_count; i++)
        if (brings_handles(&call->params[i]))
            room[i] = handle_room(call, args, i);
    status = vgpu_send_chosen(call, entry->flags, args, chosen);
    if (status == CUDA_SUCCESS)
        status = adopt_handles(call, args, room);
    settle_handles(call, args, chosen, status);
    return status;
}
