/*
 * test_boot.c: the boot image loaders on a machine without vCPUs: what they place where, what
 * they say about broken files, and that no file makes them place anything wrongly.
 *
 * BOOT_SEED=n repeats a run of the fuzzer, BOOT_ROUNDS=n changes its length.
 */
#define _GNU_SOURCE /* memfd_create */
#include <elf.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../runtime/boot/boot.h"
#include "check.h"

#define MIB       (1ull << 20)
#define LOW_END   0x9fc00
#define RAM_END   (32 * MIB)
#define IMAGE_MAX 65536

static lunik_machine *m;
static lunik_region *ram_region;

/* For what the rest can't do without. */
static void must(int rc, const lunik_error *err)
{
    if (rc == 0)
        return;
    printf("not ok setup: %s\n", err->message);
    exit(1);
}

/* ---- images --------------------------------------------------------------------------------- */

/* A file under construction, in a memfd that has a path. */
struct image {
    uint8_t bytes[IMAGE_MAX];
    size_t size;
};

static void put16(struct image *im, size_t at, uint16_t v)
{
    im->bytes[at] = (uint8_t)v;
    im->bytes[at + 1] = (uint8_t)(v >> 8);
}

static void put32(struct image *im, size_t at, uint32_t v)
{
    boot_put32(im->bytes + at, v);
}

static void put64(struct image *im, size_t at, uint64_t v)
{
    boot_put64(im->bytes + at, v);
}

#define PHDR(i)   (64 + 56 * (size_t)(i)) /* of an ELF64 image */
#define PHDR32(i) (52 + 32 * (size_t)(i))
#define NOTE_AT   0x400
#define CODE_AT   0x1000
#define CODE_SIZE 0x800
#define CODE_BASE 0x200000

static void put_phdr(struct image *im, unsigned i, uint32_t type, uint64_t offset, uint64_t address,
                     uint64_t file_size, uint64_t size)
{
    put32(im, PHDR(i), type);
    put64(im, PHDR(i) + 8, offset);
    put64(im, PHDR(i) + 16, address);
    put64(im, PHDR(i) + 24, address);
    put64(im, PHDR(i) + 32, file_size);
    put64(im, PHDR(i) + 40, size);
}

/* An ELF64 image with code, a bss of a page and a PVH note. */
static struct image make_pvh(void)
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
static struct image make_multiboot(void)
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
static struct image make_multiboot_elf(void)
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

static struct image make_bzimage(void)
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

/* Puts an image into a file and returns its path, valid until the next call. */
static const char *image_path(const void *bytes, size_t size)
{
    static char path[64];
    static int fd = -1;

    if (fd >= 0)
        close(fd);
    fd = memfd_create("boot-image", MFD_CLOEXEC);
    if (fd < 0 || write(fd, bytes, size) != (ssize_t)size) {
        perror("memfd");
        exit(1);
    }
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return path;
}

/* ---- what is said about broken files -------------------------------------------------------- */

static void expect_error(const char *name, const struct image *im, size_t size, const char *part)
{
    const lunik_boot_config config = {.kernel = image_path(im->bytes, size)};
    lunik_error err = {0};
    int rc = lunik_boot_kernel(m, &config, &err);

    check_true(name, rc < 0);
    check_contains(name, err.message, part);
}

/* One field of a good image changed. */
struct change {
    const char *name;
    struct image (*make)(void);
    size_t at;
    unsigned size;
    uint64_t value;
    const char *message;
};

static const struct change changes[] = {
    {"ELF class", make_pvh, EI_CLASS, 1, 7, "ELF class is 7"},
    {"ELF byte order", make_pvh, EI_DATA, 1, 2, "not little-endian"},
    {"ELF machine", make_pvh, 18, 2, EM_AARCH64, "for machine 183"},
    {"no program headers", make_pvh, 56, 2, 0, "no program headers"},
    {"small program headers", make_pvh, 54, 2, 8, "program headers have 8 bytes"},
    {"program headers beyond the file", make_pvh, 32, 8, 1 << 20, "program headers are truncated"},
    {"program header offset wraps", make_pvh, 32, 8, UINT64_MAX - 8, "headers are truncated"},
    {"note of another kind", make_pvh, NOTE_AT + 8, 4, 17, "without PVH entry note"},
    {"note name of 4 GiB", make_pvh, NOTE_AT, 4, UINT32_MAX, "without PVH entry note"},
    {"note beyond the file", make_pvh, PHDR(1) + 8, 8, UINT64_MAX, "segment 1 is truncated"},
    {"entry outside the segment", make_pvh, NOTE_AT + 16, 4, 0x1000, "entry point 0x1000 is in no"},
    {"segment outside RAM", make_pvh, PHDR(0) + 24, 8, 64 * MIB,
     "segment 0 at 0x4000000, 6144 bytes, is outside RAM (RAM is 0x0-0x9fbff, 0x100000-0x1ffffff)"},
    {"segment over the end of RAM", make_pvh, PHDR(0) + 24, 8, RAM_END - 4096, "outside RAM"},
    {"segment in a hole", make_pvh, PHDR(0) + 24, 8, 0xa0000, "outside RAM"},
    {"segment address wraps", make_pvh, PHDR(0) + 24, 8, UINT64_MAX - 16, "outside RAM"},
    {"segment longer in the file", make_pvh, PHDR(0) + 40, 8, 0x100, "more bytes in the file"},
    {"segment beyond the file", make_pvh, PHDR(0) + 8, 8, 0x2000, "segment 0 is truncated"},
    {"segment offset wraps", make_pvh, PHDR(0) + 8, 8, UINT64_MAX - 8, "segment 0 is truncated"},
    {"segment as large as can be", make_pvh, PHDR(0) + 40, 8, UINT64_MAX, "outside RAM"},
    {"nothing to load", make_pvh, PHDR(0), 4, PT_NULL, "no loadable segment"},
    {"load address above the header", make_multiboot, MB + 16, 4, CODE_BASE + MB + 4,
     "does not fit"},
    {"load address before the file", make_multiboot, MB + 16, 4, 0, "does not fit header_addr"},
    {"load end below its start", make_multiboot, MB + 20, 4, CODE_BASE - 1, "load_end_addr"},
    {"load end beyond the file", make_multiboot, MB + 20, 4, UINT32_MAX, "load_end_addr"},
    {"bss end below the data", make_multiboot, MB + 24, 4, CODE_BASE, "bss_end_addr"},
    {"bss beyond RAM", make_multiboot, MB + 24, 4, UINT32_MAX, "outside RAM"},
    {"Multiboot entry outside", make_multiboot, MB + 28, 4, 0, "entry_addr 0x0 is outside"},
    {"virtual entry outside", make_multiboot_elf, 24, 4, 0x10, "entry point 0x10 is in no"},
    {"old boot protocol", make_bzimage, 0x206, 2, 0x0204, "boot protocol 2.04 (want 2.06"},
    {"boot flag", make_bzimage, 0x1fe, 2, 0, "boot flag is 0x0000"},
    {"zImage", make_bzimage, 0x211, 1, 0, "zImage"},
    {"short setup header", make_bzimage, 0x201, 1, 0x10, "header ends at 0x212"},
    {"long setup header", make_bzimage, 0x201, 1, 0xff, "header ends at 0x301"},
    {"setup beyond the file", make_bzimage, 0x1f1, 1, 200, "truncated"},
    {"no alignment", make_bzimage, 0x230, 4, 0, "kernel_alignment is 0x0"},
    {"odd alignment", make_bzimage, 0x230, 4, 0x3000, "kernel_alignment is 0x3000"},
    {"kernel needs too much", make_bzimage, 0x260, 4, 64 * MIB, "too large for the free RAM"},
    {"kernel needs all there is", make_bzimage, 0x260, 4, UINT32_MAX, "too large"},
};

static void test_changes(void)
{
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        const struct change *c = &changes[i];
        struct image im = c->make();

        memcpy(im.bytes + c->at, &c->value, c->size);
        expect_error(c->name, &im, im.size, c->message);
    }
}

/* Sets the flags of a Multiboot header and sums it up again. */
static void put_flags(struct image *im, uint32_t flags)
{
    put32(im, MB, 0x1badb002);
    put32(im, MB + 4, flags);
    put32(im, MB + 8, -(0x1badb002u + flags));
}

static void test_multiboot_header(void)
{
    struct image im = make_multiboot();

    put_flags(&im, 0x10013);
    expect_error("unknown Multiboot flag", &im, im.size, "flags 0x10013 require features");
    put_flags(&im, 3);
    expect_error("no Multiboot addresses", &im, im.size, "no addresses and the file is no ELF");
    im = make_multiboot();
    put32(&im, MB + 16, CODE_BASE + MB);             /* from the header on ... */
    put32(&im, MB + 20, CODE_BASE + MB + CODE_SIZE); /* ... as much as the whole file has */
    expect_error("Multiboot data beyond the file", &im, im.size, "load_end_addr");
}

static void test_truncation(void)
{
    struct image (*const makes[])(void) = {make_pvh, make_multiboot, make_multiboot_elf,
                                           make_bzimage};
    unsigned accepted = 0;

    for (size_t k = 0; k < 4; k++) {
        struct image im = makes[k]();

        for (size_t size = 1; size < im.size; size += size < 128 ? 1 : 61) {
            const lunik_boot_config config = {.kernel = image_path(im.bytes, size)};

            /* A bzImage does not say how long it is. */
            accepted +=
                lunik_boot_kernel(m, &config, NULL) == 0 && !(k == 3 && size > SETUP_SIZE + 0x200);
        }
    }
    check_uint("no truncated image is accepted", accepted, 0);
}

static void test_other_files(void)
{
    static const struct {
        const char *name, *bytes, *message;
    } files[] = {
        {"gzip", "\x1f\x8b\x08\x00", "compressed by gzip"},
        {"xz",
         "\xfd"
         "7zXZ",
         "compressed by xz"},
        {"script", "#!/bin/sh\n", "a script"},
        {"cpio", "070701", "perhaps the initrd"},
        {"text", "Once upon a time", "starts with 4f 6e 63 65 (want an ELF image with a PVH"},
        {"one byte", "x", "starts with 78 (want"},
    };
    lunik_boot_config config = {0};
    lunik_error err;

    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        struct image im = {.size = strlen(files[i].bytes)};

        memcpy(im.bytes, files[i].bytes, im.size);
        expect_error(files[i].name, &im, im.size, files[i].message);
    }
    config.kernel = image_path("", 0);
    lunik_boot_kernel(m, &config, &err);
    check_contains("empty file", err.message, "is empty");
    config.kernel = "/nonexistent/vmlinux";
    check_int("missing file", lunik_boot_kernel(m, &config, &err), LUNIK_E_NOT_FOUND);
    check_contains("missing file", err.message, "kernel: '/nonexistent/vmlinux' can't be opened");
    config.kernel = "/tmp";
    lunik_boot_kernel(m, &config, &err);
    check_contains("directory", err.message, "'/tmp' is a directory");
    config.kernel = "/dev/zero";
    lunik_boot_kernel(m, &config, &err);
    check_contains("device", err.message, "not a regular file");
}

/* ---- what is placed where ------------------------------------------------------------------- */

static uint64_t load(uint64_t address, unsigned size)
{
    uint64_t value = 0;

    lunik_space_load(lunik_machine_memory(m), address, size, &value);
    return value;
}

static void check_text(const char *name, uint64_t address, const char *want)
{
    char text[128] = "";

    lunik_space_read(lunik_machine_memory(m), address, text, sizeof(text) - 1);
    check_string(name, text, want);
}

/* Reads a kernel's files and resets the machine; the plan tells where its tables are. */
static void boot(const lunik_boot_config *config, struct boot_plan *plan)
{
    lunik_error err;

    must(lunik_boot_kernel(m, config, &err), &err);
    must(lunik_machine_reset(m, &err), &err);
    plan_init(plan, m);
    must(m->boot->images->format->plan(plan, m->boot->images, &err), &err);
}

static void test_pvh(void)
{
    struct image im = make_pvh();
    const lunik_boot_config config = {.kernel = image_path(im.bytes, im.size),
                                      .cmdline = "console=ttyS0",
                                      .initrd = "/proc/self/exe",
                                      .rsdp = 0xe1230};
    struct boot_plan plan;
    uint64_t info, modules, map;

    lunik_space_store(lunik_machine_memory(m), CODE_BASE + CODE_SIZE + 8, 8, 0x1234);
    boot(&config, &plan);
    info = plan.cpu.rbx;
    modules = load(info + 16, 8);
    map = load(info + 40, 8);
    check_uint("PVH entry", plan.cpu.rip, CODE_BASE + 0x10);
    check_true("PVH mode", !plan.cpu.long_mode);
    check_uint("PVH magic", load(info, 4), 0x336ec578);
    check_uint("PVH version", load(info + 4, 4), 1);
    check_text("PVH command line", load(info + 24, 8), "console=ttyS0");
    check_uint("PVH RSDP", load(info + 32, 8), 0xe1230);
    check_uint("PVH modules", load(info + 12, 4), 1);
    check_uint("PVH initrd", load(load(modules, 8), 4), 0x464c457f);
    check_true("PVH initrd is at the top",
               load(modules, 8) + load(modules + 8, 8) > RAM_END - 4096);
    check_uint("PVH ranges", load(info + 48, 4), 3);
    check_uint("PVH range 0 size", load(map + 8, 8), LOW_END);
    check_uint("PVH range 1 type", load(map + 24 + 16, 4), LUNIK_FWMAP_RESERVED);
    check_uint("PVH range 2 base", load(map + 48, 8), MIB);
    check_uint("PVH code", load(CODE_BASE + CODE_SIZE - 1, 1), 0xcc);
    check_uint("PVH bss is cleared", load(CODE_BASE + CODE_SIZE + 8, 8), 0);
    plan_free(&plan);
}

static void test_multiboot(void)
{
    struct image im = make_multiboot();
    const char *path = image_path(im.bytes, im.size);
    const char *const modules[] = {"/proc/self/exe one two", "/proc/self/exe", NULL};
    const lunik_boot_config config = {.kernel = path, .cmdline = "a b", .modules = modules};
    char cmdline[128];
    struct boot_plan plan;
    uint64_t info, table;

    boot(&config, &plan);
    info = plan.cpu.rbx;
    table = load(info + 24, 4);
    snprintf(cmdline, sizeof(cmdline), "%s a b", path);
    check_uint("Multiboot entry", plan.cpu.rip, CODE_BASE + 0x40);
    check_uint("Multiboot magic", plan.cpu.rax, 0x2badb002);
    check_uint("Multiboot flags", load(info, 4), 0x24d);
    check_uint("Multiboot lower memory", load(info + 4, 4), 639);
    check_uint("Multiboot upper memory", load(info + 8, 4), RAM_END / 1024 - 1024);
    check_text("Multiboot command line", load(info + 16, 4), cmdline);
    check_uint("Multiboot modules", load(info + 20, 4), 2);
    check_text("Multiboot arguments", load(table + 8, 4), "/proc/self/exe one two");
    check_uint("Multiboot module", load(load(table + 16, 4), 4), 0x464c457f);
    check_uint("Multiboot map", load(info + 44, 4), 3 * 24);
    check_uint("Multiboot map entry size", load(load(info + 48, 4), 4), 20);
    plan_free(&plan);

    im = make_multiboot_elf();
    boot(&(lunik_boot_config){.kernel = image_path(im.bytes, im.size)}, &plan);
    check_uint("Multiboot ELF entry is physical", plan.cpu.rip, CODE_BASE + 0x10);
    plan_free(&plan);
}

static void test_bzimage(void)
{
    struct image im = make_bzimage();
    lunik_boot_config config = {.kernel = image_path(im.bytes, im.size),
                                .cmdline = "quiet",
                                .initrd = "/proc/self/exe",
                                .rsdp = 0xe1230};
    struct boot_plan plan;
    uint64_t params;
    lunik_error err;
    char cmdline[300];

    boot(&config, &plan);
    params = plan.cpu.rsi;
    check_uint("bzImage entry", plan.cpu.rip, 16 * MIB + 0x200);
    check_true("bzImage mode", plan.cpu.long_mode);
    check_uint("bzImage page tables map the first 2 MiB",
               load(load(load(plan.cpu.cr3, 8) & ~0xfffull, 8) & ~0xfffull, 8), 0x83);
    check_uint("bzImage code selector", load(plan.cpu.gdt + plan.cpu.cs, 8), 0x00af9b000000ffff);
    check_uint("bzImage loader", load(params + 0x210, 1), 0xff);
    check_uint("bzImage header", load(params + 0x202, 4), 0x53726448);
    check_text("bzImage command line", load(params + 0x228, 4), "quiet");
    check_uint("bzImage initrd", load(load(params + 0x218, 4), 4), 0x464c457f);
    check_uint("bzImage RSDP", load(params + 0x70, 8), 0xe1230);
    check_uint("bzImage ranges", load(params + 0x1e8, 1), 3);
    check_uint("bzImage range 0", load(params + 0x2d8, 8), LOW_END);
    plan_free(&plan);

    put32(&im, 0x260, 14 * MIB); /* 16 MiB + 14 MiB leaves no room for the initrd above */
    put32(&im, 0x22c, 31 * MIB);
    config.kernel = image_path(im.bytes, im.size);
    boot(&config, &plan);
    check_true("bzImage initrd is below its limit",
               load(plan.cpu.rsi + 0x218, 4) + load(plan.cpu.rsi + 0x21c, 4) <= 31 * MIB + 1);
    plan_free(&plan);

    put64(&im, 0x258, 512 * MIB);
    config.kernel = image_path(im.bytes, im.size);
    boot(&config, &plan);
    check_uint("bzImage is relocated, aligned", plan.cpu.rip, 2 * MIB + 0x200);
    plan_free(&plan);

    memset(cmdline, 'x', sizeof(cmdline) - 1);
    cmdline[sizeof(cmdline) - 1] = 0;
    config.cmdline = cmdline;
    lunik_boot_kernel(m, &config, &err);
    check_contains("long command line", err.message,
                   "299 characters (the kernel takes at most 255)");
    config.cmdline = NULL;
    config.modules = (const char *const[]){"/proc/self/exe", NULL};
    lunik_boot_kernel(m, &config, &err);
    check_contains("bzImage modules", err.message, "modules can't be given");
}

static void test_modules(void)
{
    struct image im = make_pvh();
    lunik_boot_config config = {.kernel = image_path(im.bytes, im.size)};
    char initrd[64];
    int fd = memfd_create("initrd", MFD_CLOEXEC);
    lunik_error err;

    snprintf(initrd, sizeof(initrd), "/proc/self/fd/%d", fd);
    config.initrd = initrd;
    must(ftruncate(fd, RAM_END - MIB), &err);
    lunik_boot_kernel(m, &config, &err);
    check_contains("initrd too large for what is left", err.message,
                   "initrd, 32505856 bytes, is too large for the free RAM");
    must(ftruncate(fd, 1ll << 40), &err);
    lunik_boot_kernel(m, &config, &err);
    check_contains("initrd larger than RAM", err.message, "initrd: ");
    check_contains("initrd larger than RAM", err.message, "too large: 1099511627776 bytes");
    config.initrd = NULL;
    config.modules = (const char *const[]){"/nonexistent/module with arguments", NULL};
    lunik_boot_kernel(m, &config, &err);
    check_contains("missing module", err.message, "module: '/nonexistent/module' can't be opened");
    close(fd);
}

/* ---- memory map, ROMs and firmware ---------------------------------------------------------- */

static void test_map(void)
{
    static const struct {
        const char *name;
        lunik_fwmap_entry entry;
        int code;
    } bad[] = {
        {"overlap at the start", {0x1000, 0x1000, LUNIK_FWMAP_RESERVED, 0}, LUNIK_E_EXISTS},
        {"overlap at the end", {LOW_END - 1, 2, LUNIK_FWMAP_RESERVED, 0}, LUNIK_E_EXISTS},
        {"overlap around", {0x80000, 0x100000, LUNIK_FWMAP_ACPI, 0}, LUNIK_E_EXISTS},
        {"empty range", {0x80000000, 0, LUNIK_FWMAP_RAM, 0}, LUNIK_E_INVALID},
        {"range that wraps", {UINT64_MAX - 10, 20, LUNIK_FWMAP_RAM, 0}, LUNIK_E_INVALID},
        {"unknown type", {0x80000000, 0x1000, (lunik_fwmap_type)9, 0}, LUNIK_E_INVALID},
    };
    size_t count;
    const lunik_fwmap_entry *map;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        check_int(bad[i].name, lunik_fwmap_add(m, &bad[i].entry, NULL), bad[i].code);
    map = lunik_fwmap(m, &count);
    check_uint("map entries", count, 4);
    for (size_t i = 1; i < count; i++)
        check_true("map is sorted", map[i - 1].base + map[i - 1].size <= map[i].base);
}

static void test_roms(void)
{
    lunik_error err;

    must(lunik_rom_add(m, "table", 0x9000, "0123456789", 10, &err), &err);
    check_uint("ROM is placed at once", load(0x9000, 1), '0');
    lunik_space_store(lunik_machine_memory(m), 0x9000, 1, 'x');
    must(lunik_machine_reset(m, &err), &err);
    check_uint("ROM is placed again at reset", load(0x9000, 1), '0');
    must(lunik_region_set_readonly(ram_region, true, &err), &err);
    must(lunik_rom_add(m, "shadowed", 0x9100, "abc", 3, &err), &err);
    must(lunik_region_set_readonly(ram_region, false, &err), &err);
    check_uint("ROM reaches read-only RAM", load(0x9102, 1), 'c');
    check_int("ROMs don't overlap", lunik_rom_add(m, "b", 0x9009, "x", 1, &err), LUNIK_E_EXISTS);
    check_int("ROM needs RAM", lunik_rom_add(m, "c", RAM_END - 1, "xy", 2, &err), LUNIK_E_ACCESS);
    check_int("ROM wraps", lunik_rom_add(m, "d", UINT64_MAX, "xy", 2, &err), LUNIK_E_INVALID);
    check_int("empty ROM", lunik_rom_add(m, "e", 0x9200, "", 0, &err), LUNIK_E_INVALID);
}

static void test_rom_in_the_way(void)
{
    struct image im = make_pvh();
    lunik_error err;

    must(lunik_rom_add(m, "blob", CODE_BASE + 0x100, "xyz", 3, &err), &err);
    expect_error("kernel over a ROM", &im, im.size, "segment 0 at 0x200000-0x2017ff overlaps blob");
}

static void test_firmware(void)
{
    static uint8_t image[0x30000];
    lunik_error err;

    check_int("firmware of odd size", lunik_boot_firmware(m, image_path(image, 1000), &err),
              LUNIK_E_INVALID);
    check_contains("firmware of odd size", err.message, "1000 bytes (want a multiple of 4096)");
    check_int("missing firmware", lunik_boot_firmware(m, "/nonexistent/bios", &err),
              LUNIK_E_NOT_FOUND);
    image[0] = 0x11;
    image[sizeof(image) - 1] = 0x22;
    image[sizeof(image) - 0x20000] = 0x33;
    must(lunik_boot_firmware(m, image_path(image, sizeof(image)), &err), &err);
    check_uint("firmware starts", load(BOOT_4G - sizeof(image), 1), 0x11);
    check_uint("firmware ends at 4 GiB", load(BOOT_4G - 1, 1), 0x22);
    check_uint("firmware's last 128 KiB start at 0xe0000", load(0xe0000, 1), 0x33);
    check_uint("firmware ends at 1 MiB", load(0xfffff, 1), 0x22);
    lunik_space_store(lunik_machine_memory(m), 0xfffff, 1, 0x44);
    check_uint("firmware is read-only", load(BOOT_4G - 1, 1), 0x22);
    check_int("second firmware", lunik_boot_firmware(m, image_path(image, sizeof(image)), &err),
              LUNIK_E_EXISTS);
}

/* ---- fuzzing -------------------------------------------------------------------------------- */

static uint64_t random_state;

/* xorshift64* */
static uint64_t random64(void)
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return random_state * 0x2545f4914f6cdd1dull;
}

/* Values that sizes and addresses break on. */
static uint64_t nasty(void)
{
    static const uint64_t values[] = {
        0,       1,          0x7f,       0x80,       0xff,
        0x1000,  MIB,        RAM_END,    0x7fffffff, 0x80000000,
        1 << 16, UINT32_MAX, UINT64_MAX, INT64_MAX,  UINT64_MAX - 4095};
    uint64_t v = values[random64() % (sizeof(values) / sizeof(values[0]))];

    return random64() % 4 ? v : v + random64() % 64 - 32;
}

/* What every plan has to keep, whatever the file was. */
static bool plan_is_sound(const struct boot_plan *p, const struct boot_images *images)
{
    const uint8_t *file = images->kernel.data;

    for (size_t i = 0; i < p->count; i++) {
        const struct boot_piece *a = &p->pieces[i];
        uint64_t end = a->address + a->size;
        const uint8_t *data = a->data;

        if (!a->size || a->data_size > a->size || end < a->address)
            return false;
        if (!(end <= LOW_END || (a->address >= MIB && end <= RAM_END)))
            return false;
        if (!a->owned && (data < file || a->data_size > images->kernel.size ||
                          data > file + images->kernel.size - a->data_size))
            return false;
        for (size_t k = 0; k < i; k++)
            if (a->address < p->pieces[k].address + p->pieces[k].size && p->pieces[k].address < end)
                return false;
    }
    return true;
}

static void mutate(struct image *im, size_t header)
{
    unsigned changes_made = 1 + random64() % 4;

    for (unsigned i = 0; i < changes_made; i++) {
        unsigned size = 1u << random64() % 4;
        size_t at = random64() % header;
        uint64_t v = random64() % 3 ? nasty() : random64();

        if (random64() % 4)
            at &= ~(size_t)(size - 1);
        memcpy(im->bytes + at, &v, size);
    }
    if (random64() % 16 == 0)
        im->size = 1 + random64() % im->size;
}

/* Returns 1 for an accepted image, 0 for a rejected one, -1 for an unsound plan. */
static int fuzz_one(struct image *im, const struct boot_format *format)
{
    struct boot_images images = {.cmdline = (char *)"a b c", .format = format};
    struct boot_plan plan;
    lunik_error err = {0};
    int rc;

    /* Exactly as long as the file, so that a sanitizer sees reads beyond it. */
    images.kernel.data = malloc(im->size);
    images.kernel.path = (char *)"fuzz";
    images.kernel.size = im->size;
    memcpy(images.kernel.data, im->bytes, im->size);
    plan_init(&plan, m);
    rc = -1;
    if (!format->probe(&images.kernel) || format->plan(&plan, &images, &err) < 0)
        rc = 0;
    else if (plan_is_sound(&plan, &images))
        rc = 1;
    plan_free(&plan);
    free(images.kernel.data);
    return rc;
}

static void test_fuzz(void)
{
    static const struct {
        const char *name;
        struct image (*make)(void);
        const struct boot_format *format;
        size_t header;
    } targets[] = {
        {"PVH", make_pvh, &boot_format_pvh, 0x420},
        {"Multiboot", make_multiboot, &boot_format_multiboot, MB + 32},
        {"Multiboot ELF", make_multiboot_elf, &boot_format_multiboot, 84},
        {"bzImage", make_bzimage, &boot_format_bzimage, 0x270},
    };
    const char *seed = getenv("BOOT_SEED"), *rounds = getenv("BOOT_ROUNDS");
    unsigned long n = rounds ? strtoul(rounds, NULL, 0) : 5000;
    uint64_t first = seed ? strtoull(seed, NULL, 0) : (uint64_t)getpid() * 2654435761u + 1;

    printf("# BOOT_SEED=%" PRIu64 "\n", first);
    random_state = first;
    for (size_t t = 0; t < sizeof(targets) / sizeof(targets[0]); t++) {
        unsigned long accepted = 0, unsound = 0;

        for (unsigned long i = 0; i < n; i++) {
            struct image im = targets[t].make();
            int rc;

            mutate(&im, targets[t].header);
            /* Half of the Multiboot headers are summed up again, to get past the checksum. */
            if (targets[t].make == make_multiboot && random64() % 2)
                put_flags(&im, boot_get32(im.bytes + MB + 4));
            rc = fuzz_one(&im, targets[t].format);
            accepted += rc > 0;
            unsound += rc < 0;
        }
        printf("# %s: %lu of %lu accepted\n", targets[t].name, accepted, n);
        check_uint(targets[t].name, unsound, 0);
    }
}

/* ---- setup ---------------------------------------------------------------------------------- */

static void add_range(uint64_t base, uint64_t end, lunik_fwmap_type type)
{
    const lunik_fwmap_entry entry = {.base = base, .size = end - base, .type = type};
    lunik_error err;

    must(lunik_fwmap_add(m, &entry, &err), &err);
}

/* 32 MiB of RAM with the PC's hole. */
static void make_machine(lunik_runtime *rt)
{
    const lunik_machine_config config = {.name = "boot", .accel = LUNIK_ACCEL_NONE, .cpus = 1};
    const lunik_ram_config ram = {.name = "ram", .size = RAM_END, .fd = -1};
    lunik_region_config region = {.kind = LUNIK_REGION_RAM, .name = "ram", .size = RAM_END};
    lunik_error err;

    must(lunik_machine_new(rt, &config, &m, &err), &err);
    must(lunik_ram_new(&region.ram, &ram, &err), &err);
    must(lunik_region_new(&ram_region, m, &region, &err), &err);
    lunik_ram_unref(region.ram);
    must(lunik_region_add(lunik_space_root(lunik_machine_memory(m)), 0, ram_region, 0, false, &err),
         &err);
    add_range(MIB, RAM_END, LUNIK_FWMAP_RAM);
    add_range(0, LOW_END, LUNIK_FWMAP_RAM);
    add_range(0xf0000, MIB, LUNIK_FWMAP_RESERVED);
    add_range(BOOT_4G, BOOT_4G + 64 * MIB, LUNIK_FWMAP_HOTPLUG);
}

static void drop_machine(void)
{
    lunik_region_del(ram_region, NULL);
    lunik_region_unref(ram_region);
    lunik_machine_close(m);
}

int main(void)
{
    lunik_runtime *rt;
    lunik_error err;

    must(lunik_runtime_new(&rt, lunik_builtin_types(), &err), &err);
    make_machine(rt);
    test_changes();
    test_multiboot_header();
    test_truncation();
    test_other_files();
    test_pvh();
    test_multiboot();
    test_bzimage();
    test_modules();
    test_map();
    test_roms();
    test_fuzz();
    test_rom_in_the_way();
    drop_machine();
    make_machine(rt);
    test_firmware();
    drop_machine();
    lunik_runtime_free(rt);
    return check_result();
}
