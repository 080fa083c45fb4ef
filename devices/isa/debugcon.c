/*
 * debugcon.c: a debug console of one port (after Bochs). Bytes that are written go to a character
 * device; a read gives the port's own number, 0xe9, by which a guest recognises the device.
 *
 * Not modelled: flow control. Bytes that the character device can't take at once are lost and
 * counted.
 */
#include "../ports.h"
#include "../types.h"

#define DEBUGCON_ID 0xe9

struct debugcon {
    uint64_t iobase;
    lunik_object *chardev;
    const lunik_chardev_ops *out;
    lunik_chardev_front front;
    lunik_region *port;
    uint64_t dropped;
};

static lunik_access port_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    *value = DEBUGCON_ID;
    return LUNIK_ACCESS_OK;
}

static lunik_access port_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct debugcon *s = opaque;
    uint8_t byte = (uint8_t)value;

    if (s->out && s->out->write(s->chardev, &byte, 1) != 1)
        s->dropped++;
    return LUNIK_ACCESS_OK;
}

static const lunik_io_ops port_ops = {
    .read = port_read,
    .write = port_write,
    .valid = {.min = 1, .max = 1},
};

static size_t can_receive(void *opaque)
{
    return 0; /* output only */
}

static void unrealize(lunik_object *o)
{
    struct debugcon *s = lunik_state(o);

    device_region_drop(&s->port);
    if (s->out)
        s->out->attach(s->chardev, NULL, NULL);
    s->out = NULL;
}

static int realize(lunik_object *o, lunik_error *err)
{
    struct debugcon *s = lunik_state(o);

    if (s->chardev) {
        const lunik_chardev_ops *out = lunik_chardev_iface(s->chardev);

        s->front = (lunik_chardev_front){.opaque = s, .can_receive = can_receive};
        int rc = out->attach(s->chardev, &s->front, err);
        if (rc)
            return rc;
        s->out = out;
    }
    int rc = device_ports_new(&s->port, o, "debugcon", s->iobase, 1, &port_ops, s, err);
    if (rc)
        unrealize(o);
    return rc;
}

static const lunik_prop props[] = {
    DEVICE_IOBASE_PROP(struct debugcon, "The I/O port.", 0xe9, 0xffff),
    DEVICE_CHARDEV_PROP(struct debugcon,
                        "The character device that gets the output; without one it is discarded."),
    {
        .name = "dropped",
        .kind = LUNIK_PROP_UINT,
        .doc = "Bytes lost because the character device could not take them.",
        .offset = offsetof(struct debugcon, dropped),
        .flags = LUNIK_PROP_READONLY,
    },
    {0},
};

static const lunik_state_field state_fields[] = {
    LUNIK_STATE(struct debugcon, dropped),
    {0},
};

static const lunik_state_table state_table = {
    .name = "debugcon",
    .version = 1,
    .size = sizeof(struct debugcon),
    .fields = state_fields,
};

const lunik_type debugcon_type = {
    .name = "debugcon",
    .doc = "Debug console port at 0xe9.",
    .flags = LUNIK_TYPE_DEVICE,
    .size = sizeof(struct debugcon),
    .props = props,
    .realize = realize,
    .unrealize = unrealize,
    .state = &state_table,
};
