/*
 * pci_hotplug.c: the ACPI PCI hotplug registers on the I/O bus.
 *
 * A bus gets its number when it is made: 0 is the host bridge's. Buses behind bridges that are made
 * after the first start have none.
 */
#include <stdio.h>
#include <string.h>

#include "lunik_trace.h"
#include "pci_hotplug.h"
#include "../types.h"

static lunik_machine *machine_of(const struct pci_hotplug *d)
{
    return lunik_object_machine(lunik_state_object(d));
}

static struct pci_hotplug *from_slots(struct pci_slots *s)
{
    return lunik_container_of(s, struct pci_hotplug, slots);
}

/* ---- from the guest ------------------------------------------------------------------------- */

/* Removes what the machine may take out of a slot, function 0 last. */
static void eject(struct pci_hotplug *d, unsigned number, unsigned slot)
{
    const lunik_pci_bus *bus = d->buses[number];

    if (!bus || !(pci_bus_removable(bus) >> slot & 1))
        return;
    for (unsigned i = PCI_FUNCTIONS; i-- > 0;) {
        const lunik_pci_function *f = bus->functions[PCI_DEVFN(slot, i)];

        if (f)
            lunik_device_ejected(f->owner);
    }
}

static void on_eject(struct pci_slots *s, unsigned bus, unsigned slot)
{
    eject(from_slots(s), bus, slot);
}

static lunik_object *device_in(const struct pci_hotplug *d, unsigned number, unsigned slot)
{
    const lunik_pci_bus *bus = d->buses[number];
    const lunik_pci_function *f = bus ? bus->functions[PCI_DEVFN(slot, 0)] : NULL;

    return f ? f->owner : NULL;
}

static void refused(struct pci_hotplug *d, unsigned number, unsigned slot, uint32_t event,
                    uint32_t status)
{
    const lunik_pci_bus *bus = d->buses[number];

    d->slots.bus[number].down &= ~(UINT32_C(1) << slot);
    for (unsigned i = 0; bus && i < PCI_FUNCTIONS; i++) {
        const lunik_pci_function *f = bus->functions[PCI_DEVFN(slot, i)];

        if (f)
            lunik_device_refused(f->owner, event, status);
    }
}

static void on_ost(struct pci_slots *s, unsigned bus, unsigned slot, uint32_t event,
                   uint32_t status)
{
    struct pci_hotplug *d = from_slots(s);
    const struct acpi_ost ost = {"PCI", slot, event, status};
    lunik_object *device = device_in(d, bus, slot);

    acpi_ost_report(lunik_state_object(d), device, &ost, &LUNIK_FIELD_UINT("bus", bus));
    if (device && acpi_ost_refuses(&ost))
        refused(d, bus, slot, event, status);
}

static uint32_t get_removable(struct pci_slots *s, unsigned bus)
{
    const struct pci_hotplug *d = from_slots(s);

    return d->buses[bus] ? pci_bus_removable(d->buses[bus]) : 0;
}

/* Returns the first acpi-index of a slot's functions. */
static uint32_t get_acpi_index(struct pci_slots *s, unsigned number, unsigned slot)
{
    const lunik_pci_bus *bus = from_slots(s)->buses[number];
    lunik_value value;

    for (unsigned i = 0; bus && i < PCI_FUNCTIONS; i++) {
        const lunik_pci_function *f = bus->functions[PCI_DEVFN(slot, i)];

        if (f && f->owner && !lunik_object_get(f->owner, "acpi-index", &value, NULL) &&
            value.kind == LUNIK_UINT && value.uint)
            return (uint32_t)value.uint;
    }
    return 0;
}

static const struct pci_slots_ops slots_ops = {
    .eject = on_eject,
    .ost = on_ost,
    .removable = get_removable,
    .acpi_index = get_acpi_index,
};

/* ---- ports ---------------------------------------------------------------------------------- */

static lunik_access port_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    struct pci_hotplug *d = opaque;

    *value = pci_slots_read(&d->slots, (unsigned)offset);
    return LUNIK_ACCESS_OK;
}

static lunik_access port_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct pci_hotplug *d = opaque;

    pci_slots_write(&d->slots, (unsigned)offset, (uint32_t)value);
    return LUNIK_ACCESS_OK;
}

static const lunik_io_ops port_ops = {
    .read = port_read,
    .write = port_write,
    .valid = {.min = 4, .max = 4},
    .impl = {.min = 4, .max = 4},
};

/* ---- from the machine ----------------------------------------------------------------------- */

/* Shows the guest what a transaction has changed, and notifies it once. */
static void show_news(lunik_change *c)
{
    struct pci_hotplug *d = lunik_container_of(c, struct pci_hotplug, news);
    uint32_t any = 0;

    for (unsigned i = 0; i < d->slots.count; i++) {
        any |= d->fresh[i].up | d->fresh[i].down;
        d->slots.bus[i].up |= d->fresh[i].up;
        d->slots.bus[i].down |= d->fresh[i].down;
    }
    memset(d->fresh, 0, sizeof(d->fresh));
    if (any)
        acpi_notifier_raise(&d->notifier);
}

static void drop_news(lunik_change *c)
{
    struct pci_hotplug *d = lunik_container_of(c, struct pci_hotplug, news);

    memset(d->fresh, 0, sizeof(d->fresh));
}

static struct pci_hotplug *from_announcer(struct pci_announcer *a)
{
    return lunik_container_of(a, struct pci_hotplug, announcer);
}

static void note(struct pci_hotplug *d, const lunik_pci_bus *bus, unsigned slot, const char *asks)
{
    lunik_trace(machine_of(d), "shown", device_in(d, bus->plug.number, slot),
                LUNIK_FIELD_UINT("slot", slot), LUNIK_FIELD_STRING("asks", asks));
    lunik_transaction_note(machine_of(d), &d->news);
}

static void announce_plug(struct pci_announcer *a, lunik_pci_bus *bus, unsigned slot)
{
    struct pci_hotplug *d = from_announcer(a);

    d->fresh[bus->plug.number].up |= UINT32_C(1) << slot;
    note(d, bus, slot, "insert");
}

static void announce_request(struct pci_announcer *a, lunik_pci_bus *bus, unsigned slot)
{
    struct pci_hotplug *d = from_announcer(a);

    d->fresh[bus->plug.number].down |= UINT32_C(1) << slot;
    note(d, bus, slot, "remove");
}

/* Other functions of a slot that the guest was asked for go as well, at a reset at the latest. */
static void announce_unplug(struct pci_announcer *a, lunik_pci_bus *bus, uint8_t devfn)
{
    struct pci_hotplug *d = from_announcer(a);
    unsigned number = bus->plug.number, others = 0;
    uint32_t bit = UINT32_C(1) << (devfn >> 3);

    for (unsigned i = devfn & ~7u; i <= (devfn | 7u); i++)
        others += i != devfn && bus->functions[i];
    if (!(devfn & 7)) {
        d->fresh[number].up &= ~bit;
        d->slots.bus[number].up &= ~bit;
    }
    if (!others) {
        d->fresh[number].down &= ~bit;
        d->slots.bus[number].down &= ~bit;
    }
}

/* Writes where a bus is in the namespace; returns false if it is too deep. */
static bool set_path(lunik_pci_bus *bus)
{
    const lunik_pci_bus *above = bus->bridge ? bus->bridge->bus : NULL;
    int length;

    if (!above)
        length = snprintf(bus->plug.path, PCI_ACPI_PATH, "\\_SB.PCI0");
    else
        length = snprintf(bus->plug.path, PCI_ACPI_PATH, "%s.B%03X", above->plug.path,
                          bus->bridge->devfn);
    return length < PCI_ACPI_PATH - 5 && (!above || above->plug.numbered);
}

static void announce_bus(struct pci_announcer *a, lunik_pci_bus *bus)
{
    struct pci_hotplug *d = from_announcer(a);
    unsigned number = 0;

    while (number < PCI_HOTPLUG_BUSES && d->buses[number])
        number++;
    if (bus->plug.numbered || number == PCI_HOTPLUG_BUSES || !set_path(bus) ||
        lunik_machine_hotplugging(bus->machine))
        return;
    d->buses[number] = bus;
    bus->plug.numbered = true;
    bus->plug.number = number;
    bus->plug.described = 0;
    if (number >= d->slots.count)
        d->slots.count = number + 1;
    d->slots.bus[number] = d->fresh[number] = (struct pci_slots_bus){0};
}

static void forget_bus(struct pci_announcer *a, lunik_pci_bus *bus)
{
    struct pci_hotplug *d = from_announcer(a);

    d->buses[bus->plug.number] = NULL;
    d->slots.bus[bus->plug.number] = d->fresh[bus->plug.number] = (struct pci_slots_bus){0};
    bus->plug.numbered = false;
    while (d->slots.count && !d->buses[d->slots.count - 1])
        d->slots.count--;
}

/* The functions of a slot that was asked for are gone now; what is left of it goes with them. */
static void reset(lunik_object *o)
{
    struct pci_hotplug *d = lunik_state(o);

    if (acpi_notifier_wakes(&d->notifier, o, pci_slots_pending(&d->slots)))
        return;
    for (unsigned i = 0; i < d->slots.count; i++)
        for (uint32_t down = d->slots.bus[i].down; down; down &= down - 1)
            eject(d, i, (unsigned)__builtin_ctz(down));
    pci_slots_reset(&d->slots);
}

/* ---- life cycle ----------------------------------------------------------------------------- */

static int check(const struct pci_hotplug *d, const lunik_pci_bus *root, lunik_error *err)
{
    if (root->bridge)
        return lunik_fail(err, LUNIK_E_INVALID,
                          "acpi-pci-hotplug: bus: '%s' is behind a bridge (want a host bridge)",
                          lunik_object_path(d->bus));
    if (root->plug.announcer)
        return lunik_fail(err, LUNIK_E_EXISTS,
                          "acpi-pci-hotplug: bus: '%s' has hotplug registers already",
                          lunik_object_path(d->bus));
    return 0;
}

/* Numbers the buses that are there already. */
static void join_all(struct pci_hotplug *d, lunik_pci_bus *root)
{
    lunik_machine *m = machine_of(d);

    announce_bus(&d->announcer, root);
    for (lunik_object *o = NULL; (o = lunik_object_next(m, o));) {
        const lunik_pci_bus_ops *ops = lunik_pci_bus_iface(o);

        if (ops && ops->bus(o) != root && pci_bus_root(ops->bus(o)) == root)
            announce_bus(&d->announcer, ops->bus(o));
    }
}

static int realize(lunik_object *o, lunik_error *err)
{
    struct pci_hotplug *d = lunik_state(o);
    lunik_pci_bus *root = lunik_pci_bus_iface(d->bus)->bus(d->bus);
    int rc = acpi_notifier_check(&d->notifier, o, err);

    if (!rc)
        rc = check(d, root, err);
    if (rc)
        return rc;
    d->news = (lunik_change){.commit = show_news, .undo = drop_news};
    d->announcer = (struct pci_announcer){
        .join = announce_bus,
        .leave = forget_bus,
        .plug = announce_plug,
        .unplug_request = announce_request,
        .unplug = announce_unplug,
    };
    pci_slots_init(&d->slots, &slots_ops);
    rc = device_ports_new(&d->ports, o, "acpi-pci-hotplug", d->iobase, PCI_HOTPLUG_SIZE, &port_ops,
                          d, err);
    if (rc)
        return rc;
    join_all(d, root);
    root->plug.announcer = &d->announcer;
    return 0;
}

static void unrealize(lunik_object *o)
{
    struct pci_hotplug *d = lunik_state(o);

    lunik_transaction_forget(lunik_object_machine(o), &d->news);
    for (unsigned i = PCI_HOTPLUG_BUSES; i-- > 0;)
        if (d->buses[i])
            forget_bus(&d->announcer, d->buses[i]);
    lunik_pci_bus_iface(d->bus)->bus(d->bus)->plug.announcer = NULL;
    device_region_drop(&d->ports);
}

/* ---- properties and interfaces -------------------------------------------------------------- */

static const lunik_prop props[] = {
    {
        .name = "bus",
        .kind = LUNIK_PROP_LINK,
        .doc = "The host bridge.",
        .offset = offsetof(struct pci_hotplug, bus),
        .flags = LUNIK_PROP_REQUIRED,
        .link = LUNIK_IFACE_pci_bus,
    },
    DEVICE_IOBASE_PROP(struct pci_hotplug, "The first of 32 I/O ports.", 0xae00,
                       0x10000 - PCI_HOTPLUG_SIZE),
    ACPI_NOTIFIER_PROPS(struct pci_hotplug, notifier, 1),
    {0},
};

static const lunik_acpi_ops acpi_ops = {
    .describe = pci_hotplug_describe,
    .describe_more = pci_hotplug_describe_more,
};

static const lunik_iface ifaces[] = {
    LUNIK_IFACE(acpi, &acpi_ops),
    {0},
};

/* ---- state ---------------------------------------------------------------------------------- */

static const lunik_state_field state_fields[] = {
    LUNIK_STATE_STRUCT(struct pci_hotplug, slots, &pci_slots_state),
    {0},
};

static const lunik_state_table state_table = {
    .name = "acpi-pci-hotplug",
    .version = 1,
    .size = sizeof(struct pci_hotplug),
    .fields = state_fields,
};

const lunik_type pci_hotplug_type = {
    .name = "acpi-pci-hotplug",
    .doc = "The registers through which ACPI takes PCI devices in and out.",
    .flags = LUNIK_TYPE_DEVICE,
    .size = sizeof(struct pci_hotplug),
    .props = props,
    .ifaces = ifaces,
    .realize = realize,
    .unrealize = unrealize,
    .reset = reset,
    .state = &state_table,
};
