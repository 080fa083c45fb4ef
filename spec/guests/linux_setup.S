/*
 * linux_setup.S: boot sector and setup header of a bzImage. There is no real-mode code: the image
 * is for loaders that enter it in 32-bit or, with KERNEL64, 64-bit mode.
 */
#ifdef KERNEL64
#define XLOADFLAGS 1
#else
#define XLOADFLAGS 0
#endif

    .code16
    .org 0x1f1
    .byte 1                             /* setup_sects */
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
    .long 0x200000                      /* code32_start */
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
    .quad 0x200000                      /* pref_address */
    .long INITSIZE
    .long 0                             /* handover_offset */
header_end:
1:  hlt
    jmp 1b
    .org 0x400
