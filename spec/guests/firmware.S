/*
 * firmware.S: a flat firmware image of 64 KiB. From the reset vector, in real mode, it checks how
 * it is mapped and says so on the UART; then it ends the run through the exit device, with code 16
 * if all went well.
 */
#define COM1      0x3f8
#define EXIT_PORT 0xf4

    .code16
    .section .text
start:
    cli
    cld
    xorw %ax, %ax
    movw %ax, %ss
    movw $0x7000, %sp
    movw $0xf000, %ax                   /* the copy below 1 MiB */
    movw %ax, %ds
    movw $reset_text, %si
    call print

    /* Both mappings show the same bytes: code is still fetched from the one below 4 GiB. */
    movw $0, %si
1:  movb %cs:(%si), %al
    cmpb (%si), %al
    jne failed
    incw %si
    cmpw $0x400, %si
    jne 1b
    movw $alias_text, %si
    call print

    movb start, %al                     /* writes are dropped */
    movb %al, %ah
    notb %ah
    movb %ah, start
    cmpb start, %al
    jne failed
    movw $rom_text, %si
    call print

    movw %ss:0x1000, %ax                /* RAM keeps what is written */
    notw %ax
    movw %ax, %ss:0x1000
    cmpw %ss:0x1000, %ax
    jne failed
    movw $ram_text, %si
    call print

    ljmp $0xf000, $low                  /* on to the copy */
low:
    movw $low_text, %si
    call print
    movb $16, %al
    outb %al, $EXIT_PORT
stop:
    hlt
    jmp stop

failed:
    movw $failed_text, %si
    call print
    movb $17, %al
    outb %al, $EXIT_PORT
    jmp stop

print:
    movw $COM1, %dx
1:  lodsb
    testb %al, %al
    jz 2f
    outb %al, %dx
    jmp 1b
2:  ret

reset_text:  .asciz "firmware: reset vector\r\n"
alias_text:  .asciz "firmware: alias below 1 MiB ok\r\n"
rom_text:    .asciz "firmware: read-only ok\r\n"
ram_text:    .asciz "firmware: ram ok\r\n"
low_text:    .asciz "firmware: done\r\n"
failed_text: .asciz "firmware: failed\r\n"

    .org 0xfff0
    .code16
    jmp start
    .org 0x10000
