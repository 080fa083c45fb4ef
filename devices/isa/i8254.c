/*
 * i8254.c: the interval timer of a PC (i8254_chip.h) at ports 0x40 to 0x43, and port 0x61 with the
 * speaker's bits; there is no sound. It follows the machine's clock. Each tick of channel 0 is a
 * pulse of its line.
 */
#include "i8254_chip.h"
#include "../ports.h"
#include "../types.h"

#define PORT_61 0x61
#define PORTS   4

struct i8254_device {
    uint64_t iobase, irq;
    struct i8254_chip chip;
    lunik_irq line;
    lunik_timer timer;
    lunik_region *ports, *port61;
};

static void reset(lunik_object *o)
{
    struct i8254_device *s = lunik_state(o);

    i8254_reset(&s->chip);
}

/* ---- ports ---------------------------------------------------------------------------------- */

static lunik_access port_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    struct i8254_device *s = opaque;

    *value = i8254_read(&s->chip, (unsigned)offset);
    return LUNIK_ACCESS_OK;
}

static lunik_access port_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct i8254_device *s = opaque;

    i8254_write(&s->chip, (unsigned)offset, (uint8_t)value);
    return LUNIK_ACCESS_OK;
}

static const lunik_io_ops port_ops = {
    .read = port_read,
    .write = port_write,
    DEVICE_BYTE_PORTS,
};

static lunik_access port61_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    const struct i8254_device *s = opaque;

    *value = i8254_read_port61(&s->chip);
    return LUNIK_ACCESS_OK;
}

static lunik_access port61_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct i8254_device *s = opaque;

    i8254_write_port61(&s->chip, (uint8_t)value);
    return LUNIK_ACCESS_OK;
}

static const lunik_io_ops port61_ops = {
    .read = port61_read,
    .write = port61_write,
    .valid = {.min = 1, .max = 1},
};

/* ---- time ----------------------------------------------------------------------------------- */

static void schedule(void *opaque, uint64_t deadline)
{
    struct i8254_device *s = opaque;

    lunik_timer_set(&s->timer, deadline);
}

static void timer_fired(lunik_timer *timer)
{
    i8254_tick(&lunik_container_of(timer, struct i8254_device, timer)->chip);
}

static void tick(void *opaque)
{
    struct i8254_device *s = opaque;

    lunik_irq_set(&s->line, true);
    lunik_irq_set(&s->line, false);
}

/* ---- life cycle ----------------------------------------------------------------------------- */

static void unrealize(lunik_object *o)
{
    struct i8254_device *s = lunik_state(o);

    device_region_drop(&s->port61);
    device_region_drop(&s->ports);
    lunik_timer_cancel(&s->timer);
    lunik_irq_disconnect(&s->line);
}

static int realize(lunik_object *o, lunik_error *err)
{
    struct i8254_device *s = lunik_state(o);
    lunik_machine *m = lunik_object_machine(o);
    int rc;

    lunik_timer_init(&s->timer, m, timer_fired);
    i8254_init(&s->chip, lunik_machine_clock(m), schedule, tick, s);
    rc = lunik_irq_connect(m, &s->line, (unsigned)s->irq, err);
    if (rc)
        return lunik_fail_prefix(err, rc, "isa-pit: irq");
    rc = device_ports_new(&s->ports, o, "pit", s->iobase, PORTS, &port_ops, s, err);
    if (!rc)
        rc = device_ports_new(&s->port61, o, "port61", PORT_61, 1, &port61_ops, s, err);
    if (rc)
        unrealize(o);
    return rc;
}

static const lunik_prop props[] = {
    DEVICE_IOBASE_PROP(struct i8254_device, "First of four I/O ports.", 0x40, 0x10000 - PORTS),
    DEVICE_IRQ_PROP("irq", struct i8254_device, irq, "Interrupt line (GSI), 0 to 23.", 0),
    {0},
};

/* ---- state ---------------------------------------------------------------------------------- */

static const lunik_state_field state_fields[] = {
    LUNIK_STATE_STRUCT(struct i8254_device, chip, &i8254_chip_state),
    {0},
};

static const lunik_state_table state_table = {
    .name = "isa-pit",
    .version = 1,
    .size = sizeof(struct i8254_device),
    .fields = state_fields,
};

const lunik_type i8254_type = {
    .name = "isa-pit",
    .doc = "The 8254 interval timer of a PC and port 0x61, for machines without KVM's.",
    .flags = LUNIK_TYPE_DEVICE,
    .size = sizeof(struct i8254_device),
    .props = props,
    .realize = realize,
    .unrealize = unrealize,
    .reset = reset,
    .state = &state_table,
};
