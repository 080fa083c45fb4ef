/*
 * guest.h: the benchmarks' guests: flat firmware images of 64 KiB, so that QEMU, Lunik and a bare
 * KVM loop start the very same bytes without anything running before them. From the reset vector
 * they go to 32-bit protected mode with flat segments; each continues at `main`, with a stack. With
 * PVH defined they are kernels instead, for boards without firmware, and start in that mode.
 */
#define REPORT_PORT 0xe9 /* text for the benchmark */
#define EXIT_PORT   0xf4
#define UART_DATA   0x3f8
#define UART_STATUS 0x3fd
#define UART_EMPTY  0x20

#define STACK_TOP 0x8000

#ifdef PVH
    .macro GUEST_BEGIN
    .section .note.guest, "a", @note
    .balign 4
    .long 4, 4, 18                      /* name and descriptor size, XEN_ELFNOTE_PHYS32_ENTRY */
    .asciz "Xen"
    .long main
    .section .text
    .globl main
    .endm

    .macro GUEST_END
stop:
    cli
    hlt
    jmp stop
    .endm
#else
    .macro GUEST_BEGIN
    .section .text
    .code16
real_mode:
    cli
    lgdtl %cs:gdt_pointer - real_mode
    movl %cr0, %eax
    orl $1, %eax
    movl %eax, %cr0
    ljmpl $8, $protected_mode

    .balign 8
gdt:
    .quad 0
    .quad 0x00cf9b000000ffff            /* code */
    .quad 0x00cf93000000ffff            /* data */
gdt_pointer:
    .word gdt_pointer - gdt - 1
    .long gdt

    .code32
protected_mode:
    movl $16, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    movl $STACK_TOP, %esp
    cld
    jmp main
    .endm

    .macro GUEST_END
stop:
    cli
    hlt
    jmp stop
    .org 0xfff0
    .code16
    jmp real_mode
    .org 0x10000
    .endm
#endif
