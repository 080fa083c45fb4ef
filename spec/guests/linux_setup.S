/*
 * linux_setup.S: boot sector, setup header and real-mode code of a bzImage. Loaders enter the image
 * in 32-bit or, with KERNEL64, 64-bit mode; firmware enters it in real mode, at 0x200, with this
 * file at the start of the data segments: the code asks for the memory map, puts it where the boot
 * parameters have it, which begin here as well, moves the image from 1 MiB, where it is loaded, to
 * where it runs, and enters it in 32-bit mode.
 */
#ifdef KERNEL64
#define XLOADFLAGS 1
#else
#define XLOADFLAGS 0
#endif

#define SETUP_SECTORS 7
#define E820_COUNT    0x1e8
#define LOADED_AT     0x100000
#define RUNS_AT       0x200000
#define E820_MAP      0x2d0
#define E820_MOST     128
#define SMAP          0x534d4150
#define CODE_SEGMENT  0x10
#define DATA_SEGMENT  0x18

/* The address of a label; the file is not linked. */
#define AT(label) (label - base)

    .code16
base:
    .org 0x1f1
    .byte SETUP_SECTORS
    .word 0                             /* root_flags */
    .long SYSSIZE                       /* in 16-byte units */
    .word 0, 0xffff, 0                  /* ram_size, vid_mode, root_dev */
    .word 0xaa55
    .byte 0xeb, header_end - 1f         /* jump over the header */
1:  .ascii "HdrS"
    .word 0x020d                        /* version */
    .long 0                             /* realmode_swtch */
    .word 0, 0                          /* start_sys_seg, kernel_version */
    .byte 0, 1                          /* type_of_loader, loadflags: loaded high */
    .word 0                             /* setup_move_size */
    .long RUNS_AT                       /* code32_start */
    .long 0, 0                          /* ramdisk_image, ramdisk_size */
    .long 0                             /* bootsect_kludge */
    .word 0                             /* heap_end_ptr */
    .byte 0, 0                          /* ext_loader_ver, ext_loader_type */
    .long 0                             /* cmd_line_ptr */
    .long 0x7fffffff                    /* initrd_addr_max */
    .long 0x1000                        /* kernel_alignment */
    .byte 0, 12                         /* relocatable_kernel, min_alignment */
    .word XLOADFLAGS
    .long 2047                          /* cmdline_size */
    .long 0                             /* hardware_subarch */
    .quad 0                             /* hardware_subarch_data */
    .long 0, 0                          /* payload_offset, payload_length */
    .quad 0                             /* setup_data */
    .quad RUNS_AT                       /* pref_address */
    .long INITSIZE
    .long 0                             /* handover_offset */
header_end:
    pushw %ds
    pushw $AT(real_mode)
    lretw                               /* so that code and data have the same addresses */

    .org E820_MAP + 20 * E820_MOST
real_mode:
    movw %ds, %ax
    movw %ax, %es
    movb $0, E820_COUNT
    movw $E820_MAP, %di
    xorl %ebx, %ebx
1:  movl $0xe820, %eax
    movl $20, %ecx
    movl $SMAP, %edx
    int $0x15
    jc 2f
    cmpl $SMAP, %eax
    jne 2f
    incb E820_COUNT
    addw $20, %di
    cmpb $E820_MOST, E820_COUNT
    je 2f
    testl %ebx, %ebx
    jnz 1b
2:  cli
    xorl %esi, %esi
    movw %ds, %si
    shll $4, %esi                       /* the boot parameters */
    leal AT(gdt)(%esi), %eax
    movl %eax, AT(gdt_pointer) + 2
    leal AT(protected_mode)(%esi), %eax
    movl %eax, AT(far_pointer)
    lgdtl AT(gdt_pointer)
    movl %cr0, %eax
    orb $1, %al
    movl %eax, %cr0
    movw $DATA_SEGMENT, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %fs
    movw %ax, %gs
    movw %ax, %ss
    ljmpl *%cs:AT(far_pointer)

    .balign 8
gdt:
    .quad 0, 0
    .quad 0x00cf9b000000ffff            /* CODE_SEGMENT: flat, 32 bits */
    .quad 0x00cf93000000ffff            /* DATA_SEGMENT */
gdt_pointer:
    .word gdt_pointer - gdt - 1
    .long 0
far_pointer:
    .long 0
    .word CODE_SEGMENT

    .code32
protected_mode:
    movl %esi, %ebx
    movl $LOADED_AT, %esi
    movl $RUNS_AT, %edi
    movl $SYSSIZE * 4, %ecx
    rep movsl
    movl %ebx, %esi
    movl $RUNS_AT, %eax
    jmp *%eax
    .org 0x200 + SETUP_SECTORS * 0x200
