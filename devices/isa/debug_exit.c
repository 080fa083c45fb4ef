/*
 * debug_exit.c: a port that ends the machine: writing v makes its exit code v * 2 + 1, as QEMU's
 * isa-debug-exit does, so that a guest can report but never produce success by accident.
 */
#include "../ports.h"
#include "../types.h"

struct debug_exit {
    uint64_t iobase, iosize;
    lunik_region *port;
};

static lunik_access port_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    *value = 0;
    return LUNIK_ACCESS_OK;
}

static lunik_access port_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct debug_exit *s = opaque;
    int exit_code = (int)((value << 1 | 1) & INT32_MAX);

    lunik_machine_shutdown(lunik_object_machine(lunik_state_object(s)), "exit-device", exit_code);
    return LUNIK_ACCESS_OK;
}

static const lunik_io_ops port_ops = {
    .read = port_read,
    .write = port_write,
    .valid = {.min = 1, .max = 4, .unaligned = true},
};

static int realize(lunik_object *o, lunik_error *err)
{
    struct debug_exit *s = lunik_state(o);

    return device_ports_new(&s->port, o, "debug-exit", s->iobase, s->iosize, &port_ops, s, err);
}

static void unrealize(lunik_object *o)
{
    struct debug_exit *s = lunik_state(o);

    device_region_drop(&s->port);
}

static const lunik_prop props[] = {
    DEVICE_IOBASE_PROP(struct debug_exit, "First I/O port.", 0xf4, 0xfffc),
    {
        .name = "iosize",
        .kind = LUNIK_PROP_UINT,
        .doc = "Number of ports, 1 to 4.",
        .offset = offsetof(struct debug_exit, iosize),
        .def = 4,
        .min = 1,
        .max = 4,
    },
    {0},
};

const lunik_type debug_exit_type = {
    .name = "debug-exit",
    .doc = "Ends the machine when written: the exit code is the value times two plus one.",
    .flags = LUNIK_TYPE_DEVICE,
    .size = sizeof(struct debug_exit),
    .props = props,
    .realize = realize,
    .unrealize = unrealize,
    .state = &lunik_state_none,
};
