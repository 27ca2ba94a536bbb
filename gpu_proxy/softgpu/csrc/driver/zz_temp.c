/* SPDX-License-Identifier: Apache-2.0 */
#include "capture.h"
#include "graph.h"
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
struct allocation *mapping_allocation(struct mapping *m);
struct allocation *mapping_allocation(struct mapping *m){(void)m;return NULL;}
