/* vectors.S: interrupt entries, and the way to ring 3 and back. */
#include "guest.h"

    .section .text
    .code64

/* One entry of 16 bytes for each vector; those without an error code push a zero. */
    .balign 16
    .globl vectors
vectors:
    .set vector, 0
    .rept 256
    .balign 16
    .if (vector != 8) && ((vector < 10) || (vector > 14)) && (vector != 17) && (vector != 21)
    pushq $0
    .endif
    pushq $vector
    jmp common
    .set vector, vector + 1
    .endr

    .balign 16
common:
    pushq %rax
    pushq %rbx
    pushq %rcx
    pushq %rdx
    pushq %rsi
    pushq %rdi
    pushq %rbp
    pushq %r8
    pushq %r9
    pushq %r10
    pushq %r11
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, %rdi
    cld
    call interrupt
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %r11
    popq %r10
    popq %r9
    popq %r8
    popq %rbp
    popq %rdi
    popq %rsi
    popq %rdx
    popq %rcx
    popq %rbx
    popq %rax
    addq $16, %rsp
    iretq

/* int call_enter(fn rdi, arg rsi, rsp *saved rdx, cs rcx, ss r8, stack r9)
 * Calls fn(arg) with the given selectors and stack. *saved receives the stack to come back to, by
 * call_return with the result in eax. */
    .globl call_enter, call_return
call_enter:
    pushfq
    pushq %rbx
    pushq %rbp
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdx)
    pushfq
    popq %rax
    pushq %r8
    pushq %r9
    pushq %rax
    pushq %rcx
    pushq %rdi
    movq %rsi, %rdi
    iretq

call_return:                            /* rsp = *saved */
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbp
    popq %rbx
    popfq
    ret

/* The return address of fn: an exception here means success. */
    .globl call_done
call_done:
    ud2
