/*
 * post_code.c: port 0x80, where firmware leaves progress codes and operating systems write to
 * pass a microsecond. It takes no lock; the last code can be read as a property and a port.
 */
#include <stdatomic.h>

#include "../ports.h"
#include "../types.h"

typedef struct post_code {
    uint64_t iobase;
    lunik_region *port;
    _Atomic uint8_t value;
} post_code;

static void post_code_reset(lunik_object *o)
{
    post_code *s = lunik_state(o);

    atomic_store_explicit(&s->value, 0, memory_order_relaxed);
}

static lunik_access post_code_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    post_code *s = opaque;

    *value = atomic_load_explicit(&s->value, memory_order_relaxed);
    return LUNIK_ACCESS_OK;
}

static lunik_access post_code_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    post_code *s = opaque;

    atomic_store_explicit(&s->value, (uint8_t)value, memory_order_relaxed);
    return LUNIK_ACCESS_OK;
}

static const lunik_io_ops post_code_ops = {
    .read = post_code_read,
    .write = post_code_write,
    .valid = {1, 1, false},
    .lockless = true,
};

static int post_code_realize(lunik_object *o, lunik_error *err)
{
    post_code *s = lunik_state(o);

    return device_ports_new(&s->port, s, "post-code", s->iobase, 1, &post_code_ops, err);
}

static void post_code_unrealize(lunik_object *o)
{
    post_code *s = lunik_state(o);

    device_region_drop(&s->port);
}

static void post_code_get(lunik_object *o, lunik_value *out)
{
    post_code *s = lunik_state(o);

    *out = (lunik_value){.kind = LUNIK_UINT,
                         .uint = atomic_load_explicit(&s->value, memory_order_relaxed)};
}

static const lunik_prop post_code_props[] = {
    DEVICE_IOBASE_PROP(post_code, "The I/O port.", 0x80, 0xffff),
    {.name = "value",
     .kind = LUNIK_PROP_UINT,
     .doc = "The code written last, 0 after reset.",
     .flags = LUNIK_PROP_READONLY,
     .get = post_code_get},
    {.name = NULL},
};

const lunik_type post_code_type = {
    .name = "post-code",
    .doc = "The progress code port at 0x80.",
    .flags = LUNIK_TYPE_DEVICE,
    .size = sizeof(post_code),
    .props = post_code_props,
    .realize = post_code_realize,
    .unrealize = post_code_unrealize,
    .reset = post_code_reset,
};
