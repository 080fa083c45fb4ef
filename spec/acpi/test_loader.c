/* test_loader.c: the ACPI tables as files for firmware. An interpreter of the commands, written
 * from their description, places them where lunik_acpi_install() does: the bytes must be the same.
 */
#define _GNU_SOURCE
#include <stdlib.h>

#include "lunik_pci.h"
#include "check.h"

enum { COMMAND = 128, AREA = 0xe0000, AREA_SIZE = 0x20000, FILES = 2 };

static struct {
    lunik_runtime *rt;
    lunik_machine *m;
    lunik_object *fw_cfg;
    const lunik_fw_cfg_ops *ops;
    lunik_error err;
} b;

static void must(int rc)
{
    if (!rc)
        return;
    printf("not ok the machine: %d %s\n", rc, b.err.message);
    exit(1);
}

static void add(const char *type, lunik_field *props, size_t count)
{
    must(lunik_device_add(b.m, type, props, count, NULL, &b.err));
}

/* A machine with much to describe, and RAM in the first megabyte. */
static void open_machine(unsigned cpus, uint64_t pm_base)
{
    lunik_machine_config config = {.accel = LUNIK_ACCEL_NONE, .cpus = cpus};
    lunik_field size[] = {LUNIK_FIELD_STRING("id", "ram0"), LUNIK_FIELD_UINT("size", 2 << 20)};
    lunik_field host[] = {LUNIK_FIELD_STRING("id", "pci"), LUNIK_FIELD_STRING("ram", "ram0"),
                          LUNIK_FIELD_BOOL("shadow", true)};
    lunik_field isa[] = {LUNIK_FIELD_STRING("bus", "pci")};
    lunik_field pm[] = {LUNIK_FIELD_STRING("bus", "pci"), LUNIK_FIELD_UINT("pm-base", pm_base)};
    lunik_field slots[] = {LUNIK_FIELD_UINT("slots", 3)}; /* its methods share a page with it */
    lunik_fwmap_entry window = {
        .base = UINT64_C(4) << 30, .size = 1 << 30, .type = LUNIK_FWMAP_HOTPLUG};

    memset(&b, 0, sizeof(b));
    must(lunik_runtime_new(lunik_builtin_types(), &b.rt, &b.err));
    must(lunik_machine_new(b.rt, &config, &b.m, &b.err));
    must(lunik_object_add(b.m, "memory-backend-ram", size, 2, NULL, &b.err));
    add("i440fx", host, 3);
    add("piix3", isa, 1);
    add("piix4-pm", pm, 2);
    add("acpi-nvdimm", slots, 1);
    add("i8042", NULL, 0);
    add("serial16550", NULL, 0);
    must(lunik_fwmap_add(b.m, &window, &b.err));
    must(lunik_device_add(b.m, "fw-cfg", NULL, 0, &b.fw_cfg, &b.err));
    b.ops = lunik_fw_cfg_iface(b.fw_cfg);
}

/* ---- the interpreter ------------------------------------------------------------------------ */

struct placed {
    const char *name;
    uint8_t *data;
    size_t size;
    uint64_t address; /* 0: not allocated */
};

static struct placed placed[FILES];

static uint64_t get(const uint8_t *p, unsigned width)
{
    uint64_t value = 0;

    memcpy(&value, p, width);
    return value;
}

static struct placed *find(const uint8_t *name)
{
    for (unsigned i = 0; i < FILES; i++)
        if (!strcmp(placed[i].name, (const char *)name))
            return &placed[i];
    printf("not ok the file '%s' is no file\n", (const char *)name);
    exit(1);
}

/* Places the root pointer at 0xe0000, the tables behind it, at the alignment asked for or where the
 * image has them. */
static void allocate(const uint8_t *c)
{
    struct placed *f = find(c + 4);
    bool root = f == &placed[0];

    check_uint("zone", c[64], root ? 2 : 1);
    check_uint("alignment", get(c + 60, 4), root ? 16 : 64);
    check_uint("allocated once", f->address, 0);
    f->address = root ? AREA : AREA + 64;
}

static bool add_pointer(const uint8_t *c)
{
    struct placed *to = find(c + 4), *from = find(c + 60);
    uint32_t offset = (uint32_t)get(c + 116, 4);
    unsigned width = c[120];

    if (!to->address || !from->address || offset + width > to->size || (width != 4 && width != 8))
        return false;
    uint64_t value = get(to->data + offset, width);
    if (value >= from->size)
        return false;
    value += from->address;
    memcpy(to->data + offset, &value, width);
    return true;
}

static bool add_checksum(const uint8_t *c)
{
    const struct placed *f = find(c + 4);
    uint32_t at = (uint32_t)get(c + 60, 4), start = (uint32_t)get(c + 64, 4);
    uint32_t size = (uint32_t)get(c + 68, 4);
    uint8_t sum = 0;

    if (start + size > f->size || at < start || at >= start + size || f->data[at])
        return false;
    for (uint32_t i = 0; i < size; i++)
        sum += f->data[start + i];
    f->data[at] = (uint8_t)-sum;
    return true;
}

static bool interpret(const uint8_t *script, size_t size)
{
    bool ok = size && size % COMMAND == 0;

    for (const uint8_t *c = script; ok && c < script + size; c += COMMAND)
        switch (get(c, 4)) {
        case 1:
            allocate(c);
            break;
        case 2:
            ok = add_pointer(c);
            break;
        case 3:
            ok = add_checksum(c);
            break;
        default:
            ok = false;
        }
    return ok;
}

static void *copy(const char *name, size_t *size)
{
    const void *data = b.ops->find(b.fw_cfg, name, 0, size);
    void *out = malloc(*size + 1);

    if (data && out)
        memcpy(out, data, *size);
    return out;
}

/* Reads the files as a guest does, carries the commands out and returns the image. */
static uint8_t *load(void)
{
    uint8_t *image = calloc(1, AREA_SIZE);
    size_t size;
    uint8_t *script = copy("etc/table-loader", &size);

    placed[0] = (struct placed){.name = "etc/acpi/rsdp"};
    placed[1] = (struct placed){.name = "etc/acpi/tables"};
    for (unsigned i = 0; i < FILES; i++)
        placed[i].data = copy(placed[i].name, &placed[i].size);
    check_true("the commands can be carried out", interpret(script, size));
    for (unsigned i = 0; i < FILES; i++) {
        memcpy(image + (placed[i].address - AREA), placed[i].data, placed[i].size);
        free(placed[i].data);
    }
    free(script);
    return image;
}

/* ---- tests ---------------------------------------------------------------------------------- */

static void compare(unsigned cpus)
{
    static uint8_t direct[AREA_SIZE];
    lunik_error err;

    open_machine(cpus, 0x600);
    must(lunik_acpi_install(b.m, NULL, &b.err));
    must(lunik_space_read(lunik_machine_memory(b.m), AREA, direct, AREA_SIZE));
    check_int("offered after they were installed", lunik_acpi_offer(b.m, &err), LUNIK_E_EXISTS);
    lunik_runtime_free(b.rt);

    open_machine(cpus, 0x600);
    must(lunik_acpi_offer(b.m, &b.err));
    uint8_t *loaded = load();
    check_true("what firmware places is what is installed without one",
               !memcmp(loaded, direct, AREA_SIZE));
    check_true("and that is something", !memcmp(loaded, "RSD PTR ", 8));
    free(loaded);
    lunik_runtime_free(b.rt);
}

/* Firmware chooses the ports of power management before it reads the files. */
static void test_moved(void)
{
    lunik_space *io;
    size_t size;

    open_machine(1, 0);
    must(lunik_acpi_offer(b.m, &b.err));
    io = lunik_machine_io(b.m);
    lunik_space_store(io, 0xcf8, 4, 0x80000000 | 1 << 11 | 3 << 8 | 0x40);
    lunik_space_store(io, 0xcfc, 4, 0x701);
    const uint8_t *fadt = lunik_acpi_table(b.m, "FACP", &size);
    check_uint("before", get(fadt + 56, 4), 0);
    uint8_t *loaded = load();
    fadt = lunik_acpi_table(b.m, "FACP", &size);
    check_uint("the table has the new port", get(fadt + 56, 4), 0x700);
    const uint8_t *rsdt = loaded + (get(loaded + 16, 4) - AREA);
    const uint8_t *first = loaded + (get(rsdt + 36, 4) - AREA);
    check_true("the first table is FACP", !memcmp(first, "FACP", 4));
    check_uint("the file has the new port", get(first + 56, 4), 0x700);
    free(loaded);
    lunik_runtime_free(b.rt);
}

static void test_refusals(void)
{
    lunik_machine_config config = {.accel = LUNIK_ACCEL_NONE, .cpus = 1};
    lunik_fw_cfg_source source = {.data = "", .size = 0};
    size_t size;

    open_machine(1, 0);
    must(b.ops->add(b.fw_cfg, "etc/table-loader", 0, &source, &b.err));
    check_int("a file of that name", lunik_acpi_offer(b.m, &b.err), LUNIK_E_EXISTS);
    check_true("no file is left", !b.ops->find(b.fw_cfg, "etc/acpi/rsdp", 0, &size));
    check_int("installing is still possible", lunik_acpi_install(b.m, NULL, &b.err), 0);
    lunik_runtime_free(b.rt);

    must(lunik_runtime_new(lunik_builtin_types(), &b.rt, &b.err));
    must(lunik_machine_new(b.rt, &config, &b.m, &b.err));
    check_int("no device", lunik_acpi_offer(b.m, &b.err), LUNIK_E_NOT_FOUND);
    check_contains("is named", b.err.message, "has no fw-cfg device");
    lunik_runtime_free(b.rt);
}

int main(void)
{
    compare(1);
    compare(16);
    test_moved();
    test_refusals();
    return check_result();
}
