/* SPDX-License-Identifier: Apache-2.0
 *
 * Stream capture: work given to a capturing stream becomes nodes of a graph. A capture spreads to other
 * streams that wait for an event recorded in it, and must have come back to the first one when it ends.
 */
#ifndef SOFTGPU_CAPTURE_H
#define SOFTGPU_CAPTURE_H

#include "stream.h"

enum { CAPTURE_STREAMS_MAX = 4096 };

/* Calls that must not happen during a capture, as the thread's mode has it: they fail and spoil the capture. */
CUresult capture_forbid_unsafe(void);

/* Waiting for a context in which a stream captures. */
CUresult capture_forbid_in_context(struct context *context);

/* A capturing stream cannot be queried or waited for. */
CUresult capture_forbid_stream(struct stream *stream);

/* Work for the legacy stream would make capturing blocking streams wait. */
CUresult capture_forbid_legacy(struct stream *stream);

CUresult capture_work(struct stream *stream, struct work *work, CUgraphNodeType type);
CUresult capture_values(struct stream *stream, const CUstreamBatchMemOpParams *values, unsigned count);
CUresult capture_child(struct stream *stream, CUgraph graph);
CUresult capture_alloc(struct stream *stream, struct context *context, size_t bytes, CUdeviceptr *address);
CUresult capture_free(struct stream *stream, CUdeviceptr address);
CUresult capture_record(struct stream *stream, struct event *event, unsigned flags);
CUresult capture_wait(struct stream *stream, struct event *event, unsigned flags);
void capture_forget_event(struct event *event);

/* Drop a stream that is destroyed from its capture, which is spoilt by that. */
void capture_stream_ends(struct stream *stream);

#endif
