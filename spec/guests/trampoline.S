/* trampoline.S: copied to AP_START: brings an application processor to long mode. */
#include "guest.h"

#define AT(symbol) (symbol - trampoline + AP_START)

    .section .text
    .globl trampoline, trampoline_end, ap_next, ap_stacks
    .code16
trampoline:
    cli
    xorl %eax, %eax
    movw %ax, %ds
    lgdtl AT(ap_gdt_pointer)
    movl $1, %eax
    movl %eax, %cr0
    ljmpl $SEL_CODE32, $AT(ap_protected)

    .code32
ap_protected:
    movl $SEL_DATA, %eax
    movl %eax, %ds
    movl %eax, %ss
    movl %cr4, %eax
    orl $0x20, %eax
    movl %eax, %cr4
    movl $pml4, %eax
    movl %eax, %cr3
    movl $0xc0000080, %ecx
    rdmsr
    orl $0x100, %eax
    wrmsr
    movl %cr0, %eax
    orl $0x80000000, %eax
    movl %eax, %cr0
    movl $1, %eax
    lock xaddl %eax, ap_next            /* this processor's index */
    movl %eax, %edx
    shll $12, %edx
    leal ap_stacks(%edx), %esp          /* index 1 owns the 4 KiB that end at index 2's */
    ljmp $SEL_CODE, $ap_long_mode

    .balign 8
ap_gdt_pointer:
    .word SEL_TSS + 16 * MAX_CPUS - 1
    .long gdt
trampoline_end:

    .section .data
    .balign 4
ap_next:
    .long 1

    .section .bss.noinit, "aw", @nobits
    .balign 4096
ap_stacks:
    .space 4096 * MAX_CPUS
