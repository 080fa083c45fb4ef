/*
 * device_memory.c: the window of guest addresses that DIMMs are plugged into.
 *
 * Choice of slot and address, limits and their order are those of QEMU's pc machine: the slot is
 * checked before the address, an address is the first that fits, from the bottom of the window.
 */
#include <inttypes.h>
#include <string.h>

#include "device_memory.h"
#include "gaps.h"
#include "lunik_trace.h"
#include "../types.h"

/* Devices without a slot. */
enum { EXTRA_MAX = GAPS_MAX - 1 - LUNIK_MEMORY_SLOTS_MAX, DEVICES_MAX = GAPS_MAX - 1 };

struct device_memory {
    uint64_t base, size, slots, limit;
    lunik_object *acpi; /* iface "acpi-slots"; NULL: the guest is not notified */
    lunik_region *window;
    lunik_object *slot[DEVICES_MAX]; /* the device in it, or NULL; then those without */
    struct gaps gaps;                /* between the devices */
    uint64_t used;                   /* bytes */
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

static int check_size(const struct device_memory *d, lunik_object *device, lunik_error *err)
{
    const lunik_memory_device *md = lunik_memory_device_get(device);

    if (md->size % md->align)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "%s: memdev: the size of '%s', 0x%" PRIx64
                          ", must be a multiple of 0x%" PRIx64,
                          lunik_object_type_name(device), name_of(md->memdev), md->size, md->align);
    if (md->size > d->limit || d->used > d->limit - md->size)
        return lunik_fail(err, LUNIK_E_NO_SPACE,
                          "%s: memdev: not enough space for 0x%" PRIx64 " bytes, 0x%" PRIx64
                          " of 0x%" PRIx64 " for memory devices are in use (see maxmem)",
                          lunik_object_type_name(device), md->size, d->used, d->limit);
    return 0;
}

/* Returns the lowest of the devices that overlap md. */
static lunik_object *rival(const struct device_memory *d, const lunik_memory_device *md)
{
    lunik_object *found = NULL;
    uint64_t lowest = UINT64_MAX;

    for (size_t i = 0; i < DEVICES_MAX; i++) {
        const lunik_memory_device *other = d->slot[i] ? lunik_memory_device_get(d->slot[i]) : NULL;

        if (!other || other->address >= lowest || md->address >= other->address + other->size ||
            other->address >= md->address + md->size)
            continue;
        found = d->slot[i];
        lowest = other->address;
    }
    return found;
}

/* The property that has the address. */
static const char *address_property(const lunik_memory_device *md)
{
    return md->slot < 0 ? "memaddr" : "addr";
}

static int fail_rival(lunik_object *rival, lunik_object *device, lunik_error *err)
{
    const lunik_memory_device *md = lunik_memory_device_get(device);
    const lunik_memory_device *other = lunik_memory_device_get(rival);

    return lunik_fail(err, LUNIK_E_EXISTS,
                      "%s: %s: [0x%" PRIx64 ":0x%" PRIx64
                      "] conflicts with memory device '%s' [0x%" PRIx64 ":0x%" PRIx64 "]",
                      lunik_object_type_name(device), address_property(md), md->address, md->size,
                      name_of(rival), other->address, other->size);
}

static int check_address(const struct device_memory *d, lunik_object *device, lunik_error *err)
{
    const lunik_memory_device *md = lunik_memory_device_get(device);
    const char *type = lunik_object_type_name(device), *property = address_property(md);

    if (md->address % md->align)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "%s: %s: 0x%" PRIx64 " must be aligned to 0x%" PRIx64 " bytes", type,
                          property, md->address, md->align);
    if (md->address < d->base || md->size > d->size || md->address - d->base > d->size - md->size)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "%s: %s: [0x%" PRIx64 ":0x%" PRIx64
                          "] is not in the range for memory devices [0x%" PRIx64 ":0x%" PRIx64 "]",
                          type, property, md->address, md->size, d->base, d->size);
    return gaps_free(&d->gaps, md->address - d->base, md->size)
               ? 0
               : fail_rival(rival(d, md), device, err);
}

static int choose_address(const struct device_memory *d, lunik_object *device, lunik_error *err)
{
    lunik_memory_device *md = lunik_memory_device_get(device);

    for (size_t i = 0; i < d->gaps.count; i++) {
        const struct gap *g = &d->gaps.items[i];
        uint64_t address = d->base + g->start;
        uint64_t skip = (md->align - address % md->align) % md->align;

        if (skip <= g->size && md->size <= g->size - skip) {
            md->address = address + skip;
            return 0;
        }
    }
    return lunik_fail(err, LUNIK_E_NO_SPACE,
                      "%s: %s: no gap for 0x%" PRIx64 " bytes aligned to 0x%" PRIx64
                      " in the range for memory devices [0x%" PRIx64 ":0x%" PRIx64 "]",
                      lunik_object_type_name(device), address_property(md), md->size, md->align,
                      d->base, d->size);
}

static int place(const struct device_memory *d, lunik_object *device, lunik_error *err)
{
    int rc = check_size(d, device, err);

    if (rc)
        return rc;
    return lunik_memory_device_get(device)->address ? check_address(d, device, err)
                                                    : choose_address(d, device, err);
}

/* Maps a device that has been placed, as entry `index` of those there are. */
static int occupy(struct device_memory *d, lunik_object *device, size_t index, lunik_error *err)
{
    const lunik_memory_device *md = lunik_memory_device_get(device);
    int rc = lunik_region_add(d->window, md->address - d->base, md->region, 0, false, err);

    if (rc)
        return rc;
    d->slot[index] = device;
    d->used += md->size;
    gaps_take(&d->gaps, md->address - d->base, md->size);
    return 0;
}

static void vacate(struct device_memory *d, lunik_object *device, size_t index)
{
    const lunik_memory_device *md = lunik_memory_device_get(device);

    gaps_give(&d->gaps, md->address - d->base, md->size);
    d->used -= md->size;
    d->slot[index] = NULL;
    lunik_region_del(md->region, NULL);
}

/* ---- devices without a slot ----------------------------------------------------------------- */

/* Returns the entry of a device, or of NULL: a free one; DEVICES_MAX: there is none. */
static size_t extra_of(const struct device_memory *d, const lunik_object *device)
{
    size_t i = LUNIK_MEMORY_SLOTS_MAX;

    while (i < DEVICES_MAX && d->slot[i] != device)
        i++;
    return i;
}

static struct device_memory *of_machine(lunik_machine *m, lunik_object **handler)
{
    *handler = lunik_machine_hotplug_handler(m, "memory");
    return *handler && lunik_object_type(*handler) == &device_memory_type ? lunik_state(*handler)
                                                                          : NULL;
}

int device_memory_add(lunik_object *device, lunik_error *err)
{
    lunik_object *handler;
    struct device_memory *d = of_machine(lunik_object_machine(device), &handler);
    const char *type = lunik_object_type_name(device);
    int rc;

    if (!d)
        return lunik_fail(err, LUNIK_E_STATE,
                          "%s: the machine has no room for memory devices "
                          "(want maxmem)",
                          type);
    if (extra_of(d, NULL) == DEVICES_MAX)
        return lunik_fail(err, LUNIK_E_NO_SPACE, "%s: there are %u of them already", type,
                          (unsigned)EXTRA_MAX);
    rc = place(d, device, err);
    if (!rc)
        rc = lunik_object_use(handler, device, err);
    if (rc)
        return rc;
    rc = occupy(d, device, extra_of(d, NULL), err);
    if (rc)
        lunik_object_unuse(handler, device);
    return rc;
}

void device_memory_del(lunik_object *device)
{
    lunik_object *handler;
    struct device_memory *d = of_machine(lunik_object_machine(device), &handler);
    size_t i = d ? extra_of(d, device) : DEVICES_MAX;

    if (i == DEVICES_MAX)
        return;
    vacate(d, device, i);
    lunik_object_unuse(handler, device);
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
        rc = place(d, device, err);
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
    int rc = occupy(d, device, (size_t)md->slot, err);

    if (rc)
        return lunik_fail_prefix(err, rc, "pc-dimm: '%s' can't be mapped", name_of(device));
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
    vacate(d, device, (size_t)md->slot);
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
    d->gaps.items[d->gaps.count++] = (struct gap){0, d->size};
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
