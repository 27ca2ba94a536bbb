/* SPDX-License-Identifier: Apache-2.0 */
#include "codec.h"

#include <errno.h>
#include <string.h>

static uint64_t load_scalar(const void *at, uint32_t size, int is_signed)
{
    switch (size) {
    case 1: {
        uint8_t value;
        memcpy(&value, at, 1);
        return value;
    }
    case 2: {
        uint16_t value;
        memcpy(&value, at, 2);
        return value;
    }
    case 4: {
        uint32_t value;
        memcpy(&value, at, 4);
        return is_signed ? (uint64_t)(int64_t)(int32_t)value : value;
    }
    default: {
        uint64_t value;
        memcpy(&value, at, 8);
        return value;
    }
    }
}

/* The application's pointer behind a pointer parameter. */
static void *pointer_at(void *const args[], unsigned index)
{
    return *(void **)args[index];
}

/* The value of a counting parameter, which may itself be a pointer to an inout number. */
static uint64_t count_of(const struct idm_call *call, void *const args[], const struct idm_param *param)
{
    const struct idm_param *counter = &call->params[param->count - 1];
    const void *at = args[param->count - 1];

    if (counter->wire == IDM_INOUT || counter->wire == IDM_OUT) {
        at = pointer_at(args, param->count - 1u);
        if (!at)
            return 0;
    }
    return load_scalar(at, counter->size, 0);
}

static uint64_t variable_bytes(const struct idm_call *call, void *const args[], unsigned index)
{
    const struct idm_param *param = &call->params[index];
    const void *pointer = pointer_at(args, index);

    switch (param->wire) {
    case IDM_STRUCT_IN:
    case IDM_INOUT:
    case IDM_OUT:
    case IDM_OUT_HANDLE:
        return pointer ? param->size : 0;
    case IDM_STRING_IN:
        return pointer ? strlen(pointer) + 1 : 0;
    case IDM_ARRAY_IN:
    case IDM_BYTES_IN:
    case IDM_ARRAY_OUT:
    case IDM_BYTES_OUT:
        return pointer ? count_of(call, args, param) * param->scale : 0;
    default:
        return 0;
    }
}

static int carries_data(const struct idm_param *param)
{
    switch (param->wire) {
    case IDM_STRUCT_IN:
    case IDM_ARRAY_IN:
    case IDM_BYTES_IN:
    case IDM_STRING_IN:
    case IDM_STRUCT_BY_VALUE:
    case IDM_INOUT:
        return 1;
    default:
        return 0;
    }
}

static int brings_data(const struct idm_param *param)
{
    switch (param->wire) {
    case IDM_OUT:
    case IDM_OUT_HANDLE:
    case IDM_ARRAY_OUT:
    case IDM_BYTES_OUT:
    case IDM_INOUT:
        return 1;
    default:
        return 0;
    }
}

static uint64_t data_bytes(const struct idm_call *call, void *const args[], unsigned index)
{
    if (call->params[index].wire == IDM_STRUCT_BY_VALUE)
        return call->params[index].size;
    return variable_bytes(call, args, index);
}

int idm_request_bytes(const struct idm_call *call, void *const args[])
{
    size_t total = sizeof(struct idm_record) + 8u * call->param_count;

    for (unsigned i = 0; i < call->param_count; i++) {
        const struct idm_param *param = &call->params[i];
        if (idm_is_pointer(param) && !(param->flags & IDM_NULL) && !pointer_at(args, i) &&
            !(param->count && count_of(call, args, param) == 0))
            return -EINVAL;
        if (!carries_data(param))
            continue;
        uint64_t bytes = data_bytes(call, args, i);
        if (bytes > IDM_RECORD_MAX)
            return -EMSGSIZE;
        total += idm_round8(bytes);
        if (total > IDM_RECORD_MAX)
            return -EMSGSIZE;
    }
    return (int)total;
}

void idm_pack_request(const struct idm_call *call, void *const args[], const uint64_t handles[],
                      struct idm_record *record)
{
    uint64_t *words = (uint64_t *)(void *)(record + 1);
    size_t offset = sizeof *record + 8u * call->param_count;

    for (unsigned i = 0; i < call->param_count; i++) {
        const struct idm_param *param = &call->params[i];
        if (param->wire == IDM_CREATES) {
            words[i] = *handles++;
        } else if (carries_data(param)) {
            uint64_t bytes = data_bytes(call, args, i);
            const void *from = param->wire == IDM_STRUCT_BY_VALUE ? args[i] : pointer_at(args, i);
            words[i] = (uint64_t)offset << 32 | bytes;
            if (bytes)
                memcpy((uint8_t *)record + offset, from, bytes);
            offset += idm_round8(bytes);
        } else if (brings_data(param)) {
            words[i] = variable_bytes(call, args, i);
        } else if (param->wire == IDM_LOCAL) {
            words[i] = 0;
        } else {
            words[i] = load_scalar(args[i], param->size, (param->flags & IDM_SIGNED) != 0);
        }
    }
}

size_t idm_results_bytes(const struct idm_call *call, void *const args[])
{
    size_t total = 0;

    for (unsigned i = 0; i < call->param_count; i++)
        if (brings_data(&call->params[i]))
            total += idm_round8(variable_bytes(call, args, i));
    return total;
}

int idm_unpack_results(const struct idm_call *call, void *const args[], const uint8_t *data, size_t bytes)
{
    /* Lengths are taken before anything is written: an inout count is overwritten on the way. */
    uint64_t lengths[IDM_PARAMS_MAX];
    size_t offset = 0;

    for (unsigned i = 0; i < call->param_count; i++)
        lengths[i] = brings_data(&call->params[i]) ? variable_bytes(call, args, i) : 0;
    for (unsigned i = 0; i < call->param_count; i++) {
        if (!lengths[i])
            continue;
        if (offset + lengths[i] > bytes)
            return -EPROTO;
        memcpy(pointer_at(args, i), data + offset, lengths[i]);
        offset += idm_round8(lengths[i]);
    }
    return 0;
}

static int check_data(const struct idm_param *param, const struct idm_record *record, unsigned index,
                      size_t first)
{
    uint64_t offset = idm_words(record)[index] >> 32;
    uint64_t bytes = idm_data_bytes(record, index);

    if (bytes == 0)
        return param->flags & IDM_NULL || param->count ? 0 : -EPROTO;
    if (offset < first || offset % 8 || offset > record->bytes || bytes > record->bytes - offset)
        return -EPROTO;
    if ((param->wire == IDM_STRUCT_IN || param->wire == IDM_INOUT ||
         param->wire == IDM_STRUCT_BY_VALUE) && bytes != param->size)
        return -EPROTO;
    if (param->wire == IDM_STRING_IN && idm_data(record, index)[bytes - 1] != 0)
        return -EPROTO;
    return 0;
}

/* A single result has the size of its type, so that the driver never writes beyond the room for it. */
static int check_room(const struct idm_param *param, uint64_t bytes)
{
    if (bytes > IDM_CHUNK_BYTES)
        return -EPROTO;
    if (param->wire != IDM_OUT && param->wire != IDM_OUT_HANDLE)
        return 0;
    return bytes == param->size || (bytes == 0 && param->flags & IDM_NULL) ? 0 : -EPROTO;
}

/* The count that a record carries: a plain number, or the inout number behind one. */
static uint64_t wire_count(const struct idm_call *call, const struct idm_record *record, unsigned counter)
{
    const struct idm_param *param = &call->params[counter];

    if (param->wire == IDM_INOUT)
        return idm_data_bytes(record, counter) ? load_scalar(idm_data(record, counter), param->size, 0) : 0;
    return idm_words(record)[counter];
}

static int check_count(const struct idm_call *call, const struct idm_record *record, unsigned index)
{
    const struct idm_param *param = &call->params[index];
    uint64_t bytes = idm_data_bytes(record, index);

    if (!param->count || param->wire == IDM_DEVICE_PTR || (bytes == 0 && param->flags & IDM_NULL))
        return 0;
    uint64_t count = wire_count(call, record, param->count - 1u);
    if (count > UINT32_MAX || count * param->scale != bytes)
        return -EPROTO;
    return 0;
}

int idm_check_request(const struct idm_call *call, const struct idm_record *record)
{
    size_t first = sizeof *record + 8u * call->param_count;

    if (record->bytes < first || call->mode == IDM_REFUSED || call->mode == IDM_MODE_LOCAL ||
        call->flags & IDM_ELSEWHERE)
        return -EPROTO;
    if ((record->slot == IDM_NO_SLOT) != (call->mode == IDM_POSTED))
        return -EPROTO;
    if ((record->slot != IDM_NO_SLOT && record->slot >= IDM_SLOTS) || record->reply > IDM_CHUNKS)
        return -EPROTO;
    for (unsigned i = 0; i < call->param_count; i++) {
        const struct idm_param *param = &call->params[i];
        if (param->wire == IDM_LOCAL)
            return -EPROTO;
        if (carries_data(param) && check_data(param, record, i, first))
            return -EPROTO;
        if (brings_data(param) && param->wire != IDM_INOUT && check_room(param, idm_words(record)[i]))
            return -EPROTO;
    }
    for (unsigned i = 0; i < call->param_count; i++)
        if (idm_is_pointer(&call->params[i]) && check_count(call, record, i))
            return -EPROTO;
    size_t capacity = record->reply ? IDM_CHUNK_BYTES : IDM_SLOT_DATA;
    return idm_results_capacity(call, record) > capacity ? -EPROTO : 0;
}

size_t idm_results_capacity(const struct idm_call *call, const struct idm_record *record)
{
    size_t total = 0;

    for (unsigned i = 0; i < call->param_count; i++)
        if (brings_data(&call->params[i]))
            total += idm_round8(idm_data_bytes(record, i));
    return total;
}
