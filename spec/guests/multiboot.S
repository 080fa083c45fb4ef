/*
 * multiboot.S: entry by the Multiboot protocol: 32-bit, eax = magic, ebx = information. With
 * ADDRESSES the header carries the load addresses, for a flat image.
 */
#include "guest.h"

#define MAGIC 0x1badb002
#ifdef ADDRESSES
#define FLAGS 0x10003
#else
#define FLAGS 0x3
#endif

    .section .head, "ax"
    .code32
    .globl entry
entry:
    jmp 1f
    .balign 4
header:
    .long MAGIC, FLAGS, -(MAGIC + FLAGS)
#ifdef ADDRESSES
    .long header, image_start, image_data_end, image_end, entry
#endif
1:  cli
    movl $BOOT_MULTIBOOT, %edi
    cmpl $0x2badb002, %eax
    je 2f
    movl $BOOT_UNKNOWN, %edi
2:  movl %ebx, %esi
    jmp start32
