/* SPDX-License-Identifier: Apache-2.0 */
#include "capture.h"
#include "graph.h"
#include "memory.h"
CUresult capture_forbid_unsafe(void){return CUDA_SUCCESS;}
CUresult capture_forbid_in_context(struct context *c){(void)c;return CUDA_SUCCESS;}
CUresult capture_forbid_stream(struct stream *s){(void)s;return CUDA_SUCCESS;}
CUresult capture_forbid_legacy(struct stream *s){(void)s;return CUDA_SUCCESS;}
CUresult capture_work(struct stream *s, struct work *w, CUgraphNodeType t){(void)s;(void)w;(void)t;return CUDA_ERROR_NOT_SUPPORTED;}
CUresult capture_record(struct stream *s, struct event *e, unsigned f){(void)s;(void)e;(void)f;return CUDA_ERROR_NOT_SUPPORTED;}
CUresult capture_wait(struct stream *s, struct event *e, unsigned f){(void)s;(void)e;(void)f;return CUDA_ERROR_NOT_SUPPORTED;}
void capture_forget_event(struct event *e){(void)e;}
void capture_stream_ends(struct stream *s){(void)s;}
void plan_put(struct plan *p){(void)p;}
enum outcome plan_run(struct stream *s, struct work_graph *w, uint64_t q){(void)s;(void)w;(void)q;return WORK_DONE;}
CUresult capture_values(struct stream *s, const CUstreamBatchMemOpParams *v, unsigned n){(void)s;(void)v;(void)n;return CUDA_ERROR_NOT_SUPPORTED;}
CUresult capture_alloc(struct stream *s, struct context *c, size_t b, CUdeviceptr *a){(void)s;(void)c;(void)b;(void)a;return CUDA_ERROR_NOT_SUPPORTED;}
CUresult capture_free(struct stream *s, CUdeviceptr a){(void)s;(void)a;return CUDA_ERROR_NOT_SUPPORTED;}
