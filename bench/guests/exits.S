/*
 * exits.S: loops of port and memory accesses, timed by the TSC. For each loop it reports a line: its
 * name, then the ticks (hexadecimal) of each batch of ACCESSES turns. Then it ends the run.
 */
#include "guest.h"

#define ACCESSES 200
#define BATCHES  10
#define TICKS    0x10000 /* where they are kept meanwhile */

    .macro LOOP name, body:vararg
\name:
1:  \body
    decl %ecx
    jnz 1b
    ret
    .endm

    .macro TEST name, code, address
    .long \code, \address
    .asciz "\name"
    .endm

    GUEST_BEGIN
main:
    movl $tests, %esi
next:
    lodsl
    testl %eax, %eax
    jz done
    movl %eax, %ebx                     /* the loop */
    lodsl
    movl %eax, %edx                     /* the address or port */
    movl $TICKS, %edi
    movl $BATCHES, %ebp
batch:
    pushl %edx
    rdtsc
    popl %edx
    pushl %eax
    movb $'x', %al
    movl $ACCESSES, %ecx
    call *%ebx
    pushl %edx
    rdtsc
    popl %edx
    popl %ecx
    subl %ecx, %eax
    stosl
    decl %ebp
    jnz batch
    call report
    jmp next
done:
    movb $0, %al
    outb %al, $EXIT_PORT
    jmp stop

/* Reports the name at esi, moving esi beyond it, and the ticks. */
report:
1:  lodsb
    testb %al, %al
    jz 2f
    outb %al, $REPORT_PORT
    jmp 1b
2:  movl $TICKS, %edi
    movl $BATCHES, %ebp
3:  movb $' ', %al
    outb %al, $REPORT_PORT
    movl (%edi), %ebx
    addl $4, %edi
    movl $8, %ecx
4:  roll $4, %ebx
    movl %ebx, %eax
    andl $15, %eax
    movb digits(%eax), %al
    outb %al, $REPORT_PORT
    decl %ecx
    jnz 4b
    decl %ebp
    jnz 3b
    movb $'\n', %al
    outb %al, $REPORT_PORT
    ret

LOOP nothing, nop
LOOP port_write, outb %al, %dx
LOOP port_read, inb %dx, %al
LOOP memory_write, movl %eax, (%edx)
LOOP memory_read, movl (%edx), %eax

digits:
    .ascii "0123456789abcdef"

/* Ports and addresses at which QEMU's pc has a similar device, or none. */
tests:
    TEST "loop", nothing, 0
    TEST "pio-write", port_write, 0x80
    TEST "pio-read", port_read, 0x80
    TEST "pio-write-nothing", port_write, 0x5678
    TEST "pio-read-nothing", port_read, 0x5678
    TEST "uart", port_write, UART_DATA
    TEST "mmio-write", memory_write, 0xfed00000
    TEST "mmio-read", memory_read, 0xfed00000
    TEST "mmio-write-nothing", memory_write, 0xe0000000
    TEST "mmio-read-nothing", memory_read, 0xe0000000
    TEST "pio-write-other", port_write, 0x5600
    TEST "mmio-write-other", memory_write, 0xe1000000
    TEST "pio-ioeventfd", port_write, 0x5700
    TEST "mmio-ioeventfd", memory_write, 0xe2000000
    TEST "pio-coalesced", port_write, 0x5800
    TEST "mmio-coalesced", memory_write, 0xe3000000
    .long 0
    GUEST_END
