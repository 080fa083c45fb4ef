/*
 * boot.h: boot images, plans and ROMs; private to the files of this folder.
 *
 * Boot images are read into memory once. At every reset a plan is made from them and from the
 * present memory map: which bytes go where, and the first vCPU's registers. Everything is checked
 * while planning, so that placing can't fail half-way: the pieces of a plan lie in RAM and overlap
 * neither each other nor a ROM.
 */
#ifndef RUNTIME_BOOT_BOOT_H
#define RUNTIME_BOOT_BOOT_H

#include "core/machine.h"

#define BOOT_4G 0x100000000ull

/* ---- files ---------------------------------------------------------------------------------- */

struct boot_file {
    char *path;
    uint8_t *data;
    uint64_t size;
};

/* Reads a regular file of 1..limit bytes. The error names the path; the caller adds its purpose. */
int boot_file_read(struct boot_file *f, const char *path, uint64_t limit, lunik_error *err);
void boot_file_free(struct boot_file *f);

/* True if size bytes at offset lie within the file. */
static inline bool boot_file_has(const struct boot_file *f, uint64_t offset, uint64_t size)
{
    return offset <= f->size && size <= f->size - offset;
}

/* Read and write little-endian fields at any alignment. */
static inline uint16_t boot_get16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}
static inline uint32_t boot_get32(const uint8_t *p)
{
    return boot_get16(p) | (uint32_t)boot_get16(p + 2) << 16;
}
static inline uint64_t boot_get64(const uint8_t *p)
{
    return boot_get32(p) | (uint64_t)boot_get32(p + 4) << 32;
}
static inline void boot_put32(uint8_t *p, uint32_t v)
{
    for (unsigned i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> 8 * i);
}
static inline void boot_put64(uint8_t *p, uint64_t v)
{
    boot_put32(p, (uint32_t)v);
    boot_put32(p + 4, (uint32_t)(v >> 32));
}

/* ---- plans ---------------------------------------------------------------------------------- */

struct boot_piece {
    char what[40];
    uint64_t address, size; /* size > 0 */
    const void *data;
    uint64_t data_size; /* <= size; the rest becomes zero */
    void *owned;        /* freed with the plan */
};

/* Registers of the first vCPU at the kernel's entry: in flat 32-bit protected mode without paging,
 * in 64-bit long mode, or in real mode. */
struct boot_cpu {
    bool real_mode; /* rip is a linear address below 1 MiB; the other fields mean nothing */
    bool long_mode;
    uint64_t rip, rax, rbx, rsi;
    uint64_t cr3; /* long mode */
    uint64_t gdt; /* address of the table, 0 = none is loaded */
    uint16_t gdt_limit, cs, ds;
};

struct boot_plan {
    lunik_machine *m;
    struct boot_piece *pieces;
    size_t count, room;
    struct boot_cpu cpu;
};

void plan_init(struct boot_plan *p, lunik_machine *m);
void plan_free(struct boot_plan *p);

/* Adds a piece at a given address; it must be RAM and free. */
int plan_add(struct boot_plan *p, const char *what, uint64_t address, const void *data,
             uint64_t data_size, uint64_t size, lunik_error *err);
/* Finds a free place in RAM with its last byte at most at `last`, from the bottom (not below min)
 * or from the top. align is a power of two. */
int plan_find(const struct boot_plan *p, const char *what, uint64_t size, uint64_t align,
              uint64_t min, uint64_t last, bool top, uint64_t *address, lunik_error *err);
/* Adds a piece as high as possible. */
int plan_add_high(struct boot_plan *p, const char *what, const struct boot_file *f, uint64_t last,
                  uint64_t *address, lunik_error *err);
/* Adds a zeroed piece for tables at the lowest free place from 64 KiB on; the caller fills *data.
 */
int plan_blob(struct boot_plan *p, const char *what, uint64_t size, uint64_t align, uint8_t **data,
              uint64_t *address, lunik_error *err);
/* The same with a string in it. */
int plan_string(struct boot_plan *p, const char *what, const char *text, uint64_t *address,
                lunik_error *err);
/* Copies the plan to guest memory. */
int plan_place(const struct boot_plan *p, lunik_error *err);

/* Sets the registers that the first vCPU starts with. Does nothing without vCPUs. */
int boot_cpu_apply(lunik_machine *m, const struct boot_cpu *cpu, lunik_error *err);

/* ---- images and formats --------------------------------------------------------------------- */

struct boot_module {
    struct boot_file file;
    char *string; /* as given: path and arguments */
};

struct boot_format;

struct boot_images {
    struct boot_file kernel;
    struct boot_module *modules; /* the initrd, if any, comes first */
    size_t module_count;
    bool has_initrd;
    char *cmdline; /* "" if there is none */
    uint64_t rsdp;
    const struct boot_format *format;
};

struct boot_format {
    const char *name;
    /* True if the file claims to be of this format, however broken it may be. */
    bool (*probe)(const struct boot_file *f);
    int (*plan)(struct boot_plan *p, const struct boot_images *images, lunik_error *err);
};

extern const struct boot_format boot_format_pvh, boot_format_multiboot, boot_format_bzimage;

/* An ELF file whose headers have been checked: its PT_LOAD and PT_NOTE segments lie in the file. */
struct elf_image {
    const struct boot_file *file;
    bool is64;
    uint64_t entry, ph_offset;
    unsigned ph_count, ph_size;
};

struct elf_segment {
    uint32_t type;
    uint64_t offset, vaddr, paddr, file_size, size;
};

bool elf_probe(const struct boot_file *f);
int elf_open(struct elf_image *elf, const struct boot_file *f, lunik_error *err);
/* Reads program header `index`, which is below ph_count. Does not check its addresses. */
void elf_segment_get(const struct elf_image *elf, unsigned index, struct elf_segment *out);
/* Adds all PT_LOAD segments to the plan. */
int elf_load(struct boot_plan *p, const struct elf_image *elf, lunik_error *err);
/* Checks that a physical entry point can be reached in 32-bit mode and lies in a loaded segment. */
int elf_check_entry(const struct elf_image *elf, uint64_t entry, lunik_error *err);

/* ---- the machine's state -------------------------------------------------------------------- */

struct boot_rom {
    char *name;
    uint64_t address;
    size_t size;
    void *data;
    struct boot_rom *next;
};

struct boot_state {
    lunik_fwmap_entry *map; /* sorted by base, without overlaps */
    size_t map_count;
    struct boot_rom *roms;
    struct boot_images *images;            /* NULL: no kernel */
    lunik_region *firmware, *isa_firmware; /* NULL: no firmware */
    uint64_t facs;                         /* 0: unknown */
};

/* Finds the first RAM range of the memory map that ends at or above `from`; adjacent ones count as
 * one. Returns false if there is none. */
bool fwmap_ram_after(const struct boot_state *b, uint64_t from, uint64_t *base, uint64_t *last);
/* Count and list the ranges that are reported to a kernel: all but hotplug windows. */
size_t fwmap_e820_count(const struct boot_state *b);
const lunik_fwmap_entry *fwmap_e820_next(const struct boot_state *b,
                                         const lunik_fwmap_entry *previous);
/* Writes "0x0-0x9fbff, 0x100000-0x7ffffff" for messages. */
void fwmap_describe_ram(const struct boot_state *b, char *buf, size_t size);

/* Copies to guest RAM, including RAM that is read-only for the guest; data NULL: writes zeros. */
int boot_write(lunik_machine *m, const char *what, uint64_t address, const void *data,
               uint64_t size, lunik_error *err);
int roms_place(lunik_machine *m, lunik_error *err);
void roms_free(struct boot_state *b);
void firmware_free(struct boot_state *b);

/* ---- what machine/ calls -------------------------------------------------------------------- */

int boot_init(lunik_machine *m, lunik_error *err);
void boot_fini(lunik_machine *m);
/* Places what is booted, and sets the first vCPU's registers. At a wake-up, only the latter. */
int boot_reset(lunik_machine *m, lunik_error *err);
/* wake.c: finds the place where the first vCPU goes on when the guest wakes up; *found false: at
 * the reset vector. LUNIK_E_STATE: it has none. */
int boot_find_waking(lunik_machine *m, struct boot_cpu *cpu, bool *found, lunik_error *err);
/* Whether there is one. */
int boot_check_waking(lunik_machine *m, lunik_error *err);

#endif
