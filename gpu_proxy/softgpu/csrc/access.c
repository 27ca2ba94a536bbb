/* SPDX-License-Identifier: Apache-2.0
 *
 * What compiled code calls when an access is not plainly inside the arena, and its other ways to fail.
 */
#include <stdio.h>
#include <string.h>

#include "thread.h"

void sg_op_bad_window(struct sg_thread *thread, uint32_t window, uint64_t offset, uint32_t bytes, uint32_t write)
    __attribute__((noreturn));
void sg_op_window(struct sg_thread *thread, uint32_t window, uint64_t offset, uint32_t bytes, uint32_t write);
void sg_op_stack_overflow(struct sg_thread *thread) __attribute__((noreturn));
void sg_op_illegal(struct sg_thread *thread) __attribute__((noreturn));
void sg_op_trap(struct sg_thread *thread) __attribute__((noreturn));
void sg_op_exit(struct sg_thread *thread) __attribute__((noreturn));
void sg_op_cp_async(struct sg_thread *thread, uint64_t to, uint64_t from, uint32_t bytes, uint32_t given);

enum { WORKSPACE_BYTES = 4096 };

static int inside(uint64_t address, uint32_t bytes, uint64_t start, uint64_t count)
{
    return address >= start && address - start <= count && count - (address - start) >= bytes;
}

struct question {
    uint64_t address;
    uint32_t bytes;
    int is_write;
    int answer;
};

static void ask(void *argument)
{
    struct question *question = argument;

    question->answer = sg_engine_memory.check(question->address, question->bytes, question->is_write);
}

static int is_host_memory(struct sg_thread *thread, uint64_t address, uint32_t bytes, int is_write)
{
    struct question question = {address, bytes, is_write, 0};

    if (!sg_engine_memory.check)
        return 0;
    sg_call_on_main(thread->fiber->slot, ask, &question);
    return question.answer;
}

static int is_allowed(struct sg_thread *thread, uint64_t address, uint32_t bytes, uint32_t flags)
{
    int is_write = (flags & SG_ACCESS_WRITE) != 0;

    if (flags & SG_ACCESS_GENERIC) {
        if (inside(address, bytes, thread->shared_base, thread->shared_bytes) ||
            inside(address, bytes, thread->local_base, thread->local_bytes))
            return 1;
        if (!is_write && inside(address, bytes, thread->params, thread->param_bytes))
            return 1;
    }
    if (inside(address, bytes, thread->arena_base, thread->arena_bytes))
        return 1;
    if (thread->workspace && inside(address, bytes, thread->workspace, WORKSPACE_BYTES))
        return 1;
    return is_host_memory(thread, address, bytes, is_write);
}

void sg_op_access(struct sg_thread *thread, uint64_t address, uint32_t bytes, uint32_t flags)
{
    char text[SG_ERROR_BYTES / 2];
    const char *what = flags & SG_ACCESS_WRITE ? "write" : "read";

    if (address & (bytes - 1)) {
        snprintf(text, sizeof text, "misaligned %s of %u bytes at 0x%llx", what, bytes, (unsigned long long)address);
        sg_fault_raise(thread, SG_FAULT_MISALIGNED, address, text);
    }
    if (is_allowed(thread, address, bytes, flags))
        return;
    snprintf(text, sizeof text, "illegal %s of %u bytes at 0x%llx", what, bytes, (unsigned long long)address);
    sg_fault_raise(thread, SG_FAULT_ILLEGAL_ADDRESS, address, text);
}

void sg_op_bad_window(struct sg_thread *thread, uint32_t window, uint64_t offset, uint32_t bytes, uint32_t write)
{
    static const char *const names[] = {"?", "shared", "local", "parameter"};
    char text[SG_ERROR_BYTES / 2];
    int misaligned = (offset & (bytes - 1)) != 0;

    snprintf(text, sizeof text, "%s %s of %u bytes at offset 0x%llx of %s memory", misaligned ? "misaligned" : "illegal",
             write ? "write" : "read", bytes, (unsigned long long)offset, names[window & 3]);
    sg_fault_raise(thread, misaligned ? SG_FAULT_MISALIGNED : SG_FAULT_ILLEGAL_ADDRESS, offset, text);
}

/* One of several accesses of which at least one is bad. */
void sg_op_window(struct sg_thread *thread, uint32_t window, uint64_t offset, uint32_t bytes, uint32_t write)
{
    uint64_t limit = window == 1 ? thread->shared_bytes : thread->local_bytes;

    if ((offset & (bytes - 1)) || !inside(offset, bytes, 0, limit))
        sg_op_bad_window(thread, window, offset, bytes, write);
}

void sg_op_stack_overflow(struct sg_thread *thread)
{
    sg_fault_raise(thread, SG_FAULT_STACK_OVERFLOW, 0, "stack overflow: local memory of nested calls is used up");
}

void sg_op_illegal(struct sg_thread *thread)
{
    sg_fault_raise(thread, SG_FAULT_ILLEGAL_INSTRUCTION, 0,
                   "a call through a pointer that is no device function of this type, or a branch beyond its table");
}

void sg_op_trap(struct sg_thread *thread)
{
    sg_fault_raise(thread, SG_FAULT_TRAP, 0, "trap instruction");
}

void sg_op_exit(struct sg_thread *thread)
{
    sg_fiber_exit(thread->fiber);
}

void sg_op_cp_async(struct sg_thread *thread, uint64_t to, uint64_t from, uint32_t bytes, uint32_t given)
{
    uint8_t *target = (uint8_t *)(uintptr_t)(thread->shared_base + to);

    if ((to & (bytes - 1)) || !inside(to, bytes, 0, thread->shared_bytes))
        sg_op_bad_window(thread, 1, to, bytes, 1);
    if (given > bytes)
        given = bytes;
    if (given) {
        if (from & (bytes - 1))
            sg_op_access(thread, from, bytes, 0);
        for (uint32_t i = 0; given < bytes && i < given; i++)
            sg_op_access(thread, from + i, 1, 0);
        if (given == bytes)
            sg_op_access(thread, from, bytes, 0);
        memcpy(target, (const void *)(uintptr_t)from, given);
    }
    memset(target + given, 0, bytes - given);
}
