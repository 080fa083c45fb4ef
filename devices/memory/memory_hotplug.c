/*
 * memory_hotplug.c: the ACPI memory hotplug registers on the I/O bus.
 *
 * The ports of memory_hotplug_chip.c are followed by a port for each slot, which no other machine
 * has, that reads as the slot's _STA: guests ask for that of every slot several times when they
 * start, and this way need not select the slot first.
 *
 * _STA bits: ACPI 6.4, section 6.3.7.
 */
#include <inttypes.h>

#include "lunik_trace.h"
#include "memory_hotplug_chip.h"
#include "nvdimm.h"
#include "../acpi_events.h"
#include "../types.h"

/* _STA of a slot that holds memory: present, enabled, shown, functioning */
enum { STA_PRESENT = 0x0f };

struct memory_hotplug {
    uint64_t iobase, slots_count;
    struct acpi_notifier notifier;
    struct memory_slots slots;
    lunik_region *ports, *status;
    uint64_t
        fresh[LUNIK_MEMORY_SLOTS_MAX / 64]; /* a bit for each device that the guest has not seen */
    lunik_change news; /* notifies the guest once the transaction is committed */
    bool notify;
};

static struct memory_hotplug *from_slots(struct memory_slots *s)
{
    return lunik_container_of(s, struct memory_hotplug, slots);
}

static void reset(lunik_object *o)
{
    struct memory_hotplug *d = lunik_state(o);

    if (!acpi_notifier_wakes(&d->notifier, o, memory_slots_pending(&d->slots)))
        memory_slots_reset(&d->slots);
}

/* Returns the device in a slot; NULL if there is none that these registers show: NVDIMMs are not
 * announced as memory. */
static lunik_object *device_in(const struct memory_hotplug *d, unsigned slot)
{
    lunik_machine *m = lunik_object_machine(lunik_state_object(d));
    lunik_object *handler = lunik_machine_hotplug_handler(m, "memory");
    const lunik_memory_slots_ops *ops = handler ? lunik_memory_slots_iface(handler) : NULL;

    lunik_object *device = ops ? ops->device(handler, slot) : NULL;

    return device && !nvdimm_of(device) ? device : NULL;
}

/* ---- from the guest ------------------------------------------------------------------------- */

static void on_eject(struct memory_slots *s, unsigned slot)
{
    lunik_object *device = device_in(from_slots(s), slot);

    if (device)
        lunik_device_ejected(device); /* leads to acpi_unplug() */
}

static void on_ost(struct memory_slots *s, unsigned slot, uint32_t event, uint32_t status)
{
    struct memory_hotplug *d = from_slots(s);
    lunik_object *device = device_in(d, slot);
    const struct acpi_ost ost = {"DIMM", slot, event, status};

    acpi_ost_report(lunik_state_object(d), device, &ost, NULL);
    if (device && acpi_ost_refuses(&ost))
        lunik_device_refused(device, event, status);
}

static const struct memory_slots_ops slots_ops = {.eject = on_eject, .ost = on_ost};

/* ---- ports ---------------------------------------------------------------------------------- */

/* Names the device in a slot as the one that the guest's access is about; if there is none, this
 * one. */
static void about_slot(const struct memory_hotplug *d, unsigned slot)
{
    lunik_object *o = lunik_state_object(d), *device;

    if (!lunik_traced(lunik_object_machine(o)))
        return;
    device = device_in(d, slot);
    lunik_trace_about(lunik_object_machine(o), device ? device : o);
}

static lunik_access port_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    struct memory_hotplug *d = opaque;

    about_slot(d, d->slots.selector);
    *value = memory_slots_read(&d->slots, (unsigned)offset);
    return LUNIK_ACCESS_OK;
}

static lunik_access port_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct memory_hotplug *d = opaque;

    about_slot(d, offset == MHP_SELECTOR ? (unsigned)value : d->slots.selector);
    memory_slots_write(&d->slots, (unsigned)offset, (uint32_t)value);
    return LUNIK_ACCESS_OK;
}

static const lunik_io_ops port_ops = {
    .read = port_read,
    .write = port_write,
    .valid = {.min = 1, .max = 4, .unaligned = true},
    .impl = {.min = 1, .max = 4, .unaligned = true},
};

static lunik_access status_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    const struct memory_hotplug *d = opaque;

    about_slot(d, (unsigned)offset);
    *value = d->slots.slot[offset].enabled ? STA_PRESENT : 0;
    return LUNIK_ACCESS_OK;
}

static const lunik_io_ops status_ops = {
    .read = status_read,
    .valid = {.min = 1, .max = 4, .unaligned = true},
    .impl = {.min = 1, .max = 1},
};

/* ---- from the machine ----------------------------------------------------------------------- */

static void show_device(struct memory_hotplug *d, unsigned slot)
{
    lunik_object *device = device_in(d, slot);
    const lunik_memory_device *md = lunik_memory_device_get(device);

    lunik_trace(lunik_object_machine(device), "shown", device, LUNIK_FIELD_UINT("slot", slot),
                LUNIK_FIELD_STRING("asks", md->hotplugged ? "insert" : ""));

    d->slots.slot[slot] = (struct memory_slot){
        .address = md->address,
        .size = md->size,
        .node = (uint32_t)md->node,
        .enabled = true,
        .inserting = md->hotplugged,
    };
    d->notify = d->notify || md->hotplugged;
}

/* Shows the guest the devices of a transaction, which are mapped now, and notifies it once of all
 * of them. */
static void show_news(lunik_change *c)
{
    struct memory_hotplug *d = lunik_container_of(c, struct memory_hotplug, news);

    for (unsigned word = 0; word < LUNIK_MEMORY_SLOTS_MAX / 64; word++)
        for (; d->fresh[word]; d->fresh[word] &= d->fresh[word] - 1)
            show_device(d, word * 64 + (unsigned)__builtin_ctzll(d->fresh[word]));
    if (d->notify)
        acpi_notifier_raise(&d->notifier);
    d->notify = false;
}

static void drop_news(lunik_change *c)
{
    struct memory_hotplug *d = lunik_container_of(c, struct memory_hotplug, news);

    d->notify = false;
}

static unsigned acpi_count(lunik_object *o)
{
    const struct memory_hotplug *d = lunik_state(o);

    return d->slots.count;
}

static void acpi_plug(lunik_object *o, lunik_object *device)
{
    struct memory_hotplug *d = lunik_state(o);
    int64_t slot = lunik_memory_device_get(device)->slot;

    d->fresh[slot / 64] |= UINT64_C(1) << slot % 64;
    lunik_transaction_note(lunik_object_machine(o), &d->news);
}

static void acpi_unplug_request(lunik_object *o, lunik_object *device)
{
    struct memory_hotplug *d = lunik_state(o);

    d->slots.slot[lunik_memory_device_get(device)->slot].removing = true;
    lunik_trace(lunik_object_machine(o), "shown", device,
                LUNIK_FIELD_UINT("slot", (uint64_t)lunik_memory_device_get(device)->slot),
                LUNIK_FIELD_STRING("asks", "remove"));
    d->notify = true;
    lunik_transaction_note(lunik_object_machine(o), &d->news);
}

static void acpi_unplug(lunik_object *o, lunik_object *device)
{
    struct memory_hotplug *d = lunik_state(o);
    int64_t slot = lunik_memory_device_get(device)->slot;

    d->fresh[slot / 64] &= ~(UINT64_C(1) << slot % 64);
    d->slots.slot[slot] = (struct memory_slot){.enabled = false};
}

/* ---- life cycle ----------------------------------------------------------------------------- */

static int realize(lunik_object *o, lunik_error *err)
{
    struct memory_hotplug *d = lunik_state(o);
    uint64_t status = d->iobase + MEMORY_SLOTS_SIZE;
    int rc = acpi_notifier_check(&d->notifier, o, err);

    if (rc)
        return rc;
    d->news.commit = show_news;
    d->news.undo = drop_news;
    memory_slots_init(&d->slots, (unsigned)d->slots_count, &slots_ops);
    rc = device_ports_new(&d->ports, o, "acpi-mem-hotplug", d->iobase, MEMORY_SLOTS_SIZE, &port_ops,
                          d, err);
    if (!rc && d->slots_count)
        rc = device_ports_new(&d->status, o, "acpi-mem-status", status, d->slots_count, &status_ops,
                              d, err);
    if (rc)
        device_region_drop(&d->ports);
    return rc;
}

static void unrealize(lunik_object *o)
{
    struct memory_hotplug *d = lunik_state(o);

    lunik_transaction_forget(lunik_object_machine(o), &d->news);
    device_region_drop(&d->status);
    device_region_drop(&d->ports);
}

/* ---- properties and interfaces -------------------------------------------------------------- */

static const lunik_prop props[] = {
    DEVICE_IOBASE_PROP(struct memory_hotplug,
                       "The first of 24 I/O ports, which one port for each slot follows.", 0xa00,
                       0x10000 - MEMORY_SLOTS_SIZE - LUNIK_MEMORY_SLOTS_MAX),
    {
        .name = "slots",
        .kind = LUNIK_PROP_UINT,
        .doc = "Memory slots, 0 to 256.",
        .offset = offsetof(struct memory_hotplug, slots_count),
        .flags = LUNIK_PROP_REQUIRED,
        .max = LUNIK_MEMORY_SLOTS_MAX,
    },
    ACPI_NOTIFIER_PROPS(struct memory_hotplug, notifier, 3),
    {0},
};

static const lunik_acpi_slots_ops acpi_slots_ops = {
    .count = acpi_count,
    .plug = acpi_plug,
    .unplug_request = acpi_unplug_request,
    .unplug = acpi_unplug,
};

static void describe(lunik_object *o, lunik_acpi_node *out)
{
    const struct memory_hotplug *d = lunik_state(o);

    *out = (lunik_acpi_node){
        .part = "memory_hotplug",
        .count = 3,
        .values = {{"MHIO", d->iobase}, {"MHSL", d->slots_count}, {"MHGP", d->notifier.gpe}},
    };
}

/* Describes the slots, in the container, and the device that has the ports. */
static bool describe_more(lunik_object *o, unsigned index, lunik_acpi_node *out)
{
    const struct memory_hotplug *d = lunik_state(o);

    if (index == 0)
        *out = (lunik_acpi_node){
            .part = "memory_slot",
            .scope = "\\_SB.MHPC",
            .copies = d->slots_count,
            .notify = "MNTF",
        };
    else
        *out = (lunik_acpi_node){
            .part = "memory_ports",
            .count = 2,
            .values = {{"MHIO", d->iobase}, {"MHSL", d->slots_count}},
        };
    return index < 2;
}

static const lunik_acpi_ops acpi_ops = {.describe = describe, .describe_more = describe_more};

static const lunik_iface ifaces[] = {
    LUNIK_IFACE(acpi_slots, &acpi_slots_ops),
    LUNIK_IFACE(acpi, &acpi_ops),
    {0},
};

/* ---- state ---------------------------------------------------------------------------------- */

/* The slot as the guest sees it must match the device that is in it here. */
static int check_slot(const struct memory_slot *slot, lunik_object *device, unsigned index,
                      lunik_error *err)
{
    const lunik_memory_device *md;

    if (slot->enabled != (device != NULL))
        return lunik_fail(err, LUNIK_E_INVALID, "slots: slot: [%u]: %s in the state, %s here",
                          index, slot->enabled ? "in use" : "empty", device ? "in use" : "empty");
    if (!device)
        return 0;
    md = lunik_memory_device_iface(device)->get(device);
    if (slot->address != md->address || slot->size != md->size)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "slots: slot: [%u]: 0x%" PRIx64 " bytes at 0x%" PRIx64
                          " in the state, 0x%" PRIx64 " at 0x%" PRIx64 " here",
                          index, slot->size, slot->address, md->size, md->address);
    return 0;
}

static int post_load(void *staged, const void *state, uint16_t version, lunik_error *err)
{
    const struct memory_hotplug *d = staged, *here = state;
    int rc = 0;

    for (unsigned i = 0; !rc && i < here->slots.count; i++)
        rc = check_slot(&d->slots.slot[i], device_in(here, i), i, err);
    return rc;
}

static const lunik_state_field state_fields[] = {
    LUNIK_STATE_STRUCT(struct memory_hotplug, slots, &memory_slots_state),
    {0},
};

static const lunik_state_table state_table = {
    .name = "acpi-memory-hotplug",
    .version = 1,
    .size = sizeof(struct memory_hotplug),
    .fields = state_fields,
    .post_load = post_load,
};

const lunik_type memory_hotplug_type = {
    .name = "acpi-memory-hotplug",
    .doc = "The registers through which ACPI takes memory in and out.",
    .flags = LUNIK_TYPE_DEVICE,
    .size = sizeof(struct memory_hotplug),
    .props = props,
    .ifaces = ifaces,
    .realize = realize,
    .unrealize = unrealize,
    .reset = reset,
    .state = &state_table,
};
