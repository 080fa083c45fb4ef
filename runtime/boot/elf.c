/* elf.c: reads ELF images, 32-bit and 64-bit, for the boot protocols that use them. */
#include <elf.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "boot.h"

/* More loadable segments than any kernel has; bounds the work a hostile file can cause. */
#define MAX_LOADS 64

bool elf_probe(const struct boot_file *f)
{
    return f->size >= SELFMAG && !memcmp(f->data, ELFMAG, SELFMAG);
}

static int check_ident(const struct boot_file *f, lunik_error *err)
{
    uint64_t want = sizeof(Elf32_Ehdr);
    unsigned machine;

    if (f->size > EI_CLASS && f->data[EI_CLASS] == ELFCLASS64)
        want = sizeof(Elf64_Ehdr);
    if (f->size < want)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "ELF header is truncated: the file has %" PRIu64 " bytes (want %" PRIu64
                          ")",
                          f->size, want);
    if (f->data[EI_CLASS] != ELFCLASS32 && f->data[EI_CLASS] != ELFCLASS64)
        return lunik_fail(err, LUNIK_E_INVALID, "ELF class is %u (want 1 or 2)", f->data[EI_CLASS]);
    if (f->data[EI_DATA] != ELFDATA2LSB)
        return lunik_fail(err, LUNIK_E_INVALID, "ELF image is not little-endian");
    machine = boot_get16(f->data + offsetof(Elf64_Ehdr, e_machine));
    if (machine != EM_X86_64 && machine != EM_386)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "ELF image is for machine %u (want %u, x86-64, or %u, i386)", machine,
                          EM_X86_64, EM_386);
    return 0;
}

/* Checks that the segments that will be read lie in the file. */
static int check_segments(const struct elf_image *elf, lunik_error *err)
{
    for (unsigned i = 0; i < elf->ph_count; i++) {
        struct elf_segment s;

        elf_segment_get(elf, i, &s);
        if ((s.type == PT_LOAD || s.type == PT_NOTE) &&
            !boot_file_has(elf->file, s.offset, s.file_size))
            return lunik_fail(err, LUNIK_E_INVALID,
                              "segment %u is truncated: %" PRIu64 " bytes at offset %" PRIu64
                              " of %" PRIu64,
                              i, s.file_size, s.offset, elf->file->size);
    }
    return 0;
}

int elf_open(struct elf_image *elf, const struct boot_file *f, lunik_error *err)
{
    unsigned want;
    int rc = check_ident(f, err);

    if (rc)
        return rc;
    *elf = (struct elf_image){.file = f, .is64 = f->data[EI_CLASS] == ELFCLASS64};
    if (elf->is64) {
        Elf64_Ehdr h;

        memcpy(&h, f->data, sizeof(h));
        elf->entry = h.e_entry;
        elf->ph_offset = h.e_phoff;
        elf->ph_count = h.e_phnum;
        elf->ph_size = h.e_phentsize;
        want = sizeof(Elf64_Phdr);
    } else {
        Elf32_Ehdr h;

        memcpy(&h, f->data, sizeof(h));
        elf->entry = h.e_entry;
        elf->ph_offset = h.e_phoff;
        elf->ph_count = h.e_phnum;
        elf->ph_size = h.e_phentsize;
        want = sizeof(Elf32_Phdr);
    }
    if (!elf->ph_count)
        return lunik_fail(err, LUNIK_E_INVALID, "ELF image has no program headers");
    if (elf->ph_size < want)
        return lunik_fail(err, LUNIK_E_INVALID, "ELF program headers have %u bytes (want %u)",
                          elf->ph_size, want);
    if (!boot_file_has(f, elf->ph_offset, (uint64_t)elf->ph_count * elf->ph_size))
        return lunik_fail(err, LUNIK_E_INVALID,
                          "ELF program headers are truncated: %u of %u bytes at offset %" PRIu64
                          " of %" PRIu64,
                          elf->ph_count, elf->ph_size, elf->ph_offset, f->size);
    return check_segments(elf, err);
}

void elf_segment_get(const struct elf_image *elf, unsigned index, struct elf_segment *out)
{
    const uint8_t *at = elf->file->data + elf->ph_offset + (uint64_t)index * elf->ph_size;

    if (elf->is64) {
        Elf64_Phdr h;

        memcpy(&h, at, sizeof(h));
        *out =
            (struct elf_segment){h.p_type, h.p_offset, h.p_vaddr, h.p_paddr, h.p_filesz, h.p_memsz};
    } else {
        Elf32_Phdr h;

        memcpy(&h, at, sizeof(h));
        *out =
            (struct elf_segment){h.p_type, h.p_offset, h.p_vaddr, h.p_paddr, h.p_filesz, h.p_memsz};
    }
}

static int load_segment(struct boot_plan *p, const struct elf_image *elf, unsigned index,
                        const struct elf_segment *s, lunik_error *err)
{
    char what[32];

    snprintf(what, sizeof(what), "segment %u", index);
    if (s->file_size > s->size)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "%s has more bytes in the file (%" PRIu64 ") than in memory (%" PRIu64
                          ")",
                          what, s->file_size, s->size);
    return plan_add(p, what, s->paddr, elf->file->data + s->offset, s->file_size, s->size, err);
}

int elf_load(struct boot_plan *p, const struct elf_image *elf, lunik_error *err)
{
    unsigned loads = 0;

    for (unsigned i = 0; i < elf->ph_count; i++) {
        struct elf_segment s;
        int rc;

        elf_segment_get(elf, i, &s);
        if (s.type != PT_LOAD || (!s.size && !s.file_size))
            continue;
        if (++loads > MAX_LOADS)
            return lunik_fail(err, LUNIK_E_INVALID, "ELF image has more than %d loadable segments",
                              MAX_LOADS);
        rc = load_segment(p, elf, i, &s, err);
        if (rc)
            return rc;
    }
    if (!loads)
        return lunik_fail(err, LUNIK_E_INVALID, "ELF image has no loadable segment");
    return 0;
}

int elf_check_entry(const struct elf_image *elf, uint64_t entry, lunik_error *err)
{
    for (unsigned i = 0; i < elf->ph_count && entry < BOOT_4G; i++) {
        struct elf_segment s;

        elf_segment_get(elf, i, &s);
        if (s.type == PT_LOAD && entry >= s.paddr && entry - s.paddr < s.file_size)
            return 0;
    }
    return lunik_fail(err, LUNIK_E_INVALID,
                      "entry point 0x%" PRIx64 " is in no loaded segment below 4 GiB", entry);
}
