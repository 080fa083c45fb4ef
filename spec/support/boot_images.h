/*
 * boot_images.h: a machine without vCPUs and small bootable images, for the tests of the boot
 * loaders. Wants _GNU_SOURCE, for memfd_create().
 */
#ifndef SPEC_BOOT_IMAGES_H
#define SPEC_BOOT_IMAGES_H

#include <elf.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "boot/boot.h"
#include "check.h"

#define MIB         (1ull << 20)
#define LOW_END     0x9fc00
#define RAM_END     (32 * MIB)
#define IMAGE_MAX   65536
#define IMAGE_FILES 2

static lunik_machine *m;
static lunik_region *ram_region;

/* For what the rest can't do without. */
static inline void must(int rc, const lunik_error *err)
{
    if (!rc)
        return;
    printf("not ok setup: %s\n", err->message);
    exit(1);
}

/* Puts bytes into a file and returns its path. There can be several; one with the same number is
 * gone with the next. */
static inline const char *image_path(unsigned number, const void *bytes, size_t size)
{
    static char paths[IMAGE_FILES][64];
    static int fds[IMAGE_FILES]; /* 0: none */

    if (fds[number] > 0)
        close(fds[number]);
    fds[number] = memfd_create("boot-image", MFD_CLOEXEC);
    if (fds[number] <= 0 || write(fds[number], bytes, size) != (ssize_t)size) {
        perror("memfd");
        exit(1);
    }
    snprintf(paths[number], sizeof(paths[0]), "/proc/self/fd/%d", fds[number]);
    return paths[number];
}

/* ---- images --------------------------------------------------------------------------------- */

/* A file under construction. */
struct image {
    uint8_t bytes[IMAGE_MAX];
    size_t size;
};

static inline void put16(struct image *im, size_t at, uint16_t v)
{
    im->bytes[at] = (uint8_t)v;
    im->bytes[at + 1] = (uint8_t)(v >> 8);
}

static inline void put32(struct image *im, size_t at, uint32_t v)
{
    boot_put32(im->bytes + at, v);
}

static inline void put64(struct image *im, size_t at, uint64_t v)
{
    boot_put64(im->bytes + at, v);
}

#define PHDR(i)   (64 + 56 * (size_t)(i)) /* of an ELF64 image */
#define PHDR32(i) (52 + 32 * (size_t)(i))
#define NOTE_AT   0x400
#define CODE_AT   0x1000
#define CODE_SIZE 0x800
#define CODE_BASE 0x200000

static inline void put_phdr(struct image *im, unsigned i, uint32_t type, uint64_t offset,
                            uint64_t address, uint64_t file_size, uint64_t size)
{
    put32(im, PHDR(i), type);
    put64(im, PHDR(i) + 8, offset);
    put64(im, PHDR(i) + 16, address);
    put64(im, PHDR(i) + 24, address);
    put64(im, PHDR(i) + 32, file_size);
    put64(im, PHDR(i) + 40, size);
}

/* An ELF64 image with code, a bss of a page and a PVH note. */
static inline struct image make_pvh(void)
{
    struct image im = {.size = CODE_AT + CODE_SIZE};

    memcpy(im.bytes, ELFMAG, SELFMAG);
    im.bytes[EI_CLASS] = ELFCLASS64;
    im.bytes[EI_DATA] = ELFDATA2LSB;
    im.bytes[EI_VERSION] = EV_CURRENT;
    put16(&im, 16, ET_EXEC);
    put16(&im, 18, EM_X86_64);
    put32(&im, 20, EV_CURRENT);
    put64(&im, 24, CODE_BASE);
    put64(&im, 32, PHDR(0));
    put16(&im, 52, 64);
    put16(&im, 54, 56);
    put16(&im, 56, 2);
    put_phdr(&im, 0, PT_LOAD, CODE_AT, CODE_BASE, CODE_SIZE, CODE_SIZE + 0x1000);
    put_phdr(&im, 1, PT_NOTE, NOTE_AT, 0, 20, 20);
    put32(&im, NOTE_AT, 4);
    put32(&im, NOTE_AT + 4, 4);
    put32(&im, NOTE_AT + 8, 18);
    memcpy(im.bytes + NOTE_AT + 12, "Xen", 4);
    put32(&im, NOTE_AT + 16, CODE_BASE + 0x10);
    memset(im.bytes + CODE_AT, 0xcc, CODE_SIZE);
    return im;
}

#define MB 0x20 /* offset of the Multiboot header */

/* A flat Multiboot image: code around a header with addresses, then a bss. */
static inline struct image make_multiboot(void)
{
    struct image im = {.size = CODE_SIZE};

    memset(im.bytes, 0xcc, im.size);
    put32(&im, MB, 0x1badb002);
    put32(&im, MB + 4, 0x10003);
    put32(&im, MB + 8, -(0x1badb002u + 0x10003u));
    put32(&im, MB + 12, CODE_BASE + MB);
    put32(&im, MB + 16, CODE_BASE);
    put32(&im, MB + 20, CODE_BASE + CODE_SIZE);
    put32(&im, MB + 24, CODE_BASE + CODE_SIZE + 0x1000);
    put32(&im, MB + 28, CODE_BASE + 0x40);
    return im;
}

/* A 32-bit ELF image with a Multiboot header, linked to run at 0xc0000000. */
static inline struct image make_multiboot_elf(void)
{
    struct image im = {.size = CODE_AT + CODE_SIZE};

    memcpy(im.bytes, ELFMAG, SELFMAG);
    im.bytes[EI_CLASS] = ELFCLASS32;
    im.bytes[EI_DATA] = ELFDATA2LSB;
    put16(&im, 16, ET_EXEC);
    put16(&im, 18, EM_386);
    put32(&im, 24, 0xc0200010);
    put32(&im, 28, 52);
    put16(&im, 40, 52);
    put16(&im, 42, 32);
    put16(&im, 44, 1);
    put32(&im, PHDR32(0), PT_LOAD);
    put32(&im, PHDR32(0) + 4, CODE_AT);
    put32(&im, PHDR32(0) + 8, 0xc0200000);
    put32(&im, PHDR32(0) + 12, CODE_BASE);
    put32(&im, PHDR32(0) + 16, CODE_SIZE);
    put32(&im, PHDR32(0) + 20, CODE_SIZE);
    put32(&im, CODE_AT, 0x1badb002);
    put32(&im, CODE_AT + 4, 3);
    put32(&im, CODE_AT + 8, -(0x1badb002u + 3));
    return im;
}

#define SETUP_SIZE 1024

static inline struct image make_bzimage(void)
{
    struct image im = {.size = SETUP_SIZE + CODE_SIZE};

    im.bytes[0x1f1] = 1;
    put16(&im, 0x1fe, 0xaa55);
    im.bytes[0x200] = 0xeb;
    im.bytes[0x201] = 0x66; /* the header ends at 0x268 */
    memcpy(im.bytes + 0x202, "HdrS", 4);
    put16(&im, 0x206, 0x020f);
    im.bytes[0x211] = 1;
    put32(&im, 0x22c, 0x7fffffff);
    put32(&im, 0x230, 0x200000);
    im.bytes[0x234] = 1;
    put16(&im, 0x236, 1);
    put32(&im, 0x238, 255);
    put64(&im, 0x258, 16 * MIB);
    put32(&im, 0x260, 4 * MIB);
    memset(im.bytes + SETUP_SIZE, 0xcc, CODE_SIZE);
    return im;
}

/* Sets the flags of a Multiboot header and sums it up again. */
static inline void put_flags(struct image *im, uint32_t flags)
{
    put32(im, MB, 0x1badb002);
    put32(im, MB + 4, flags);
    put32(im, MB + 8, -(0x1badb002u + flags));
}

/* ---- plans ---------------------------------------------------------------------------------- */

static inline bool lies_in(const struct boot_file *f, const uint8_t *data, uint64_t size)
{
    return data >= f->data && data <= f->data + f->size &&
           size <= (uint64_t)(f->data + f->size - data);
}

static inline bool lies_in_a_file(const struct boot_images *images, const uint8_t *data,
                                  uint64_t size)
{
    for (size_t i = 0; i < images->module_count; i++)
        if (lies_in(&images->modules[i].file, data, size))
            return true;
    return lies_in(&images->kernel, data, size);
}

/* Checks the invariants of a plan, whatever the file was. */
static inline bool plan_is_sound(const struct boot_plan *p, const struct boot_images *images)
{
    for (size_t i = 0; i < p->count; i++) {
        const struct boot_piece *a = &p->pieces[i];
        uint64_t end = a->address + a->size;

        if (!a->size || a->data_size > a->size || end < a->address)
            return false;
        if (!(end <= LOW_END || (a->address >= MIB && end <= RAM_END)))
            return false;
        if (!a->owned && !lies_in_a_file(images, a->data, a->data_size))
            return false;
        for (size_t k = 0; k < i; k++)
            if (a->address < p->pieces[k].address + p->pieces[k].size && p->pieces[k].address < end)
                return false;
    }
    return true;
}

/* ---- setup ---------------------------------------------------------------------------------- */

static inline void add_range(uint64_t base, uint64_t end, lunik_fwmap_type type)
{
    const lunik_fwmap_entry entry = {.base = base, .size = end - base, .type = type};
    lunik_error err;

    must(lunik_fwmap_add(m, &entry, &err), &err);
}

/* 32 MiB of RAM with the PC's hole. */
static inline void make_machine(lunik_runtime *rt)
{
    const lunik_machine_config config = {.name = "boot", .accel = LUNIK_ACCEL_NONE, .cpus = 1};
    const lunik_ram_config ram = {.name = "ram", .size = RAM_END, .fd = -1};
    lunik_region_config region = {.kind = LUNIK_REGION_RAM, .name = "ram", .size = RAM_END};
    lunik_error err;

    must(lunik_machine_new(rt, &config, &m, &err), &err);
    must(lunik_ram_new(&ram, &region.ram, &err), &err);
    must(lunik_region_new(m, &region, &ram_region, &err), &err);
    lunik_ram_unref(region.ram);
    must(lunik_region_add(lunik_space_root(lunik_machine_memory(m)), 0, ram_region, 0, false, &err),
         &err);
    add_range(MIB, RAM_END, LUNIK_FWMAP_RAM);
    add_range(0, LOW_END, LUNIK_FWMAP_RAM);
    add_range(0xf0000, MIB, LUNIK_FWMAP_RESERVED);
    add_range(BOOT_4G, BOOT_4G + 64 * MIB, LUNIK_FWMAP_HOTPLUG);
}

static inline void drop_machine(void)
{
    lunik_region_del(ram_region, NULL);
    lunik_region_unref(ram_region);
    lunik_machine_close(m);
}

#endif
