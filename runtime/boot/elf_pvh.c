/*
 * elf_pvh.c: the PVH boot protocol, "x86/HVM direct boot ABI" of the Xen documentation.
 *
 * An ELF note names a 32-bit physical entry point; ebx holds the address of a start info block
 * with the command line, modules, the ACPI root pointer and the memory map.
 */
#include <elf.h>
#include <inttypes.h>
#include <string.h>

#include "boot.h"

#define NOTE_NAME         "Xen"
#define NOTE_PHYS32_ENTRY 18

#define START_MAGIC   0x336ec578
#define START_VERSION 1

struct start_info {
    uint32_t magic, version, flags, module_count;
    uint64_t modules, cmdline, rsdp, map;
    uint32_t map_count, reserved;
};

struct start_module {
    uint64_t address, size, cmdline, reserved;
};

struct start_map {
    uint64_t base, size;
    uint32_t type, reserved;
};

static uint64_t align4(uint64_t n)
{
    return (n + 3) & ~3ull;
}

/* Looks for the entry note in one PT_NOTE segment that lies in the file. */
static bool find_in_notes(const uint8_t *at, uint64_t size, uint64_t *entry)
{
    while (size >= sizeof(Elf64_Nhdr)) {
        uint32_t name_size = boot_get32(at), desc_size = boot_get32(at + 4);
        uint64_t name = sizeof(Elf64_Nhdr), desc = name + align4(name_size);
        uint64_t next = desc + align4(desc_size);

        if (desc + desc_size > size)
            return false;
        if (boot_get32(at + 8) == NOTE_PHYS32_ENTRY && name_size == sizeof(NOTE_NAME) &&
            !memcmp(at + name, NOTE_NAME, sizeof(NOTE_NAME)) &&
            (desc_size == 4 || desc_size == 8)) {
            *entry = desc_size == 8 ? boot_get64(at + desc) : boot_get32(at + desc);
            return true;
        }
        if (next > size)
            return false;
        at += next;
        size -= next;
    }
    return false;
}

static bool find_entry(const struct elf_image *elf, uint64_t *entry)
{
    for (unsigned i = 0; i < elf->ph_count; i++) {
        struct elf_segment s;

        elf_segment_get(elf, i, &s);
        if (s.type == PT_NOTE && find_in_notes(elf->file->data + s.offset, s.file_size, entry))
            return true;
    }
    return false;
}

static bool pvh_probe(const struct boot_file *f)
{
    struct elf_image elf;
    uint64_t entry;

    return elf_probe(f) && elf_open(&elf, f, NULL) == 0 && find_entry(&elf, &entry);
}

static int plan_modules(struct boot_plan *p, const struct boot_images *images,
                        struct start_info *info, lunik_error *err)
{
    uint8_t *table;
    int rc;

    if (!images->module_count)
        return 0;
    rc = plan_blob(p, "PVH module list", images->module_count * sizeof(struct start_module), 8,
                   &table, &info->modules, err);
    for (size_t i = 0; !rc && i < images->module_count; i++) {
        const struct boot_module *mod = &images->modules[i];
        bool initrd = i == 0 && images->has_initrd;
        struct start_module entry = {.size = mod->file.size};

        rc = plan_add_high(p, initrd ? "initrd" : mod->file.path, &mod->file, BOOT_4G - 1,
                           &entry.address, err);
        if (!rc && !initrd)
            rc = plan_string(p, "module arguments", mod->string, &entry.cmdline, err);
        memcpy(table + i * sizeof(entry), &entry, sizeof(entry));
    }
    info->module_count = (uint32_t)images->module_count;
    return rc;
}

static int plan_map(struct boot_plan *p, struct start_info *info, lunik_error *err)
{
    const struct boot_state *b = p->m->boot;
    size_t count = fwmap_e820_count(b);
    uint8_t *table;
    int rc = plan_blob(p, "PVH memory map", count * sizeof(struct start_map), 8, &table, &info->map,
                       err);

    if (rc)
        return rc;
    for (const lunik_fwmap_entry *e = NULL; (e = fwmap_e820_next(b, e));) {
        struct start_map entry = {.base = e->base, .size = e->size, .type = e->type};

        memcpy(table, &entry, sizeof(entry));
        table += sizeof(entry);
    }
    info->map_count = (uint32_t)count;
    return 0;
}

static int pvh_plan(struct boot_plan *p, const struct boot_images *images, lunik_error *err)
{
    struct start_info info = {.magic = START_MAGIC, .version = START_VERSION, .rsdp = images->rsdp};
    struct elf_image elf;
    uint64_t entry = 0;
    uint8_t *blob;
    int rc = elf_open(&elf, &images->kernel, err);

    if (rc)
        return rc;
    if (!find_entry(&elf, &entry))
        return lunik_fail(err, LUNIK_E_INVALID, "the PVH entry note is missing");
    rc = elf_load(p, &elf, err);
    if (!rc)
        rc = elf_check_entry(&elf, entry, err);
    if (!rc)
        rc = plan_blob(p, "PVH start info", sizeof(info), 8, &blob, &p->cpu.rbx, err);
    if (!rc)
        rc = plan_string(p, "command line", images->cmdline, &info.cmdline, err);
    if (!rc)
        rc = plan_map(p, &info, err);
    if (!rc)
        rc = plan_modules(p, images, &info, err);
    if (rc)
        return rc;
    memcpy(blob, &info, sizeof(info));
    p->cpu.rip = entry;
    return 0;
}

const struct boot_format boot_format_pvh = {
    .name = "PVH",
    .probe = pvh_probe,
    .plan = pvh_plan,
};
