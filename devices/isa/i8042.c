/*
 * i8042.c: the keyboard controller of a PC (i8042_chip.h) at ports 0x60 and 0x64, with its two
 * interrupt lines; it can reset the machine.
 */
#include "i8042_chip.h"
#include "../ports.h"
#include "../types.h"

#define PORT_DATA    0x60
#define PORT_COMMAND 0x64 /* reads give the status */

struct i8042 {
    uint64_t keyboard_irq, mouse_irq;
    struct i8042_chip chip;
    lunik_region *data, *command;
};

static void reset_line(void *opaque)
{
    lunik_machine_guest_reset(lunik_object_machine(lunik_state_object(opaque)));
}

/* ---- ports ---------------------------------------------------------------------------------- */

static lunik_access data_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    struct i8042 *s = opaque;

    *value = i8042_read_data(&s->chip);
    return LUNIK_ACCESS_OK;
}

static lunik_access data_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct i8042 *s = opaque;

    i8042_write_data(&s->chip, (uint8_t)value);
    return LUNIK_ACCESS_OK;
}

static lunik_access command_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    struct i8042 *s = opaque;

    *value = i8042_read_status(&s->chip);
    return LUNIK_ACCESS_OK;
}

static lunik_access command_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct i8042 *s = opaque;

    i8042_write_command(&s->chip, (uint8_t)value);
    return LUNIK_ACCESS_OK;
}

static const lunik_io_ops data_ops = {
    .read = data_read,
    .write = data_write,
    .valid = {.min = 1, .max = 4},
    .impl = {.min = 1, .max = 1},
};

static const lunik_io_ops command_ops = {
    .read = command_read,
    .write = command_write,
    .valid = {.min = 1, .max = 4},
    .impl = {.min = 1, .max = 1},
};

/* ---- life cycle ----------------------------------------------------------------------------- */

static void i8042_unrealize(lunik_object *o)
{
    struct i8042 *s = lunik_state(o);

    device_region_drop(&s->command);
    device_region_drop(&s->data);
    lunik_irq_disconnect(&s->chip.mouse_irq);
    lunik_irq_disconnect(&s->chip.keyboard_irq);
}

static int i8042_realize(lunik_object *o, lunik_error *err)
{
    struct i8042 *s = lunik_state(o);
    lunik_machine *m = lunik_object_machine(o);
    int code;

    i8042_init(&s->chip, reset_line, s);
    code = lunik_irq_connect(m, &s->chip.keyboard_irq, (unsigned)s->keyboard_irq, err);
    if (code)
        return lunik_fail_prefix(err, code, "i8042: irq");
    code = lunik_irq_connect(m, &s->chip.mouse_irq, (unsigned)s->mouse_irq, err);
    if (code) {
        lunik_irq_disconnect(&s->chip.keyboard_irq);
        return lunik_fail_prefix(err, code, "i8042: mouse-irq");
    }
    code = device_ports_new(&s->data, s, "i8042-data", PORT_DATA, 1, &data_ops, err);
    if (!code)
        code = device_ports_new(&s->command, s, "i8042-cmd", PORT_COMMAND, 1, &command_ops, err);
    if (code)
        i8042_unrealize(o);
    return code;
}

static void i8042_machine_reset(lunik_object *o)
{
    struct i8042 *s = lunik_state(o);

    i8042_reset(&s->chip);
}

static void i8042_describe(lunik_object *o, lunik_acpi_node *out)
{
    const struct i8042 *s = lunik_state(o);

    *out = (lunik_acpi_node){
        .part = "i8042",
        .count = 2,
        .values = {{"KIRQ", s->keyboard_irq}, {"MIRQ", s->mouse_irq}},
    };
}

static const lunik_acpi_ops i8042_acpi = {.describe = i8042_describe};

static const lunik_iface i8042_ifaces[] = {LUNIK_IFACE(acpi, &i8042_acpi), {0}};

static const lunik_prop i8042_props[] = {
    DEVICE_IRQ_PROP("irq", struct i8042, keyboard_irq,
                    "The keyboard's interrupt line (GSI), 0 to 23.", 1),
    DEVICE_IRQ_PROP("mouse-irq", struct i8042, mouse_irq,
                    "The mouse's interrupt line (GSI), 0 to 23.", 12),
    {0},
};

const lunik_type i8042_type = {
    .name = "i8042",
    .doc = "Keyboard controller of a PC, with a keyboard and a mouse nobody touches.",
    .flags = LUNIK_TYPE_DEVICE,
    .size = sizeof(struct i8042),
    .props = i8042_props,
    .ifaces = i8042_ifaces,
    .realize = i8042_realize,
    .unrealize = i8042_unrealize,
    .reset = i8042_machine_reset,
};
