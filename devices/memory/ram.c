/*
 * ram.c: RAM on the board: shows a memory backend, or a part of it, at a fixed guest address.
 */
#include <inttypes.h>

#include "../ports.h"
#include "../types.h"

struct ram_window {
    lunik_object *memdev;
    uint64_t addr, offset, size;
    lunik_region *ram, *window;
};

static int check_range(struct ram_window *s, uint64_t whole, lunik_error *err)
{
    if (s->offset >= whole)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "ram: offset: '0x%" PRIx64 "' is beyond %s (want less than 0x%" PRIx64
                          ")",
                          s->offset, lunik_object_path(s->memdev), whole);
    if (!s->size)
        s->size = whole - s->offset;
    if (s->size > whole - s->offset)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "ram: size: '0x%" PRIx64 "' is more than %s has there (want 0x%" PRIx64
                          " at most)",
                          s->size, lunik_object_path(s->memdev), whole - s->offset);
    if (s->size - 1 > UINT64_MAX - s->addr)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "ram: addr: '0x%" PRIx64 "' is too high for 0x%" PRIx64 " bytes", s->addr,
                          s->size);
    return 0;
}

static void unrealize(lunik_object *o)
{
    struct ram_window *s = lunik_state(o);

    device_region_drop(&s->window);
    device_region_drop(&s->ram);
}

static int realize(lunik_object *o, lunik_error *err)
{
    struct ram_window *s = lunik_state(o);
    lunik_machine *m = lunik_object_machine(o);
    const lunik_memory_backend_ops *backend = lunik_memory_backend_iface(s->memdev);
    lunik_region_config whole = {
        .kind = LUNIK_REGION_RAM,
        .name = lunik_object_id(s->memdev),
        .ram = backend->ram(s->memdev),
    };
    lunik_region_config window = {
        .kind = LUNIK_REGION_ALIAS, .name = lunik_object_id(o), .offset = s->offset};
    int rc = check_range(s, lunik_ram_size(whole.ram), err);

    if (!rc)
        rc = device_region_new(&s->ram, o, whole, err);
    window.size = s->size;
    window.target = s->ram;
    if (!rc)
        rc = device_region_new(&s->window, o, window, err);
    if (!rc)
        rc = lunik_region_add(lunik_space_root(lunik_machine_memory(m)), s->addr, s->window, 0,
                              false, err);
    if (rc)
        unrealize(o);
    return rc;
}

static const lunik_prop props[] = {
    {
        .name = "memdev",
        .kind = LUNIK_PROP_LINK,
        .doc = "The memory backend.",
        .offset = offsetof(struct ram_window, memdev),
        .flags = LUNIK_PROP_REQUIRED,
        .link = "memory-backend",
    },
    {
        .name = "addr",
        .kind = LUNIK_PROP_SIZE,
        .doc = "Guest physical address.",
        .offset = offsetof(struct ram_window, addr),
    },
    {
        .name = "offset",
        .kind = LUNIK_PROP_SIZE,
        .doc = "Offset in the backend of the part to show.",
        .offset = offsetof(struct ram_window, offset),
    },
    {
        .name = "size",
        .kind = LUNIK_PROP_SIZE,
        .doc = "Bytes to show; 0 = all from offset on.",
        .offset = offsetof(struct ram_window, size),
    },
    {0},
};

static const lunik_state_field state_fields[] = {
    LUNIK_STATE(struct ram_window, addr, .flags = LUNIK_STATE_SAME),
    LUNIK_STATE(struct ram_window, size, .flags = LUNIK_STATE_SAME),
    {0},
};

static const lunik_state_table state_table = {
    .name = "ram",
    .version = 1,
    .size = sizeof(struct ram_window),
    .fields = state_fields,
};

const lunik_type ram_type = {
    .name = "ram",
    .doc = "RAM on the board: a memory backend, or a part of it, at a fixed guest address.",
    .flags = LUNIK_TYPE_DEVICE,
    .size = sizeof(struct ram_window),
    .props = props,
    .realize = realize,
    .unrealize = unrealize,
    .state = &state_table,
};
