/*
 * ioapic.c: the I/O APIC of a PC (ioapic_chip.h) at 0xfec00000. The machine's lines are its inputs,
 * except that the timer's, line 0, is input 2, as the ACPI tables say.
 */
#include <inttypes.h>
#include <stdio.h>

#include "ioapic_chip.h"
#include "../ports.h"
#include "../types.h"

#define ADDRESS 0xfec00000
#define SIZE    0x1000

#define TIMER_LINE 0
#define TIMER_PIN  2

#define DIGITS 16 /* of an entry */

struct ioapic {
    struct ioapic_chip chip;
    lunik_irqchip irqchip;
    lunik_region *region;
    char text[IOAPIC_PINS * (DIGITS + 1) + 1]; /* of the property "redirection" */
};

static void reset(lunik_object *o)
{
    struct ioapic *s = lunik_state(o);

    ioapic_reset(&s->chip);
}

/* ---- registers ------------------------------------------------------------------------------ */

static lunik_access mmio_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    const struct ioapic *s = opaque;

    *value = ioapic_read(&s->chip, (unsigned)offset);
    return LUNIK_ACCESS_OK;
}

static lunik_access mmio_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct ioapic *s = opaque;

    ioapic_write(&s->chip, (unsigned)offset, (uint32_t)value);
    return LUNIK_ACCESS_OK;
}

/* As on hardware registers are 32 bits wide; narrower accesses reach their low bytes. */
static const lunik_io_ops mmio_ops = {
    .read = mmio_read,
    .write = mmio_write,
    .valid = {.min = 1, .max = 4},
};

/* ---- lines ---------------------------------------------------------------------------------- */

static struct ioapic *device_of(lunik_irqchip *chip)
{
    return lunik_container_of(chip, struct ioapic, irqchip);
}

/* Returns the input of a line, or IOAPIC_PINS: none, as input 2 is another's. */
static unsigned pin_of(unsigned gsi)
{
    if (gsi == TIMER_LINE)
        return TIMER_PIN;
    return gsi == TIMER_PIN ? IOAPIC_PINS : gsi;
}

static void line_changed(lunik_irqchip *chip, unsigned gsi, bool level)
{
    unsigned pin = pin_of(gsi);

    if (pin < IOAPIC_PINS)
        ioapic_set_line(&device_of(chip)->chip, pin, level);
}

static void interrupt_ended(lunik_irqchip *chip, uint8_t vector)
{
    ioapic_end(&device_of(chip)->chip, vector);
}

static bool line_message(lunik_irqchip *chip, unsigned gsi, lunik_msi *out)
{
    unsigned pin = pin_of(gsi);

    return pin < IOAPIC_PINS && ioapic_message(&device_of(chip)->chip, pin, out);
}

static void send_message(void *opaque, unsigned pin, const lunik_msi *msg)
{
    lunik_msi_send(lunik_state_object(opaque), msg);
}

static void messages_changed(void *opaque)
{
    struct ioapic *s = opaque;

    lunik_irqchip_changed(&s->irqchip);
}

/* ---- life cycle ----------------------------------------------------------------------------- */

static void unrealize(lunik_object *o)
{
    struct ioapic *s = lunik_state(o);

    lunik_irqchip_remove(&s->irqchip);
    device_region_drop(&s->region);
}

static int map(struct ioapic *s, lunik_error *err)
{
    lunik_object *o = lunik_state_object(s);
    lunik_region *memory = lunik_space_root(lunik_machine_memory(lunik_object_machine(o)));
    const lunik_region_config config = {
        .kind = LUNIK_REGION_IO, .name = "ioapic", .size = SIZE, .ops = &mmio_ops, .opaque = s};
    int rc = device_region_new(&s->region, o, config, err);

    return rc ? rc : lunik_region_add(memory, ADDRESS, s->region, 0, false, err);
}

static int realize(lunik_object *o, lunik_error *err)
{
    struct ioapic *s = lunik_state(o);
    int rc;

    ioapic_init(&s->chip, send_message, messages_changed, s);
    rc = map(s, err);
    s->irqchip =
        (lunik_irqchip){.line = line_changed, .end = interrupt_ended, .message = line_message};
    if (!rc)
        rc = lunik_irqchip_add(lunik_object_machine(o), &s->irqchip, err);
    if (rc)
        unrealize(o);
    return rc;
}

/* ---- properties ----------------------------------------------------------------------------- */

static void get_redirection(lunik_object *o, lunik_value *out)
{
    struct ioapic *s = lunik_state(o);

    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++)
        snprintf(s->text + pin * (DIGITS + 1), DIGITS + 2, "%016" PRIx64 " ",
                 s->chip.redirection[pin]);
    s->text[sizeof(s->text) - 2] = '\0';
    *out = (lunik_value){.kind = LUNIK_STRING, .string = s->text};
}

#define NUMBER(name, field)                                                                        \
    static void get_##name(lunik_object *o, lunik_value *out)                                      \
    {                                                                                              \
        const struct ioapic *s = lunik_state(o);                                                   \
                                                                                                   \
        *out = (lunik_value){.kind = LUNIK_UINT, .uint = s->chip.field};                           \
    }
NUMBER(id, id)
NUMBER(select, select)
NUMBER(lines, lines)

#define NUMBER_PROP(prop, field, text)                                                             \
    {                                                                                              \
        .name = (prop), .kind = LUNIK_PROP_UINT, .flags = LUNIK_PROP_READONLY, .doc = (text),      \
        .get = get_##field                                                                         \
    }
static const lunik_prop props[] = {
    NUMBER_PROP("apic-id", id, "Its id."),
    NUMBER_PROP("select", select, "The register that the window shows."),
    NUMBER_PROP("lines", lines, "Levels of the inputs."),
    {
        .name = "redirection",
        .kind = LUNIK_PROP_STRING,
        .flags = LUNIK_PROP_READONLY,
        .doc = "The 24 redirection entries, 16 hexadecimal digits each, separated by spaces.",
        .get = get_redirection,
    },
    {0},
};

/* ---- state ---------------------------------------------------------------------------------- */

static void loaded(void *state)
{
    messages_changed(state);
}

static const lunik_state_field state_fields[] = {
    LUNIK_STATE_STRUCT(struct ioapic, chip, &ioapic_chip_state),
    {0},
};

static const lunik_state_table state_table = {
    .name = "ioapic",
    .version = 1,
    .size = sizeof(struct ioapic),
    .fields = state_fields,
    .loaded = loaded,
};

const lunik_type ioapic_type = {
    .name = "ioapic",
    .doc = "An I/O APIC with 24 inputs, for machines without KVM's.",
    .flags = LUNIK_TYPE_DEVICE,
    .size = sizeof(struct ioapic),
    .props = props,
    .realize = realize,
    .unrealize = unrealize,
    .reset = reset,
    .state = &state_table,
};
