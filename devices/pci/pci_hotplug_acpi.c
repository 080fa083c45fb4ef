/*
 * pci_hotplug_acpi.c: the ACPI nodes of PCI hotplug: pci_hotplug.asl (registers), then for each bus
 * pci_bridge.asl, pci_bus.asl and pci_slot.asl, then pci_ports.asl.
 */
#include <stdio.h>

#include "pci_hotplug.h"

#define NODES_PER_BUS 3 /* its bridge, what it has in common, its slots */

static void describe_bridge(const lunik_pci_bus *bus, lunik_acpi_node *out)
{
    const lunik_pci_function *f = bus->bridge;

    *out = (lunik_acpi_node){
        .part = "pci_bridge",
        .scope = f->bus->plug.path,
        .count = 2,
        .values = {{"UNIT", f->devfn}, {"_ADR", (uint64_t)(f->devfn >> 3) << 16 | (f->devfn & 7)}},
    };
}

/* Describes the slots whose devices can come and go: from now on the guest knows these. */
static void describe_slots(lunik_pci_bus *bus, lunik_acpi_node *out)
{
    bus->plug.described = pci_bus_removable(bus);
    *out = (lunik_acpi_node){
        .part = "pci_slot",
        .scope = bus->plug.path,
        .copies = PCI_HOTPLUG_SLOTS,
        .absent = ~bus->plug.described,
        .notify = "PNTF",
    };
}

static void describe_bus(lunik_pci_bus *bus, unsigned kind, lunik_acpi_node *out)
{
    if (kind == 0)
        describe_bridge(bus, out);
    else if (kind == 1)
        *out = (lunik_acpi_node){.part = "pci_bus",
                                 .scope = bus->plug.path,
                                 .count = 1,
                                 .values = {{"BSEL", bus->plug.number}}};
    else
        describe_slots(bus, out);
}

/* Lists the methods that look at a bus each. */
static void list_scans(struct pci_hotplug *d)
{
    unsigned count = 0;

    for (unsigned i = 0; i < PCI_HOTPLUG_BUSES; i++)
        if (d->buses[i]) {
            snprintf(d->scans[count], PCI_ACPI_PATH, "%.58s.PSCN", d->buses[i]->plug.path);
            d->scan_list[count] = d->scans[count];
            count++;
        }
    d->scan_list[count] = NULL;
}

/* Describes the registers, with the method that looks at all buses. */
void pci_hotplug_describe(lunik_object *o, lunik_acpi_node *out)
{
    struct pci_hotplug *d = lunik_state(o);

    list_scans(d);
    *out = (lunik_acpi_node){
        .part = "pci_hotplug",
        .scope = "\\_SB",
        .method = "PCNT",
        .calls = d->scan_list,
        .count = 2,
        .values = {{"PHIO", d->iobase}, {"PHGP", d->notifier.gpe}},
    };
}

/* Describes the buses by their numbers, then the ports. A bridge is made before what is behind it.
 */
bool pci_hotplug_describe_more(lunik_object *o, unsigned index, lunik_acpi_node *out)
{
    struct pci_hotplug *d = lunik_state(o);
    unsigned at = 0;

    for (unsigned i = 0; i < PCI_HOTPLUG_BUSES; i++) {
        unsigned first = d->buses[i] && d->buses[i]->bridge ? 0 : 1;

        if (!d->buses[i])
            continue;
        if (index < at + NODES_PER_BUS - first) {
            describe_bus(d->buses[i], first + index - at, out);
            return true;
        }
        at += NODES_PER_BUS - first;
    }
    if (index == at)
        *out = (lunik_acpi_node){.part = "pci_ports", .count = 1, .values = {{"PHIO", d->iobase}}};
    return index == at;
}
