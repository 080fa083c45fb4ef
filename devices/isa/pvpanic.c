/* pvpanic.c: a port through which a guest reports that it has panicked (QEMU's docs/specs/pvpanic).
 */
#include "pvpanic_chip.h"
#include "../ports.h"
#include "../types.h"

struct pvpanic_isa {
    uint64_t iobase;
    struct pvpanic panic;
    lunik_region *port;
};

static lunik_access read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    const struct pvpanic_isa *s = opaque;

    *value = s->panic.events;
    return LUNIK_ACCESS_OK;
}

static lunik_access write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct pvpanic_isa *s = opaque;

    pvpanic_write(lunik_state_object(s), &s->panic, value);
    return LUNIK_ACCESS_OK;
}

static const lunik_io_ops ops = {.read = read, .write = write, DEVICE_BYTE_PORTS};

static int realize(lunik_object *o, lunik_error *err)
{
    struct pvpanic_isa *s = lunik_state(o);

    return device_ports_new(&s->port, o, "pvpanic", s->iobase, 1, &ops, s, err);
}

static void unrealize(lunik_object *o)
{
    struct pvpanic_isa *s = lunik_state(o);

    device_region_drop(&s->port);
}

static const lunik_prop props[] = {
    DEVICE_IOBASE_PROP(struct pvpanic_isa, "The I/O port.", 0x505, 0xffff),
    PVPANIC_PROPS(struct pvpanic_isa),
    {0},
};

static void describe(lunik_object *o, lunik_acpi_node *out)
{
    const struct pvpanic_isa *s = lunik_state(o);

    *out = (lunik_acpi_node){.part = "pvpanic", .count = 1, .values = {{"PEIO", s->iobase}}};
}

static const lunik_acpi_ops acpi_ops = {.describe = describe};
static const lunik_iface ifaces[] = {LUNIK_IFACE(acpi, &acpi_ops), {0}};

const lunik_type pvpanic_type = {
    .name = "pvpanic",
    .doc = "A port through which the guest reports a panic.",
    .flags = LUNIK_TYPE_DEVICE,
    .size = sizeof(struct pvpanic_isa),
    .props = props,
    .ifaces = ifaces,
    .realize = realize,
    .unrealize = unrealize,
    .state = &lunik_state_none,
};
