/*
 * debugcon.c: a debug console of one port: what is written goes to a character device, reading
 * gives the port's own number, 0xe9, by which a guest recognises it (after Bochs).
 *
 * The port knows no flow control: bytes that the character device can't take at once are lost and
 * counted.
 */
#include "../ports.h"
#include "../types.h"

#define DEBUGCON_ID 0xe9

typedef struct debugcon {
    uint64_t iobase;
    lunik_object *chardev;
    const lunik_chardev_ops *out;
    lunik_chardev_front front;
    lunik_region *port;
    uint64_t dropped;
} debugcon;

static lunik_access debugcon_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    *value = DEBUGCON_ID;
    return LUNIK_ACCESS_OK;
}

static lunik_access debugcon_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    debugcon *s = opaque;
    uint8_t byte = (uint8_t)value;

    if (s->out && s->out->write(s->chardev, &byte, 1) != 1)
        s->dropped++;
    return LUNIK_ACCESS_OK;
}

static const lunik_io_ops debugcon_ops = {
    .read = debugcon_read,
    .write = debugcon_write,
    .valid = {1, 1, false},
};

static size_t debugcon_can_receive(void *opaque)
{
    return 0; /* output only */
}

static void debugcon_unrealize(lunik_object *o)
{
    debugcon *s = lunik_state(o);

    device_region_drop(&s->port);
    if (s->out)
        s->out->attach(s->chardev, NULL, NULL);
    s->out = NULL;
}

static int debugcon_realize(lunik_object *o, lunik_error *err)
{
    debugcon *s = lunik_state(o);

    if (s->chardev) {
        const lunik_chardev_ops *out = lunik_chardev_iface(s->chardev);

        s->front = (lunik_chardev_front){.opaque = s, .can_receive = debugcon_can_receive};
        int rc = out->attach(s->chardev, &s->front, err);
        if (rc < 0)
            return rc;
        s->out = out;
    }
    int rc = device_ports_new(&s->port, s, "debugcon", s->iobase, 1, &debugcon_ops, err);
    if (rc < 0)
        debugcon_unrealize(o);
    return rc;
}

static const lunik_prop debugcon_props[] = {
    DEVICE_IOBASE_PROP(debugcon, "The I/O port.", 0xe9, 0xffff),
    {.name = "chardev",
     .kind = LUNIK_PROP_LINK,
     .doc = "The character device that gets the output; without one it is discarded.",
     .offset = offsetof(debugcon, chardev),
     .link = "chardev"},
    {.name = "dropped",
     .kind = LUNIK_PROP_UINT,
     .doc = "Bytes lost because the character device could not take them.",
     .offset = offsetof(debugcon, dropped),
     .flags = LUNIK_PROP_READONLY},
    {.name = NULL},
};

const lunik_type debugcon_type = {
    .name = "debugcon",
    .doc = "Debug console port at 0xe9.",
    .flags = LUNIK_TYPE_DEVICE,
    .size = sizeof(debugcon),
    .props = debugcon_props,
    .realize = debugcon_realize,
    .unrealize = debugcon_unrealize,
};
