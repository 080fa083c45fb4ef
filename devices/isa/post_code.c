/*
 * post_code.c: port 0x80, where firmware leaves progress codes and which operating systems write to
 * pass a microsecond. Accesses take no lock; the last code can be read at the port and as a
 * property.
 */
#include <stdatomic.h>

#include "../ports.h"
#include "../types.h"

struct post_code {
    uint64_t iobase;
    lunik_region *port;
    _Atomic uint8_t value;
};

static void reset(lunik_object *o)
{
    struct post_code *s = lunik_state(o);

    atomic_store_explicit(&s->value, 0, memory_order_relaxed);
}

static lunik_access port_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    struct post_code *s = opaque;

    *value = atomic_load_explicit(&s->value, memory_order_relaxed);
    return LUNIK_ACCESS_OK;
}

static lunik_access port_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct post_code *s = opaque;

    atomic_store_explicit(&s->value, (uint8_t)value, memory_order_relaxed);
    return LUNIK_ACCESS_OK;
}

static const lunik_io_ops port_ops = {
    .read = port_read,
    .write = port_write,
    .valid = {.min = 1, .max = 1},
    .lockless = true,
};

static int realize(lunik_object *o, lunik_error *err)
{
    struct post_code *s = lunik_state(o);

    return device_ports_new(&s->port, o, "post-code", s->iobase, 1, &port_ops, s, err);
}

static void unrealize(lunik_object *o)
{
    struct post_code *s = lunik_state(o);

    device_region_drop(&s->port);
}

static void get_value(lunik_object *o, lunik_value *out)
{
    struct post_code *s = lunik_state(o);

    *out = (lunik_value){
        .kind = LUNIK_UINT,
        .uint = atomic_load_explicit(&s->value, memory_order_relaxed),
    };
}

static const lunik_prop props[] = {
    DEVICE_IOBASE_PROP(struct post_code, "The I/O port.", 0x80, 0xffff),
    {
        .name = "value",
        .kind = LUNIK_PROP_UINT,
        .doc = "The code written last, 0 after reset.",
        .flags = LUNIK_PROP_READONLY,
        .get = get_value,
    },
    {0},
};

static const lunik_state_field state_fields[] = {
    LUNIK_STATE(struct post_code, value),
    {0},
};

static const lunik_state_table state_table = {
    .name = "post-code",
    .version = 1,
    .size = sizeof(struct post_code),
    .fields = state_fields,
};

const lunik_type post_code_type = {
    .name = "post-code",
    .doc = "The progress code port at 0x80.",
    .flags = LUNIK_TYPE_DEVICE,
    .size = sizeof(struct post_code),
    .props = props,
    .realize = realize,
    .unrealize = unrealize,
    .reset = reset,
    .state = &state_table,
};
