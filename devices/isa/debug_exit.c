/*
 * debug_exit.c: a port that ends the machine: writing v makes its exit code v * 2 + 1, as QEMU's
 * isa-debug-exit does, so that a guest can report but never produce success by accident.
 */
#include "../ports.h"
#include "../types.h"

typedef struct debug_exit {
    uint64_t iobase, iosize;
    lunik_region *port;
} debug_exit;

static lunik_access debug_exit_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    *value = 0;
    return LUNIK_ACCESS_OK;
}

static lunik_access debug_exit_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    debug_exit *s = opaque;
    int code = (int)((value << 1 | 1) & INT32_MAX);

    lunik_machine_shutdown(lunik_object_machine(lunik_state_object(s)), "exit-device", code);
    return LUNIK_ACCESS_OK;
}

static const lunik_io_ops debug_exit_ops = {
    .read = debug_exit_read,
    .write = debug_exit_write,
    .valid = {1, 4, true},
};

static int debug_exit_realize(lunik_object *o, lunik_error *err)
{
    debug_exit *s = lunik_state(o);

    return device_ports_new(&s->port, s, "debug-exit", s->iobase, s->iosize, &debug_exit_ops, err);
}

static void debug_exit_unrealize(lunik_object *o)
{
    debug_exit *s = lunik_state(o);

    device_region_drop(&s->port);
}

static const lunik_prop debug_exit_props[] = {
    DEVICE_IOBASE_PROP(debug_exit, "First I/O port.", 0xf4, 0xfffc),
    {.name = "iosize",
     .kind = LUNIK_PROP_UINT,
     .doc = "Number of ports, 1 to 4.",
     .offset = offsetof(debug_exit, iosize),
     .def = 4,
     .min = 1,
     .max = 4},
    {.name = NULL},
};

const lunik_type debug_exit_type = {
    .name = "debug-exit",
    .doc = "Ends the machine when written: the exit code is the value times two plus one.",
    .flags = LUNIK_TYPE_DEVICE,
    .size = sizeof(debug_exit),
    .props = debug_exit_props,
    .realize = debug_exit_realize,
    .unrealize = debug_exit_unrealize,
};
