/*
 * i8259.c: the two 8259A interrupt controllers of a PC (i8259_chip.h) at ports 0x20 and 0xa0, and
 * their edge/level control registers at 0x4d0. Lines 0 to 15 of the machine are their inputs.
 */
#include "i8259_chip.h"
#include "../ports.h"
#include "../types.h"

#define ELCR_PORT 0x4d0

struct bank {
    struct i8259_device *owner;
    lunik_region *region;
};

struct i8259_device {
    struct i8259_pair pair;
    lunik_irqchip irqchip;
    struct bank banks[I8259_COUNT];
    lunik_region *elcr;
};

static void reset(lunik_object *o)
{
    struct i8259_device *s = lunik_state(o);

    i8259_reset(&s->pair);
    i8259_set_elcr(&s->pair, lunik_machine_elcr(lunik_object_machine(o)));
}

/* ---- ports ---------------------------------------------------------------------------------- */

static enum i8259_which index_of(const struct bank *b)
{
    return (enum i8259_which)(b - b->owner->banks);
}

static lunik_access port_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    struct bank *b = opaque;

    *value = i8259_read(&b->owner->pair, index_of(b), (unsigned)offset);
    return LUNIK_ACCESS_OK;
}

static lunik_access port_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct bank *b = opaque;

    i8259_write(&b->owner->pair, index_of(b), (unsigned)offset, (uint8_t)value);
    return LUNIK_ACCESS_OK;
}

static const lunik_io_ops port_ops = {
    .read = port_read,
    .write = port_write,
    DEVICE_BYTE_PORTS,
};

static lunik_access elcr_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    const struct i8259_device *s = opaque;

    *value = s->pair.pic[offset].elcr;
    return LUNIK_ACCESS_OK;
}

static lunik_access elcr_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct i8259_device *s = opaque;
    uint16_t mask = (uint16_t)(0xffu << 8 * offset);

    i8259_set_elcr(&s->pair,
                   (uint16_t)((i8259_elcr(&s->pair) & ~mask) | (value << 8 * offset & mask)));
    return LUNIK_ACCESS_OK;
}

static const lunik_io_ops elcr_ops = {
    .read = elcr_read,
    .write = elcr_write,
    .valid = {.min = 1, .max = 2},
    .impl = {.min = 1, .max = 1},
};

/* ---- lines ---------------------------------------------------------------------------------- */

static struct i8259_device *device_of(lunik_irqchip *chip)
{
    return lunik_container_of(chip, struct i8259_device, irqchip);
}

static void line_changed(lunik_irqchip *chip, unsigned gsi, bool level)
{
    if (gsi < I8259_COUNT * I8259_INPUTS)
        i8259_set_line(&device_of(chip)->pair, gsi, level);
}

static void elcr_changed(lunik_irqchip *chip, uint16_t level_triggered)
{
    i8259_set_elcr(&device_of(chip)->pair, level_triggered);
}

static uint8_t acknowledge(lunik_irqchip *chip)
{
    return i8259_acknowledge(&device_of(chip)->pair);
}

static void intr_changed(lunik_irq *irq, bool level)
{
    struct i8259_device *s = irq->opaque;

    lunik_irqchip_set_intr(&s->irqchip, level);
}

/* ---- life cycle ----------------------------------------------------------------------------- */

static void unrealize(lunik_object *o)
{
    struct i8259_device *s = lunik_state(o);

    lunik_irqchip_remove(&s->irqchip);
    device_region_drop(&s->elcr);
    for (unsigned i = 0; i < I8259_COUNT; i++)
        device_region_drop(&s->banks[i].region);
}

static int realize(lunik_object *o, lunik_error *err)
{
    static const struct {
        const char *name;
        uint64_t port;
    } places[I8259_COUNT] = {{"pic-master", 0x20}, {"pic-slave", 0xa0}};
    struct i8259_device *s = lunik_state(o);
    lunik_machine *m = lunik_object_machine(o);
    int rc = 0;

    i8259_init(&s->pair);
    s->pair.intr = (lunik_irq){.fn = intr_changed, .opaque = s};
    i8259_set_elcr(&s->pair, lunik_machine_elcr(m));
    for (unsigned i = 0; !rc && i < I8259_COUNT; i++) {
        s->banks[i].owner = s;
        rc = device_ports_new(&s->banks[i].region, o, places[i].name, places[i].port, 2, &port_ops,
                              &s->banks[i], err);
    }
    if (!rc)
        rc = device_ports_new(&s->elcr, o, "pic-elcr", ELCR_PORT, 2, &elcr_ops, s, err);
    s->irqchip =
        (lunik_irqchip){.line = line_changed, .elcr = elcr_changed, .acknowledge = acknowledge};
    if (!rc)
        rc = lunik_irqchip_add(m, &s->irqchip, err);
    if (rc)
        unrealize(o);
    return rc;
}

/* ---- properties ----------------------------------------------------------------------------- */

/* A register of both: bits 0 to 7 are those of the first, 8 to 15 those of the second. */
#define BOTH(field)                                                                                \
    static void get_##field(lunik_object *o, lunik_value *out)                                     \
    {                                                                                              \
        const struct i8259 *c = ((struct i8259_device *)lunik_state(o))->pair.pic;                 \
                                                                                                   \
        *out = (lunik_value){.kind = LUNIK_UINT, .uint = c[0].field | (uint64_t)c[1].field << 8};  \
    }
BOTH(irr)
BOTH(imr)
BOTH(isr)
BOTH(elcr)
BOTH(base)
BOTH(first)
BOTH(read_isr)
BOTH(nested)

static void get_intr(lunik_object *o, lunik_value *out)
{
    const struct i8259_device *s = lunik_state(o);

    *out = (lunik_value){.kind = LUNIK_BOOL, .boolean = s->pair.intr.level};
}

#define BOTH_PROP(prop, field, text)                                                               \
    {                                                                                              \
        .name = (prop), .kind = LUNIK_PROP_UINT, .flags = LUNIK_PROP_READONLY, .doc = (text),      \
        .get = get_##field                                                                         \
    }
static const lunik_prop props[] = {
    BOTH_PROP("irr", irr, "Interrupt requests; the second controller's in bits 8 to 15."),
    BOTH_PROP("imr", imr, "Interrupt masks."),
    BOTH_PROP("isr", isr, "Interrupts in service."),
    BOTH_PROP("elcr", elcr, "Inputs that are level triggered."),
    BOTH_PROP("base", base, "The vectors of the first inputs, a byte each."),
    BOTH_PROP("first", first, "The inputs with the highest priority, a byte each."),
    BOTH_PROP("read-isr", read_isr, "Whether reads give the ISR, a byte each."),
    BOTH_PROP("nested", nested, "Special fully nested modes, a byte each."),
    {
        .name = "intr",
        .kind = LUNIK_PROP_BOOL,
        .flags = LUNIK_PROP_READONLY,
        .doc = "INTR, the output to the CPU.",
        .get = get_intr,
    },
    {0},
};

/* ---- state ---------------------------------------------------------------------------------- */

static void loaded(void *state)
{
    struct i8259_device *s = state;

    i8259_update(&s->pair);
}

static const lunik_state_field state_fields[] = {
    LUNIK_STATE_STRUCT(struct i8259_device, pair, &i8259_pair_state),
    {0},
};

static const lunik_state_table state_table = {
    .name = "isa-i8259",
    .version = 1,
    .size = sizeof(struct i8259_device),
    .fields = state_fields,
    .loaded = loaded,
};

const lunik_type i8259_type = {
    .name = "isa-i8259",
    .doc = "The two 8259A interrupt controllers of a PC, for machines without KVM's.",
    .flags = LUNIK_TYPE_DEVICE,
    .size = sizeof(struct i8259_device),
    .props = props,
    .realize = realize,
    .unrealize = unrealize,
    .reset = reset,
    .state = &state_table,
};
