/*
 * aml.c: the DSDT, put together from compiled ASL parts. Each device names the parts that describe
 * it and the numbers to patch in; a part that can be used many times gets a number of its own for
 * each copy. Processors are copies that no device describes, unless one takes them in and out.
 */
#include <inttypes.h>
#include <string.h>

#include "acpi.h"

#define DSDT_REVISION 2 /* integers have 64 bits */

/* The scope of devices with ports: the bus that decodes the ports, if there is one. */
#define ISA_BRIDGE "\\_SB.PCI0.ISA"
#define NO_BRIDGE  "\\_SB"

/* The state of the builder while it makes the DSDT. */
struct dsdt {
    struct acpi_buffer *out;
    struct acpi_facts *facts;
    lunik_error *err;
    unsigned copies[ACPI_MAX_PARTS]; /* of each part so far */
    unsigned unit;                   /* the number of the copy that is being added */
};

const struct acpi_part *acpi_part_find(const char *name)
{
    for (const struct acpi_part *part = acpi_parts; part->name; part++)
        if (!strcmp(part->name, name))
            return part;
    return NULL;
}

static const struct acpi_patch *find_patch(const struct acpi_part *part, const char *name)
{
    for (const struct acpi_patch *patch = part->patches; patch->name[0]; patch++)
        if (!strcmp(patch->name, name))
            return patch;
    return NULL;
}

/* ---- values --------------------------------------------------------------------------------- */

static bool find_value(const lunik_acpi_node *node, const char *name, uint64_t *value)
{
    for (size_t i = 0; i < node->count; i++)
        if (!strcmp(node->values[i].name, name)) {
            *value = node->values[i].value;
            return true;
        }
    return false;
}

/* Returns the device's value, else one that follows from the machine and the number of the copy. */
static bool patch_value(const struct dsdt *d, const struct acpi_part *part,
                        const lunik_acpi_node *node, const char *name, uint64_t *value)
{
    if (find_value(node, name, value))
        return true;
    if (!strcmp(name, "UNIT") ||
        ((!strcmp(name, "_UID") || !strcmp(name, "_SUN")) && find_patch(part, "UNIT")))
        *value = d->unit;
    else if (!strcmp(name, "_ADR") && find_patch(part, "UNIT"))
        *value = (uint64_t)d->unit << 16; /* function 0 of that slot */
    else if (!strcmp(name, "_PXM"))
        *value = lunik_cpu_node(d->facts->machine, d->unit);
    else if (!strcmp(name, "SCIN") && d->facts->has_pm)
        *value = d->facts->pm.sci;
    else if (!strcmp(name, "MEMA"))
        *value = 0; /* known later: see acpi_tables */
    else
        return false;
    return true;
}

static uint64_t patch_limit(const struct acpi_patch *patch)
{
    unsigned bits = patch->width * (patch->kind == ACPI_PATCH_DIGITS ? 4 : 8);
    return bits < 64 ? (UINT64_C(1) << bits) - 1 : UINT64_MAX;
}

static void apply(const struct dsdt *d, const struct acpi_patch *patch, size_t start,
                  uint64_t value)
{
    size_t at = start + patch->offset;

    switch (patch->kind) {
    case ACPI_PATCH_INTEGER:
        acpi_set(d->out, at, value, patch->width);
        break;
    case ACPI_PATCH_DIGITS:
        acpi_set_digits(d->out, at, value, patch->width);
        break;
    case ACPI_PATCH_OFFSET:
        acpi_set(d->out, at, acpi_package_length(value * 8, 2), 2);
        break;
    }
}

/* Checks that every value a device gives has a place in the part. */
static int check_names(const struct acpi_part *part, const lunik_acpi_node *node, const char *who,
                       lunik_error *err)
{
    for (size_t i = 0; i < node->count; i++)
        if (!find_patch(part, node->values[i].name))
            return lunik_fail(err, LUNIK_E_INVALID,
                              "%s: acpi: '%s' is no value of the ASL part '%s'", who,
                              node->values[i].name, part->name);
    return 0;
}

/* ---- parts ---------------------------------------------------------------------------------- */

static bool has_part(const struct dsdt *d, const char *name)
{
    const struct acpi_part *part = acpi_part_find(name);
    return part && d->copies[part - acpi_parts];
}

static int apply_patches(const struct dsdt *d, const struct acpi_part *part,
                         const lunik_acpi_node *node, size_t start, const char *who)
{
    for (const struct acpi_patch *patch = part->patches; patch->name[0]; patch++) {
        uint64_t value;
        if (!patch_value(d, part, node, patch->name, &value)) {
            if (patch->required)
                return lunik_fail(d->err, LUNIK_E_INVALID,
                                  "%s: acpi: the ASL part '%s' needs a value '%s'", who, part->name,
                                  patch->name);
            continue;
        }
        if (value > patch_limit(patch))
            return lunik_fail(d->err, LUNIK_E_INVALID,
                              "%s: acpi: %s: '0x%" PRIx64
                              "' is too large for the ASL part '%s' (want at most 0x%" PRIx64 ")",
                              who, patch->name, value, part->name, patch_limit(patch));
        apply(d, patch, start, value);
        if (!strcmp(patch->name, "MEMA"))
            d->facts->page_at = start + patch->offset;
    }
    return 0;
}

/* Adds copies first..first+count-1. */
static int add_copies(struct dsdt *d, const struct acpi_part *part, const lunik_acpi_node *node,
                      unsigned first, uint64_t count, const char *who)
{
    unsigned *copies = &d->copies[part - acpi_parts];

    for (uint64_t i = 0; i < count; i++) {
        size_t start = d->out->size;
        if (acpi_is_absent(node->absent, i))
            continue;
        if (*copies && (i || !node->scope) && !find_patch(part, "UNIT"))
            return lunik_fail(d->err, LUNIK_E_EXISTS,
                              "%s: acpi: '%s' is an ASL part that a machine can have only once",
                              who, part->name);
        d->unit = first + (unsigned)i;
        acpi_append(d->out, part->aml, part->size);
        int rc = apply_patches(d, part, node, start, who);
        if (rc)
            return rc;
        ++*copies;
    }
    return 0;
}

/* ---- nodes ---------------------------------------------------------------------------------- */

/* Adds the method that notifies a node's copies, which are in the scope that is open. */
static int add_notify(struct dsdt *d, const struct acpi_part *part, const lunik_acpi_node *node,
                      const char *who)
{
    const struct acpi_patch *unit = part->patches;

    while (unit->name[0] && (strcmp(unit->name, "UNIT") || unit->kind != ACPI_PATCH_DIGITS))
        unit++;
    if (!unit->name[0] || !acpi_is_segment(node->notify))
        return lunik_fail(d->err, LUNIK_E_INVALID,
                          "%s: acpi: notify: '%s' can't be made for the ASL part '%s' (want four "
                          "characters of a name, and a part whose name has the digits UNIT)",
                          who, node->notify, part->name);
    unsigned prefix = ACPI_SEGMENT - unit->width;
    acpi_put_notify(d->out, node->notify,
                    &(struct acpi_copies){.name = part->aml + unit->offset - prefix,
                                          .prefix = prefix,
                                          .first = (unsigned)node->first,
                                          .count = (unsigned)node->copies,
                                          .absent = node->absent});
    return 0;
}

/* Adds the method that calls others. */
static int add_calls(struct dsdt *d, const lunik_acpi_node *node, const char *who)
{
    const char *wrong = acpi_is_segment(node->method)
                            ? acpi_put_calls(d->out, node->method, node->calls)
                            : node->method;

    return wrong ? lunik_fail(d->err, LUNIK_E_INVALID,
                              "%s: acpi: method: '%s' is no name of a method", who, wrong)
                 : 0;
}

static int add_terms(struct dsdt *d, const struct acpi_part *part, const lunik_acpi_node *node,
                     const char *who)
{
    unsigned first = node->scope ? (unsigned)node->first : d->copies[part - acpi_parts];
    uint64_t count = node->copies || node->notify ? node->copies : 1;
    int rc = add_copies(d, part, node, first, count, who);

    if (!rc && node->notify)
        rc = add_notify(d, part, node, who);
    return !rc && node->method ? add_calls(d, node, who) : rc;
}

/* Returns the scope that a node is put into; NULL if its part has a path. */
static const char *scope_of(const struct dsdt *d, const struct acpi_part *part,
                            const lunik_acpi_node *node)
{
    if (node->scope || !part->isa)
        return node->scope;
    return has_part(d, "piix3") ? ISA_BRIDGE : NO_BRIDGE;
}

static int add_node(struct dsdt *d, const struct acpi_part *part, const lunik_acpi_node *node,
                    const char *who)
{
    const char *path = scope_of(d, part, node);
    int rc = check_names(part, node, who, d->err);

    if (rc || !path)
        return rc ? rc : add_terms(d, part, node, who);
    size_t scope = acpi_package_begin(d->out, AML_SCOPE);
    if (!acpi_put_path(d->out, path))
        return lunik_fail(d->err, LUNIK_E_INVALID,
                          "%s: acpi: scope: '%s' is no absolute path (want one like '\\_SB.PCI0')",
                          who, path);
    rc = add_terms(d, part, node, who);
    acpi_package_end(d->out, scope);
    return rc;
}

/* Adds a node in the pass that it belongs to. */
static int add_in_pass(struct dsdt *d, const lunik_acpi_node *node, bool isa, const char *who)
{
    const struct acpi_part *part = node->part ? acpi_part_find(node->part) : NULL;

    if (!part)
        return lunik_fail(d->err, LUNIK_E_NOT_FOUND, "%s: acpi: there is no ASL part '%s'", who,
                          node->part ? node->part : "");
    return part->isa == isa ? add_node(d, part, node, who) : 0;
}

/* Adds a device's nodes of the first pass, or of the second, below the ISA bridge. */
static int add_device(struct dsdt *d, lunik_object *o, bool isa)
{
    const lunik_acpi_ops *ops = lunik_acpi_iface(o);
    if (!ops || !lunik_object_alive(o))
        return 0;

    lunik_acpi_node node = {0};
    const char *who = *lunik_object_id(o) ? lunik_object_id(o) : lunik_object_type_name(o);
    ops->describe(o, &node);
    int rc = add_in_pass(d, &node, isa, who);

    for (unsigned i = 0; !rc && ops->describe_more; i++) {
        node = (lunik_acpi_node){0};
        if (!ops->describe_more(o, i, &node))
            break;
        rc = add_in_pass(d, &node, isa, who);
    }
    return rc;
}

static int add_devices(struct dsdt *d, bool isa)
{
    lunik_object *o = NULL;
    int rc = 0;

    while (!rc && (o = lunik_object_next(d->facts->machine, o)))
        rc = add_device(d, o, isa);
    return rc;
}

int acpi_build_dsdt(struct acpi_buffer *b, struct acpi_facts *facts, lunik_error *err)
{
    struct dsdt d = {.out = b, .facts = facts, .err = err};
    size_t start = acpi_table_begin(b, "DSDT", DSDT_REVISION);

    lunik_acpi_node cpus = {.part = "cpu", .scope = "\\_SB", .copies = facts->cpus};
    int rc =
        facts->cpus_plug ? 0 : add_in_pass(&d, &cpus, false, lunik_machine_name(facts->machine));
    if (!rc)
        rc = add_devices(&d, false);
    if (!rc)
        rc = add_devices(&d, true); /* after the bridge, which must be known by then */
    if (rc)
        return rc;
    acpi_table_end(b, start);
    facts->has_rtc = has_part(&d, "mc146818");
    facts->has_i8042 = has_part(&d, "i8042");
    facts->has_pci_links = has_part(&d, "piix3");
    return 0;
}
