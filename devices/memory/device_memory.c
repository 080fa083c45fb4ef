/*
 * device_memory.c: the window of guest addresses that DIMMs are plugged into.
 *
 * Choice of slot and address, limits and their order are those of QEMU's pc machine: the slot is
 * checked before the address, an address is the first that fits, from the bottom of the window.
 */
#include <inttypes.h>
#include <string.h>

#include "lunik_trace.h"
#include "../types.h"

/* Offsets in the window that no device occupies. */
struct gap {
    uint64_t start, size;
};

struct device_memory {
    uint64_t base, size, slots, limit;
    lunik_object *acpi; /* iface "acpi-slots"; NULL: the guest is not notified */
    lunik_region *window;
    lunik_object *slot[LUNIK_MEMORY_SLOTS_MAX];  /* the device in it, or NULL */
    struct gap gaps[LUNIK_MEMORY_SLOTS_MAX + 1]; /* between the devices, by address */
    size_t gap_count;
    uint64_t used; /* bytes */
};

static const char *name_of(const lunik_object *device)
{
    return *lunik_object_id(device) ? lunik_object_id(device) : lunik_object_path(device);
}

static const lunik_acpi_slots_ops *acpi_ops(const struct device_memory *d)
{
    return d->acpi ? lunik_acpi_slots_iface(d->acpi) : NULL;
}

/* ---- slots ---------------------------------------------------------------------------------- */

/* Returns the first empty slot; d->slots if there is none. */
static unsigned free_slot(const struct device_memory *d)
{
    unsigned slot = 0;

    while (slot < d->slots && d->slot[slot])
        slot++;
    return slot;
}

static int choose_slot(const struct device_memory *d, lunik_memory_device *md, lunik_error *err)
{
    if (!d->slots)
        return lunik_fail(err, LUNIK_E_NO_SPACE,
                          "pc-dimm: slot: the machine has no memory slots (want the slots option)");
    if (md->slot < 0) {
        unsigned slot = free_slot(d);

        if (slot >= d->slots)
            return lunik_fail(err, LUNIK_E_NO_SPACE,
                              "pc-dimm: slot: no free slots available, all %" PRIu64 " are in use",
                              d->slots);
        md->slot = slot;
        return 0;
    }
    if ((uint64_t)md->slot >= d->slots)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "pc-dimm: slot: %" PRId64 " is out of range (want 0 to %" PRIu64 ")",
                          md->slot, d->slots - 1);
    if (d->slot[md->slot])
        return lunik_fail(err, LUNIK_E_BUSY, "pc-dimm: slot: slot %" PRId64 " is busy with '%s'",
                          md->slot, name_of(d->slot[md->slot]));
    return 0;
}

/* ---- addresses ------------------------------------------------------------------------------ */

/* No sum below overflows: the window ends below 2^64, and a device is not larger. */

static int check_size(const struct device_memory *d, const lunik_memory_device *md,
                      lunik_error *err)
{
    if (md->size % md->align)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "pc-dimm: memdev: the size of '%s', 0x%" PRIx64
                          ", must be a multiple of 0x%" PRIx64,
                          name_of(md->memdev), md->size, md->align);
    if (md->size > d->limit || d->used > d->limit - md->size)
        return lunik_fail(err, LUNIK_E_NO_SPACE,
                          "pc-dimm: memdev: not enough space for 0x%" PRIx64 " bytes, 0x%" PRIx64
                          " of 0x%" PRIx64 " for memory devices are in use (see maxmem)",
                          md->size, d->used, d->limit);
    return 0;
}

static uint64_t gap_end(const struct gap *g)
{
    return g->start + g->size;
}

/* Returns the first gap that ends after offset; gap_count if there is none. */
static size_t gap_after(const struct device_memory *d, uint64_t offset)
{
    size_t i = 0;

    while (i < d->gap_count && gap_end(&d->gaps[i]) <= offset)
        i++;
    return i;
}

static bool is_free(const struct device_memory *d, uint64_t start, uint64_t size)
{
    size_t i = gap_after(d, start);

    return i < d->gap_count && d->gaps[i].start <= start && size <= gap_end(&d->gaps[i]) - start;
}

static void insert_gap(struct device_memory *d, size_t at, struct gap gap)
{
    memmove(&d->gaps[at + 1], &d->gaps[at], (d->gap_count++ - at) * sizeof(gap));
    d->gaps[at] = gap;
}

static void remove_gap(struct device_memory *d, size_t at)
{
    memmove(&d->gaps[at], &d->gaps[at + 1], (--d->gap_count - at) * sizeof(d->gaps[0]));
}

/* Takes a part out of one gap. */
static void take(struct device_memory *d, uint64_t start, uint64_t size)
{
    size_t i = gap_after(d, start);
    struct gap *g = &d->gaps[i], rest = {start + size, gap_end(g) - (start + size)};

    g->size = start - g->start;
    if (g->size && rest.size)
        insert_gap(d, i + 1, rest);
    else if (rest.size)
        *g = rest;
    else if (!g->size)
        remove_gap(d, i);
}

/* Gives back a part that was taken. */
static void give(struct device_memory *d, uint64_t start, uint64_t size)
{
    size_t i = gap_after(d, start);

    if (i && gap_end(&d->gaps[i - 1]) == start)
        d->gaps[--i].size += size;
    else
        insert_gap(d, i, (struct gap){start, size});
    if (i + 1 < d->gap_count && d->gaps[i + 1].start == start + size) {
        d->gaps[i].size += d->gaps[i + 1].size;
        remove_gap(d, i + 1);
    }
}

/* Returns the lowest of the devices that overlap md. */
static lunik_object *rival(const struct device_memory *d, const lunik_memory_device *md)
{
    lunik_object *found = NULL;
    uint64_t lowest = UINT64_MAX;

    for (size_t i = 0; i < d->slots; i++) {
        const lunik_memory_device *other = d->slot[i] ? lunik_memory_device_get(d->slot[i]) : NULL;

        if (!other || other->address >= lowest || md->address >= other->address + other->size ||
            other->address >= md->address + md->size)
            continue;
        found = d->slot[i];
        lowest = other->address;
    }
    return found;
}

static int fail_rival(lunik_object *device, const lunik_memory_device *md, lunik_error *err)
{
    const lunik_memory_device *other = lunik_memory_device_get(device);

    return lunik_fail(err, LUNIK_E_EXISTS,
                      "pc-dimm: addr: [0x%" PRIx64 ":0x%" PRIx64
                      "] conflicts with memory device '%s' [0x%" PRIx64 ":0x%" PRIx64 "]",
                      md->address, md->size, name_of(device), other->address, other->size);
}

static int check_address(const struct device_memory *d, const lunik_memory_device *md,
                         lunik_error *err)
{
    if (md->address % md->align)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "pc-dimm: addr: 0x%" PRIx64 " must be aligned to 0x%" PRIx64 " bytes",
                          md->address, md->align);
    if (md->address < d->base || md->size > d->size || md->address - d->base > d->size - md->size)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "pc-dimm: addr: [0x%" PRIx64 ":0x%" PRIx64
                          "] is not in the range for memory devices [0x%" PRIx64 ":0x%" PRIx64 "]",
                          md->address, md->size, d->base, d->size);
    return is_free(d, md->address - d->base, md->size) ? 0 : fail_rival(rival(d, md), md, err);
}

static int choose_address(const struct device_memory *d, lunik_memory_device *md, lunik_error *err)
{
    for (size_t i = 0; i < d->gap_count; i++) {
        const struct gap *g = &d->gaps[i];
        uint64_t address = d->base + g->start;
        uint64_t skip = (md->align - address % md->align) % md->align;

        if (skip <= g->size && md->size <= g->size - skip) {
            md->address = address + skip;
            return 0;
        }
    }
    return lunik_fail(err, LUNIK_E_NO_SPACE,
                      "pc-dimm: addr: no gap for 0x%" PRIx64 " bytes aligned to 0x%" PRIx64
                      " in the range for memory devices [0x%" PRIx64 ":0x%" PRIx64 "]",
                      md->size, md->align, d->base, d->size);
}

/* ---- hotplug handler ------------------------------------------------------------------------ */

static int pre_plug(lunik_object *handler, lunik_object *device, lunik_error *err)
{
    const struct device_memory *d = lunik_state(handler);
    lunik_memory_device *md;
    int rc;

    if (!lunik_memory_device_iface(device))
        return lunik_fail(err, LUNIK_E_INVALID,
                          "%s: '%s' is no memory device (want the interface memory-device)",
                          lunik_object_type_name(device), name_of(device));
    md = lunik_memory_device_get(device);
    rc = choose_slot(d, md, err);
    if (!rc)
        rc = check_size(d, md, err);
    if (rc)
        return rc;
    rc = md->address ? check_address(d, md, err) : choose_address(d, md, err);
    if (!rc)
        lunik_trace(lunik_object_machine(device), "place", device,
                    LUNIK_FIELD_UINT("slot", (uint64_t)md->slot),
                    LUNIK_FIELD_UINT("address", md->address), LUNIK_FIELD_UINT("size", md->size));
    return rc;
}

static int plug(lunik_object *handler, lunik_object *device, lunik_error *err)
{
    struct device_memory *d = lunik_state(handler);
    const lunik_memory_device *md = lunik_memory_device_get(device);
    const lunik_acpi_slots_ops *acpi = acpi_ops(d);
    int rc = lunik_region_add(d->window, md->address - d->base, md->region, 0, false, err);

    if (rc)
        return lunik_fail_prefix(err, rc, "pc-dimm: '%s' can't be mapped", name_of(device));
    d->slot[md->slot] = device;
    d->used += md->size;
    take(d, md->address - d->base, md->size);
    if (acpi)
        acpi->plug(d->acpi, device);
    return 0;
}

static void unplug(lunik_object *handler, lunik_object *device)
{
    struct device_memory *d = lunik_state(handler);
    const lunik_memory_device *md = lunik_memory_device_get(device);
    const lunik_acpi_slots_ops *acpi = acpi_ops(d);

    if (acpi)
        acpi->unplug(d->acpi, device);
    give(d, md->address - d->base, md->size);
    d->used -= md->size;
    d->slot[md->slot] = NULL;
    lunik_region_del(md->region, NULL);
}

static int unplug_request(lunik_object *handler, lunik_object *device, lunik_error *err)
{
    const struct device_memory *d = lunik_state(handler);
    const lunik_acpi_slots_ops *acpi = acpi_ops(d);

    if (acpi)
        acpi->unplug_request(d->acpi, device);
    else
        lunik_device_ejected(device); /* there is no guest to ask */
    return 0;
}

static lunik_object *device_in(lunik_object *handler, unsigned slot)
{
    const struct device_memory *d = lunik_state(handler);

    return slot < d->slots ? d->slot[slot] : NULL;
}

static const lunik_memory_slots_ops slots_ops = {.device = device_in};
static const lunik_hotplug_ops hotplug_ops = {
    .pre_plug = pre_plug,
    .plug = plug,
    .unplug_request = unplug_request,
    .unplug = unplug,
};

/* ---- life cycle ----------------------------------------------------------------------------- */

/* The window may reach further: it has room for gaps that alignment leaves. */
static int check_reach(const struct device_memory *d, const lunik_machine *m, lunik_error *err)
{
    unsigned bits = lunik_machine_address_bits(m);
    uint64_t end = bits < 64 ? UINT64_C(1) << bits : UINT64_MAX;
    uint64_t room = d->base < end ? end - d->base : 0;

    if (d->limit > room && d->size > room)
        return lunik_fail(
            err, LUNIK_E_INVALID,
            "device-memory: limit: 0x%" PRIx64 " bytes at 0x%" PRIx64
            " end beyond the guest's %u physical address bits (want at most 0x%" PRIx64
            " bytes: a smaller maxmem)",
            d->limit, d->base, bits, room);
    return 0;
}

static int init_window(lunik_object *o, lunik_error *err)
{
    struct device_memory *d = lunik_state(o);
    const lunik_acpi_slots_ops *acpi = acpi_ops(d);

    if (d->size > UINT64_MAX - d->base)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "device-memory: size: 0x%" PRIx64 " bytes at 0x%" PRIx64
                          " end beyond the address space",
                          d->size, d->base);
    if (acpi && d->slots > acpi->count(d->acpi))
        return lunik_fail(err, LUNIK_E_INVALID,
                          "device-memory: slots: %" PRIu64 " are more than the %u of '%s'",
                          d->slots, acpi->count(d->acpi), name_of(d->acpi));
    if (!d->limit)
        d->limit = d->size;
    d->gaps[d->gap_count++] = (struct gap){0, d->size};
    return check_reach(d, lunik_object_machine(o), err);
}

static int realize(lunik_object *o, lunik_error *err)
{
    struct device_memory *d = lunik_state(o);
    lunik_machine *m = lunik_object_machine(o);
    int rc = init_window(o, err);

    if (rc)
        return rc;
    rc = lunik_region_new(
        m,
        &(lunik_region_config){
            .kind = LUNIK_REGION_CONTAINER, .name = "device-memory", .size = d->size, .owner = o},
        &d->window, err);
    if (rc)
        return rc;
    rc = lunik_machine_set_hotplug_handler(m, "memory", o, err);
    if (rc)
        goto free_window;
    rc = lunik_region_add(lunik_space_root(lunik_machine_memory(m)), d->base, d->window, 0, false,
                          err);
    if (!rc)
        return 0;
    lunik_fail_prefix(err, rc, "device-memory: addr");
    lunik_machine_set_hotplug_handler(m, "memory", NULL, NULL);
free_window:
    lunik_region_unref(d->window);
    return rc;
}

static void unrealize(lunik_object *o)
{
    struct device_memory *d = lunik_state(o);

    lunik_machine_set_hotplug_handler(lunik_object_machine(o), "memory", NULL, NULL);
    lunik_region_del(d->window, NULL);
    lunik_region_unref(d->window);
}

static const lunik_prop props[] = {
    {
        .name = "addr",
        .kind = LUNIK_PROP_UINT,
        .doc = "Guest physical address of the window.",
        .offset = offsetof(struct device_memory, base),
        .flags = LUNIK_PROP_REQUIRED,
        .min = 1,
    },
    {
        .name = "size",
        .kind = LUNIK_PROP_SIZE,
        .doc = "Bytes of the window.",
        .offset = offsetof(struct device_memory, size),
        .flags = LUNIK_PROP_REQUIRED,
        .min = 1,
    },
    {
        .name = "slots",
        .kind = LUNIK_PROP_UINT,
        .doc = "How many devices can be plugged, 0 to 256.",
        .offset = offsetof(struct device_memory, slots),
        .max = LUNIK_MEMORY_SLOTS_MAX,
    },
    {
        .name = "limit",
        .kind = LUNIK_PROP_SIZE,
        .doc = "Bytes that can be plugged in all; 0: those of the window.",
        .offset = offsetof(struct device_memory, limit),
    },
    {
        .name = "acpi",
        .kind = LUNIK_PROP_LINK,
        .doc = "The device that notifies the guest; without it devices come and go silently.",
        .offset = offsetof(struct device_memory, acpi),
        .link = "acpi-slots",
    },
    {
        .name = "used",
        .kind = LUNIK_PROP_SIZE,
        .doc = "Bytes that are plugged.",
        .offset = offsetof(struct device_memory, used),
        .flags = LUNIK_PROP_READONLY,
    },
    {0},
};

static const lunik_iface ifaces[] = {
    LUNIK_IFACE(hotplug, &hotplug_ops),
    LUNIK_IFACE(memory_slots, &slots_ops),
    {0},
};

static const lunik_state_field state_fields[] = {
    LUNIK_STATE(struct device_memory, base, .flags = LUNIK_STATE_SAME),
    LUNIK_STATE(struct device_memory, size, .flags = LUNIK_STATE_SAME),
    LUNIK_STATE(struct device_memory, slots, .flags = LUNIK_STATE_SAME),
    LUNIK_STATE_ARRAY(struct device_memory, slot),
    {0},
};

static const lunik_state_table state_table = {
    .name = "device-memory",
    .version = 1,
    .size = sizeof(struct device_memory),
    .fields = state_fields,
};

const lunik_type device_memory_type = {
    .name = "device-memory",
    .doc = "The window of guest addresses that DIMMs are plugged into.",
    .flags = LUNIK_TYPE_DEVICE,
    .size = sizeof(struct device_memory),
    .props = props,
    .ifaces = ifaces,
    .realize = realize,
    .unrealize = unrealize,
    .state = &state_table,
};
