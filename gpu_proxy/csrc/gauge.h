/* SPDX-License-Identifier: Apache-2.0
 *
 * Gauges: how much of each stream's work is finished, so that the front end never sends more than the driver
 * takes without blocking (libvgpu/csrc/gauge.c). Every so often the executor records an event behind the work;
 * when it has happened, all work before it is finished. docs/decisions/0004-bounded-streams.md says why.
 */
#ifndef VX_GAUGE_H
#define VX_GAUGE_H

#include <stdint.h>

#include "idm.h"

enum {
    VX_MARKS = 8,               /* events of one stream at a time; also parts of a stream's works */
    VX_GAUGE_POLL = 64,         /* records between two looks at the events, while there are records */
};

struct vx_mark {
    void *event;
    uint32_t works;             /* queued in the gauge up to here */
};

struct vx_gauge {
    uint64_t owner;             /* the stream's handle, or the context's for its own streams */
    uint64_t context;           /* driver object, of the marks */
    uint32_t works;             /* queued ever */
    uint32_t marked;            /* of those, behind which there is a mark */
    uint32_t first, count;      /* marks, oldest first */
    struct vx_mark marks[VX_MARKS];
};

struct vx_gauges {
    struct vx_gauge *all;       /* IDM_GAUGES */
    uint32_t part;              /* works from one mark to the next */
    uint32_t turn;              /* records since the last look */
    uint32_t busy_count;        /* gauges that have marks */
    uint16_t busy[IDM_GAUGES];
};

#endif
