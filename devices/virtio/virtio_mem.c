/*
 * virtio_mem.c: memory in blocks that the guest takes and gives up as it is asked to (virtio 1.2,
 * section 5.15), in the window for memory devices.
 *
 * Blocks that are not plugged are the host's: they read as zeros, and what the guest writes there
 * is lost when they are unplugged the next time. Only a reset of the machine unplugs what the guest
 * does not give up.
 */
#include <inttypes.h>

#include "virtio_mem.h"

#include "../memory/device_memory.h"
#include "../ports.h"
#include "../types.h"

#define BLOCK_DEFAULT (UINT64_C(2) << 20)
#define USABLE_EXTENT (UINT64_C(256) << 20) /* beyond what is requested, as QEMU's */

enum { WORDS_MAX = 1 << 20 };

/* ---- configuration -------------------------------------------------------------------------- */

static void put(struct virtio_mem *s, unsigned reg, uint64_t value)
{
    lunik_pci_set_long(s->config, reg, (uint32_t)value);
    lunik_pci_set_long(s->config, reg + 4, (uint32_t)(value >> 32));
}

static void fill_config(struct virtio_mem *s)
{
    put(s, MEM_BLOCK_SIZE, s->block_size);
    lunik_pci_set_word(s->config, MEM_NODE, (uint16_t)s->md.node);
    put(s, MEM_ADDRESS, s->md.address);
    put(s, MEM_REGION_SIZE, s->md.size);
    put(s, MEM_USABLE_SIZE, s->usable);
    put(s, MEM_PLUGGED_SIZE, s->size);
    put(s, MEM_REQUESTED_SIZE, s->requested);
}

void mem_update_usable(struct virtio_mem *s, bool may_shrink)
{
    uint64_t usable = s->md.size;

    if (s->requested < usable && usable - s->requested > USABLE_EXTENT)
        usable = (s->requested + USABLE_EXTENT) / s->block_size * s->block_size;
    if (usable > s->usable || may_shrink)
        s->usable = usable;
    fill_config(s);
}

void mem_size_changed(struct virtio_mem *s)
{
    lunik_object *o = lunik_state_object(s);

    fill_config(s);
    lunik_emit(lunik_object_machine(o), "memory-device-size-change",
               LUNIK_FIELD_STRING("device", lunik_object_id(o)), LUNIK_FIELD_UINT("size", s->size),
               LUNIK_FIELD_STRING("path", lunik_object_path(o)));
}

/* ---- checks --------------------------------------------------------------------------------- */

static int check_block_size(const struct virtio_mem *s, lunik_error *err)
{
    uint64_t least = lunik_ram_page_size(s->ram);

    if (s->block_size < least || s->block_size & (s->block_size - 1))
        return lunik_fail(err, LUNIK_E_INVALID,
                          "virtio-mem-pci: block-size: 0x%" PRIx64
                          " is out of range (want a power of two from 0x%" PRIx64 " on)",
                          s->block_size, least);
    if (s->md.size % s->block_size)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "virtio-mem-pci: memdev: the size of '%s', 0x%" PRIx64
                          ", must be a multiple of block-size, 0x%" PRIx64,
                          lunik_object_id(s->md.memdev), s->md.size, s->block_size);
    if (s->md.size / s->block_size / 64 >= WORDS_MAX)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "virtio-mem-pci: block-size: 0x%" PRIx64 " is too small for 0x%" PRIx64
                          " bytes (want at most %u blocks)",
                          s->block_size, s->md.size, WORDS_MAX * 64 - 64);
    return 0;
}

static int check_requested(const struct virtio_mem *s, uint64_t requested, lunik_error *err)
{
    if (requested % s->block_size)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "virtio-mem-pci: requested-size: 0x%" PRIx64
                          " must be a multiple of block-size, 0x%" PRIx64,
                          requested, s->block_size);
    if (requested > s->md.size)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "virtio-mem-pci: requested-size: 0x%" PRIx64
                          " is out of range (want at most the size of memdev, 0x%" PRIx64 ")",
                          requested, s->md.size);
    return 0;
}

/* ---- life cycle ----------------------------------------------------------------------------- */

static const struct virtio_ops ops = {.serve = mem_serve};

/* The machine has been reset: its guest has none of the blocks any more. */
static void machine_reset(void *opaque)
{
    struct virtio_mem *s = opaque;
    uint64_t before = s->size;

    mem_unplug_all(s);
    mem_update_usable(s, true);
    if (s->size != before)
        mem_size_changed(s);
}

/* The guest would lose memory that it uses, or may plug more while it is being asked. */
static int removing(lunik_pci_function *f, lunik_error *err)
{
    const struct virtio_mem *s = lunik_container_of(f, struct virtio_mem, pci.function);
    const char *what = s->size ? "size" : "requested-size";
    uint64_t value = s->size ? s->size : s->requested;

    return value ? lunik_fail(err, LUNIK_E_STATE,
                              "virtio-mem-pci '%s' can't be unplugged while %s is 0x%" PRIx64
                              " (want 0: set requested-size to 0, and wait for size to follow)",
                              lunik_object_id(lunik_state_object(s)), what, value)
                 : 0;
}

static int make_region(struct virtio_mem *s, lunik_object *o, lunik_error *err)
{
    const lunik_region_config config = {
        .kind = LUNIK_REGION_RAM, .name = lunik_object_id(s->md.memdev), .ram = s->ram};
    int rc = device_region_new(&s->md.region, o, config, err);

    if (rc)
        return rc;
    rc = device_memory_add(o, err);
    if (rc)
        device_region_drop(&s->md.region);
    return rc;
}

static int build(struct virtio_mem *s, lunik_object *o, lunik_error *err)
{
    int rc = check_block_size(s, err);

    if (!rc)
        rc = check_requested(s, s->requested, err);
    if (!rc)
        rc = mem_blocks_init(s, err);
    if (rc)
        return rc;
    rc = make_region(s, o, err);
    if (rc)
        mem_blocks_fini(s);
    return rc;
}

static int realize(lunik_object *o, lunik_error *err)
{
    struct virtio_mem *s = lunik_state(o);
    int rc = lunik_object_claim(s->md.memdev, o, err);

    if (rc)
        return lunik_fail_prefix(err, rc, "virtio-mem-pci: memdev");
    s->ram = lunik_memory_backend_iface(s->md.memdev)->ram(s->md.memdev);
    s->md.size = lunik_ram_size(s->ram);
    s->md.slot = -1;
    if (!s->block_size)
        s->block_size = lunik_ram_page_size(s->ram) > BLOCK_DEFAULT ? lunik_ram_page_size(s->ram)
                                                                    : BLOCK_DEFAULT;
    s->md.align = lunik_ram_align(s->ram) > s->block_size ? lunik_ram_align(s->ram) : s->block_size;
    s->md.hotplugged = lunik_machine_hotplugging(lunik_object_machine(o));
    rc = build(s, o, err);
    if (rc) {
        lunik_object_release(s->md.memdev, o);
        return rc;
    }
    s->pci.removing = removing;
    s->pci.queue_count = 1;
    s->pci.queue_size = 128;
    s->pci.virtio.offered = MEM_F_ACPI_PXM;
    s->pci.virtio.config = s->config;
    s->pci.virtio.config_size = MEM_CONFIG;
    mem_update_usable(s, true);
    s->reset = (lunik_reset_sub){.fn = machine_reset, .opaque = s};
    lunik_reset_subscribe(lunik_object_machine(o), &s->reset);
    return 0;
}

static void unrealize(lunik_object *o)
{
    struct virtio_mem *s = lunik_state(o);

    lunik_reset_unsubscribe(&s->reset);
    device_memory_del(o);
    device_region_drop(&s->md.region);
    mem_blocks_fini(s);
    lunik_object_release(s->md.memdev, o);
}

/* ---- properties ----------------------------------------------------------------------------- */

static int set_requested(lunik_object *o, const lunik_value *value, lunik_error *err)
{
    struct virtio_mem *s = lunik_state(o);
    int rc = check_requested(s, value->uint, err);

    if (rc || s->requested == value->uint)
        return rc;
    s->requested = value->uint;
    mem_update_usable(s, false);
    virtio_config_changed(&s->pci.virtio);
    return 0;
}

#define FIELD(name) offsetof(struct virtio_mem, name)

static const lunik_prop props[] = {
    {
        .name = "memdev",
        .kind = LUNIK_PROP_LINK,
        .doc = "The memory backend; no other device may use it, and it is not preallocated.",
        .offset = FIELD(md.memdev),
        .flags = LUNIK_PROP_REQUIRED,
        .link = LUNIK_IFACE_memory_backend,
    },
    {
        .name = "memaddr",
        .kind = LUNIK_PROP_UINT,
        .doc = "Guest physical address; 0: the first that fits.",
        .offset = FIELD(md.address),
    },
    {
        .name = "node",
        .kind = LUNIK_PROP_UINT,
        .doc = "Guest NUMA node.",
        .offset = FIELD(md.node),
        .max = UINT16_MAX,
    },
    {
        .name = "block-size",
        .kind = LUNIK_PROP_SIZE,
        .doc = "Bytes of a block, a power of two; 0: 2 MiB, or a page of memdev if that is more.",
        .offset = FIELD(block_size),
    },
    {
        .name = "requested-size",
        .kind = LUNIK_PROP_SIZE,
        .doc = "Bytes that the guest is asked to use, a multiple of block-size.",
        .offset = FIELD(requested),
        .flags = LUNIK_PROP_LIVE,
        .set = set_requested,
    },
    {
        .name = "size",
        .kind = LUNIK_PROP_SIZE,
        .doc = "Bytes that the guest has plugged.",
        .offset = FIELD(size),
        .flags = LUNIK_PROP_READONLY,
    },
    {
        .name = "max-size",
        .kind = LUNIK_PROP_SIZE,
        .doc = "Bytes: those of memdev.",
        .offset = FIELD(md.size),
        .flags = LUNIK_PROP_READONLY,
    },
    {
        .name = "hotplugged",
        .kind = LUNIK_PROP_BOOL,
        .doc = "Added after the machine was started.",
        .offset = FIELD(md.hotplugged),
        .flags = LUNIK_PROP_READONLY,
    },
    {0},
};

static lunik_memory_device *get_memory_device(lunik_object *o)
{
    struct virtio_mem *s = lunik_state(o);

    return &s->md;
}

static const lunik_memory_device_ops memory_device_ops = {.get = get_memory_device};
static const lunik_iface ifaces[] = {LUNIK_IFACE(memory_device, &memory_device_ops), {0}};

/* ---- state ---------------------------------------------------------------------------------- */

static int post_load(void *staged, const void *state, uint16_t version, lunik_error *err)
{
    const struct virtio_mem *s = staged, *now = state;

    (void)version;
    if (s->usable > now->md.size)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "usable: 0x%" PRIx64 " is more than the region has, 0x%" PRIx64,
                          s->usable, now->md.size);
    return check_requested(now, s->requested, err);
}

static int map(void *state, lunik_error *err)
{
    return mem_blocks_loaded(state, err);
}

static void loaded(void *state)
{
    fill_config(state);
}

static const lunik_state_field state_fields[] = {
    LUNIK_STATE(struct virtio_mem, md.address, .flags = LUNIK_STATE_SAME),
    LUNIK_STATE(struct virtio_mem, md.size, .flags = LUNIK_STATE_SAME),
    LUNIK_STATE(struct virtio_mem, block_size, .flags = LUNIK_STATE_SAME),
    LUNIK_STATE(struct virtio_mem, requested),
    LUNIK_STATE(struct virtio_mem, usable),
    LUNIK_STATE(struct virtio_mem, words, .flags = LUNIK_STATE_SAME),
    LUNIK_STATE_BUFFER(struct virtio_mem, plugged, words, WORDS_MAX),
    {0},
};

static const lunik_state_table state_table = {
    .name = "virtio-mem-pci",
    .version = 1,
    .size = sizeof(struct virtio_mem),
    .fields = state_fields,
    .post_load = post_load,
    .map = map,
    .loaded = loaded,
};

static const struct virtio_pci_class class = {
    .id = 24, .class_code = 0x00ff00, .ops = &ops, .realize = realize, .unrealize = unrealize};

const lunik_type virtio_mem_pci_type = {
    VIRTIO_PCI_TYPE("virtio-mem-pci", &class),
    .doc = "Memory that grows and shrinks in blocks, as the guest is asked (virtio-mem).",
    .size = sizeof(struct virtio_mem),
    .props = props,
    .ifaces = ifaces,
    .state = &state_table,
};
