/*
 * pci_plug.c: places of devices on a PCI bus, and the hotplug handler "pci", which every host
 * bridge is for its bus and those behind it.
 *
 * The announcer of devices to the guest (pci_hotplug.c) is a device of its own. A guest finds the
 * functions of a slot when function 0 comes, and gives up all of them.
 */
#include <inttypes.h>
#include <string.h>

#include "lunik_trace.h"
#include "pci.h"

/* ---- buses ---------------------------------------------------------------------------------- */

lunik_pci_bus *pci_bus_root(lunik_pci_bus *bus)
{
    while (bus->bridge && bus->bridge->bus)
        bus = bus->bridge->bus;
    return bus;
}

static struct pci_announcer *announcer_of(lunik_pci_bus *bus)
{
    return pci_bus_root(bus)->plug.announcer;
}

void pci_bus_join_hotplug(lunik_pci_bus *bus)
{
    struct pci_announcer *a = announcer_of(bus);

    if (a)
        a->join(a, bus);
}

void pci_bus_leave_hotplug(lunik_pci_bus *bus)
{
    struct pci_announcer *a = announcer_of(bus);

    if (a && bus->plug.numbered)
        a->leave(a, bus);
}

static bool may_leave(const lunik_pci_bus *bus, unsigned devfn)
{
    const lunik_object *owner = bus->functions[devfn]->owner;

    return bus->plug.handled[devfn >> 3] >> (devfn & 7) & 1 &&
           lunik_object_type(owner)->flags & LUNIK_TYPE_UNPLUG;
}

uint32_t pci_bus_removable(const lunik_pci_bus *bus)
{
    uint32_t slots = UINT32_MAX;

    for (unsigned devfn = 0; devfn < 256; devfn++)
        if (bus->functions[devfn] && !may_leave(bus, devfn))
            slots &= ~(UINT32_C(1) << (devfn >> 3));
    return slots;
}

/* ---- places --------------------------------------------------------------------------------- */

static bool is_empty(const lunik_pci_bus *bus, unsigned slot)
{
    for (unsigned i = 0; i < PCI_FUNCTIONS; i++)
        if (bus->functions[PCI_DEVFN(slot, i)])
            return false;
    return true;
}

static const char *bus_name(const lunik_pci_bus *bus)
{
    const char *id = lunik_object_id(bus->owner);

    return *id ? id : lunik_object_path(bus->owner);
}

/* Returns the slots that a device may be added to now. */
static uint32_t open_slots(lunik_pci_bus *bus)
{
    bool hot = lunik_machine_hotplugging(bus->machine) && announcer_of(bus);

    return hot ? bus->plug.described : UINT32_MAX;
}

static int fail_no_hotplug(const lunik_pci_bus *bus, lunik_error *err)
{
    return lunik_fail(err, LUNIK_E_UNSUPPORTED,
                      "Bus '%s' does not support hotplugging (want one that the ACPI tables "
                      "describe: a bridge among the machine's devices)",
                      bus_name(bus));
}

static int find_slot(lunik_pci_bus *bus, const lunik_object *device, uint8_t *devfn,
                     lunik_error *err)
{
    uint32_t open = open_slots(bus);

    for (unsigned slot = 0; slot < PCI_SLOTS; slot++)
        if (open >> slot & 1 && is_empty(bus, slot)) {
            *devfn = PCI_DEVFN(slot, 0);
            return 0;
        }
    return lunik_fail(err, LUNIK_E_NO_SPACE,
                      "PCI: no slot/function available for %s, all in use or reserved",
                      lunik_object_type_name(device));
}

/* Where function 0 is there already a guest does not look for others. */
static int check_exposed(lunik_pci_bus *bus, const lunik_object *device, uint8_t devfn,
                         lunik_error *err)
{
    const lunik_pci_function *first = bus->functions[devfn & ~7u];
    unsigned slot = devfn >> 3;

    if (!lunik_machine_hotplugging(bus->machine) || !announcer_of(bus))
        return 0;
    if (first)
        return lunik_fail(err, LUNIK_E_EXISTS,
                          "PCI: slot %u function 0 already occupied by %s, new func %s cannot be "
                          "exposed to guest",
                          slot, lunik_object_type_name(first->owner),
                          lunik_object_type_name(device));
    if (!(open_slots(bus) >> slot & 1))
        return lunik_fail(err, LUNIK_E_UNSUPPORTED,
                          "PCI: slot %u of bus '%s' does not support hotplugging", slot,
                          bus_name(bus));
    return 0;
}

int pci_bus_place(lunik_pci_bus *bus, const lunik_object *device, const char *addr, uint8_t *devfn,
                  lunik_error *err)
{
    int rc;

    if (!addr || !strcmp(addr, "auto"))
        return find_slot(bus, device, devfn, err);
    rc = pci_parse_addr(addr, devfn, err);
    if (!rc)
        rc = pci_check_free(bus, *devfn, device, err);
    return rc ? rc : check_exposed(bus, device, *devfn, err);
}

/* Returns the function of a device on a bus; NULL: it is not there. */
static lunik_pci_function *function_of(const lunik_pci_bus *bus, const lunik_object *device)
{
    for (unsigned i = 0; i < 256; i++)
        if (bus->functions[i] && bus->functions[i]->owner == device)
            return bus->functions[i];
    return NULL;
}

/* Returns the bus that a device's property links to. */
static lunik_pci_bus *bus_of(const lunik_object *device)
{
    const lunik_runtime *rt = lunik_machine_runtime(lunik_object_machine(device));
    const lunik_type *type = lunik_object_type(device);
    const lunik_prop *p;
    lunik_object *o = NULL;

    for (size_t i = 0; (p = lunik_type_prop(rt, type, i)); i++)
        if (p->kind == LUNIK_PROP_LINK && !strcmp(p->name, "bus"))
            o = *(lunik_object **)((char *)lunik_state(device) + p->offset);
    return o && lunik_pci_bus_iface(o) ? lunik_pci_bus_iface(o)->bus(o) : NULL;
}

/* Slot and function in hexadecimal, for each place. */
#define PLACE(slot)                                                                                \
    slot ".0", slot ".1", slot ".2", slot ".3", slot ".4", slot ".5", slot ".6", slot ".7"
#define PLACES(high)                                                                               \
    PLACE(high "0"), PLACE(high "1"), PLACE(high "2"), PLACE(high "3"), PLACE(high "4"),           \
        PLACE(high "5"), PLACE(high "6"), PLACE(high "7"), PLACE(high "8"), PLACE(high "9"),       \
        PLACE(high "a"), PLACE(high "b"), PLACE(high "c"), PLACE(high "d"), PLACE(high "e"),       \
        PLACE(high "f")

void lunik_pci_addr_get(lunik_object *device, lunik_value *out)
{
    LUNIK_NOT_NULL(device);
    LUNIK_NOT_NULL(out);

    static const char *const places[256] = {PLACES(""), PLACES("1")};
    const lunik_pci_bus *bus = bus_of(device);
    const lunik_pci_function *f = bus ? function_of(bus, device) : NULL;

    *out = (lunik_value){.kind = LUNIK_STRING, .string = f ? places[f->devfn] : "auto"};
}

/* ---- the handler ---------------------------------------------------------------------------- */

static uint64_t acpi_index_of(lunik_object *device)
{
    lunik_value value;

    return !lunik_object_get(device, "acpi-index", &value, NULL) && value.kind == LUNIK_UINT
               ? value.uint
               : 0;
}

static int check_index(lunik_object *device, lunik_error *err)
{
    lunik_machine *m = lunik_object_machine(device);
    uint64_t index = acpi_index_of(device);
    lunik_object *o = NULL;

    while (index && (o = lunik_object_next(m, o)))
        if (o != device && acpi_index_of(o) == index)
            return lunik_fail(err, LUNIK_E_EXISTS,
                              "%s: acpi-index: a PCI device with acpi-index = %" PRIu64
                              " already exists: '%s'",
                              lunik_object_type_name(device), index, lunik_object_path(o));
    return 0;
}

static int pre_plug(lunik_object *handler, lunik_object *device, lunik_error *err)
{
    lunik_pci_bus *bus = bus_of(device);

    if (!bus)
        return lunik_fail(err, LUNIK_E_INVALID, "%s: bus: is no PCI bus",
                          lunik_object_type_name(device));
    if (lunik_machine_hotplugging(bus->machine) && announcer_of(bus) &&
        !(bus->plug.numbered && bus->plug.described))
        return fail_no_hotplug(bus, err);
    return check_index(device, err);
}

static int plug(lunik_object *handler, lunik_object *device, lunik_error *err)
{
    lunik_pci_bus *bus = bus_of(device);
    const lunik_pci_function *f = bus ? function_of(bus, device) : NULL;
    struct pci_announcer *a = bus ? announcer_of(bus) : NULL;

    if (!f)
        return lunik_fail(err, LUNIK_E_INVALID, "%s: is on no PCI bus",
                          lunik_object_type_name(device));
    bus->plug.handled[f->devfn >> 3] |= (uint8_t)(1u << (f->devfn & 7));
    lunik_trace(bus->machine, "place", device, LUNIK_FIELD_UINT("slot", f->devfn >> 3),
                LUNIK_FIELD_UINT("function", f->devfn & 7));
    if (lunik_machine_hotplugging(bus->machine) && a && !(f->devfn & 7))
        a->plug(a, bus, f->devfn >> 3);
    return 0;
}

/* Whether a function that leaves, with others of its slot if the guest is asked, has nothing
 * against it. */
static int check_removing(const lunik_pci_bus *bus, lunik_pci_function *f, bool slot,
                          lunik_error *err)
{
    int rc = 0;

    for (unsigned i = f->devfn & ~7u; !rc && i <= (f->devfn | 7u); i++) {
        lunik_pci_function *other = slot || i == f->devfn ? bus->functions[i] : NULL;

        if (other && other->removing)
            rc = other->removing(other, err);
    }
    return rc;
}

static int unplug_request(lunik_object *handler, lunik_object *device, lunik_error *err)
{
    lunik_pci_bus *bus = bus_of(device);
    lunik_pci_function *f = bus ? function_of(bus, device) : NULL;
    struct pci_announcer *a = bus ? announcer_of(bus) : NULL;
    int rc = f ? check_removing(bus, f, a, err) : 0;

    if (rc)
        return rc;
    /* The guest has not seen a slot without function 0. */
    if (!f || !a || !bus->functions[f->devfn & ~7u])
        lunik_device_ejected(device);
    else if (!bus->plug.numbered)
        return fail_no_hotplug(bus, err);
    else if (!(pci_bus_removable(bus) >> (f->devfn >> 3) & 1))
        return lunik_fail(err, LUNIK_E_STATE,
                          "device '%s' can't be removed: another function of its slot stays",
                          lunik_object_path(device));
    else
        a->unplug_request(a, bus, f->devfn >> 3);
    return 0;
}

static void unplug(lunik_object *handler, lunik_object *device)
{
    lunik_pci_bus *bus = bus_of(device);
    const lunik_pci_function *f = bus ? function_of(bus, device) : NULL;
    struct pci_announcer *a = bus ? announcer_of(bus) : NULL;

    if (!f)
        return;
    bus->plug.handled[f->devfn >> 3] &= (uint8_t) ~(1u << (f->devfn & 7));
    if (a && bus->plug.numbered)
        a->unplug(a, bus, f->devfn);
}

const lunik_hotplug_ops pci_hotplug_ops = {
    .pre_plug = pre_plug,
    .plug = plug,
    .unplug_request = unplug_request,
    .unplug = unplug,
};
