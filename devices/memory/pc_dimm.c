/*
 * pc_dimm.c: a DIMM: a memory backend in a slot, at an address.
 *
 * The machine's hotplug handler for memory (device_memory.c) chooses slot and address, and asks the
 * guest to give the DIMM up.
 */
#include <inttypes.h>

#include "pc_dimm.h"
#include "../ports.h"
#include "../types.h"

static int check_node(lunik_object *o, lunik_error *err)
{
    const struct pc_dimm *d = lunik_state(o);
    size_t nodes = lunik_machine_config_get(lunik_object_machine(o))->node_count;

    nodes = nodes ? nodes : 1;
    if (d->md.node < nodes)
        return 0;
    return lunik_fail(err, LUNIK_E_INVALID,
                      "%s: node: %" PRIu64 " is not a NUMA node of the machine, which has %zu",
                      lunik_object_type_name(o), d->md.node, nodes);
}

static int make_region(lunik_object *o, bool nonvolatile, lunik_error *err)
{
    struct pc_dimm *d = lunik_state(o);
    const lunik_memory_backend_ops *backend = lunik_memory_backend_iface(d->md.memdev);
    lunik_ram *ram = backend->ram(d->md.memdev);
    lunik_region_config config = {
        .kind = lunik_ram_readonly(ram) ? LUNIK_REGION_ROM : LUNIK_REGION_RAM,
        .name = lunik_object_id(d->md.memdev),
        .size = d->md.size,
        .ram = ram,
        .nonvolatile = nonvolatile,
    };

    return device_region_new(&d->md.region, o, config, err);
}

int pc_dimm_realize(lunik_object *o, bool nonvolatile, lunik_error *err)
{
    struct pc_dimm *d = lunik_state(o);
    int rc = check_node(o, err);

    if (rc)
        return rc;
    rc = lunik_object_claim(d->md.memdev, o, err);
    if (rc)
        return lunik_fail_prefix(err, rc, "%s: memdev", lunik_object_type_name(o));
    d->md.hotplugged = lunik_machine_hotplugging(lunik_object_machine(o));
    rc = make_region(o, nonvolatile, err);
    if (rc)
        lunik_object_release(d->md.memdev, o);
    return rc;
}

static int realize(lunik_object *o, lunik_error *err)
{
    return pc_dimm_realize(o, false, err);
}

static void unrealize(lunik_object *o)
{
    struct pc_dimm *d = lunik_state(o);

    lunik_region_unref(d->md.region);
    d->md.region = NULL;
    lunik_object_release(d->md.memdev, o);
}

/* ---- properties ----------------------------------------------------------------------------- */

static void get_hotpluggable(lunik_object *o, lunik_value *out)
{
    *out = (lunik_value){.kind = LUNIK_BOOL, .boolean = true};
}

#define FIELD(name) offsetof(struct pc_dimm, md.name)

static const lunik_prop props[] = {
    {
        .name = "memdev",
        .kind = LUNIK_PROP_LINK,
        .doc = "The memory backend; no other device may use it.",
        .offset = FIELD(memdev),
        .flags = LUNIK_PROP_REQUIRED,
        .link = "memory-backend",
    },
    {
        .name = "addr",
        .kind = LUNIK_PROP_UINT,
        .doc = "Guest physical address; 0: the first that fits.",
        .offset = FIELD(address),
    },
    {
        .name = "slot",
        .kind = LUNIK_PROP_INT,
        .doc = "Memory slot; -1: the first that is free.",
        .offset = FIELD(slot),
        .def = (uint64_t)-1,
        .min = (uint64_t)-1,
        .max = INT32_MAX,
    },
    {
        .name = "node",
        .kind = LUNIK_PROP_UINT,
        .doc = "Guest NUMA node.",
        .offset = FIELD(node),
    },
    {
        .name = "size",
        .kind = LUNIK_PROP_SIZE,
        .doc = "Bytes: those of memdev.",
        .offset = FIELD(size),
        .flags = LUNIK_PROP_READONLY,
    },
    {
        .name = "hotplugged",
        .kind = LUNIK_PROP_BOOL,
        .doc = "Added after the machine was started.",
        .offset = FIELD(hotplugged),
        .flags = LUNIK_PROP_READONLY,
    },
    {
        .name = "hotpluggable",
        .kind = LUNIK_PROP_BOOL,
        .doc = "Can be removed from a running machine.",
        .flags = LUNIK_PROP_READONLY,
        .get = get_hotpluggable,
    },
    {0},
};

/* Fills in the size, which is asked for before the DIMM is realized. */
static lunik_memory_device *get_memory_device(lunik_object *o)
{
    struct pc_dimm *d = lunik_state(o);

    if (d->md.memdev && !d->md.size) {
        const lunik_ram *ram = lunik_memory_backend_iface(d->md.memdev)->ram(d->md.memdev);
        d->md.size = lunik_ram_size(ram);
        d->md.align = lunik_ram_align(ram);
    }
    return &d->md;
}

static const lunik_memory_device_ops memory_device_ops = {.get = get_memory_device};

static const lunik_iface ifaces[] = {
    LUNIK_IFACE(memory_device, &memory_device_ops),
    {0},
};

static const lunik_state_field state_fields[] = {
    LUNIK_STATE(struct pc_dimm, md.address, .flags = LUNIK_STATE_SAME),
    LUNIK_STATE(struct pc_dimm, md.size, .flags = LUNIK_STATE_SAME),
    LUNIK_STATE(struct pc_dimm, md.slot, .flags = LUNIK_STATE_SAME),
    LUNIK_STATE(struct pc_dimm, md.node, .flags = LUNIK_STATE_SAME),
    LUNIK_STATE(struct pc_dimm, md.hotplugged),
    {0},
};

static const lunik_state_table state_table = {
    .name = "pc-dimm",
    .version = 1,
    .size = sizeof(struct pc_dimm),
    .fields = state_fields,
};

const lunik_type pc_dimm_type = {
    .name = "pc-dimm",
    .doc = "A memory module.",
    .flags = LUNIK_TYPE_DEVICE | LUNIK_TYPE_HOTPLUG | LUNIK_TYPE_UNPLUG,
    .size = sizeof(struct pc_dimm),
    .props = props,
    .ifaces = ifaces,
    .realize = realize,
    .unrealize = unrealize,
    .hotplug = "memory",
    .hotplug_wants = "maxmem and slots",
    .state = &state_table,
};
