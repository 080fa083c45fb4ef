/*
 * builder.c: the ACPI tables of a machine: collects the facts, lays the tables out in one image
 * and has it copied below 1 MiB, where guests look for the root pointer, at every reset; or offers
 * it to firmware, which places it.
 *
 * The image starts with the root pointer (RSDP); the firmware control structure follows at its
 * 64-byte boundary, then the other tables.
 */
#include <stdlib.h>
#include <string.h>

#include "acpi.h"

#define RSDP_REVISION 2
#define FACS_ALIGN    64
#define SDT_REVISION  1
#define ROOT_TABLES   2 /* RSDT and XSDT */

#define STATE_KEY "acpi"

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
    return (uint32_t)(ACPI_IMAGE_BASE + offset);
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
            acpi_put(&t->image, ACPI_IMAGE_BASE + t->tables[i].offset, width);
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
    acpi_put(&rsdp, ACPI_RSDP_SIZE, 4);
    acpi_put(&rsdp, xsdt, 8);
    acpi_append(&rsdp, NULL, 4); /* extended checksum, reserved */
    if (rsdp.failed || t->image.failed) {
        t->image.failed = true;
    } else {
        rsdp.data[ACPI_RSDP_CHECKSUM] = acpi_checksum(rsdp.data, ACPI_RSDP_SIZE_OLD);
        rsdp.data[ACPI_RSDP_EXTENDED_CHECKSUM] = acpi_checksum(rsdp.data, ACPI_RSDP_SIZE);
        memcpy(t->image.data, rsdp.data, ACPI_RSDP_SIZE);
    }
    free(rsdp.data);
}

/* Adds the page that methods in the DSDT, which starts at dsdt, share with a device. */
static void build_page(struct acpi_tables *t, size_t dsdt, size_t page_at)
{
    struct acpi_buffer *b = &t->image;
    size_t page = next_table(t);

    acpi_set(b, page_at, ACPI_IMAGE_BASE + page, 4);
    acpi_table_resum(b, dsdt);
    acpi_append(b, NULL, ACPI_PAGE_SIZE);
    t->page_at = page_at;
}

static int build_own_table(struct acpi_tables *t, lunik_object *o, lunik_error *err)
{
    const lunik_acpi_table_ops *ops = lunik_acpi_table_iface(o);
    size_t size = ops->contents(o, NULL, 0), start;
    uint8_t *contents;

    if (!size)
        return 0;
    if (t->count + ROOT_TABLES >= ACPI_MAX_TABLES)
        return lunik_fail(err, LUNIK_E_NO_SPACE,
                          "%s: acpi: no room for its table '%s' (a machine can have %d)",
                          lunik_object_type_name(o), ops->signature, ACPI_MAX_TABLES);
    next_table(t);
    start = acpi_table_begin(&t->image, ops->signature, ops->revision);
    contents = acpi_append(&t->image, NULL, size);
    if (contents)
        ops->contents(o, contents, size);
    acpi_table_end(&t->image, start);
    note(t, ops->signature, start, true);
    return 0;
}

/* Adds the tables that devices make. */
static int build_own_tables(struct acpi_tables *t, lunik_machine *m, lunik_error *err)
{
    lunik_object *o = NULL;
    int rc = 0;

    while (!rc && (o = lunik_object_next(m, o)))
        if (lunik_acpi_table_iface(o) && lunik_object_alive(o))
            rc = build_own_table(t, o, err);
    return rc;
}

static int build_tables(struct acpi_tables *t, struct acpi_facts *facts, lunik_error *err)
{
    struct acpi_buffer *b = &t->image;
    uint32_t facs = 0;

    acpi_append(b, NULL, ACPI_RSDP_SIZE);
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
    if (facts->page_at)
        build_page(t, start, facts->page_at);

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
    rc = build_own_tables(t, facts->machine, err);
    if (rc)
        return rc;
    uint32_t rsdt = build_root_table(t, "RSDT", 4);
    build_rsdp(t, rsdt, build_root_table(t, "XSDT", 8));
    return 0;
}

/* ---- facts ---------------------------------------------------------------------------------- */

static int collect_facts(struct acpi_facts *facts, lunik_machine *m, lunik_error *err)
{
    const lunik_machine_config *config = lunik_machine_config_get(m);
    lunik_object *plugs = lunik_machine_hotplug_handler(m, "cpu");

    *facts = (struct acpi_facts){.machine = m, .cpus = config->maxcpus};
    facts->cpus_plug = plugs && lunik_acpi_iface(plugs);

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
    if (t->image.size > ACPI_IMAGE_END - ACPI_IMAGE_BASE)
        return lunik_fail(err, LUNIK_E_NO_SPACE,
                          "acpi: tables for %u vCPUs: '%zu' bytes is too much (want at most %u, "
                          "from 0x%x to 0x%x)",
                          facts->cpus, t->image.size, ACPI_IMAGE_END - ACPI_IMAGE_BASE,
                          ACPI_IMAGE_BASE, ACPI_IMAGE_END);
    return 0;
}

/* Makes the machine's tables as they are now. */
static int assemble(lunik_machine *m, struct acpi_tables **out, lunik_error *err)
{
    struct acpi_facts facts;
    struct acpi_tables *t = calloc(1, sizeof(*t));

    if (!t) {
        lunik_fail(err, LUNIK_E_NO_MEMORY, "acpi: no memory for the tables");
        return LUNIK_E_NO_MEMORY;
    }
    int rc = collect_facts(&facts, m, err);
    if (!rc)
        rc = build_tables(t, &facts, err);
    if (!rc)
        rc = check_image(t, &facts, err);
    if (rc)
        release_tables(t);
    else
        *out = t;
    return rc;
}

/* Keeps the tables with the machine; on failure they are released. */
static int keep_tables(lunik_machine *m, struct acpi_tables *t, lunik_error *err)
{
    int rc = lunik_machine_set_data(m, STATE_KEY, t, release_tables);

    if (!rc)
        return 0;
    release_tables(t);
    return lunik_fail(err, rc, "acpi: the tables can't be kept with the machine");
}

static int check_machine(lunik_machine *m, lunik_error *err)
{
    if (lunik_machine_state(m) == LUNIK_STATE_CLOSED)
        return lunik_fail(err, LUNIK_E_GONE, "machine '%s' is closed", lunik_machine_name(m));
    if (lunik_machine_data(m, STATE_KEY))
        return lunik_fail(err, LUNIK_E_EXISTS, "acpi: the machine has its tables already");
    return 0;
}

/* Assembles the tables and keeps them with the machine. */
static int make_tables(lunik_machine *m, struct acpi_tables **out, lunik_error *err)
{
    int rc = check_machine(m, err);

    if (!rc)
        rc = assemble(m, out, err);
    return rc ? rc : keep_tables(m, *out, err);
}

/* Returns the guest address of a table; 0: there is none. */
static uint64_t address_of(const struct acpi_tables *t, const char *signature)
{
    for (size_t i = 0; i < t->count; i++)
        if (!strcmp(t->tables[i].signature, signature))
            return ACPI_IMAGE_BASE + t->tables[i].offset;
    return 0;
}

int lunik_acpi_install(lunik_machine *m, uint64_t *rsdp, lunik_error *err)
{
    struct acpi_tables *t = NULL;

    if (!m)
        return lunik_fail(err, LUNIK_E_INVALID, "lunik_acpi_install: m is NULL");
    int rc = make_tables(m, &t, err);
    if (rc)
        return rc;
    rc = lunik_rom_add(m, "acpi tables", ACPI_IMAGE_BASE, t->image.data, t->image.size, err);
    if (rc) {
        lunik_machine_set_data(m, STATE_KEY, NULL, NULL);
        return rc;
    }
    t->installed = true;
    lunik_boot_set_facs(m, address_of(t, "FACS"));
    if (rsdp)
        *rsdp = ACPI_IMAGE_BASE;
    return 0;
}

void lunik_acpi_refresh(lunik_machine *m)
{
    const struct acpi_tables *old = m ? lunik_machine_data(m, STATE_KEY) : NULL;
    struct acpi_tables *t = NULL;

    if (!old || !old->installed || assemble(m, &t, NULL))
        return;
    t->installed = true;
    if (lunik_rom_set(m, ACPI_IMAGE_BASE, t->image.data, t->image.size, NULL))
        release_tables(t);
    else
        keep_tables(m, t, NULL);
}

/* ---- the tables as files for firmware ------------------------------------------------------- */

static lunik_object *find_fw_cfg(lunik_machine *m)
{
    lunik_object *o = NULL;

    while ((o = lunik_object_next(m, o)) && (!lunik_fw_cfg_iface(o) || !lunik_object_alive(o)))
        ;
    return o;
}

static const char *const file_names[] = {"etc/acpi/rsdp", "etc/acpi/tables", "etc/table-loader"};

static int check_names_free(lunik_object *o, lunik_error *err)
{
    size_t size;

    for (unsigned i = 0; i < 3; i++)
        if (lunik_fw_cfg_iface(o)->find(o, file_names[i], 0, &size))
            return lunik_fail(err, LUNIK_E_EXISTS, "acpi: the file '%s' exists already",
                              file_names[i]);
    return 0;
}

/* Calls fn for each of the files. */
static int each_file(const struct acpi_files *files, lunik_object *o,
                     int (*fn)(lunik_object *o, const char *name, const struct acpi_buffer *b,
                               lunik_error *err),
                     lunik_error *err)
{
    const struct acpi_buffer *buffers[] = {&files->rsdp, &files->tables, &files->loader};
    int rc = 0;

    for (unsigned i = 0; !rc && i < 3; i++)
        rc = fn(o, file_names[i], buffers[i], err);
    return rc;
}

static int set_file(lunik_object *o, const char *name, const struct acpi_buffer *b,
                    lunik_error *err)
{
    return lunik_fw_cfg_iface(o)->set(o, name, 0, b->data, b->size, err);
}

/* Firmware moves registers that the tables name before it reads them: makes them again. Where that
 * fails the guest gets what there was. */
static void refresh(void *opaque)
{
    lunik_object *o = opaque;
    lunik_machine *m = lunik_object_machine(o);
    struct acpi_tables *t = NULL;
    struct acpi_files files = {0};

    if (assemble(m, &t, NULL))
        return;
    if (!acpi_files_build(&files, t, NULL) && !each_file(&files, o, set_file, NULL))
        keep_tables(m, t, NULL);
    else
        release_tables(t);
    acpi_files_free(&files);
}

static int add_file(lunik_object *o, const char *name, const struct acpi_buffer *b,
                    lunik_error *err)
{
    lunik_fw_cfg_source source = {.data = b->data, .size = b->size, .select = refresh, .opaque = o};

    return lunik_fw_cfg_iface(o)->add(o, name, 0, &source, err);
}

int lunik_acpi_offer(lunik_machine *m, lunik_error *err)
{
    struct acpi_tables *t = NULL;
    struct acpi_files files = {0};

    if (!m)
        return lunik_fail(err, LUNIK_E_INVALID, "lunik_acpi_offer: m is NULL");
    int rc = check_machine(m, err);
    if (rc)
        return rc;
    lunik_object *o = find_fw_cfg(m);
    if (!o)
        return lunik_fail(err, LUNIK_E_NOT_FOUND,
                          "acpi: '%s' has no fw-cfg device to offer the tables through",
                          lunik_machine_name(m));
    rc = check_names_free(o, err);
    if (!rc)
        rc = make_tables(m, &t, err);
    if (rc)
        return rc;
    rc = acpi_files_build(&files, t, err);
    if (!rc)
        rc = each_file(&files, o, add_file, err);
    acpi_files_free(&files);
    if (rc)
        lunik_machine_set_data(m, STATE_KEY, NULL, NULL);
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
