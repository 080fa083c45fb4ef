/*
 * builder.c: the ACPI tables of a machine: collects the facts, lays the tables out in one image
 * and has it copied below 1 MiB, where guests look for the root pointer, at every reset.
 *
 * The image starts with the root pointer (RSDP); the firmware control structure follows at its
 * 64-byte boundary, then the other tables.
 */
#include <stdlib.h>
#include <string.h>

#include "acpi.h"

#define IMAGE_BASE 0xe0000 /* the area that is searched for the root pointer */
#define IMAGE_END  0x100000

#define RSDP_SIZE              36
#define RSDP_SIZE_OLD          20 /* of revision 0, with a checksum of its own */
#define RSDP_CHECKSUM          8
#define RSDP_EXTENDED_CHECKSUM 32
#define RSDP_REVISION          2
#define FACS_ALIGN             64
#define SDT_REVISION           1

#define STATE_KEY  "acpi"
#define MAX_TABLES 12

/* A machine's assembled tables. */
struct acpi_tables {
    struct acpi_buffer image;
    size_t count;
    struct {
        const char *signature;
        size_t offset, size;
        bool listed; /* in RSDT and XSDT */
    } tables[MAX_TABLES];
};

static void release_tables(void *data)
{
    struct acpi_tables *t = data;
    free(t->image.data);
    free(t);
}

/* ---- layout --------------------------------------------------------------------------------- */

/* Notes the table that was just written; returns its guest address. */
static uint32_t note(struct acpi_tables *t, const char *signature, size_t offset, bool listed)
{
    t->tables[t->count].signature = signature;
    t->tables[t->count].offset = offset;
    t->tables[t->count].size = t->image.size - offset;
    t->tables[t->count].listed = listed;
    t->count++;
    return (uint32_t)(IMAGE_BASE + offset);
}

/* Returns the guest address of the next table. */
static size_t next_table(struct acpi_tables *t)
{
    acpi_align(&t->image, 16);
    return t->image.size;
}

/* Adds RSDT or XSDT: the addresses of the listed tables, width bytes each. */
static uint32_t build_root_table(struct acpi_tables *t, const char *signature, unsigned width)
{
    size_t offset = acpi_table_begin(&t->image, signature, SDT_REVISION);
    for (size_t i = 0; i < t->count; i++)
        if (t->tables[i].listed)
            acpi_put(&t->image, IMAGE_BASE + t->tables[i].offset, width);
    acpi_table_end(&t->image, offset);
    return note(t, signature, offset, false);
}

static void build_rsdp(struct acpi_tables *t, uint32_t rsdt, uint32_t xsdt)
{
    struct acpi_buffer rsdp = {0};
    acpi_append(&rsdp, "RSD PTR ", 8);
    acpi_put(&rsdp, 0, 1);
    acpi_append(&rsdp, "LUNIK ", 6);
    acpi_put(&rsdp, RSDP_REVISION, 1);
    acpi_put(&rsdp, rsdt, 4);
    acpi_put(&rsdp, RSDP_SIZE, 4);
    acpi_put(&rsdp, xsdt, 8);
    acpi_append(&rsdp, NULL, 4); /* extended checksum, reserved */
    if (rsdp.failed || t->image.failed) {
        t->image.failed = true;
    } else {
        rsdp.data[RSDP_CHECKSUM] = acpi_checksum(rsdp.data, RSDP_SIZE_OLD);
        rsdp.data[RSDP_EXTENDED_CHECKSUM] = acpi_checksum(rsdp.data, RSDP_SIZE);
        memcpy(t->image.data, rsdp.data, RSDP_SIZE);
    }
    free(rsdp.data);
}

static int build_tables(struct acpi_tables *t, struct acpi_facts *facts, lunik_error *err)
{
    struct acpi_buffer *b = &t->image;
    uint32_t facs = 0;

    acpi_append(b, NULL, RSDP_SIZE);
    note(t, "RSDP", 0, false);
    if (facts->has_pm) {
        acpi_align(b, FACS_ALIGN);
        size_t offset = b->size;
        acpi_build_facs(b);
        facs = note(t, "FACS", offset, false);
    }

    size_t start = next_table(t);
    int rc = acpi_build_dsdt(b, facts, err);
    if (rc)
        return rc;
    uint32_t dsdt = note(t, "DSDT", start, false);

    start = next_table(t);
    acpi_build_fadt(b, facts, facs, dsdt);
    note(t, "FACP", start, true);
    start = next_table(t);
    acpi_build_madt(b, facts);
    note(t, "APIC", start, true);
    if (acpi_wants_srat(facts)) {
        start = next_table(t);
        acpi_build_srat(b, facts);
        note(t, "SRAT", start, true);
    }
    if (acpi_wants_slit(facts)) {
        start = next_table(t);
        acpi_build_slit(b, facts);
        note(t, "SLIT", start, true);
    }
    uint32_t rsdt = build_root_table(t, "RSDT", 4);
    build_rsdp(t, rsdt, build_root_table(t, "XSDT", 8));
    return 0;
}

/* ---- facts ---------------------------------------------------------------------------------- */

static int collect_facts(struct acpi_facts *facts, lunik_machine *m, lunik_error *err)
{
    const lunik_machine_config *config = lunik_machine_config_get(m);
    *facts = (struct acpi_facts){.machine = m, .cpus = config->cpus ? config->cpus : 1};

    for (lunik_object *o = NULL; (o = lunik_object_next(m, o));) {
        const lunik_acpi_pm_ops *ops = lunik_acpi_pm_iface(o);
        if (!ops || !lunik_object_alive(o))
            continue;
        if (facts->has_pm)
            return lunik_fail(err, LUNIK_E_EXISTS,
                              "%s: acpi: '%s' is the second device with ACPI fixed hardware (a "
                              "machine can have one)",
                              lunik_object_type_name(o), lunik_object_path(o));
        ops->get(o, &facts->pm);
        facts->has_pm = true;
    }
    return 0;
}

/* ---- public functions ----------------------------------------------------------------------- */

static int check_image(const struct acpi_tables *t, const struct acpi_facts *facts,
                       lunik_error *err)
{
    if (t->image.failed)
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "acpi: no memory for the tables");
    if (t->image.size > IMAGE_END - IMAGE_BASE)
        return lunik_fail(err, LUNIK_E_NO_SPACE,
                          "acpi: tables for %u vCPUs: '%zu' bytes is too much (want at most %u, "
                          "from 0x%x to 0x%x)",
                          facts->cpus, t->image.size, IMAGE_END - IMAGE_BASE, IMAGE_BASE,
                          IMAGE_END);
    return 0;
}

/* Keeps the tables with the machine and places them; on failure they are released. */
static int keep_tables(lunik_machine *m, struct acpi_tables *t, lunik_error *err)
{
    int rc = lunik_machine_set_data(m, STATE_KEY, t, release_tables);
    if (rc) {
        release_tables(t);
        return lunik_fail(err, rc, "acpi: the tables can't be kept with the machine");
    }
    rc = lunik_rom_add(m, "acpi tables", IMAGE_BASE, t->image.data, t->image.size, err);
    if (rc)
        lunik_machine_set_data(m, STATE_KEY, NULL, NULL);
    return rc;
}

int lunik_acpi_install(lunik_machine *m, uint64_t *rsdp, lunik_error *err)
{
    struct acpi_facts facts;

    if (!m)
        return lunik_fail(err, LUNIK_E_INVALID, "lunik_acpi_install: m is NULL");
    if (lunik_machine_state(m) == LUNIK_STATE_CLOSED)
        return lunik_fail(err, LUNIK_E_GONE, "machine '%s' is closed", lunik_machine_name(m));
    if (lunik_machine_data(m, STATE_KEY))
        return lunik_fail(err, LUNIK_E_EXISTS, "acpi: the machine has its tables already");
    struct acpi_tables *t = calloc(1, sizeof(*t));
    if (!t)
        return lunik_fail(err, LUNIK_E_NO_MEMORY, "acpi: no memory for the tables");

    int rc = collect_facts(&facts, m, err);
    if (!rc)
        rc = build_tables(t, &facts, err);
    if (!rc)
        rc = check_image(t, &facts, err);
    if (rc) {
        release_tables(t);
        return rc;
    }
    rc = keep_tables(m, t, err);
    if (!rc && rsdp)
        *rsdp = IMAGE_BASE;
    return rc;
}

const void *lunik_acpi_table(lunik_machine *m, const char *signature, size_t *size)
{
    const struct acpi_tables *t = lunik_machine_data(m, STATE_KEY);

    if (!t || !signature || !size)
        t = NULL;
    for (size_t i = 0; t && i < t->count; i++)
        if (!strcmp(t->tables[i].signature, signature)) {
            *size = t->tables[i].size;
            return t->image.data + t->tables[i].offset;
        }
    if (size)
        *size = 0;
    return NULL;
}
