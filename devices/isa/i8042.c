/*
 * i8042.c: the keyboard controller of a PC (i8042_chip.h) at ports 0x60 and 0x64, with its two
 * interrupt lines; it can reset the machine.
 */
#include "i8042_chip.h"
#include "../ports.h"
#include "../types.h"

struct i8042;

struct port {
    struct i8042 *owner;
    lunik_region *region;
};

struct i8042 {
    uint64_t keyboard_irq, mouse_irq;
    struct i8042_chip chip;
    struct port ports[I8042_PORTS];
};

static void reset_line(void *opaque)
{
    lunik_machine_guest_reset(lunik_object_machine(lunik_state_object(opaque)));
}

static void reset(lunik_object *o)
{
    struct i8042 *s = lunik_state(o);

    i8042_reset(&s->chip);
}

/* ---- ports ---------------------------------------------------------------------------------- */

static enum i8042_port index_of(const struct port *p)
{
    return (enum i8042_port)(p - p->owner->ports);
}

static lunik_access port_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    struct port *p = opaque;

    *value = i8042_read(&p->owner->chip, index_of(p));
    return LUNIK_ACCESS_OK;
}

static lunik_access port_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct port *p = opaque;

    i8042_write(&p->owner->chip, index_of(p), (uint8_t)value);
    return LUNIK_ACCESS_OK;
}

static const lunik_io_ops port_ops = {
    .read = port_read,
    .write = port_write,
    .valid = {.min = 1, .max = 4},
    .impl = {.min = 1, .max = 1},
};

static const struct {
    const char *name;
    uint64_t address;
} port_map[I8042_PORTS] = {
    [I8042_DATA] = {"i8042-data", 0x60},
    [I8042_COMMAND] = {"i8042-cmd", 0x64},
};

/* ---- life cycle ----------------------------------------------------------------------------- */

static void unrealize(lunik_object *o)
{
    struct i8042 *s = lunik_state(o);

    for (unsigned i = I8042_PORTS; i-- > 0;)
        device_region_drop(&s->ports[i].region);
    lunik_irq_disconnect(&s->chip.mouse_irq);
    lunik_irq_disconnect(&s->chip.keyboard_irq);
}

static int realize(lunik_object *o, lunik_error *err)
{
    struct i8042 *s = lunik_state(o);
    lunik_machine *m = lunik_object_machine(o);
    int rc;

    i8042_init(&s->chip, reset_line, s);
    rc = lunik_irq_connect(m, &s->chip.keyboard_irq, (unsigned)s->keyboard_irq, err);
    if (rc)
        return lunik_fail_prefix(err, rc, "i8042: irq");
    rc = lunik_irq_connect(m, &s->chip.mouse_irq, (unsigned)s->mouse_irq, err);
    if (rc)
        lunik_fail_prefix(err, rc, "i8042: mouse-irq");
    for (unsigned i = 0; !rc && i < I8042_PORTS; i++) {
        s->ports[i].owner = s;
        rc = device_ports_new(&s->ports[i].region, o, port_map[i].name, port_map[i].address, 1,
                              &port_ops, &s->ports[i], err);
    }
    if (rc)
        unrealize(o);
    return rc;
}

/* ---- properties and interfaces -------------------------------------------------------------- */

static const lunik_prop props[] = {
    DEVICE_IRQ_PROP("irq", struct i8042, keyboard_irq,
                    "The keyboard's interrupt line (GSI), 0 to 23.", 1),
    DEVICE_IRQ_PROP("mouse-irq", struct i8042, mouse_irq,
                    "The mouse's interrupt line (GSI), 0 to 23.", 12),
    {0},
};

static void describe(lunik_object *o, lunik_acpi_node *out)
{
    const struct i8042 *s = lunik_state(o);

    *out = (lunik_acpi_node){
        .part = "i8042",
        .count = 2,
        .values = {{"KIRQ", s->keyboard_irq}, {"MIRQ", s->mouse_irq}},
    };
}

static const lunik_acpi_ops acpi_ops = {.describe = describe};

static const lunik_iface ifaces[] = {LUNIK_IFACE(acpi, &acpi_ops), {0}};

static const lunik_state_field state_fields[] = {
    LUNIK_STATE_STRUCT(struct i8042, chip, &i8042_chip_state),
    {0},
};

static const lunik_state_table state_table = {
    .name = "i8042",
    .version = 1,
    .size = sizeof(struct i8042),
    .fields = state_fields,
};

const lunik_type i8042_type = {
    .name = "i8042",
    .doc = "Keyboard controller of a PC, with a keyboard and a mouse that are never used.",
    .flags = LUNIK_TYPE_DEVICE,
    .size = sizeof(struct i8042),
    .props = props,
    .ifaces = ifaces,
    .realize = realize,
    .unrealize = unrealize,
    .reset = reset,
    .state = &state_table,
};
