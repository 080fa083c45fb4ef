/*
 * device_memory.c: the window of guest addresses that DIMMs are plugged into.
 *
 * Choice of slot and address, limits and their order are those of QEMU's pc machine: the slot is
 * checked before the address, an address is the first that fits, from the bottom of the window.
 */
#include <inttypes.h>
#include <string.h>

#include "device_memory_place.h"
#include "lunik_trace.h"
#include "nvdimm.h"
#include "../types.h"

/* Returns the object that announces a device to the guest, or NULL. */
static lunik_object *acpi_of(const struct device_memory *d, lunik_object *device)
{
    return nvdimm_of(device) ? d->nvdimm : d->acpi;
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

static int choose_slot(const struct device_memory *d, lunik_object *device, lunik_error *err)
{
    lunik_memory_device *md = lunik_memory_device_get(device);
    const char *type = lunik_object_type_name(device);

    if (!d->slots)
        return lunik_fail(err, LUNIK_E_NO_SPACE,
                          "%s: slot: the machine has no memory slots (want the slots option)",
                          type);
    if (md->slot < 0) {
        unsigned slot = free_slot(d);

        if (slot >= d->slots)
            return lunik_fail(err, LUNIK_E_NO_SPACE,
                              "%s: slot: no free slots available, all %" PRIu64 " are in use", type,
                              d->slots);
        md->slot = slot;
        return 0;
    }
    if ((uint64_t)md->slot >= d->slots)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "%s: slot: %" PRId64 " is out of range (want 0 to %" PRIu64 ")", type,
                          md->slot, d->slots - 1);
    if (d->slot[md->slot])
        return lunik_fail(err, LUNIK_E_BUSY, "%s: slot: slot %" PRId64 " is busy with '%s'", type,
                          md->slot, device_memory_name(d->slot[md->slot]));
    return 0;
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
    rc = device_memory_place(d, device, err);
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

static int check_enabled(const struct device_memory *d, lunik_object *device, lunik_error *err)
{
    if (!nvdimm_of(device) || d->nvdimm)
        return 0;
    return lunik_fail(err, LUNIK_E_UNSUPPORTED,
                      "nvdimm: the machine has no NVDIMMs (want the option nvdimm = true)");
}

static int pre_plug(lunik_object *handler, lunik_object *device, lunik_error *err)
{
    const struct device_memory *d = lunik_state(handler);
    lunik_memory_device *md;
    int rc;

    if (!lunik_memory_device_iface(device))
        return lunik_fail(err, LUNIK_E_INVALID,
                          "%s: '%s' is no memory device (want the interface memory-device)",
                          lunik_object_type_name(device), device_memory_name(device));
    md = lunik_memory_device_get(device);
    rc = check_enabled(d, device, err);
    if (!rc)
        rc = choose_slot(d, device, err);
    if (!rc)
        rc = device_memory_place(d, device, err);
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
    lunik_object *acpi = acpi_of(d, device);
    int rc = occupy(d, device, (size_t)md->slot, err);

    if (rc)
        return lunik_fail_prefix(err, rc, "%s: '%s' can't be mapped",
                                 lunik_object_type_name(device), device_memory_name(device));
    if (acpi)
        lunik_acpi_slots_iface(acpi)->plug(acpi, device);
    return 0;
}

static void unplug(lunik_object *handler, lunik_object *device)
{
    struct device_memory *d = lunik_state(handler);
    const lunik_memory_device *md = lunik_memory_device_get(device);
    lunik_object *acpi = acpi_of(d, device);

    if (acpi)
        lunik_acpi_slots_iface(acpi)->unplug(acpi, device);
    vacate(d, device, (size_t)md->slot);
}

static int unplug_request(lunik_object *handler, lunik_object *device, lunik_error *err)
{
    const struct device_memory *d = lunik_state(handler);
    lunik_object *acpi = acpi_of(d, device);

    if (acpi)
        lunik_acpi_slots_iface(acpi)->unplug_request(acpi, device);
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

static int check_count(const struct device_memory *d, lunik_object *acpi, lunik_error *err)
{
    unsigned count = acpi ? lunik_acpi_slots_iface(acpi)->count(acpi) : 0;

    if (!acpi || d->slots <= count)
        return 0;
    return lunik_fail(err, LUNIK_E_INVALID,
                      "device-memory: slots: %" PRIu64 " are more than the %u of '%s'", d->slots,
                      count, device_memory_name(acpi));
}

static int init_window(lunik_object *o, lunik_error *err)
{
    struct device_memory *d = lunik_state(o);
    int rc;

    if (d->size > UINT64_MAX - d->base)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "device-memory: size: 0x%" PRIx64 " bytes at 0x%" PRIx64
                          " end beyond the address space",
                          d->size, d->base);
    rc = check_count(d, d->acpi, err);
    if (!rc)
        rc = check_count(d, d->nvdimm, err);
    if (rc)
        return rc;
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
        .name = "nvdimm",
        .kind = LUNIK_PROP_LINK,
        .doc = "The device that describes NVDIMMs to the guest; without it they are refused.",
        .offset = offsetof(struct device_memory, nvdimm),
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
