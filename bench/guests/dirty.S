/*
 * dirty.S: in an endless loop, writes to PAGES pages from BASE on, then waits at a port until the
 * access returns.
 */
#include "guest.h"

#define BASE  0x1000000
#define PAGES 20000

    GUEST_BEGIN
main:
    movl $BASE, %edi
    movl $PAGES, %ecx
1:  incl (%edi)
    addl $4096, %edi
    decl %ecx
    jnz 1b
    movb $0, %al
    outb %al, $REPORT_PORT
    jmp main
    GUEST_END
