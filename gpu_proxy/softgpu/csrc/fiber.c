/* SPDX-License-Identifier: Apache-2.0
 *
 * Switching stacks. Only what the calling convention calls preserved is saved: to the compiler, a switch is an
 * ordinary function call. The floating-point control words never change while kernel code runs.
 */
#include "thread.h"

__asm__(".text\n"
        ".globl sg_fiber_switch\n"
        ".hidden sg_fiber_switch\n"
        ".type sg_fiber_switch, @function\n"
        "sg_fiber_switch:\n"
        "    push %rbp\n"
        "    push %rbx\n"
        "    push %r12\n"
        "    push %r13\n"
        "    push %r14\n"
        "    push %r15\n"
        "    mov %rsp, (%rdi)\n"
        "    mov %rsi, %rsp\n"
        "    pop %r15\n"
        "    pop %r14\n"
        "    pop %r13\n"
        "    pop %r12\n"
        "    pop %rbx\n"
        "    pop %rbp\n"
        /* Not ret: the CPU would predict a return to the fiber that called, and be wrong each time. */
        "    pop %rcx\n"
        "    jmp *%rcx\n"
        ".size sg_fiber_switch, .-sg_fiber_switch\n"
        /* A new fiber arrives here with its entry in r12 and itself in rbx. */
        ".type sg_fiber_start, @function\n"
        "sg_fiber_start:\n"
        "    mov %rbx, %rdi\n"
        "    call *%r12\n"
        "    ud2\n"
        ".size sg_fiber_start, .-sg_fiber_start\n"
        /* sg_on_stack(function, argument, stack) */
        ".type sg_on_stack, @function\n"
        "sg_on_stack:\n"
        "    push %rbp\n"
        "    mov %rsp, %rbp\n"
        "    mov %rdi, %rax\n"
        "    mov %rsi, %rdi\n"
        "    mov %rdx, %rsp\n"
        "    call *%rax\n"
        "    mov %rbp, %rsp\n"
        "    pop %rbp\n"
        "    ret\n"
        ".size sg_on_stack, .-sg_on_stack\n");

void sg_fiber_start(void);
void sg_on_stack(void (*function)(void *argument), void *argument, void *stack);

/* Stacks that start at equal offsets of their pages would all use the same few cache sets. */
enum { COLOURS = 16, COLOUR_BYTES = 192 };

void sg_fiber_prepare(struct sg_fiber *fiber, void (*entry)(struct sg_fiber *fiber))
{
    unsigned colour = (fiber->warp * SG_WARP + fiber->lane) % COLOURS;
    void **top = (void **)(void *)(fiber->stack + SG_STACK_BYTES - 64 - colour * COLOUR_BYTES);

    /* The frame that sg_fiber_switch pops: r15, r14, r13, r12, rbx, rbp, return address. Above it the stack is
     * aligned to 16, as the start's own call needs it. */
    top -= 7;
    top[0] = top[1] = top[2] = NULL;
    top[3] = __extension__(void *) entry;
    top[4] = fiber;
    top[5] = NULL;
    top[6] = __extension__(void *) sg_fiber_start;
    fiber->stack_pointer = top;
}

void sg_call_on_main(struct sg_slot *slot, void (*function)(void *argument), void *argument)
{
    /* Below what the CPU thread had in use when it switched to the fiber, red zone included. */
    uint64_t stack = ((uint64_t)(uintptr_t)slot->main_stack_pointer - 256) & ~UINT64_C(63);

    slot->on_fiber = 0;
    sg_on_stack(function, argument, (void *)(uintptr_t)stack);
    slot->on_fiber = 1;
}
