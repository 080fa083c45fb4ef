/*
 * port92.c: system control port A of the PS/2, port 0x92: fast reset and A20.
 *
 * Not modelled: masking of address line 20 (bit 1 keeps its value; A20 is always on), the disk
 * activity and watchdog bits.
 */
#include "../ports.h"
#include "../types.h"

#define PORT92       0x92
#define PORT92_RESET 0x01 /* 0 to 1 resets the machine */
#define PORT92_A20   0x02

struct port92 {
    lunik_region *port;
    uint8_t value;
};

static void reset(lunik_object *o)
{
    struct port92 *s = lunik_state(o);

    s->value = PORT92_A20;
}

static lunik_access port_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    const struct port92 *s = opaque;

    *value = s->value;
    return LUNIK_ACCESS_OK;
}

static lunik_access port_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct port92 *s = opaque;
    bool reset = value & ~s->value & PORT92_RESET;

    s->value = value & (PORT92_RESET | PORT92_A20);
    if (reset)
        lunik_machine_guest_reset(lunik_object_machine(lunik_state_object(s)));
    return LUNIK_ACCESS_OK;
}

static const lunik_io_ops port_ops = {
    .read = port_read,
    .write = port_write,
    .valid = {.min = 1, .max = 1},
};

static int realize(lunik_object *o, lunik_error *err)
{
    struct port92 *s = lunik_state(o);

    reset(o);
    return device_ports_new(&s->port, o, "port92", PORT92, 1, &port_ops, s, err);
}

static void unrealize(lunik_object *o)
{
    struct port92 *s = lunik_state(o);

    device_region_drop(&s->port);
}

static const lunik_state_field state_fields[] = {
    LUNIK_STATE(struct port92, value, .limit = (PORT92_RESET | PORT92_A20) + 1),
    {0},
};

static const lunik_state_table state_table = {
    .name = "port92",
    .version = 1,
    .size = sizeof(struct port92),
    .fields = state_fields,
};

const lunik_type port92_type = {
    .name = "port92",
    .doc = "System control port A at 0x92: fast reset, and A20 (which is always on).",
    .flags = LUNIK_TYPE_DEVICE,
    .size = sizeof(struct port92),
    .realize = realize,
    .unrealize = unrealize,
    .reset = reset,
    .state = &state_table,
};
