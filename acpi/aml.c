/*
 * aml.c: the DSDT, put together from compiled ASL parts. Each device names the part that describes
 * it and the numbers to patch in; a part that can be used many times gets a number of its own for
 * each copy. Processors and memory slots are copies that no device describes itself.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "acpi.h"

#define DSDT_REVISION 2 /* integers have 64 bits */

#define AML_BYTE       0x0a
#define AML_SCOPE      0x10
#define AML_METHOD     0x14
#define AML_SERIALIZED 0x08 /* in a method's flags, together with the number of arguments */
#define AML_ARG0       0x68
#define AML_ARG1       0x69
#define AML_NOTIFY     0x86
#define AML_LESS       0x95
#define AML_IF         0xa0
#define AML_ELSE       0xa1

#define SLOT_CONTAINER "\\._SB_MHPC" /* \_SB.MHPC: root, two segments */
#define SLOT_NAME_SIZE 4

/* Where devices with ports go: into \_SB.PCI0.ISA (root, three segments), whose bus decodes the
 * ports, or into \_SB. */
#define ISA_BRIDGE "\\\x2f\x03_SB_PCI0ISA_"
#define NO_BRIDGE  "\\_SB_"

/* What goes on while the DSDT is made. */
struct dsdt {
    struct acpi_buffer *out;
    struct acpi_facts *facts;
    lunik_error *err;
    unsigned copies[ACPI_MAX_PARTS]; /* of each part so far */
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

/* The device's value, else one that follows from the machine and the number of the copy. */
static bool patch_value(const struct dsdt *d, const struct acpi_part *part,
                        const lunik_acpi_node *node, const char *name, uint64_t *value)
{
    if (find_value(node, name, value))
        return true;
    if (!strcmp(name, "UNIT") || (!strcmp(name, "_UID") && find_patch(part, "UNIT")))
        *value = d->copies[part - acpi_parts];
    else if (!strcmp(name, "SCIN") && d->facts->has_pm)
        *value = d->facts->pm.sci;
    else
        return false;
    return true;
}

static uint64_t patch_limit(const struct acpi_patch *patch)
{
    unsigned bits = patch->width * (patch->kind == ACPI_PATCH_DIGITS ? 4 : 8);
    return bits < 64 ? (UINT64_C(1) << bits) - 1 : UINT64_MAX;
}

/* A PkgLength of 2 or 3 bytes: the low four bits together with the number of bytes that follow,
 * then the rest. */
static uint64_t package_length(uint64_t length, unsigned bytes)
{
    return (length >> 4) << 8 | (bytes - 1) << 6 | (length & 0xf);
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
        for (unsigned i = 0; i < patch->width; i++) {
            unsigned digit = (unsigned)(value >> (4 * (patch->width - 1 - i))) & 0xf;
            acpi_set(d->out, at + i, (uint8_t) "0123456789ABCDEF"[digit], 1);
        }
        break;
    case ACPI_PATCH_OFFSET:
        acpi_set(d->out, at, package_length(value * 8, 2), 2);
        break;
    }
}

/* Every value a device gives must have a place in the part. */
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

/* Opens a package, a PkgLength of three bytes and what it counts; ends it when that has been
 * written. */
static size_t begin_package(struct acpi_buffer *b, unsigned opcode)
{
    acpi_put(b, opcode, 1);
    acpi_put(b, 0, 3);
    return b->size - 3;
}

static void end_package(struct acpi_buffer *b, size_t start)
{
    acpi_set(b, start, package_length(b->size - start, 3), 3);
}

/* ---- parts ---------------------------------------------------------------------------------- */

static bool has_part(const struct dsdt *d, const char *name)
{
    const struct acpi_part *part = acpi_part_find(name);
    return part && d->copies[part - acpi_parts];
}

static int add_part(struct dsdt *d, const struct acpi_part *part, const lunik_acpi_node *node,
                    const char *who)
{
    unsigned *copies = &d->copies[part - acpi_parts];
    int rc = check_names(part, node, who, d->err);
    if (rc < 0)
        return rc;
    if (*copies && !find_patch(part, "UNIT"))
        return lunik_fail(d->err, LUNIK_E_EXISTS,
                          "%s: acpi: '%s' is an ASL part that a machine can have only once", who,
                          part->name);

    size_t start = d->out->size;
    acpi_append(d->out, part->aml, part->size);
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
    }
    ++*copies;
    return 0;
}

/* Scope (\_SB.PCI0.ISA) { ... } */
static int add_isa_part(struct dsdt *d, const struct acpi_part *part, const lunik_acpi_node *node,
                        const char *who)
{
    const char *path = has_part(d, "piix3") ? ISA_BRIDGE : NO_BRIDGE;
    size_t scope = begin_package(d->out, AML_SCOPE);

    acpi_append(d->out, path, strlen(path));
    int rc = add_part(d, part, node, who);
    end_package(d->out, scope);
    return rc;
}

static int add_copies(struct dsdt *d, const char *name, uint64_t count, const char *who)
{
    static const lunik_acpi_node no_values;
    const struct acpi_part *part = acpi_part_find(name);
    if (!part)
        return lunik_fail(d->err, LUNIK_E_NOT_FOUND, "%s: acpi: there is no ASL part '%s'", who,
                          name);
    for (uint64_t i = 0; i < count; i++) {
        int rc = add_part(d, part, &no_values, who);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* ---- memory slots --------------------------------------------------------------------------- */

/* Finds slot Arg0 of first..last by halving and notifies it of Arg1. */
static void add_notify(struct acpi_buffer *b, unsigned first, unsigned last)
{
    if (first == last) {
        char name[SLOT_NAME_SIZE + 1];
        snprintf(name, sizeof(name), "MP%02X", first & 0xff);
        acpi_put(b, AML_NOTIFY, 1);
        acpi_append(b, name, SLOT_NAME_SIZE);
        acpi_put(b, AML_ARG1, 1);
        return;
    }
    unsigned middle = first + (last - first + 1) / 2;
    size_t package = begin_package(b, AML_IF);
    acpi_put(b, AML_LESS, 1);
    acpi_put(b, AML_ARG0, 1);
    acpi_put(b, AML_BYTE, 1);
    acpi_put(b, middle, 1);
    add_notify(b, first, middle - 1);
    end_package(b, package);
    package = begin_package(b, AML_ELSE);
    add_notify(b, middle, last);
    end_package(b, package);
}

/* Scope (\_SB.MHPC) { Method (MNTF, 2) { ... } } */
static void add_notify_method(struct acpi_buffer *b, unsigned slots)
{
    size_t scope = begin_package(b, AML_SCOPE);
    acpi_append(b, SLOT_CONTAINER, sizeof(SLOT_CONTAINER) - 1);
    size_t method = begin_package(b, AML_METHOD);
    acpi_append(b, "MNTF", 4);
    acpi_put(b, AML_SERIALIZED | 2, 1);
    if (slots)
        add_notify(b, 0, slots - 1);
    end_package(b, method);
    end_package(b, scope);
}

static int add_slots(struct dsdt *d, const lunik_acpi_node *node, const char *who)
{
    uint64_t slots = 0;
    find_value(node, "MHSL", &slots);
    int rc = add_copies(d, "memory_slot", slots, who);
    if (rc == 0)
        add_notify_method(d->out, (unsigned)slots);
    return rc;
}

/* The device that has the slots' ports. */
static int add_slot_ports(struct dsdt *d, const lunik_acpi_node *slots, const char *who)
{
    lunik_acpi_node node = {.count = 2, .values = {{.name = "MHIO"}, {.name = "MHSL"}}};

    for (size_t i = 0; i < node.count; i++)
        find_value(slots, node.values[i].name, &node.values[i].value);
    return add_isa_part(d, acpi_part_find("memory_ports"), &node, who);
}

/* ---- devices -------------------------------------------------------------------------------- */

/* What a device adds in the first pass, or in the second, below the ISA bridge. */
static int add_device(struct dsdt *d, lunik_object *o, bool isa)
{
    const lunik_acpi_ops *ops = lunik_acpi_iface(o);
    if (!ops || !lunik_object_alive(o))
        return 0;

    lunik_acpi_node node = {0};
    ops->describe(o, &node);
    const char *who = *lunik_object_id(o) ? lunik_object_id(o) : lunik_object_type_name(o);
    const struct acpi_part *part = node.part ? acpi_part_find(node.part) : NULL;
    if (!part)
        return lunik_fail(d->err, LUNIK_E_NOT_FOUND, "%s: acpi: there is no ASL part '%s'", who,
                          node.part ? node.part : "");

    bool slots = !strcmp(part->name, "memory_hotplug");
    int rc = 0;
    if (part->isa == isa)
        rc = isa ? add_isa_part(d, part, &node, who) : add_part(d, part, &node, who);
    if (rc == 0 && slots)
        rc = isa ? add_slot_ports(d, &node, who) : add_slots(d, &node, who);
    return rc;
}

static int add_devices(struct dsdt *d, bool isa)
{
    lunik_object *o = NULL;
    int rc = 0;

    while (rc == 0 && (o = lunik_object_next(d->facts->machine, o)))
        rc = add_device(d, o, isa);
    return rc;
}

int acpi_build_dsdt(struct acpi_buffer *b, struct acpi_facts *facts, lunik_error *err)
{
    struct dsdt d = {.out = b, .facts = facts, .err = err};
    size_t start = acpi_table_begin(b, "DSDT", DSDT_REVISION);

    int rc = add_copies(&d, "cpu", facts->cpus, lunik_machine_name(facts->machine));
    if (rc == 0)
        rc = add_devices(&d, false);
    if (rc == 0)
        rc = add_devices(&d, true); /* guests must have met the bridge */
    if (rc < 0)
        return rc;
    acpi_table_end(b, start);
    facts->has_rtc = has_part(&d, "mc146818");
    facts->has_i8042 = has_part(&d, "i8042");
    facts->has_pci_links = has_part(&d, "piix3");
    return 0;
}
