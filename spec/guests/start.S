/*
 * start.S: from a 32-bit or 64-bit entry to main() in long mode.
 *
 * edi = the boot protocol, esi = its information block. The page tables map the first 4 GiB
 * one to one; they are data, so that there is nothing to build.
 */
#include "guest.h"

    .section .text
    .code32
    .globl start32
start32:
    movl $stack_top, %esp
    lgdt gdt_pointer
    movl %cr4, %eax
    orl $0x20, %eax                     /* PAE */
    movl %eax, %cr4
    movl $pml4, %eax
    movl %eax, %cr3
    movl $0xc0000080, %ecx              /* EFER */
    rdmsr
    orl $0x100, %eax                    /* LME */
    wrmsr
    movl %cr0, %eax
    orl $0x80000001, %eax               /* PG, PE */
    movl %eax, %cr0
    ljmp $SEL_CODE, $long_mode

    .code64
    .globl start64
start64:                                /* in long mode, on the loader's page tables */
    movl $pml4, %eax
    movq %rax, %cr3
    movl $stack_top, %esp
    lgdt gdt_pointer
    pushq $SEL_CODE
    pushq $long_mode
    lretq

long_mode:
    movl $SEL_DATA, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    xorl %eax, %eax
    movl %eax, %fs
    movl %eax, %gs
    movl $stack_top, %esp
    movl %edi, %edx
    movl $bss_start, %edi               /* a loader need not clear it */
    movl $image_end, %ecx
    subl %edi, %ecx
    shrl $3, %ecx
    rep stosq
    movl %edx, %edi
    movl %esi, %esi
    call main
1:  hlt
    jmp 1b

    /* Enters C on another processor: eax = its index, stack and tables are set. */
    .globl ap_long_mode
ap_long_mode:
    movl $SEL_DATA, %ecx
    movl %ecx, %ds
    movl %ecx, %es
    movl %ecx, %ss
    movl %eax, %edi
    call ap_main
2:  hlt
    jmp 2b

    .section .data
    .balign 8
    .globl gdt, gdt_pointer
gdt:
    .quad 0
    .quad 0x00af9b000000ffff            /* SEL_CODE: 64-bit */
    .quad 0x00cf93000000ffff            /* SEL_DATA */
    .quad 0x00cff3000000ffff            /* SEL_USER_DATA */
    .quad 0x00affb000000ffff            /* SEL_USER_CODE: 64-bit */
    .quad 0x00cf9b000000ffff            /* SEL_CODE32: for processors on their way up */
    .fill 2 * MAX_CPUS, 8, 0            /* task state segments */
gdt_end:
    .word 0
gdt_pointer:
    .word gdt_end - gdt - 1
    .quad gdt

    .balign 4096
    .globl pml4
pml4:
    .quad pdpt + PTE_TABLE
    .fill 511, 8, 0
pdpt:
    .quad pd + PTE_TABLE, pd + 0x1000 + PTE_TABLE, pd + 0x2000 + PTE_TABLE, pd + 0x3000 + PTE_TABLE
    .fill 508, 8, 0
pd:
    .set page, 0
    .rept 2032
    .quad page + PTE_LARGE
    .set page, page + 0x200000
    .endr
    .rept 16                            /* the last 32 MiB: APICs and firmware, uncached */
    .quad page + PTE_LARGE + PTE_UNCACHED
    .set page, page + 0x200000
    .endr

    .section .bss.noinit, "aw", @nobits
    .balign 16
    .space 16384
stack_top:
