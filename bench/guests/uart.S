/* uart.S: prints SIZE bytes on the UART, asking before each 16 whether it is empty; ends the run. */
#include "guest.h"

#define SIZE (32 * 1024)

    GUEST_BEGIN
main:
    movl $SIZE / 16, %ebx
    movb $7, %al                        /* FIFOs on and cleared */
    movw $UART_DATA + 2, %dx
    outb %al, %dx
1:  movw $UART_STATUS, %dx
2:  inb %dx, %al
    testb $UART_EMPTY, %al
    jz 2b
    movw $UART_DATA, %dx
    movb $'x', %al
    movl $16, %ecx
3:  outb %al, %dx
    decl %ecx
    jnz 3b
    decl %ebx
    jnz 1b
    movb $0, %al
    outb %al, $EXIT_PORT
    GUEST_END
