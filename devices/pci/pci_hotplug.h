/* pci_hotplug.h: the device with the PCI hotplug registers, for the files that make it up. */
#ifndef PCI_PCI_HOTPLUG_H
#define PCI_PCI_HOTPLUG_H

#include "pci.h"
#include "pci_hotplug_chip.h"
#include "../acpi_events.h"

struct pci_hotplug {
    lunik_object *bus;
    uint64_t iobase;
    struct acpi_notifier notifier;

    struct pci_announcer announcer;
    struct pci_slots slots;
    lunik_pci_bus *buses[PCI_HOTPLUG_BUSES];      /* by number */
    char scans[PCI_HOTPLUG_BUSES][PCI_ACPI_PATH]; /* the methods that look at each */
    const char *scan_list[PCI_HOTPLUG_BUSES + 1];
    struct pci_slots_bus fresh[PCI_HOTPLUG_BUSES]; /* what the guest has not been shown */
    lunik_region *ports;
    lunik_change news; /* notifies the guest once the transaction is committed */
};

/* pci_hotplug_acpi.c: the ACPI nodes of registers, buses and slots. */
void pci_hotplug_describe(lunik_object *o, lunik_acpi_node *out);
bool pci_hotplug_describe_more(lunik_object *o, unsigned index, lunik_acpi_node *out);

#endif
