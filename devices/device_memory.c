/*
 * device_memory.c: the window of guest addresses that DIMMs are plugged into.
 *
 * Choice of slot and address, limits and their order are those of QEMU's pc machine: the slot is
 * checked before the address, an address is the first that fits, from the bottom of the window.
 */
#include <inttypes.h>

#include "types.h"

enum { SLOTS_MAX = 256 }; /* the guest names them MP00 to MPFF */

/* Where a device is, in one place for all: looking for a gap reads them all. */
struct plugged {
    uint64_t address, size;
    lunik_object *device;
};

struct device_memory {
    uint64_t base, size, slots, limit;
    lunik_object *acpi; /* iface "acpi-slots"; NULL: the guest is not told */
    lunik_region *window;
    lunik_object *slot[SLOTS_MAX];    /* who is in it */
    struct plugged sorted[SLOTS_MAX]; /* the same devices by address */
    size_t count;
    uint64_t used; /* bytes */
};

static lunik_memory_device *memory_device(lunik_object *device)
{
    const lunik_memory_device_ops *ops = lunik_object_iface(device, "memory-device");
    return ops->get(device);
}

static const char *name_of(const lunik_object *device)
{
    return *lunik_object_id(device) ? lunik_object_id(device) : lunik_object_path(device);
}

static const lunik_acpi_slots_ops *acpi_ops(const struct device_memory *d)
{
    return d->acpi ? lunik_object_iface(d->acpi, "acpi-slots") : NULL;
}

/* ---- the slot ------------------------------------------------------------------------------- */

static int choose_slot(const struct device_memory *d, lunik_memory_device *md, lunik_error *err)
{
    if (!d->slots)
        return lunik_fail(err, LUNIK_E_NO_SPACE,
                          "pc-dimm: slot: the machine has no memory slots (want the slots option)");
    if (md->slot < 0) {
        uint64_t slot = 0;
        while (slot < d->slots && d->slot[slot])
            slot++;
        if (slot == d->slots)
            return lunik_fail(err, LUNIK_E_NO_SPACE,
                              "pc-dimm: slot: no free slots available, all %" PRIu64 " are in use",
                              d->slots);
        md->slot = (int64_t)slot;
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

/* ---- the address ---------------------------------------------------------------------------- */

/* In what follows nothing overflows: the window ends below 2^64, and a device is not larger. */

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
    for (size_t i = 0; i < d->count; i++) {
        const struct plugged *other = &d->sorted[i];
        if (md->address < other->address + other->size && other->address < md->address + md->size)
            return lunik_fail(err, LUNIK_E_EXISTS,
                              "pc-dimm: addr: [0x%" PRIx64 ":0x%" PRIx64
                              "] conflicts with memory device '%s' [0x%" PRIx64 ":0x%" PRIx64 "]",
                              md->address, md->size, name_of(other->device), other->address,
                              other->size);
    }
    return 0;
}

/* The first aligned offset in the window at or after from; UINT64_MAX if there is none. */
static uint64_t aligned_offset(const struct device_memory *d, uint64_t from, uint64_t align)
{
    uint64_t address = d->base + from;
    uint64_t gap = (align - address % align) % align;

    return gap > d->size - from ? UINT64_MAX : from + gap;
}

static int choose_address(const struct device_memory *d, lunik_memory_device *md, lunik_error *err)
{
    uint64_t offset = aligned_offset(d, 0, md->align);

    for (size_t i = 0; i < d->count && offset != UINT64_MAX; i++) {
        const struct plugged *other = &d->sorted[i];
        uint64_t start = other->address - d->base;
        if (offset <= start && md->size <= start - offset)
            break;
        if (start + other->size > offset)
            offset = aligned_offset(d, start + other->size, md->align);
    }
    if (offset == UINT64_MAX || md->size > d->size || offset > d->size - md->size)
        return lunik_fail(err, LUNIK_E_NO_SPACE,
                          "pc-dimm: addr: no gap for 0x%" PRIx64 " bytes aligned to 0x%" PRIx64
                          " in the range for memory devices [0x%" PRIx64 ":0x%" PRIx64 "]",
                          md->size, md->align, d->base, d->size);
    md->address = d->base + offset;
    return 0;
}

/* ---- hotplug handler ------------------------------------------------------------------------ */

static int pre_plug(lunik_object *handler, lunik_object *device, lunik_error *err)
{
    const struct device_memory *d = lunik_state(handler);
    lunik_memory_device *md = memory_device(device);
    int rc = choose_slot(d, md, err);

    if (!rc)
        rc = check_size(d, md, err);
    if (rc)
        return rc;
    return md->address ? check_address(d, md, err) : choose_address(d, md, err);
}

static void sorted_insert(struct device_memory *d, lunik_object *device)
{
    const lunik_memory_device *md = memory_device(device);
    size_t i = d->count++;

    for (; i > 0 && d->sorted[i - 1].address > md->address; i--)
        d->sorted[i] = d->sorted[i - 1];
    d->sorted[i] = (struct plugged){md->address, md->size, device};
}

static void sorted_remove(struct device_memory *d, const lunik_object *device)
{
    size_t i = 0;

    while (d->sorted[i].device != device)
        i++;
    for (d->count--; i < d->count; i++)
        d->sorted[i] = d->sorted[i + 1];
}

static int plug(lunik_object *handler, lunik_object *device, lunik_error *err)
{
    struct device_memory *d = lunik_state(handler);
    const lunik_memory_device *md = memory_device(device);
    const lunik_acpi_slots_ops *acpi = acpi_ops(d);
    int rc = lunik_region_add(d->window, md->address - d->base, md->region, 0, false, err);

    if (rc)
        return lunik_fail_prefix(err, rc, "pc-dimm: '%s' can't be mapped", name_of(device));
    d->slot[md->slot] = device;
    d->used += md->size;
    sorted_insert(d, device);
    if (acpi)
        acpi->plug(d->acpi, device);
    return 0;
}

static void unplug(lunik_object *handler, lunik_object *device)
{
    struct device_memory *d = lunik_state(handler);
    const lunik_memory_device *md = memory_device(device);
    const lunik_acpi_slots_ops *acpi = acpi_ops(d);

    if (acpi)
        acpi->unplug(d->acpi, device);
    sorted_remove(d, device);
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

static const lunik_hotplug_ops hotplug_ops = {
    .pre_plug = pre_plug,
    .plug = plug,
    .unplug_request = unplug_request,
    .unplug = unplug,
};

/* ---- life cycle ----------------------------------------------------------------------------- */

static int check_window(lunik_object *o, lunik_error *err)
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
    return 0;
}

static int realize(lunik_object *o, lunik_error *err)
{
    struct device_memory *d = lunik_state(o);
    lunik_machine *m = lunik_object_machine(o);
    int rc = check_window(o, err);

    if (rc)
        return rc;
    rc = lunik_region_new(
        &d->window, m,
        &(lunik_region_config){
            .kind = LUNIK_REGION_CONTAINER, .name = "device-memory", .size = d->size, .owner = o},
        err);
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
    {.name = "addr",
     .kind = LUNIK_PROP_UINT,
     .doc = "Guest physical address of the window.",
     .offset = offsetof(struct device_memory, base),
     .flags = LUNIK_PROP_REQUIRED,
     .min = 1},
    {.name = "size",
     .kind = LUNIK_PROP_SIZE,
     .doc = "Bytes of the window.",
     .offset = offsetof(struct device_memory, size),
     .flags = LUNIK_PROP_REQUIRED,
     .min = 1},
    {.name = "slots",
     .kind = LUNIK_PROP_UINT,
     .doc = "How many devices can be plugged, 0 to 256.",
     .offset = offsetof(struct device_memory, slots),
     .max = SLOTS_MAX},
    {.name = "limit",
     .kind = LUNIK_PROP_SIZE,
     .doc = "Bytes that can be plugged in all; 0: those of the window.",
     .offset = offsetof(struct device_memory, limit)},
    {.name = "acpi",
     .kind = LUNIK_PROP_LINK,
     .doc = "What tells the guest; without it devices come and go silently.",
     .offset = offsetof(struct device_memory, acpi),
     .link = "acpi-slots"},
    {.name = "used",
     .kind = LUNIK_PROP_SIZE,
     .doc = "Bytes that are plugged.",
     .offset = offsetof(struct device_memory, used),
     .flags = LUNIK_PROP_READONLY},
    {.name = NULL},
};

static const lunik_iface ifaces[] = {
    {"hotplug-handler", &hotplug_ops},
    {NULL, NULL},
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
};
