/*
 * user_guest.h: starts a guest in C (see user/user.h): copies it to memory and enters it in ring 3 of
 * 64-bit mode, with all ports open to it and no way back. A hypervisor that emulates ring 0 runs it
 * natively there. PAYLOAD_FILE is its image.
 */
#include "guest.h"

#define PAYLOAD    0x100000
#define USER_STACK 0x1f0000
#define PML4       0x10000
#define PDPT       0x11000
#define PD         0x12000 /* four of them */

#define CODE64    0x18
#define USER_DATA 0x23
#define USER_CODE 0x2b
#define FLAGS     0x3002 /* IOPL 3, interrupts off */

#define PAGE_TABLE 0x7 /* present, writable, for ring 3 as well */
#define PAGE_LARGE 0x87
#define PAGE_SIZE  0x200000

    .macro MAP address, count           /* large pages, one to one */
    movl $\address + PAGE_LARGE, %eax
    movl $PD + \address / PAGE_SIZE * 8, %edi
    movl $\count, %ecx
1:  movl %eax, (%edi)
    addl $PAGE_SIZE, %eax
    addl $8, %edi
    decl %ecx
    jnz 1b
    .endm

    GUEST_BEGIN
main:
    movl $payload, %esi
    movl $PAYLOAD, %edi
    movl $(payload_end - payload + 3) / 4, %ecx
    rep movsl
    movl $PDPT + PAGE_TABLE, PML4
    movl $PD + PAGE_TABLE, PDPT
    movl $PD + 0x1000 + PAGE_TABLE, PDPT + 8
    movl $PD + 0x2000 + PAGE_TABLE, PDPT + 16
    movl $PD + 0x3000 + PAGE_TABLE, PDPT + 24
    MAP 0, 32                           /* memory */
    MAP 0xe4000000, 32                  /* devices */
    MAP 0xffe00000, 1                   /* this image */
    lgdtl pointer64
    movl %cr4, %eax
    orl $0x20, %eax                     /* PAE */
    movl %eax, %cr4
    movl $PML4, %eax
    movl %eax, %cr3
    movl $0xc0000080, %ecx              /* EFER */
    rdmsr
    orl $0x100, %eax                    /* LME */
    wrmsr
    movl %cr0, %eax
    orl $0x80000000, %eax               /* PG */
    movl %eax, %cr0
    ljmpl $CODE64, $long_mode

    /* In 64-bit mode; the same bytes mean the same here. */
long_mode:
    pushl $USER_DATA
    pushl $USER_STACK
    pushl $FLAGS
    pushl $USER_CODE
    pushl $PAYLOAD
    .byte 0x48, 0xcf                    /* iretq */

    .balign 8
gdt64:
    .quad 0
    .quad 0x00cf9b000000ffff            /* the first two as before */
    .quad 0x00cf93000000ffff
    .quad 0x00af9b000000ffff            /* CODE64 */
    .quad 0x00cff3000000ffff            /* USER_DATA */
    .quad 0x00affb000000ffff            /* USER_CODE */
pointer64:
    .word pointer64 - gdt64 - 1
    .long gdt64

    .balign 4
payload:
    .incbin PAYLOAD_FILE
payload_end:
    GUEST_END
