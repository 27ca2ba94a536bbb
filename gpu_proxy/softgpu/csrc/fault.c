/* SPDX-License-Identifier: Apache-2.0
 *
 * Faults: found by checks in compiled code and in the runtime, or by the CPU. Either way the fiber is abandoned
 * where it is and the CPU thread goes on at the place where it entered the fiber. That is safe because nothing that
 * runs on a fiber's stack ever holds a lock or owns memory.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "thread.h"

enum { SIGNAL_STACK_BYTES = 128 * 1024, SMALLEST_SIGNAL_STACK = 32 * 1024 };

static const int fault_signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};
enum { FAULT_SIGNALS = sizeof fault_signals / sizeof fault_signals[0] };
static struct sigaction previous[FAULT_SIGNALS];

static pthread_key_t stack_key;
static _Thread_local int prepared;
/* An interrupt is a queued SIGSEGV that carries this variable's address; no signal number of its own is needed. */
static int interrupt_cookie;

_Thread_local struct sg_slot *sg_this_slot;

void sg_fault_record(struct sg_grid *grid, enum sg_fault_kind kind, uint64_t address, const char *text)
{
    pthread_mutex_lock(&grid->fault_lock);
    if (grid->fault.kind == SG_FAULT_NONE) {
        grid->fault.kind = kind;
        grid->fault.address = address;
        snprintf(grid->fault.text, sizeof grid->fault.text, "kernel '%s': %s", grid->kernel->name, text);
    }
    pthread_mutex_unlock(&grid->fault_lock);
    atomic_store(&grid->stop, (int)kind);
}

struct raised {
    struct sg_thread *thread;
    enum sg_fault_kind kind;
    uint64_t address;
    const char *text;
};

static void record_raised(void *argument)
{
    const struct raised *raised = argument;
    const struct sg_thread *t = raised->thread;
    char text[SG_ERROR_BYTES];

    snprintf(text, sizeof text, "%s (thread %u,%u,%u of block %u,%u,%u)", raised->text, t->tid[0], t->tid[1],
             t->tid[2], t->ctaid[0], t->ctaid[1], t->ctaid[2]);
    sg_fault_record(t->fiber->slot->grid, raised->kind, raised->address, text);
}

void sg_fault_raise(struct sg_thread *thread, enum sg_fault_kind kind, uint64_t address, const char *text)
{
    struct sg_slot *slot = thread->fiber->slot;
    struct raised raised = {thread, kind, address, text};
    void *ignored;

    sg_call_on_main(slot, record_raised, &raised);
    slot->on_fiber = 0;
    sg_fiber_switch(&ignored, slot->main_stack_pointer);
    __builtin_unreachable();
}

/* --- signals ------------------------------------------------------------------------------------------------- */

static const char *describe(enum sg_fault_kind kind)
{
    switch (kind) {
    case SG_FAULT_ILLEGAL_ADDRESS:
        return "access to memory that is not allocated";
    case SG_FAULT_STACK_OVERFLOW:
        return "stack overflow: calls nested too deeply";
    case SG_FAULT_CANCELLED:
        return "cancelled";
    default:
        return "the CPU raised an exception";
    }
}

/* The CPU thread continues here, on its own stack, after the signal handler has returned. */
static void land(struct sg_slot *slot) __attribute__((noreturn));

static void land(struct sg_slot *slot)
{
    void *ignored;

    if (slot->signal_kind != SG_FAULT_NONE && slot->current) {
        struct raised raised = {&slot->current->thread, slot->signal_kind, slot->signal_address,
                                describe(slot->signal_kind)};
        record_raised(&raised);
    }
    sg_fiber_switch(&ignored, slot->main_stack_pointer);
    __builtin_unreachable();
}

static void redirect(struct sg_slot *slot, ucontext_t *context, enum sg_fault_kind kind, uint64_t address)
{
    uint64_t stack = ((uint64_t)(uintptr_t)slot->main_stack_pointer - 256) & ~UINT64_C(63);

    slot->on_fiber = 0;
    slot->signal_kind = kind;
    slot->signal_address = address;
    context->uc_mcontext.gregs[REG_RSP] = (greg_t)(stack - 8);
    context->uc_mcontext.gregs[REG_RIP] = (greg_t)(uintptr_t)land;
    context->uc_mcontext.gregs[REG_RDI] = (greg_t)(uintptr_t)slot;
    context->uc_mcontext.gregs[REG_EFL] &= ~(greg_t)0x400; /* the direction flag must be clear in C */
}

static enum sg_fault_kind classify(const struct sg_slot *slot, int number, uint64_t address, uint64_t stack)
{
    const struct sg_fiber *fiber = slot->stack_owner;
    uint64_t lowest = (uint64_t)(uintptr_t)fiber->stack;

    if (number != SIGSEGV && number != SIGBUS)
        return SG_FAULT_HARDWARE;
    if (address - (lowest - SG_GUARD_BYTES) < SG_GUARD_BYTES || stack < lowest)
        return SG_FAULT_STACK_OVERFLOW;
    return address ? SG_FAULT_ILLEGAL_ADDRESS : SG_FAULT_HARDWARE;
}

static void pass_on(int number, siginfo_t *info, void *context)
{
    for (int i = 0; i < FAULT_SIGNALS; i++) {
        if (fault_signals[i] != number)
            continue;
        if (previous[i].sa_flags & SA_SIGINFO)
            previous[i].sa_sigaction(number, info, context);
        else if (previous[i].sa_handler == SIG_DFL || previous[i].sa_handler == SIG_IGN)
            sigaction(number, &previous[i], NULL); /* the instruction is repeated and meets the default action */
        else
            previous[i].sa_handler(number);
    }
}

static int is_interrupt(const siginfo_t *info)
{
    return info->si_code == SI_QUEUE && info->si_value.sival_ptr == &interrupt_cookie;
}

static void handle(int number, siginfo_t *info, void *raw)
{
    int saved_errno = errno;
    ucontext_t *context = raw;
    struct sg_slot *slot = sg_this_slot;
    int in_kernel = slot && slot->on_fiber && slot->current;

    if (number == SIGSEGV && is_interrupt(info)) {
        /* Only compiled code may be left at any instruction; the runtime asks for the stop flag itself. */
        if (in_kernel && atomic_load(&slot->grid->stop) &&
            sg_image_has_code(slot->grid->kernel->image, (uint64_t)context->uc_mcontext.gregs[REG_RIP]))
            redirect(slot, context, SG_FAULT_NONE, 0);
    } else if (in_kernel) {
        uint64_t address = (uint64_t)(uintptr_t)info->si_addr;
        uint64_t stack = (uint64_t)context->uc_mcontext.gregs[REG_RSP];
        redirect(slot, context, classify(slot, number, address, stack), address);
    } else {
        pass_on(number, info, raw);
    }
    errno = saved_errno;
}

void sg_fault_interrupt(struct sg_slot *slot)
{
    union sigval value = {.sival_ptr = &interrupt_cookie};

    pthread_sigqueue(slot->thread, SIGSEGV, value);
}

static void free_signal_stack(void *stack)
{
    stack_t off = {.ss_flags = SS_DISABLE};

    sigaltstack(&off, NULL);
    munmap(stack, SIGNAL_STACK_BYTES);
}

int sg_fault_prepare_thread(void)
{
    stack_t current;

    if (prepared)
        return 0;
    if (sigaltstack(NULL, &current) < 0)
        return -errno;
    if ((current.ss_flags & SS_DISABLE) || current.ss_size < SMALLEST_SIGNAL_STACK) {
        void *memory = mmap(NULL, SIGNAL_STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED)
            return -ENOMEM;
        stack_t ours = {.ss_sp = memory, .ss_size = SIGNAL_STACK_BYTES};
        if (sigaltstack(&ours, NULL) < 0)
            return -errno;
        pthread_setspecific(stack_key, memory);
    }
    prepared = 1;
    return 0;
}

int sg_fault_install(void)
{
    struct sigaction action = {.sa_sigaction = handle, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
    int result = pthread_key_create(&stack_key, free_signal_stack);

    if (result)
        return -result;
    sigemptyset(&action.sa_mask);
    for (int i = 0; i < FAULT_SIGNALS; i++)
        if (sigaction(fault_signals[i], &action, &previous[i]) < 0)
            return -errno;
    return 0;
}
