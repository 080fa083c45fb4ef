/*
 * multiboot.c: the Multiboot specification, version 0.6.96.
 *
 * Loads the addresses of the Multiboot header (the "a.out kludge") or the segments of an ELF
 * image, 32-bit or 64-bit; either is entered in 32-bit protected mode. Not provided: video modes,
 * the boot device, drives, the APM table and symbols; their flags in the information structure
 * stay clear.
 */
#include <elf.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "boot.h"

/* The header lies within the first SEARCH bytes of the file, aligned to 4. */
#define SEARCH       8192
#define HEADER_MAGIC 0x1badb002
#define HEADER_SIZE  12
#define ADDRESS_SIZE 32

#define FLAG_ALIGN     (1u << 0)
#define FLAG_MEMORY    (1u << 1)
#define FLAG_VIDEO     (1u << 2)
#define FLAG_ADDRESSES (1u << 16)
#define FLAGS_REQUIRED 0xffffu

#define BOOT_MAGIC 0x2badb002

#define INFO_MEMORY  (1u << 0)
#define INFO_CMDLINE (1u << 2)
#define INFO_MODULES (1u << 3)
#define INFO_MAP     (1u << 6)
#define INFO_LOADER  (1u << 9)

#define LOADER_NAME "Lunik " LUNIK_VERSION_STRING

struct info {
    uint32_t flags, mem_lower, mem_upper, boot_device, cmdline, module_count, modules, symbols[4];
    uint32_t map_size, map, drives_size, drives, config, loader, apm, vbe[4];
};

struct module {
    uint32_t start, end, string, reserved;
};

#define MAP_ENTRY 24 /* a 4-byte size of the rest, base, length, type */

/* Finds the header; its offset in the file is *offset. */
static bool find_header(const struct boot_file *f, uint64_t *offset)
{
    uint64_t end = f->size < SEARCH ? f->size : SEARCH;

    for (uint64_t at = 0; at + HEADER_SIZE <= end; at += 4) {
        const uint8_t *h = f->data + at;

        if (boot_get32(h) == HEADER_MAGIC &&
            boot_get32(h) + boot_get32(h + 4) + boot_get32(h + 8) == 0) {
            *offset = at;
            return true;
        }
    }
    return false;
}

static bool multiboot_probe(const struct boot_file *f)
{
    uint64_t offset;

    return find_header(f, &offset);
}

/* Plans the image by the addresses in the header at `offset`. */
static int load_addresses(struct boot_plan *p, const struct boot_file *f, uint64_t offset,
                          lunik_error *err)
{
    const uint8_t *h = f->data + offset;
    uint64_t header, load, load_end, bss_end, entry, start, size;

    if (!boot_file_has(f, offset, ADDRESS_SIZE))
        return lunik_fail(err, LUNIK_E_INVALID, "Multiboot header is truncated");
    header = boot_get32(h + 12);
    load = boot_get32(h + 16);
    load_end = boot_get32(h + 20);
    bss_end = boot_get32(h + 24);
    entry = boot_get32(h + 28);
    if (load > header || header - load > offset)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "Multiboot load_addr 0x%" PRIx64 " does not fit header_addr 0x%" PRIx64
                          " at offset %" PRIu64,
                          load, header, offset);
    start = offset - (header - load);
    size = load_end ? load_end - load : f->size - start;
    if ((load_end && load_end <= load) || !boot_file_has(f, start, size))
        return lunik_fail(err, LUNIK_E_INVALID,
                          "Multiboot load_end_addr 0x%" PRIx64 " does not fit load_addr 0x%" PRIx64
                          " and a file of %" PRIu64 " bytes",
                          load_end, load, f->size);
    if (bss_end && bss_end < load + size)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "Multiboot bss_end_addr 0x%" PRIx64
                          " is below the end of the data, 0x%" PRIx64,
                          bss_end, load + size);
    if (entry < load || entry - load >= size)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "Multiboot entry_addr 0x%" PRIx64 " is outside the image", entry);
    p->cpu.rip = entry;
    return plan_add(p, "kernel image", load, f->data + start, size, bss_end ? bss_end - load : size,
                    err);
}

static int load_elf(struct boot_plan *p, const struct boot_file *f, lunik_error *err)
{
    struct elf_image elf;
    int rc;

    if (!elf_probe(f))
        return lunik_fail(err, LUNIK_E_INVALID,
                          "the Multiboot header has no addresses and the file is no ELF image");
    rc = elf_open(&elf, f, err);
    if (!rc)
        rc = elf_load(p, &elf, err);
    if (rc)
        return rc;
    p->cpu.rip = elf.entry;
    /* The entry point of an ELF file is a virtual address. */
    for (unsigned i = 0; i < elf.ph_count; i++) {
        struct elf_segment s;

        elf_segment_get(&elf, i, &s);
        if (s.type == PT_LOAD && elf.entry >= s.vaddr && elf.entry - s.vaddr < s.size) {
            p->cpu.rip = elf.entry - s.vaddr + s.paddr;
            break;
        }
    }
    return elf_check_entry(&elf, p->cpu.rip, err);
}

static int plan_modules(struct boot_plan *p, const struct boot_images *images, struct info *info,
                        lunik_error *err)
{
    uint64_t address = 0, string = 0;
    uint8_t *table;
    int rc;

    if (!images->module_count)
        return 0;
    rc = plan_blob(p, "module list", images->module_count * sizeof(struct module), 4, &table,
                   &address, err);
    info->modules = (uint32_t)address;
    for (size_t i = 0; !rc && i < images->module_count; i++) {
        const struct boot_module *mod = &images->modules[i];
        struct module entry = {0};

        rc = plan_add_high(p, mod->file.path, &mod->file, BOOT_4G - 2, &address, err);
        if (!rc)
            rc = plan_string(p, "module arguments", mod->string, &string, err);
        if (rc)
            return rc;
        entry.start = (uint32_t)address;
        entry.end = (uint32_t)(address + mod->file.size);
        entry.string = (uint32_t)string;
        memcpy(table + i * sizeof(entry), &entry, sizeof(entry));
    }
    info->module_count = (uint32_t)images->module_count;
    info->flags |= INFO_MODULES;
    return rc;
}

static int plan_map(struct boot_plan *p, struct info *info, lunik_error *err)
{
    const struct boot_state *b = p->m->boot;
    uint64_t address, base, last, size = fwmap_e820_count(b) * MAP_ENTRY;
    uint8_t *at;
    int rc = plan_blob(p, "memory map", size, 4, &at, &address, err);

    if (rc)
        return rc;
    for (const lunik_fwmap_entry *e = NULL; (e = fwmap_e820_next(b, e)); at += MAP_ENTRY) {
        boot_put32(at, MAP_ENTRY - 4);
        boot_put64(at + 4, e->base);
        boot_put64(at + 12, e->size);
        boot_put32(at + 20, e->type);
    }
    info->map = (uint32_t)address;
    info->map_size = (uint32_t)size;
    /* Lower memory starts at 0 and ends at 640 KiB at most; upper memory starts at 1 MiB. */
    if (fwmap_ram_after(b, 0, &base, &last) && base == 0)
        info->mem_lower = (uint32_t)((last < 0x9ffff ? last + 1 : 0xa0000) / 1024);
    if (fwmap_ram_after(b, 0x100000, &base, &last) && base <= 0x100000)
        info->mem_upper = (uint32_t)(((last < BOOT_4G ? last + 1 : BOOT_4G) - 0x100000) / 1024);
    info->flags |= INFO_MEMORY | INFO_MAP;
    return 0;
}

/* The command line starts with the image's name, as with other boot loaders. */
static int plan_cmdline(struct boot_plan *p, const struct boot_images *images, struct info *info,
                        lunik_error *err)
{
    size_t size = strlen(images->kernel.path) + strlen(images->cmdline) + 2;
    char *text = malloc(size);
    uint64_t address = 0;
    int rc;

    if (!text)
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "command line: out of memory");
    snprintf(text, size, "%s%s%s", images->kernel.path, *images->cmdline ? " " : "",
             images->cmdline);
    rc = plan_string(p, "command line", text, &address, err);
    free(text);
    info->cmdline = (uint32_t)address;
    info->flags |= INFO_CMDLINE;
    return rc;
}

static int plan_info(struct boot_plan *p, const struct boot_images *images, lunik_error *err)
{
    struct info info = {0};
    uint64_t loader = 0;
    uint8_t *blob;
    int rc = plan_blob(p, "Multiboot information", sizeof(info), 8, &blob, &p->cpu.rbx, err);

    if (!rc)
        rc = plan_string(p, "boot loader name", LOADER_NAME, &loader, err);
    if (!rc)
        rc = plan_cmdline(p, images, &info, err);
    if (!rc)
        rc = plan_map(p, &info, err);
    if (!rc)
        rc = plan_modules(p, images, &info, err);
    if (rc)
        return rc;
    info.loader = (uint32_t)loader;
    info.flags |= INFO_LOADER;
    memcpy(blob, &info, sizeof(info));
    return 0;
}

static int multiboot_plan(struct boot_plan *p, const struct boot_images *images, lunik_error *err)
{
    const struct boot_file *f = &images->kernel;
    uint64_t offset;
    uint32_t flags;
    int rc;

    if (!find_header(f, &offset))
        return lunik_fail(err, LUNIK_E_INVALID, "the Multiboot header is missing");
    flags = boot_get32(f->data + offset + 4);
    if (flags & FLAGS_REQUIRED & ~(FLAG_ALIGN | FLAG_MEMORY | FLAG_VIDEO))
        return lunik_fail(err, LUNIK_E_UNSUPPORTED,
                          "Multiboot flags 0x%x require features that are not provided "
                          "(known are 0x%x)",
                          flags, FLAG_ALIGN | FLAG_MEMORY | FLAG_VIDEO | FLAG_ADDRESSES);
    rc = flags & FLAG_ADDRESSES ? load_addresses(p, f, offset, err) : load_elf(p, f, err);
    if (!rc)
        rc = plan_info(p, images, err);
    p->cpu.rax = BOOT_MAGIC;
    return rc;
}

const struct boot_format boot_format_multiboot = {
    .name = "Multiboot",
    .probe = multiboot_probe,
    .plan = multiboot_plan,
};
