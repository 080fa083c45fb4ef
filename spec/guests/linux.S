/* linux.S: entry by the Linux boot protocol: rsi = boot parameters. */
#include "guest.h"

    .section .head, "ax"
    .code32
    .globl entry
entry:                                  /* the 32-bit entry point: start of the image */
    cli
    movl $BOOT_LINUX32, %edi
    jmp start32

    .org 0x200
    .code64                             /* the 64-bit entry point */
    cli
    movl $BOOT_LINUX64, %edi
    jmp start64
