/* SPDX-License-Identifier: Apache-2.0
 *
 * The calls for stream memory operations.
 */
#include "capture.h"
#include "graph.h"
#include "memory.h"
#include "value.h"

static CUresult check_word(CUdeviceptr address, size_t bytes, int is_write)
{
    NEED(address % bytes == 0);
    return memory_check(address, bytes, is_write);
}

CUresult value_check(const CUstreamBatchMemOpParams *operation)
{
    const unsigned wait_flags = 3u | (unsigned)CU_STREAM_WAIT_VALUE_FLUSH;
    switch (operation->operation) {
    case CU_STREAM_MEM_OP_WAIT_VALUE_32:
        NEED(!(operation->waitValue.flags & ~wait_flags));
        return check_word(operation->waitValue.address, 4, 0);
    case CU_STREAM_MEM_OP_WAIT_VALUE_64:
        NEED(!(operation->waitValue.flags & ~wait_flags));
        return check_word(operation->waitValue.address, 8, 0);
    case CU_STREAM_MEM_OP_WRITE_VALUE_32:
        return check_word(operation->writeValue.address, 4, 1);
    case CU_STREAM_MEM_OP_WRITE_VALUE_64:
        return check_word(operation->writeValue.address, 8, 1);
    case CU_STREAM_MEM_OP_BARRIER:
    case CU_STREAM_MEM_OP_FLUSH_REMOTE_WRITES:
        return CUDA_SUCCESS;
    default:
        return CUDA_ERROR_INVALID_VALUE;
    }
}

static int is_wait(const CUstreamBatchMemOpParams *operation)
{
    return operation->operation == CU_STREAM_MEM_OP_WAIT_VALUE_32 ||
           operation->operation == CU_STREAM_MEM_OP_WAIT_VALUE_64;
}

static CUresult submit_all(struct stream *stream, const CUstreamBatchMemOpParams *operations, unsigned count)
{
    uint64_t sequence = 0;
    for (unsigned i = 0; i < count; i++) {
        struct work work = {.kind = WORK_VALUE, .value = operations[i]};
        unsigned flags = (is_wait(&operations[i]) ? 0u : SUBMIT_INLINE) | (i ? SUBMIT_PART : 0u);
        TRY(stream_submit(stream, &work, flags, &sequence));
    }
    return CUDA_SUCCESS;
}

static CUresult perform(CUstream handle, const CUstreamBatchMemOpParams *operations, unsigned count)
{
    struct stream *stream = NULL;
    ENTER_CONTEXT(context);
    for (unsigned i = 0; i < count; i++)
        TRY(value_check(&operations[i]));
    CUresult result = stream_resolve(context, handle, &stream);
    if (!result)
        result = stream->capture ? capture_values(stream, operations, count) : submit_all(stream, operations, count);
    if (stream)
        object_put(&stream->object);
    return result;
}

static CUresult perform_one(CUstream stream, CUstreamBatchMemOpType type, CUdeviceptr address, uint64_t value,
                            unsigned flags)
{
    /* Both kinds have the same layout up to the flags. */
    CUstreamBatchMemOpParams operation = {
        .waitValue = {.operation = type, .address = address, .value64 = value, .flags = flags}};
    return perform(stream, &operation, 1);
}

CUresult cuStreamWaitValue32_v2(CUstream stream, CUdeviceptr address, cuuint32_t value, unsigned int flags)
{
    return perform_one(stream, CU_STREAM_MEM_OP_WAIT_VALUE_32, address, value, flags);
}

CUresult cuStreamWaitValue64_v2(CUstream stream, CUdeviceptr address, cuuint64_t value, unsigned int flags)
{
    return perform_one(stream, CU_STREAM_MEM_OP_WAIT_VALUE_64, address, value, flags);
}

CUresult cuStreamWriteValue32_v2(CUstream stream, CUdeviceptr address, cuuint32_t value, unsigned int flags)
{
    return perform_one(stream, CU_STREAM_MEM_OP_WRITE_VALUE_32, address, value, flags);
}

CUresult cuStreamWriteValue64_v2(CUstream stream, CUdeviceptr address, cuuint64_t value, unsigned int flags)
{
    return perform_one(stream, CU_STREAM_MEM_OP_WRITE_VALUE_64, address, value, flags);
}

CUresult cuStreamBatchMemOp_v2(CUstream stream, unsigned int count, CUstreamBatchMemOpParams *operations,
                               unsigned int flags)
{
    NEED(count && count <= VALUES_PER_NODE_MAX && operations && !flags);
    return perform(stream, operations, count);
}

CUresult cuStreamWaitValue32(CUstream stream, CUdeviceptr address, cuuint32_t value, unsigned int flags)
{
    return cuStreamWaitValue32_v2(stream, address, value, flags);
}

CUresult cuStreamWaitValue64(CUstream stream, CUdeviceptr address, cuuint64_t value, unsigned int flags)
{
    return cuStreamWaitValue64_v2(stream, address, value, flags);
}

CUresult cuStreamWriteValue32(CUstream stream, CUdeviceptr address, cuuint32_t value, unsigned int flags)
{
    return cuStreamWriteValue32_v2(stream, address, value, flags);
}

CUresult cuStreamWriteValue64(CUstream stream, CUdeviceptr address, cuuint64_t value, unsigned int flags)
{
    return cuStreamWriteValue64_v2(stream, address, value, flags);
}

CUresult cuStreamBatchMemOp(CUstream stream, unsigned int count, CUstreamBatchMemOpParams *operations,
                            unsigned int flags)
{
    return cuStreamBatchMemOp_v2(stream, count, operations, flags);
}
