/*
 * bzimage.c: the Linux/x86 boot protocol (Documentation/x86/boot.rst), versions 2.06 and later.
 *
 * The kernel is entered without its real-mode code: at its 64-bit entry point on identity page
 * tables if it has one, else at its 32-bit entry point.
 */
#include <inttypes.h>
#include <string.h>

#include "boot.h"

/* The setup header: the same offsets in the file and in the boot parameters. */
#define SETUP_SECTS     0x1f1
#define BOOT_FLAG       0x1fe
#define JUMP            0x200
#define MAGIC           0x202
#define VERSION         0x206
#define LOADER_TYPE     0x210
#define LOAD_FLAGS      0x211
#define RAMDISK_IMAGE   0x218
#define RAMDISK_SIZE    0x21c
#define CMD_LINE_PTR    0x228
#define INITRD_ADDR_MAX 0x22c
#define ALIGNMENT       0x230
#define RELOCATABLE     0x234
#define XLOAD_FLAGS     0x236
#define CMDLINE_SIZE    0x238
#define PREF_ADDRESS    0x258
#define INIT_SIZE       0x260
#define HEADER_START    0x1f1
#define HEADER_END_206  0x23c
#define HEADER_END_210  0x264
#define HEADER_MAX_END  0x290

/* The rest of the boot parameters. */
#define PARAMS_SIZE  4096
#define ACPI_RSDP    0x070
#define E820_ENTRIES 0x1e8
#define E820_TABLE   0x2d0
#define E820_ENTRY   20
#define E820_MAX     128

#define MAGIC_HDRS     0x53726448 /* "HdrS" */
#define LOADED_HIGH    0x01
#define CAN_USE_HEAP   0x80
#define KERNEL_64      0x01 /* in XLOAD_FLAGS */
#define LOADER_UNKNOWN 0xff

#define SECTOR          512
#define DEFAULT_SECTS   4
#define DEFAULT_ADDRESS 0x100000
#define ENTRY_64        0x200

/* Descriptors 2 and 3, as the protocol wants them. */
#define GDT_SIZE 32
#define BOOT_CS  0x10
#define BOOT_DS  0x18
#define CODE_32  0x00cf9b000000ffffull
#define CODE_64  0x00af9b000000ffffull
#define DATA_32  0x00cf93000000ffffull

#define PAGE       4096
#define PAGE_TABLE 0x003 /* present, writable */
#define PAGE_2M    0x083

struct header {
    const struct boot_file *file;
    unsigned version, end; /* end of the setup header */
    uint64_t start;        /* of the protected-mode code in the file */
    uint64_t address, alignment, init_size;
    bool relocatable, kernel64;
    uint32_t initrd_max, cmdline_size;
};

static bool bzimage_probe(const struct boot_file *f)
{
    return boot_file_has(f, MAGIC, 4) && boot_get32(f->data + MAGIC) == MAGIC_HDRS;
}

static int check_file(const struct boot_file *f, struct header *h, lunik_error *err)
{
    unsigned sects, min_end;

    if (!boot_file_has(f, 0, HEADER_MAX_END))
        return lunik_fail(err, LUNIK_E_INVALID, "bzImage header is truncated");
    h->version = boot_get16(f->data + VERSION);
    if (h->version < 0x0206)
        return lunik_fail(err, LUNIK_E_UNSUPPORTED,
                          "bzImage uses boot protocol %u.%02u (want 2.06 or later)",
                          h->version >> 8, h->version & 0xff);
    if (boot_get16(f->data + BOOT_FLAG) != 0xaa55)
        return lunik_fail(err, LUNIK_E_INVALID, "bzImage boot flag is 0x%04x (want 0xaa55)",
                          boot_get16(f->data + BOOT_FLAG));
    if (!(f->data[LOAD_FLAGS] & LOADED_HIGH))
        return lunik_fail(err, LUNIK_E_UNSUPPORTED,
                          "zImage kernels, which load below 1 MiB, are not supported");
    h->end = JUMP + 2 + f->data[JUMP + 1];
    min_end = h->version < 0x020a ? HEADER_END_206 : HEADER_END_210;
    if (h->end < min_end || h->end > HEADER_MAX_END)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "bzImage header ends at 0x%x (want 0x%x to 0x%x for version %u.%02u)",
                          h->end, min_end, HEADER_MAX_END, h->version >> 8, h->version & 0xff);
    sects = f->data[SETUP_SECTS] ? f->data[SETUP_SECTS] : DEFAULT_SECTS;
    h->start = (uint64_t)(sects + 1) * SECTOR;
    if (h->start + ENTRY_64 >= f->size)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "bzImage is truncated: %" PRIu64 " bytes, its code starts at %" PRIu64,
                          f->size, h->start);
    return 0;
}

static int read_header(const struct boot_file *f, struct header *h, lunik_error *err)
{
    const uint8_t *d = f->data;
    int rc;

    *h = (struct header){.file = f, .address = DEFAULT_ADDRESS, .alignment = 1};
    rc = check_file(f, h, err);
    if (rc)
        return rc;
    h->initrd_max = boot_get32(d + INITRD_ADDR_MAX);
    h->relocatable = d[RELOCATABLE];
    h->cmdline_size = boot_get32(d + CMDLINE_SIZE);
    h->init_size = f->size - h->start;
    if (h->relocatable)
        h->alignment = boot_get32(d + ALIGNMENT);
    if (!h->alignment || h->alignment & (h->alignment - 1))
        return lunik_fail(err, LUNIK_E_INVALID,
                          "bzImage kernel_alignment is 0x%" PRIx64 " (want a power of two)",
                          h->alignment);
    if (h->version >= 0x020a) {
        h->address = boot_get64(d + PREF_ADDRESS);
        if (boot_get32(d + INIT_SIZE) > h->init_size)
            h->init_size = boot_get32(d + INIT_SIZE);
    }
    h->kernel64 = h->version >= 0x020c && boot_get16(d + XLOAD_FLAGS) & KERNEL_64;
    return 0;
}

/* Places the protected-mode code where the kernel prefers it, or in other free RAM. */
static int plan_kernel(struct boot_plan *p, struct header *h, lunik_error *err)
{
    const uint8_t *code = h->file->data + h->start;
    uint64_t size = h->file->size - h->start;
    lunik_error first;
    int rc = LUNIK_E_NO_SPACE;

    if (h->init_size <= BOOT_4G && h->address <= BOOT_4G - h->init_size)
        rc = plan_add(p, "kernel image", h->address, code, size, h->init_size, &first);
    else
        lunik_fail(&first, rc, "kernel image at 0x%" PRIx64 ", %" PRIu64 " bytes, is beyond 4 GiB",
                   h->address, h->init_size);
    if (!rc)
        return 0;
    if (!h->relocatable)
        return lunik_fail(err, rc, "%s", first.message);
    rc = plan_find(p, "kernel image", h->init_size, h->alignment, DEFAULT_ADDRESS, BOOT_4G - 1,
                   false, &h->address, err);
    return rc ? rc : plan_add(p, "kernel image", h->address, code, size, h->init_size, err);
}

static int plan_initrd(struct boot_plan *p, const struct boot_images *images,
                       const struct header *h, uint8_t *params, lunik_error *err)
{
    uint64_t address;
    int rc;

    if (images->module_count > (images->has_initrd ? 1 : 0))
        return lunik_fail(err, LUNIK_E_UNSUPPORTED, "modules can't be given to a bzImage");
    if (!images->module_count)
        return 0;
    rc = plan_add_high(p, "initrd", &images->modules[0].file, h->initrd_max, &address, err);
    if (rc)
        return rc;
    boot_put32(params + RAMDISK_IMAGE, (uint32_t)address);
    boot_put32(params + RAMDISK_SIZE, (uint32_t)images->modules[0].file.size);
    return 0;
}

static int plan_cmdline(struct boot_plan *p, const struct boot_images *images,
                        const struct header *h, uint8_t *params, lunik_error *err)
{
    uint64_t address;
    int rc;

    if (strlen(images->cmdline) > h->cmdline_size)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "command line has %zu characters (the kernel takes at most %u)",
                          strlen(images->cmdline), h->cmdline_size);
    rc = plan_string(p, "command line", images->cmdline, &address, err);
    if (!rc)
        boot_put32(params + CMD_LINE_PTR, (uint32_t)address);
    return rc;
}

static int fill_map(const struct boot_state *b, uint8_t *params, lunik_error *err)
{
    uint8_t *at = params + E820_TABLE;
    size_t count = fwmap_e820_count(b);

    if (count > E820_MAX)
        return lunik_fail(err, LUNIK_E_UNSUPPORTED,
                          "the memory map has %zu ranges (a bzImage takes at most %d)", count,
                          E820_MAX);
    params[E820_ENTRIES] = (uint8_t)count;
    for (const lunik_fwmap_entry *e = NULL; (e = fwmap_e820_next(b, e)); at += E820_ENTRY) {
        boot_put64(at, e->base);
        boot_put64(at + 8, e->size);
        boot_put32(at + 16, e->type);
    }
    return 0;
}

static int plan_params(struct boot_plan *p, const struct boot_images *images,
                       const struct header *h, lunik_error *err)
{
    uint8_t *params;
    int rc = plan_blob(p, "boot parameters", PARAMS_SIZE, PAGE, &params, &p->cpu.rsi, err);

    if (rc)
        return rc;
    memcpy(params + HEADER_START, h->file->data + HEADER_START, h->end - HEADER_START);
    params[LOADER_TYPE] = LOADER_UNKNOWN;
    params[LOAD_FLAGS] &= (uint8_t)~CAN_USE_HEAP;
    boot_put64(params + ACPI_RSDP, images->rsdp);
    boot_put32(params + RAMDISK_IMAGE, 0);
    boot_put32(params + RAMDISK_SIZE, 0);
    rc = fill_map(p->m->boot, params, err);
    if (!rc)
        rc = plan_cmdline(p, images, h, params, err);
    if (!rc)
        rc = plan_initrd(p, images, h, params, err);
    return rc;
}

static int plan_gdt(struct boot_plan *p, bool long_mode, lunik_error *err)
{
    uint8_t *gdt;
    int rc = plan_blob(p, "GDT", GDT_SIZE, 8, &gdt, &p->cpu.gdt, err);

    if (rc)
        return rc;
    boot_put64(gdt + BOOT_CS, long_mode ? CODE_64 : CODE_32);
    boot_put64(gdt + BOOT_DS, DATA_32);
    p->cpu.gdt_limit = GDT_SIZE - 1;
    p->cpu.cs = BOOT_CS;
    p->cpu.ds = BOOT_DS;
    return 0;
}

/* Identity-maps the first 4 GiB with 2 MiB pages. */
static int plan_page_tables(struct boot_plan *p, lunik_error *err)
{
    uint8_t *table;
    uint64_t address;
    int rc = plan_blob(p, "page tables", 6 * PAGE, PAGE, &table, &address, err);

    if (rc)
        return rc;
    boot_put64(table, (address + PAGE) | PAGE_TABLE);
    for (uint64_t i = 0; i < 4; i++)
        boot_put64(table + PAGE + 8 * i, (address + (2 + i) * PAGE) | PAGE_TABLE);
    for (uint64_t i = 0; i < 4 * 512; i++)
        boot_put64(table + 2 * PAGE + 8 * i, i << 21 | PAGE_2M);
    p->cpu.cr3 = address;
    return 0;
}

static int bzimage_plan(struct boot_plan *p, const struct boot_images *images, lunik_error *err)
{
    struct header h;
    int rc = read_header(&images->kernel, &h, err);

    if (!rc)
        rc = plan_kernel(p, &h, err);
    if (!rc)
        rc = plan_params(p, images, &h, err);
    if (!rc)
        rc = plan_gdt(p, h.kernel64, err);
    if (!rc && h.kernel64)
        rc = plan_page_tables(p, err);
    if (rc)
        return rc;
    p->cpu.long_mode = h.kernel64;
    p->cpu.rip = h.address + (h.kernel64 ? ENTRY_64 : 0);
    return 0;
}

const struct boot_format boot_format_bzimage = {
    .name = "bzImage",
    .probe = bzimage_probe,
    .plan = bzimage_plan,
};
