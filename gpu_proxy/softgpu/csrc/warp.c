/* SPDX-License-Identifier: Apache-2.0
 *
 * Operations of a warp: threads bring a value, wait until all members are there, and leave with a result. The last
 * to arrive computes the results of all.
 */
#include <string.h>

#include "thread.h"

enum group_kind {
    KIND_SYNC,
    KIND_SHUFFLE = 1, /* + mode: up, down, bfly, idx */
    KIND_VOTE = 8,  /* + any, all, uni, ballot */
    KIND_MATCH = 16, /* + any, all */
    KIND_REDUX = 32, /* + add, min, max, and, or, xor; + 8 if signed */
    KIND_ACTIVE = 64,
};

enum { SHUFFLE_UP, SHUFFLE_DOWN, SHUFFLE_BFLY, SHUFFLE_IDX };
enum { VOTE_ANY, VOTE_ALL, VOTE_UNI, VOTE_BALLOT };
enum { REDUX_ADD, REDUX_MIN, REDUX_MAX, REDUX_AND, REDUX_OR, REDUX_XOR, REDUX_SIGNED = 8 };

#define FOR_EACH_LANE(lane, lanes)                                                                             \
    for (uint32_t lane##_left = (lanes), lane; lane##_left && ((lane = (uint32_t)__builtin_ctz(lane##_left)), 1); \
         lane##_left &= lane##_left - 1)

static void shuffle(struct sg_fiber **fibers, uint32_t arrived, uint32_t mode)
{
    FOR_EACH_LANE(lane, arrived)
    {
        struct sg_fiber *fiber = fibers[lane];
        uint32_t segment = fiber->clamp >> 8 & 31;
        uint32_t b = fiber->lane_argument & 31;
        uint32_t max_lane = (lane & segment) | (fiber->clamp & 31 & ~segment);
        int32_t from;
        int valid;
        switch (mode) {
        case SHUFFLE_UP:
            from = (int32_t)lane - (int32_t)b;
            valid = from >= (int32_t)max_lane;
            break;
        case SHUFFLE_DOWN:
            from = (int32_t)(lane + b);
            valid = from <= (int32_t)max_lane;
            break;
        case SHUFFLE_BFLY:
            from = (int32_t)(lane ^ b);
            valid = from <= (int32_t)max_lane;
            break;
        default:
            from = (int32_t)((lane & segment) | (b & ~segment));
            valid = from <= (int32_t)max_lane;
        }
        uint32_t source = valid ? (uint32_t)from & 31 : lane;
        if (!(arrived >> source & 1))
            source = lane; /* CUDA leaves this undefined: the thread's own value */
        fiber->thread.result = (fibers[source]->value & UINT32_MAX) | (uint64_t)(valid != 0) << 32;
    }
}

static void vote(struct sg_fiber **fibers, uint32_t arrived, uint32_t kind)
{
    uint32_t ballot = 0, result;

    FOR_EACH_LANE(lane, arrived)
        ballot |= (uint32_t)(fibers[lane]->value & 1) << lane;
    switch (kind) {
    case VOTE_ANY:
        result = ballot != 0;
        break;
    case VOTE_ALL:
        result = ballot == arrived;
        break;
    case VOTE_UNI:
        result = ballot == arrived || ballot == 0;
        break;
    default:
        result = ballot;
    }
    FOR_EACH_LANE(lane, arrived)
        fibers[lane]->thread.result = result;
}

static void match(struct sg_fiber **fibers, uint32_t arrived, uint32_t all)
{
    FOR_EACH_LANE(lane, arrived)
    {
        uint32_t same = 0;
        FOR_EACH_LANE(other, arrived)
            same |= (uint32_t)(fibers[other]->value == fibers[lane]->value) << other;
        if (!all)
            fibers[lane]->thread.result = same;
        else
            fibers[lane]->thread.result = same == arrived ? (uint64_t)same | UINT64_C(1) << 32 : 0;
    }
}

static uint32_t combine(uint32_t op, uint32_t a, uint32_t b)
{
    switch (op) {
    case REDUX_ADD:
    case REDUX_ADD | REDUX_SIGNED:
        return a + b;
    case REDUX_MIN:
        return a < b ? a : b;
    case REDUX_MAX:
        return a > b ? a : b;
    case REDUX_MIN | REDUX_SIGNED:
        return (int32_t)a < (int32_t)b ? a : b;
    case REDUX_MAX | REDUX_SIGNED:
        return (int32_t)a > (int32_t)b ? a : b;
    case REDUX_AND:
        return a & b;
    case REDUX_OR:
        return a | b;
    default:
        return a ^ b;
    }
}

static void redux(struct sg_fiber **fibers, uint32_t arrived, uint32_t op)
{
    uint32_t first = (uint32_t)__builtin_ctz(arrived);
    uint32_t total = (uint32_t)fibers[first]->value;

    FOR_EACH_LANE(lane, arrived & ~(1u << first))
        total = combine(op, total, (uint32_t)fibers[lane]->value);
    FOR_EACH_LANE(lane, arrived)
        fibers[lane]->thread.result = total;
}

static void finish(struct sg_slot *slot, uint32_t w, struct sg_group *group)
{
    struct sg_fiber **fibers = &slot->fibers[w * SG_WARP];
    uint32_t kind = group->kind, arrived = group->arrived;

    if (kind == KIND_ACTIVE)
        FOR_EACH_LANE(lane, arrived)
            fibers[lane]->thread.result = arrived;
    else if (kind >= KIND_REDUX)
        redux(fibers, arrived, kind - KIND_REDUX);
    else if (kind >= KIND_MATCH)
        match(fibers, arrived, kind - KIND_MATCH);
    else if (kind >= KIND_VOTE)
        vote(fibers, arrived, kind - KIND_VOTE);
    else if (kind >= KIND_SHUFFLE)
        shuffle(fibers, arrived, kind - KIND_SHUFFLE);
    group->arrived = 0;
    slot->block.warp[w].groups_used--;
    sg_fiber_ready(slot, w, arrived);
}

static int is_complete(const struct sg_warp *warp, const struct sg_group *group)
{
    uint32_t members = group->site ? warp->live : group->mask & warp->live;

    return (members & ~group->arrived) == 0;
}

static struct sg_group *find_group(struct sg_warp *warp, uint32_t mask, uint32_t site)
{
    struct sg_group *unused = NULL;

    for (uint32_t i = 0, seen = 0; i < SG_WARP; i++) {
        struct sg_group *group = &warp->groups[i];
        if (!group->arrived) {
            unused = unused ? unused : group;
            if (seen == warp->groups_used)
                break;
            continue;
        }
        seen++;
        if (group->mask == mask && group->site == site)
            return group;
    }
    if (unused) {
        warp->groups_used++;
        *unused = (struct sg_group){.mask = mask, .site = site};
    }
    return unused;
}

/* 1 if the thread has to wait for others. */
static uint32_t meet(struct sg_thread *thread, uint32_t kind, uint64_t value, uint32_t mask, uint32_t site)
{
    struct sg_fiber *fiber = thread->fiber;
    struct sg_warp *warp = &fiber->slot->block.warp[fiber->warp];
    uint32_t bit = 1u << fiber->lane;

    if (!site && !(mask & bit))
        sg_fault_raise(thread, SG_FAULT_ILLEGAL_INSTRUCTION, 0, "a warp operation by a thread outside its member mask");
    struct sg_group *group = find_group(warp, mask, site);
    if (!group || (group->arrived && group->kind != kind))
        sg_fault_raise(thread, SG_FAULT_ILLEGAL_INSTRUCTION, 0,
                       "threads of a warp met at different operations with the same member mask");
    fiber->value = value;
    group->kind = kind;
    group->arrived |= bit;
    if (is_complete(warp, group)) {
        finish(fiber->slot, fiber->warp, group);
        return 0;
    }
    sg_fiber_not_ready(fiber);
    return 1;
}

void sg_groups_after_exit(struct sg_slot *slot, uint32_t w)
{
    struct sg_warp *warp = &slot->block.warp[w];

    for (uint32_t i = 0; i < SG_WARP; i++)
        if (warp->groups[i].arrived && is_complete(warp, &warp->groups[i]))
            finish(slot, w, &warp->groups[i]);
}

int sg_groups_release_site(struct sg_slot *slot, uint32_t w)
{
    struct sg_warp *warp = &slot->block.warp[w];
    struct sg_group *first = NULL;

    /* The earliest place in the program: those that are behind catch up with the others. */
    for (uint32_t i = 0; i < SG_WARP; i++) {
        struct sg_group *group = &warp->groups[i];
        if (group->arrived && group->site && (!first || group->site < first->site))
            first = group;
    }
    if (first)
        finish(slot, w, first);
    return first != NULL;
}

/* Each operation for coroutines, and for fibers; see barrier.c. */
#define OPERATION(name, arguments, kind, value, mask, site, ...) \
    uint32_t sg_co_##name arguments;                             \
    void sg_op_##name arguments;                                 \
    uint32_t sg_co_##name arguments                              \
    {                                                            \
        __VA_ARGS__                                              \
        return meet(thread, kind, value, mask, site);            \
    }                                                            \
    void sg_op_##name arguments                                  \
    {                                                            \
        __VA_ARGS__                                              \
        if (meet(thread, kind, value, mask, site))               \
            sg_fiber_wait(thread->fiber);                        \
    }

OPERATION(shfl,
          (struct sg_thread * thread, uint32_t mode, uint32_t value, uint32_t lane, uint32_t clamp, uint32_t mask,
           uint32_t site),
          KIND_SHUFFLE + mode, value, mask, site, thread->fiber->lane_argument = lane; thread->fiber->clamp = clamp;)
OPERATION(vote, (struct sg_thread * thread, uint32_t kind, uint32_t predicate, uint32_t mask, uint32_t site),
          KIND_VOTE + kind, predicate, mask, site, )
OPERATION(match, (struct sg_thread * thread, uint32_t all, uint64_t value, uint32_t mask), KIND_MATCH + all, value,
          mask, 0, )
OPERATION(redux, (struct sg_thread * thread, uint32_t op, uint32_t value, uint32_t mask), KIND_REDUX + op, value, mask,
          0, )
OPERATION(activemask, (struct sg_thread * thread, uint32_t site), KIND_ACTIVE, 0, 0, site, )
OPERATION(warp_sync, (struct sg_thread * thread, uint32_t mask), KIND_SYNC, 0, mask, 0, )
