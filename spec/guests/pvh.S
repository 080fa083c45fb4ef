/* pvh.S: entry by the PVH boot protocol: 32-bit, ebx = start info. */
#include "guest.h"

    .section .note.guest, "a", @note
    .balign 4
    .long 4, 4, 18                      /* name and descriptor size, XEN_ELFNOTE_PHYS32_ENTRY */
    .asciz "Xen"
    .long entry

    .section .head, "ax"
    .code32
    .globl entry
entry:
    cli
    movl $BOOT_PVH, %edi
    movl %ebx, %esi
    jmp start32
