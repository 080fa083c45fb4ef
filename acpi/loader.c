/*
 * loader.c: the ACPI tables as files for firmware, with the commands that place them: the linker
 * and loader of QEMU 7.2 (hw/acpi/bios-linker-loader.c describes its commands). Firmware allocates
 * memory for a file, adds the address of a file to a pointer, and computes checksums, in that
 * order.
 */
#include <stdlib.h>
#include <string.h>

#include "acpi.h"

#define RSDP_FILE   "etc/acpi/rsdp"
#define TABLES_FILE "etc/acpi/tables"

#define COMMAND_SIZE 128
#define NAME_SIZE    56

#define COMMAND_ALLOCATE     1
#define COMMAND_ADD_POINTER  2
#define COMMAND_ADD_CHECKSUM 3

#define ZONE_HIGH 1
#define ZONE_FSEG 2 /* where the root pointer is searched */

#define RSDP_ALIGN   16
#define TABLES_ALIGN 64 /* FACS needs it */

/* Where tables of fixed layout have addresses of others. */
static const struct {
    const char *signature;
    unsigned offset, width;
} pointers[] = {
    {"RSDP", 16, 4},  {"RSDP", 24, 8}, /* RSDT, XSDT */
    {"FACP", 36, 4},  {"FACP", 40, 4}, /* FACS, DSDT */
    {"FACP", 140, 8},                  /* DSDT */
};

/* What the functions below need. */
struct conversion {
    struct acpi_files *out;
    const struct acpi_tables *t;
    size_t start; /* where the tables file begins in the image */
};

/* ---- commands ------------------------------------------------------------------------------- */

static void put_name(struct acpi_buffer *b, const char *name)
{
    acpi_append(b, name, strlen(name));
    acpi_append(b, NULL, NAME_SIZE - strlen(name));
}

static void end_command(struct acpi_buffer *b)
{
    acpi_append(b, NULL, (COMMAND_SIZE - b->size % COMMAND_SIZE) % COMMAND_SIZE);
}

static void put_allocate(struct acpi_buffer *b, const char *file, unsigned align, unsigned zone)
{
    acpi_put(b, COMMAND_ALLOCATE, 4);
    put_name(b, file);
    acpi_put(b, align, 4);
    acpi_put(b, zone, 1);
    end_command(b);
}

static void put_pointer(struct acpi_buffer *b, const char *file, size_t offset, unsigned width)
{
    acpi_put(b, COMMAND_ADD_POINTER, 4);
    put_name(b, file);
    put_name(b, TABLES_FILE); /* what is pointed to */
    acpi_put(b, offset, 4);
    acpi_put(b, width, 1);
    end_command(b);
}

static void put_checksum(struct acpi_buffer *b, const char *file, size_t at, size_t start,
                         size_t size)
{
    acpi_put(b, COMMAND_ADD_CHECKSUM, 4);
    put_name(b, file);
    acpi_put(b, at, 4);
    acpi_put(b, start, 4);
    acpi_put(b, size, 4);
    end_command(b);
}

/* ---- tables --------------------------------------------------------------------------------- */

static uint64_t get(const uint8_t *p, unsigned width)
{
    uint64_t value = 0;

    while (width--)
        value = value << 8 | p[width];
    return value;
}

/* Makes the address at an offset of a file relative to the tables file; 0 stays 0. */
static void convert_pointer(struct conversion *c, const char *file, size_t offset, unsigned width)
{
    struct acpi_buffer *b = strcmp(file, RSDP_FILE) ? &c->out->tables : &c->out->rsdp;
    uint64_t address = get(b->data + offset, width);

    if (!address)
        return;
    acpi_set(b, offset, address - ACPI_IMAGE_BASE - c->start, width);
    put_pointer(&c->out->loader, file, offset, width);
}

/* Converts the addresses in a table that begins at `at` of a file; returns whether it can have
 * any. */
static bool convert_pointers(struct conversion *c, const char *file, size_t index, size_t at)
{
    const char *signature = c->t->tables[index].signature;
    unsigned width = !strcmp(signature, "RSDT") ? 4 : !strcmp(signature, "XSDT") ? 8 : 0;
    bool found = width;

    for (size_t i = 0; i < sizeof(pointers) / sizeof(pointers[0]); i++)
        if (!strcmp(pointers[i].signature, signature)) {
            convert_pointer(c, file, at + pointers[i].offset, pointers[i].width);
            found = true;
        }
    for (size_t i = ACPI_HEADER_SIZE; width && i < c->t->tables[index].size; i += width)
        convert_pointer(c, file, at + i, width);
    if (c->t->page_at && !strcmp(signature, "DSDT")) {
        convert_pointer(c, file, c->t->page_at - c->start, 4);
        found = true;
    }
    return found;
}

static void convert_table(struct conversion *c, size_t index)
{
    size_t at = c->t->tables[index].offset - c->start;

    if (!convert_pointers(c, TABLES_FILE, index, at))
        return;
    acpi_set(&c->out->tables, at + ACPI_HEADER_CHECKSUM, 0, 1);
    put_checksum(&c->out->loader, TABLES_FILE, at + ACPI_HEADER_CHECKSUM, at,
                 c->t->tables[index].size);
}

static void convert_rsdp(struct conversion *c)
{
    acpi_set(&c->out->rsdp, ACPI_RSDP_CHECKSUM, 0, 1);
    acpi_set(&c->out->rsdp, ACPI_RSDP_EXTENDED_CHECKSUM, 0, 1);
    convert_pointers(c, RSDP_FILE, 0, 0);
    put_checksum(&c->out->loader, RSDP_FILE, ACPI_RSDP_CHECKSUM, 0, ACPI_RSDP_SIZE_OLD);
    put_checksum(&c->out->loader, RSDP_FILE, ACPI_RSDP_EXTENDED_CHECKSUM, 0, ACPI_RSDP_SIZE);
}

int acpi_files_build(struct acpi_files *out, const struct acpi_tables *t, lunik_error *err)
{
    struct conversion c = {.out = out, .t = t, .start = t->tables[1].offset};

    acpi_append(&out->rsdp, t->image.data, ACPI_RSDP_SIZE);
    acpi_append(&out->tables, t->image.data + c.start, t->image.size - c.start);
    if (!out->rsdp.failed && !out->tables.failed) {
        put_allocate(&out->loader, RSDP_FILE, RSDP_ALIGN, ZONE_FSEG);
        put_allocate(&out->loader, TABLES_FILE, TABLES_ALIGN, ZONE_HIGH);
        for (size_t i = 1; i < t->count; i++)
            convert_table(&c, i);
        convert_rsdp(&c);
    }
    if (out->rsdp.failed || out->tables.failed || out->loader.failed)
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "acpi: no memory for the firmware's files");
    return 0;
}

void acpi_files_free(struct acpi_files *files)
{
    free(files->rsdp.data);
    free(files->tables.data);
    free(files->loader.data);
}
