/*
 * pvpanic_pci.c: pvpanic as a PCI device (QEMU's docs/specs/pvpanic): the register is the first
 * byte of BAR 0.
 */
#include "pci.h"
#include "../isa/pvpanic_chip.h"
#include "../ports.h"
#include "../types.h"

enum { BAR_SIZE = 16 };

struct pvpanic_pci {
    lunik_object *bus;
    char *addr;
    uint64_t acpi_index;
    struct pvpanic panic;

    lunik_pci_function function;
    lunik_region *regs;
};

static void reset(lunik_object *o)
{
    struct pvpanic_pci *s = lunik_state(o);

    lunik_pci_function_reset(&s->function);
}

static lunik_access read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    const struct pvpanic_pci *s = opaque;

    *value = offset == 0 ? s->panic.events : 0;
    return LUNIK_ACCESS_OK;
}

static lunik_access write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct pvpanic_pci *s = opaque;

    if (offset == 0)
        pvpanic_write(lunik_state_object(s), &s->panic, value);
    return LUNIK_ACCESS_OK;
}

static const lunik_io_ops ops = {.read = read, .write = write, DEVICE_BYTE_PORTS};

static void unrealize(lunik_object *o)
{
    struct pvpanic_pci *s = lunik_state(o);

    lunik_pci_device_remove(&s->function);
    device_region_drop(&s->regs);
}

static int realize(lunik_object *o, lunik_error *err)
{
    struct pvpanic_pci *s = lunik_state(o);
    int rc;

    lunik_pci_function_init(&s->function, o, 0x1b36, 0x0011, 1, 0x088000);
    rc = pci_registers_init(&s->function, &s->regs, "pvpanic", BAR_SIZE, &ops, err);
    if (!rc)
        rc = lunik_pci_device_add(s->bus, s->addr, &s->function, err);
    if (rc)
        unrealize(o);
    return rc;
}

static const lunik_prop props[] = {
    LUNIK_PCI_DEVICE_PROPS(struct pvpanic_pci, "auto"),
    LUNIK_PCI_ACPI_INDEX_PROP(struct pvpanic_pci),
    PVPANIC_PROPS(struct pvpanic_pci),
    {0},
};

static const lunik_state_field state_fields[] = {
    LUNIK_STATE_STRUCT(struct pvpanic_pci, function, &lunik_pci_function_state),
    {0},
};

static const lunik_state_table state_table = {
    .name = "pvpanic-pci",
    .version = 1,
    .size = sizeof(struct pvpanic_pci),
    .fields = state_fields,
};

const lunik_type pvpanic_pci_type = {
    .name = "pvpanic-pci",
    .doc = "A PCI device through which the guest reports a panic.",
    .flags = LUNIK_TYPE_DEVICE | LUNIK_TYPE_HOTPLUG | LUNIK_TYPE_UNPLUG,
    .size = sizeof(struct pvpanic_pci),
    .props = props,
    .realize = realize,
    .unrealize = unrealize,
    .reset = reset,
    .hotplug = "pci",
    .state = &state_table,
};
