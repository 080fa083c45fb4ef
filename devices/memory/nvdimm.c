/*
 * nvdimm.c: a module of persistent memory: a memory backend in a slot, at an address, whose
 * contents stay. The last label-size bytes of the backend are the labels that name parts of it: the
 * guest has no address for them, and reads and writes them with _DSM (nvdimm_dsm.c).
 *
 * Properties and rules are those of QEMU's nvdimm. The guest is not asked to give one up: QEMU
 * can't unplug it either. Not modelled: block windows, and flush hints, which a guest without them
 * does not need for memory that the host keeps in its page cache.
 */
#include "nvdimm.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>

#include "../types.h"

enum { LABELS_MIN = 128 << 10 };

struct nvdimm *nvdimm_of(lunik_object *o)
{
    return lunik_object_type(o) == &nvdimm_type ? lunik_state(o) : NULL;
}

static const lunik_ram *ram_of(const struct nvdimm *n)
{
    lunik_object *memdev = n->dimm.md.memdev;

    return lunik_memory_backend_iface(memdev)->ram(memdev);
}

struct nvdimm_labels nvdimm_labels_of(const struct nvdimm *n)
{
    const lunik_ram *ram = ram_of(n);

    return (struct nvdimm_labels){
        .data = (uint8_t *)lunik_ram_host(ram) + lunik_ram_size(ram) - n->label_size,
        .size = n->label_size,
        .readonly = n->unarmed || lunik_ram_readonly(ram),
    };
}

/* ---- checks --------------------------------------------------------------------------------- */

/* 8-4-4-4-12 hexadecimal digits */
static bool is_uuid(const char *text)
{
    static const char pattern[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";

    if (strlen(text) != sizeof(pattern) - 1)
        return false;
    for (size_t i = 0; pattern[i]; i++)
        if (pattern[i] == 'x' ? !isxdigit((unsigned char)text[i]) : text[i] != pattern[i])
            return false;
    return true;
}

static int check_size(const struct nvdimm *n, lunik_error *err)
{
    const lunik_object *memdev = n->dimm.md.memdev;

    if (n->label_size && n->label_size < LABELS_MIN)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "nvdimm: label-size: %" PRIu64 " is too small (want 0, or at least %d)",
                          n->label_size, LABELS_MIN);
    if (!n->dimm.md.size)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "nvdimm: memdev: the size of '%s', 0x%" PRIx64
                          ", leaves no room besides label-size, 0x%" PRIx64
                          " (want at least 0x%" PRIx64 " more than that)",
                          lunik_object_id(memdev), lunik_ram_size(ram_of(n)), n->label_size,
                          n->dimm.md.align);
    return 0;
}

static int realize(lunik_object *o, lunik_error *err)
{
    const struct nvdimm *n = lunik_state(o);
    int rc = check_size(n, err);

    if (rc)
        return rc;
    if (n->uuid && !is_uuid(n->uuid))
        return lunik_fail(err, LUNIK_E_INVALID,
                          "nvdimm: uuid: '%s' is no UUID (want 8-4-4-4-12 hexadecimal digits)",
                          n->uuid);
    if (!n->unarmed && lunik_ram_readonly(ram_of(n)))
        return lunik_fail(err, LUNIK_E_INVALID,
                          "nvdimm: unarmed: must be true, because memdev '%s' is readonly",
                          lunik_object_id(n->dimm.md.memdev));
    return pc_dimm_realize(o, true, err);
}

/* ---- structures of the NFIT ----------------------------------------------------------------- */

static uint8_t *put(uint8_t *p, uint64_t value, unsigned width)
{
    for (unsigned i = 0; i < width; i++)
        p[i] = (uint8_t)(value >> 8 * i);
    return p + width;
}

/* Byte-addressable persistent memory: 66f0d379-b4f3-4074-ac43-0d3318b78cdb */
static const uint8_t persistent_memory[16] = {0x79, 0xd3, 0xf0, 0x66, 0xf3, 0xb4, 0x74, 0x40,
                                              0xac, 0x43, 0x0d, 0x33, 0x18, 0xb7, 0x8c, 0xdb};

enum {
    FIT_RANGE = 0,
    FIT_MAP = 1,
    FIT_CONTROL = 4,
    RANGE_FOR_HOTPLUG = 1, /* the control region is there for management only */
    RANGE_HAS_NODE = 2,
    MAP_NOT_ARMED = 8,
    MEMORY_WRITE_BACK = 0x8,
    MEMORY_NONVOLATILE = 0x8000,
    INTERFACE = 0x301, /* byte addressable, without block windows */
    VENDOR = 0x8086,   /* with the serial numbers, as QEMU's */
    SERIAL_BASE = 0x123456,
};

/* A range of guest addresses. */
static uint8_t *put_range(uint8_t *p, const lunik_memory_device *md)
{
    p = put(p, FIT_RANGE, 2);
    p = put(p, 56, 2);
    p = put(p, nvdimm_handle((uint64_t)md->slot), 2); /* number of the range */
    p = put(p, RANGE_FOR_HOTPLUG | RANGE_HAS_NODE, 2);
    p = put(p, 0, 4);
    p = put(p, md->node, 4);
    memcpy(p, persistent_memory, sizeof(persistent_memory));
    p = put(p + sizeof(persistent_memory), md->address, 8);
    p = put(p, md->size, 8);
    return put(p, MEMORY_WRITE_BACK | MEMORY_NONVOLATILE, 8);
}

/* The module that the range is in. */
static uint8_t *put_map(uint8_t *p, const struct nvdimm *n)
{
    uint32_t handle = nvdimm_handle((uint64_t)n->dimm.md.slot);

    p = put(p, FIT_MAP, 2);
    p = put(p, 48, 2);
    p = put(p, handle, 4);
    p = put(p, 0, 4);      /* SMBIOS handle, region of the module */
    p = put(p, handle, 2); /* range */
    p = put(p, handle, 2); /* control region */
    p = put(p, n->dimm.md.size, 8);
    p = put(p, 0, 8); /* offset in the range */
    p = put(p, 0, 8); /* address in the module */
    p = put(p, 0, 2);
    p = put(p, 1, 2); /* way of interleaving */
    return put(p, n->unarmed ? MAP_NOT_ARMED : 0, 4);
}

/* What the module is: without block windows, the rest is zero. */
static void put_control(uint8_t *p, const lunik_memory_device *md)
{
    uint8_t *end = p + 80;

    p = put(p, FIT_CONTROL, 2);
    p = put(p, 80, 2);
    p = put(p, nvdimm_handle((uint64_t)md->slot), 2);
    p = put(p, VENDOR, 2);
    p = put(p, 1, 2); /* device */
    p = put(p, 1, 2); /* revision */
    p = put(p, 0, 8); /* subsystem, and where it was made, */
    p = put(p, 0, 4); /* and when */
    p = put(p, SERIAL_BASE + (uint64_t)md->slot, 4);
    p = put(p, INTERFACE, 2);
    memset(p, 0, (size_t)(end - p));
}

void nvdimm_fit_put(const struct nvdimm *n, uint8_t out[NVDIMM_FIT_SIZE])
{
    put_control(put_map(put_range(out, &n->dimm.md), n), &n->dimm.md);
}

/* ---- properties ----------------------------------------------------------------------------- */

static void get_hotpluggable(lunik_object *o, lunik_value *out)
{
    *out = (lunik_value){.kind = LUNIK_BOOL, .boolean = false};
}

static const lunik_prop props[] = {
    {
        .name = "label-size",
        .kind = LUNIK_PROP_SIZE,
        .doc = "Bytes at the end of memdev that hold labels: 0, or at least 128K.",
        .offset = offsetof(struct nvdimm, label_size),
        .max = UINT32_MAX,
    },
    {
        .name = "unarmed",
        .kind = LUNIK_PROP_BOOL,
        .doc = "Tell the guest that what it writes may not stay; it then only reads.",
        .offset = offsetof(struct nvdimm, unarmed),
    },
    {
        .name = "uuid",
        .kind = LUNIK_PROP_STRING,
        .doc = "A UUID for those who manage the machine; the guest does not see it.",
        .offset = offsetof(struct nvdimm, uuid),
    },
    {
        .name = "hotpluggable",
        .kind = LUNIK_PROP_BOOL,
        .doc = "Can be removed from a running machine: false.",
        .flags = LUNIK_PROP_READONLY,
        .get = get_hotpluggable,
    },
    {0},
};

/* Fills in the size, which is asked for before the NVDIMM is realized; 0: the labels leave none. */
static lunik_memory_device *get_memory_device(lunik_object *o)
{
    struct nvdimm *n = lunik_state(o);
    lunik_memory_device *md = &n->dimm.md;

    if (md->memdev && !md->size) {
        uint64_t all = lunik_ram_size(ram_of(n));

        md->align = lunik_ram_align(ram_of(n));
        md->size = all > n->label_size ? (all - n->label_size) / md->align * md->align : 0;
    }
    return md;
}

static const lunik_memory_device_ops memory_device_ops = {.get = get_memory_device};

static const lunik_iface ifaces[] = {
    LUNIK_IFACE(memory_device, &memory_device_ops),
    {0},
};

static const lunik_state_field state_fields[] = {
    LUNIK_STATE(struct nvdimm, label_size, .flags = LUNIK_STATE_SAME),
    LUNIK_STATE(struct nvdimm, unarmed, .flags = LUNIK_STATE_SAME),
    {0},
};

static const lunik_state_table state_table = {
    .name = "nvdimm",
    .version = 1,
    .size = sizeof(struct nvdimm),
    .fields = state_fields,
};

const lunik_type nvdimm_type = {
    .name = "nvdimm",
    .parent = "pc-dimm",
    .doc = "A module of persistent memory.",
    .flags = LUNIK_TYPE_DEVICE | LUNIK_TYPE_HOTPLUG,
    .size = sizeof(struct nvdimm),
    .props = props,
    .ifaces = ifaces,
    .realize = realize,
    .state = &state_table,
};
