/*
 * test_boot.c: the boot image loaders on a machine without vCPUs: what they place where, and what
 * they say about broken files.
 */
#define _GNU_SOURCE /* memfd_create */
#include "boot_images.h"

#define MODULE "/usr/bin/true" /* an ELF file of a few pages */

/* ---- what is said about broken files -------------------------------------------------------- */

static void expect_error(const char *name, const struct image *im, size_t size, const char *part)
{
    const lunik_boot_config config = {.kernel = image_path(0, im->bytes, size)};
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

/* A segment that takes no memory is not loaded, so nothing can be entered in it. */
static void test_entry_in_no_memory(void)
{
    struct image im = make_pvh();

    put16(&im, 56, 3);
    put_phdr(&im, 2, PT_LOAD, CODE_AT, 0x300000, CODE_SIZE, 0);
    put32(&im, NOTE_AT + 16, 0x300010);
    expect_error("entry in a segment without memory", &im, im.size,
                 "segment 2 has more bytes in the file (2048) than in memory (0)");
}

static void test_truncation(void)
{
    struct image (*const makes[])(void) = {make_pvh, make_multiboot, make_multiboot_elf,
                                           make_bzimage};
    unsigned accepted = 0;

    for (size_t k = 0; k < 4; k++) {
        struct image im = makes[k]();

        for (size_t size = 1; size < im.size; size += size < 128 ? 1 : 61) {
            const lunik_boot_config config = {.kernel = image_path(0, im.bytes, size)};

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
    config.kernel = image_path(0, "", 0);
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
    const lunik_boot_config config = {.kernel = image_path(0, im.bytes, im.size),
                                      .cmdline = "console=ttyS0",
                                      .initrd = MODULE,
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
    const char *path = image_path(0, im.bytes, im.size);
    const char *const modules[] = {MODULE " one two", MODULE, NULL};
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
    check_text("Multiboot arguments", load(table + 8, 4), MODULE " one two");
    check_uint("Multiboot module", load(load(table + 16, 4), 4), 0x464c457f);
    check_uint("Multiboot map", load(info + 44, 4), 3 * 24);
    check_uint("Multiboot map entry size", load(load(info + 48, 4), 4), 20);
    plan_free(&plan);

    im = make_multiboot_elf();
    boot(&(lunik_boot_config){.kernel = image_path(0, im.bytes, im.size)}, &plan);
    check_uint("Multiboot ELF entry is physical", plan.cpu.rip, CODE_BASE + 0x10);
    plan_free(&plan);
}

static void test_bzimage(void)
{
    struct image im = make_bzimage();
    lunik_boot_config config = {.kernel = image_path(0, im.bytes, im.size),
                                .cmdline = "quiet",
                                .initrd = MODULE,
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
    config.kernel = image_path(0, im.bytes, im.size);
    boot(&config, &plan);
    check_true("bzImage initrd is below its limit",
               load(plan.cpu.rsi + 0x218, 4) + load(plan.cpu.rsi + 0x21c, 4) <= 31 * MIB + 1);
    plan_free(&plan);

    put64(&im, 0x258, 512 * MIB);
    config.kernel = image_path(0, im.bytes, im.size);
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
    config.modules = (const char *const[]){MODULE, NULL};
    lunik_boot_kernel(m, &config, &err);
    check_contains("bzImage modules", err.message, "modules can't be given");
}

static void test_modules(void)
{
    struct image im = make_pvh();
    lunik_boot_config config = {.kernel = image_path(0, im.bytes, im.size)};
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

    check_int("firmware of odd size", lunik_boot_firmware(m, image_path(0, image, 1000), &err),
              LUNIK_E_INVALID);
    check_contains("firmware of odd size", err.message, "1000 bytes (want a multiple of 4096)");
    check_int("missing firmware", lunik_boot_firmware(m, "/nonexistent/bios", &err),
              LUNIK_E_NOT_FOUND);
    image[0] = 0x11;
    image[sizeof(image) - 1] = 0x22;
    image[sizeof(image) - 0x20000] = 0x33;
    must(lunik_boot_firmware(m, image_path(0, image, sizeof(image)), &err), &err);
    check_uint("firmware starts", load(BOOT_4G - sizeof(image), 1), 0x11);
    check_uint("firmware ends at 4 GiB", load(BOOT_4G - 1, 1), 0x22);
    check_uint("firmware's last 128 KiB start at 0xe0000", load(0xe0000, 1), 0x33);
    check_uint("firmware ends at 1 MiB", load(0xfffff, 1), 0x22);
    lunik_space_store(lunik_machine_memory(m), 0xfffff, 1, 0x44);
    check_uint("firmware is read-only", load(BOOT_4G - 1, 1), 0x22);
    check_int("second firmware", lunik_boot_firmware(m, image_path(0, image, sizeof(image)), &err),
              LUNIK_E_EXISTS);
}

int main(void)
{
    lunik_runtime *rt;
    lunik_error err;

    must(lunik_runtime_new(lunik_builtin_types(), &rt, &err), &err);
    make_machine(rt);
    test_changes();
    test_multiboot_header();
    test_entry_in_no_memory();
    test_truncation();
    test_other_files();
    test_pvh();
    test_multiboot();
    test_bzimage();
    test_modules();
    test_map();
    test_roms();
    test_rom_in_the_way();
    drop_machine();
    make_machine(rt);
    test_firmware();
    drop_machine();
    lunik_runtime_free(rt);
    return check_result();
}
