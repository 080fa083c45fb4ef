/* test_acpi.c: the table builder on machines without vCPUs, with devices of our own: what goes
 * where in guest memory, what is patched in, and what it refuses. */
#define _GNU_SOURCE
#include <stdlib.h>

#include "acpi/acpi.h"
#include "check.h"

#define AREA      0xe0000
#define AREA_SIZE 0x20000

/* ---- a device that describes itself as a test wants ----------------------------------------- */

struct fake {
    char *part, *name;
    uint64_t value;
};

static void fake_describe(lunik_object *o, lunik_acpi_node *out)
{
    const struct fake *s = lunik_state(o);

    *out = (lunik_acpi_node){.part = s->part};
    if (!strcmp(s->part, "serial")) {
        out->values[out->count].name = "SIRQ";
        out->values[out->count++].value = 4;
    }
    if (s->name) {
        out->values[out->count].name = s->name;
        out->values[out->count++].value = s->value;
    }
}

/* All that memory_hotplug needs; value is the number of slots. */
static void slots_describe(lunik_object *o, lunik_acpi_node *out)
{
    const struct fake *s = lunik_state(o);

    *out = (lunik_acpi_node){.part = "memory_hotplug",
                             .count = 3,
                             .values = {{"MHIO", 0xa00}, {"MHSL", s->value}, {"MHGP", 0x1f}}};
}

static bool slots_describe_more(lunik_object *o, unsigned index, lunik_acpi_node *out)
{
    const struct fake *s = lunik_state(o);

    if (index == 0)
        *out = (lunik_acpi_node){
            .part = "memory_slot", .scope = "\\_SB.MHPC", .copies = s->value, .notify = "MNTF"};
    else
        *out = (lunik_acpi_node){
            .part = "memory_ports", .count = 2, .values = {{"MHIO", 0xa00}, {"MHSL", s->value}}};
    return index < 2;
}

/* Copies of a part in a scope; name is the scope, value how many. */
static void copies_describe(lunik_object *o, lunik_acpi_node *out)
{
    const struct fake *s = lunik_state(o);

    *out = (lunik_acpi_node){.part = s->part,
                             .scope = s->name,
                             .copies = s->value,
                             .count = 2,
                             .values = {{"SIOB", 0x3f8}, {"SIRQ", 4}}};
    if (strcmp(s->part, "serial") != 0)
        out->count = 0;
    out->notify = strstr(s->name, "PCI0") ? "ABCD" : NULL;
}

static void fake_pm(lunik_object *o, lunik_acpi_pm *out)
{
    *out = (lunik_acpi_pm){.sci = 9,
                           .smi_cmd = 0xb2,
                           .acpi_enable = 0xf1,
                           .acpi_disable = 0xf0,
                           .pm1_evt = 0x600,
                           .pm1_cnt = 0x604,
                           .pm_tmr = 0x608,
                           .gpe0 = 0xafe0,
                           .gpe0_len = 4,
                           .reset_port = 0xcf9,
                           .reset_value = 6};
}

static const lunik_acpi_ops fake_acpi = {.describe = fake_describe};
static const lunik_acpi_ops slots_acpi = {.describe = slots_describe,
                                          .describe_more = slots_describe_more};
static const lunik_acpi_ops copies_acpi = {.describe = copies_describe};
static const lunik_acpi_pm_ops pm_ops = {.get = fake_pm};
static const lunik_iface fake_ifaces[] = {LUNIK_IFACE(acpi, &fake_acpi), {0}};
static const lunik_iface slots_ifaces[] = {LUNIK_IFACE(acpi, &slots_acpi), {0}};
static const lunik_iface copies_ifaces[] = {LUNIK_IFACE(acpi, &copies_acpi), {0}};
static const lunik_iface pm_ifaces[] = {LUNIK_IFACE(acpi_pm, &pm_ops), {0}};

static const lunik_prop fake_props[] = {
    {.name = "part", .kind = LUNIK_PROP_STRING, .offset = offsetof(struct fake, part)},
    {.name = "name", .kind = LUNIK_PROP_STRING, .offset = offsetof(struct fake, name)},
    {.name = "value", .kind = LUNIK_PROP_UINT, .offset = offsetof(struct fake, value)},
    {0},
};

#define FAKE(type_name, type_ifaces)                                                               \
    {                                                                                              \
        .name = (type_name), .doc = "A test's.", .flags = LUNIK_TYPE_DEVICE,                       \
        .size = sizeof(struct fake), .props = fake_props, .ifaces = (type_ifaces)                  \
    }

static const lunik_type fake_type = FAKE("fake", fake_ifaces);
static const lunik_type slots_type = FAKE("fake-slots", slots_ifaces);
static const lunik_type copies_type = FAKE("fake-copies", copies_ifaces);
static const lunik_type pm_type = FAKE("fake-pm", pm_ifaces);
static const lunik_type *const types[] = {&fake_type, &slots_type, &copies_type, &pm_type, NULL};

/* ---- machines ------------------------------------------------------------------------------- */

struct bench {
    lunik_runtime *rt;
    lunik_machine *m;
    lunik_ram *ram;
    lunik_region *region;
    lunik_error err;
};

/* A machine with RAM where the tables go. */
static bool open_bench(struct bench *b, unsigned cpus, size_t nodes)
{
    static const unsigned cpu0[] = {0}, cpu1[] = {1};
    static const uint8_t distances[] = {10, 17};
    static const lunik_numa_node numa[] = {{cpu0, 1, distances}, {cpu1, 1, NULL}};
    lunik_machine_config config = {
        .accel = LUNIK_ACCEL_NONE, .cpus = cpus, .nodes = numa, .node_count = nodes};
    lunik_ram_config ram = {.name = "area", .size = AREA_SIZE, .fd = -1};

    *b = (struct bench){0};
    if (lunik_runtime_new(types, &b->rt, &b->err) < 0 ||
        lunik_machine_new(b->rt, &config, &b->m, &b->err) < 0 ||
        lunik_ram_new(&ram, &b->ram, &b->err) < 0)
        return check_string("a machine", b->err.message, "");
    lunik_region_config region = {.kind = LUNIK_REGION_RAM, .name = "area", .ram = b->ram};
    if (lunik_region_new(b->m, &region, &b->region, &b->err) < 0 ||
        lunik_region_add(lunik_space_root(lunik_machine_memory(b->m)), AREA, b->region, 0, false,
                         &b->err) < 0)
        return check_string("memory", b->err.message, "");
    return true;
}

static void close_bench(struct bench *b)
{
    lunik_region_del(b->region, NULL);
    lunik_region_unref(b->region);
    lunik_ram_unref(b->ram);
    lunik_runtime_free(b->rt);
}

static void add(struct bench *b, const char *type, const char *part, const char *name,
                uint64_t value)
{
    lunik_field props[3] = {LUNIK_FIELD_UINT("value", value)};
    size_t count = 1;

    if (part)
        props[count++] = LUNIK_FIELD_STRING("part", part);
    if (name)
        props[count++] = LUNIK_FIELD_STRING("name", name);
    if (lunik_device_add(b->m, type, props, count, NULL, &b->err) < 0)
        check_string("device_add", b->err.message, "");
}

static uint64_t peek(const void *from, size_t offset, unsigned width)
{
    uint64_t value = 0;
    memcpy(&value, (const uint8_t *)from + offset, width);
    return value;
}

static bool sums_to_zero(const void *data, size_t size)
{
    return acpi_checksum(data, size) == 0;
}

/* Where in a table some bytes are; the table's size if nowhere. */
static size_t find(const uint8_t *table, size_t size, const void *bytes, size_t count)
{
    const uint8_t *at = memmem(table, size, bytes, count);
    return at ? (size_t)(at - table) : size;
}

/* ---- what is built -------------------------------------------------------------------------- */

/* Everything a guest reaches from the root pointer lies in its memory as lunik_acpi_table() has
 * it, with right checksums. */
static void test_placement(void)
{
    static const char *const names[] = {"FACP", "APIC", "SRAT", "SLIT"};
    struct bench b;
    uint64_t rsdp = 0;
    size_t size;

    if (!open_bench(&b, 2, 2))
        return;
    add(&b, "fake-pm", NULL, NULL, 0);
    add(&b, "fake-slots", NULL, NULL, 256);
    check_int("install", lunik_acpi_install(b.m, &rsdp, &b.err), 0);
    const uint8_t *guest = lunik_ram_host(b.ram);
    check_uint("rsdp is where guests search", rsdp, AREA);
    check_true("rsdp signature", !memcmp(guest, "RSD PTR ", 8));
    check_true("rsdp checksum", sums_to_zero(guest, 20));
    check_true("rsdp extended checksum", sums_to_zero(guest, 36));

    const uint8_t *xsdt = guest + peek(guest, 24, 8) - AREA;
    const uint8_t *rsdt = guest + peek(guest, 16, 4) - AREA;
    check_uint("xsdt length", peek(xsdt, 4, 4), 36 + 8 * 4);
    check_uint("rsdt length", peek(rsdt, 4, 4), 36 + 4 * 4);
    for (unsigned i = 0; i < 4; i++) {
        const uint8_t *table = guest + peek(xsdt, 36 + 8 * i, 8) - AREA;
        const void *ours = lunik_acpi_table(b.m, names[i], &size);
        check_uint(names[i], peek(table, 4, 4), size);
        check_true("is the same in guest memory", ours && !memcmp(table, ours, size));
        check_true("sums to 0", sums_to_zero(table, size));
        check_uint("is in both lists", peek(rsdt, 36 + 4 * i, 4), peek(xsdt, 36 + 8 * i, 8));
    }

    const uint8_t *fadt = lunik_acpi_table(b.m, "FACP", &size);
    const uint8_t *dsdt = guest + peek(fadt, 40, 4) - AREA;
    check_true("dsdt", !memcmp(dsdt, "DSDT", 4) && sums_to_zero(dsdt, peek(dsdt, 4, 4)));
    check_uint("dsdt in both fields", peek(fadt, 140, 8), peek(fadt, 40, 4));
    check_true("facs", !memcmp(guest + peek(fadt, 36, 4) - AREA, "FACS", 4));
    check_uint("facs alignment", peek(fadt, 36, 4) % 64, 0);
    check_true("no such table", !lunik_acpi_table(b.m, "HPET", &size) && size == 0);
    check_int("once only", lunik_acpi_install(b.m, &rsdp, &b.err), LUNIK_E_EXISTS);
    close_bench(&b);
}

static void test_fixed_hardware(void)
{
    struct bench b;
    size_t size;

    if (!open_bench(&b, 1, 0))
        return;
    add(&b, "fake-pm", NULL, NULL, 0);
    check_int("install", lunik_acpi_install(b.m, NULL, &b.err), 0);
    const uint8_t *fadt = lunik_acpi_table(b.m, "FACP", &size);
    check_uint("SCI", peek(fadt, 46, 2), 9);
    check_uint("PM1a event block", peek(fadt, 56, 4), 0x600);
    check_uint("PM1a event block, extended", peek(fadt, 148, 4), 0x02002001);
    check_uint("its address", peek(fadt, 152, 8), 0x600);
    check_uint("PM timer, extended", peek(fadt, 208, 4), 0x03002001);
    check_uint("GPE block length", fadt[92], 4);
    check_uint("reset register", peek(fadt, 120, 8), 0xcf9);
    check_uint("reset value", fadt[128], 6);
    check_uint("flags: reset register, power button, not reduced", peek(fadt, 112, 4) & 0x100410,
               0x400);
    close_bench(&b);

    if (!open_bench(&b, 1, 0))
        return;
    check_int("install without power management", lunik_acpi_install(b.m, NULL, &b.err), 0);
    fadt = lunik_acpi_table(b.m, "FACP", &size);
    check_uint("flags: hardware-reduced", peek(fadt, 112, 4) & 0x100400, 0x100000);
    check_uint("no PM1a event block", peek(fadt, 56, 4), 0);
    check_true("no FACS", !lunik_acpi_table(b.m, "FACS", &size));
    check_true("no SRAT", !lunik_acpi_table(b.m, "SRAT", &size));
    close_bench(&b);
}

static void test_patches(void)
{
    struct bench b;
    size_t size;

    if (!open_bench(&b, 3, 0))
        return;
    add(&b, "fake", "serial", "SIOB", 0x3f8);
    add(&b, "fake", "serial", "SIOB", 0x2f8);
    add(&b, "fake-slots", NULL, NULL, 17);
    check_int("install", lunik_acpi_install(b.m, NULL, &b.err), 0);
    const uint8_t *dsdt = lunik_acpi_table(b.m, "DSDT", &size);
    check_true("a name a copy", find(dsdt, size, "SR00", 4) < find(dsdt, size, "SR01", 4));
    check_true("no third", find(dsdt, size, "SR02", 4) == size);
    check_true("each its port", find(dsdt, size, "SIOB\x0c\xf8\x03\0\0", 9) <
                                    find(dsdt, size, "SIOB\x0c\xf8\x02\0\0", 9));
    check_true("a processor for each vCPU", find(dsdt, size, "C002", 4) < size);
    check_true("and no more", find(dsdt, size, "C003", 4) == size);
    check_true("the last slot", find(dsdt, size, "MP10", 4) < size);
    check_true("is the last", find(dsdt, size, "MP11", 4) == size);
    check_true("its number", find(dsdt, size, "_UID\x0c\x10\0\0\0", 9) < size);
    check_true("the event", find(dsdt, size, "_E1F", 4) < size);
    close_bench(&b);
}

/* Devices with ports are below the ISA bridge, which comes first; without one they are not. */
static void test_isa(void)
{
    static const char below[] = "\\\x2f\x03_SB_PCI0ISA_\x5b\x82";
    static const char apart[] = "\\_SB_\x5b\x82";
    struct bench b;
    size_t size;

    for (unsigned bridge = 0; bridge < 2; bridge++) {
        if (!open_bench(&b, 1, 0))
            return;
        add(&b, "fake", "serial", "SIOB", 0x3f8);
        add(&b, "fake-slots", NULL, NULL, 1);
        if (bridge)
            add(&b, "fake", "piix3", NULL, 0);
        check_int("install", lunik_acpi_install(b.m, NULL, &b.err), 0);
        const uint8_t *dsdt = lunik_acpi_table(b.m, "DSDT", &size);
        size_t start = find(dsdt, size, "C000", 4); /* the processor has a scope as well */
        size_t scope =
            start + (bridge ? find(dsdt + start, size - start, below, sizeof(below) - 1)
                            : find(dsdt + start, size - start, apart, sizeof(apart) - 1));
        check_true("its scope", scope < find(dsdt, size, "SR00", 4));
        check_true("the slots' ports are in one as well",
                   scope < find(dsdt, size, "MHPD", 4) && find(dsdt, size, "MHPD", 4) < size);
        check_true("the slots are in none", find(dsdt, size, "MP00", 4) < scope);
        check_uint("the bridge is in front", find(dsdt, size, "PRQA", 4) < scope, bridge);
        close_bench(&b);
    }
}

/* Copies of any part, in any scope, each scope numbering its own; the method finds them by name. */
static void test_copies(void)
{
    static const char bus[] = "\\\x2e_SB_PCI0";
    static const char other[] = "\\\x2f\x03_SB_XY__Z___";
    static const char search[] = "ABCD\x0a\xa0";       /* two arguments, serialized; If */
    static const char half[] = "\x95\x68\x0b\x00\x02"; /* Arg0 < 0x200 */
    struct bench b;
    size_t size;

    if (!open_bench(&b, 1, 0))
        return;
    add(&b, "fake-copies", "cpu", "\\_SB.PCI0", 0x400);
    add(&b, "fake-copies", "serial", "\\_SB.XY.Z", 2);
    add(&b, "fake-copies", "serial", "\\_SB.XY.W", 0);
    check_int("install", lunik_acpi_install(b.m, NULL, &b.err), 0);
    const uint8_t *dsdt = lunik_acpi_table(b.m, "DSDT", &size);
    size_t first = find(dsdt, size, bus, sizeof(bus) - 1);
    size_t second = find(dsdt, size, other, sizeof(other) - 1);
    check_true("both scopes", first < second && second < size);
    check_uint("the first has all that is between",
               first - 3 + (dsdt[first - 3] & 0xf) + (peek(dsdt, first - 2, 2) << 4), second - 4);
    check_true("the last processor", find(dsdt, size, "C3FF", 4) < second);
    check_true("is the last", find(dsdt, size, "C400", 4) == size);
    check_true("notified by name", find(dsdt, size,
                                        "\x86"
                                        "C3FF\x69",
                                        6) < second);
    check_true("found", find(dsdt, size, search, sizeof(search) - 1) < second);
    check_true("by halving", find(dsdt, size, half, sizeof(half) - 1) < second);
    check_true("the other scope counts from 0",
               find(dsdt, size, "SR00", 4) > second && find(dsdt, size, "SR01", 4) < size);
    check_true("where nothing is said there is one", find(dsdt, size, "SR02", 4) == size);
    close_bench(&b);
}

/* A node that says nothing is as far from another as that is from it. */
static void test_distances(void)
{
    struct bench b;
    size_t size;

    if (!open_bench(&b, 2, 2))
        return;
    check_int("install", lunik_acpi_install(b.m, NULL, &b.err), 0);
    const uint8_t *slit = lunik_acpi_table(b.m, "SLIT", &size);
    check_uint("nodes", peek(slit, 36, 8), 2);
    check_uint("distances", peek(slit, 44, 4), 0x0a11110a);
    close_bench(&b);
}

/* ---- what is refused ------------------------------------------------------------------------ */

static void refuse(const char *name, const char *type, const char *part, const char *value_name,
                   uint64_t value, unsigned times, int code, const char *text)
{
    struct bench b;
    size_t size;
    char zeros[16] = {0};

    if (!open_bench(&b, 1, 0))
        return;
    while (times--)
        add(&b, type, part, value_name, value);
    check_int(name, lunik_acpi_install(b.m, NULL, &b.err), code);
    check_contains("says why", b.err.message, text);
    check_true("nothing was placed", !memcmp(lunik_ram_host(b.ram), zeros, sizeof(zeros)));
    check_true("nothing is kept", !lunik_acpi_table(b.m, "DSDT", &size));
    close_bench(&b);
}

static void test_refusals(void)
{
    refuse("unknown part", "fake", "floppy", NULL, 0, 1, LUNIK_E_NOT_FOUND,
           "there is no ASL part 'floppy'");
    refuse("unknown value", "fake", "piix4_pm", "ABCD", 0, 1, LUNIK_E_INVALID,
           "'ABCD' is no value of the ASL part 'piix4_pm'");
    refuse("missing value", "fake", "serial", NULL, 0, 1, LUNIK_E_INVALID,
           "the ASL part 'serial' needs a value 'SIOB'");
    refuse("value too large", "fake", "serial", "SIOB", UINT64_C(1) << 32, 1, LUNIK_E_INVALID,
           "'0x100000000' is too large");
    refuse("part used twice", "fake", "piix3", NULL, 0, 2, LUNIK_E_EXISTS,
           "'piix3' is an ASL part that a machine can have only once");
    refuse("too many slots", "fake-slots", NULL, NULL, 257, 1, LUNIK_E_INVALID, "UNIT: '0x100'");
    refuse("scope that is no path", "fake-copies", "serial", "_SB", 1, 1, LUNIK_E_INVALID,
           "'_SB' is no absolute path");
    refuse("segment that is too long", "fake-copies", "serial", "\\_SB.ABCDE", 1, 1,
           LUNIK_E_INVALID, "'\\_SB.ABCDE' is no absolute path");
    refuse("path that ends early", "fake-copies", "serial", "\\_SB.", 1, 1, LUNIK_E_INVALID,
           "'\\_SB.' is no absolute path");
    refuse("copies of what has no number", "fake-copies", "piix4_pm", "\\_SB", 2, 1, LUNIK_E_EXISTS,
           "'piix4_pm' is an ASL part that a machine can have only once");
    refuse("notifying what has no number", "fake-copies", "piix4_pm", "\\_SB.PCI0", 1, 1,
           LUNIK_E_INVALID, "notify: 'ABCD' can't be made for the ASL part 'piix4_pm'");
    refuse("two power managements", "fake-pm", NULL, NULL, 0, 2, LUNIK_E_EXISTS,
           "second device with ACPI fixed hardware");
}

/* More than there is room for below 1 MiB. */
static void test_too_large(void)
{
    struct bench b;

    if (!open_bench(&b, 2, 2))
        return;
    for (uint64_t i = 0; i < 4096; i++) {
        lunik_fwmap_entry page = {
            .base = 0x100000 + i * 0x2000, .size = 0x1000, .type = LUNIK_FWMAP_RAM};
        if (lunik_fwmap_add(b.m, &page, &b.err) < 0)
            check_string("fwmap", b.err.message, "");
    }
    check_int("tables too large", lunik_acpi_install(b.m, NULL, &b.err), LUNIK_E_NO_SPACE);
    check_contains("says how large", b.err.message, "bytes is too much (want at most 131072");
    close_bench(&b);
}

int main(void)
{
    test_placement();
    test_fixed_hardware();
    test_patches();
    test_isa();
    test_copies();
    test_distances();
    test_refusals();
    test_too_large();
    return check_result();
}
