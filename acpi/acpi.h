/* acpi.h: declarations that the files of the table builder share; not for devices or bindings. */
#ifndef ACPI_ACPI_H
#define ACPI_ACPI_H

#include "lunik_device.h"

/* ---- compiled ASL parts; see embed.lua ------------------------------------------------------ */

enum acpi_patch_kind {
    ACPI_PATCH_INTEGER, /* width bytes, little-endian */
    ACPI_PATCH_DIGITS,  /* width hexadecimal digits of a name */
    ACPI_PATCH_OFFSET,  /* the two-byte length, in bits, that a field skips: value bytes */
};

/* The place of a value in a part. */
struct acpi_patch {
    char name[5];
    enum acpi_patch_kind kind;
    unsigned offset, width;
    bool required; /* the device must give it */
};

struct acpi_part {
    const char *name;
    const uint8_t *aml;
    size_t size;
    const struct acpi_patch *patches; /* ends with an empty name */
    bool isa;                         /* its devices go below the ISA bridge */
};

#define ACPI_MAX_PARTS 64
extern const struct acpi_part acpi_parts[]; /* ends with name == NULL */

/* Returns the part of that name; NULL if there is none. */
const struct acpi_part *acpi_part_find(const char *name);

/* ---- bytes ---------------------------------------------------------------------------------- */

/* A buffer that grows as needed. When memory runs out it takes no more bytes and sets failed. */
struct acpi_buffer {
    uint8_t *data;
    size_t size, capacity;
    bool failed;
};

/* Appends bytes (data NULL: zeros) and returns where they are; NULL when memory has run out. */
uint8_t *acpi_append(struct acpi_buffer *b, const void *data, size_t size);
/* Appends value as `width` bytes, little-endian. */
void acpi_put(struct acpi_buffer *b, uint64_t value, unsigned width);
/* Overwrites width bytes at offset. */
void acpi_set(struct acpi_buffer *b, size_t offset, uint64_t value, unsigned width);
/* Appends zeros up to a multiple of align. */
void acpi_align(struct acpi_buffer *b, size_t align);
/* Returns the byte that makes `size` bytes add up to 0 when it replaces a 0 among them. */
uint8_t acpi_checksum(const uint8_t *data, size_t size);

/* Starts a table with the common header and returns its offset; ends it with length and
 * checksum. */
size_t acpi_table_begin(struct acpi_buffer *b, const char *signature, uint8_t revision);
void acpi_table_end(struct acpi_buffer *b, size_t start);
/* Computes the checksum of a table again, which has been changed since. */
void acpi_table_resum(struct acpi_buffer *b, size_t start);

/* Append `width` hexadecimal digits of value, as in names; or overwrite others with them. */
void acpi_put_digits(struct acpi_buffer *b, uint64_t value, unsigned width);
void acpi_set_digits(struct acpi_buffer *b, size_t offset, uint64_t value, unsigned width);

/* ---- terms.c -------------------------------------------------------------------------------- */

#define ACPI_SEGMENT 4 /* characters of a name */
#define AML_SCOPE    0x10

/* Returns a PkgLength of 2 or 3 bytes: the low four bits together with the number of bytes that
 * follow, then the rest. */
uint64_t acpi_package_length(uint64_t length, unsigned bytes);
/* Opens a package with a PkgLength of three bytes; ends it once its contents have been written. */
size_t acpi_package_begin(struct acpi_buffer *b, unsigned opcode);
void acpi_package_end(struct acpi_buffer *b, size_t start);

/* Returns whether name is one segment of a path: four characters. */
bool acpi_is_segment(const char *name);
/* Appends an absolute path; returns false, with nothing written, if it is not well-formed. */
bool acpi_put_path(struct acpi_buffer *b, const char *path);

/* Copies of a part, `count` from number `first` on, whose names are prefix characters of name, then
 * digits. */
struct acpi_copies {
    const uint8_t *name;
    unsigned prefix, first, count;
    uint32_t absent; /* of the first 32, a bit for each that is left out */
};
/* Whether copy n is left out. */
static inline bool acpi_is_absent(uint32_t absent, uint64_t n)
{
    return n < 32 && absent >> n & 1;
}
/* Appends Method (name, 2), which notifies copy Arg0 of Arg1. */
void acpi_put_notify(struct acpi_buffer *b, const char *name, const struct acpi_copies *copies);
/* Appends Method (name, 0), which calls the methods with those paths; NULL ends them. Returns the
 * path that is not well-formed, or NULL. */
const char *acpi_put_calls(struct acpi_buffer *b, const char *name, const char *const *calls);

/* ---- the assembled tables ------------------------------------------------------------------- */

#define ACPI_IMAGE_BASE 0xe0000 /* the area that is searched for the root pointer */
#define ACPI_IMAGE_END  0x100000

#define ACPI_HEADER_SIZE            36
#define ACPI_HEADER_CHECKSUM        9
#define ACPI_RSDP_SIZE              36
#define ACPI_RSDP_SIZE_OLD          20 /* of revision 0, with a checksum of its own */
#define ACPI_RSDP_CHECKSUM          8
#define ACPI_RSDP_EXTENDED_CHECKSUM 32

#define ACPI_MAX_TABLES 12
#define ACPI_PAGE_SIZE  4096 /* shared by methods and a device */

/* A machine's tables in one image, with the addresses they have at ACPI_IMAGE_BASE. The first is
 * the root pointer. */
struct acpi_tables {
    struct acpi_buffer image;
    bool installed; /* copied at every reset */
    size_t page_at; /* as in acpi_facts */
    size_t count;
    struct {
        const char *signature;
        size_t offset, size;
        bool listed; /* in RSDT and XSDT */
    } tables[ACPI_MAX_TABLES];
};

/* The same as files for firmware, which allocates places for two of them and carries out the
 * commands in the third: their addresses are offsets, checksums that depend on these are 0. */
struct acpi_files {
    struct acpi_buffer rsdp, tables, loader;
};

/* loader.c: fills *out, which is zeroed, and which the caller frees in any case. */
int acpi_files_build(struct acpi_files *out, const struct acpi_tables *t, lunik_error *err);
void acpi_files_free(struct acpi_files *files);

/* ---- one machine's tables ------------------------------------------------------------------- */

/* The facts about a machine that the tables are made from. */
struct acpi_facts {
    lunik_machine *machine;
    unsigned cpus;  /* that there can be; at most 255, so that APIC ids have 8 bits */
    bool cpus_plug; /* a device takes them in and out, and describes them */
    bool has_pm;    /* else the tables are for a hardware-reduced machine */
    lunik_acpi_pm pm;
    bool has_rtc, has_i8042, has_pci_links;
    size_t page_at; /* offset in the image of the address, 4 bytes, of a page that the methods of
                       the DSDT share with a device; 0: none needs it */
};

/* aml.c: appends the DSDT, made from the nodes that the machine's devices describe, and notes in
 * *facts which devices there are. */
int acpi_build_dsdt(struct acpi_buffer *b, struct acpi_facts *facts, lunik_error *err);

/* fadt.c; addresses are the guest's, facs 0 = none. */
void acpi_build_facs(struct acpi_buffer *b);
void acpi_build_fadt(struct acpi_buffer *b, const struct acpi_facts *facts, uint32_t facs,
                     uint32_t dsdt);

/* madt.c */
void acpi_build_madt(struct acpi_buffer *b, const struct acpi_facts *facts);

/* numa.c; a table is left out if the machine does not need it. */
bool acpi_wants_srat(const struct acpi_facts *facts);
void acpi_build_srat(struct acpi_buffer *b, const struct acpi_facts *facts);
bool acpi_wants_slit(const struct acpi_facts *facts);
void acpi_build_slit(struct acpi_buffer *b, const struct acpi_facts *facts);

#endif
